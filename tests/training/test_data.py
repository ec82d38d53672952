"""The images of a recipe."""

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from nsbench.data.open import SourceSpec
from nsbench.data.preprocessing import Preprocessing
from nsbench.data.transforms import center_crop
from nsbench.recipes.parts import Data, PseudoLabels
from nsbench.recipes.recipe import load_recipe
from nsbench.run_folder import read_info
from nsbench.training.data import open_data, validator
from nsbench.training.generations import train
from nsbench.util.errors import NsbenchError
from tests.conftest import TINY_RECIPE
from tests.data.readers.kinds import png, tar_of


def data(**keys: Any) -> Data:
    return Data.model_validate(keys)


def table(path: Path, labels: list[int], *, named: bool) -> str:
    """A Parquet file whose labels nobody checked, of the classes a, b and c or of none."""
    label = datasets.ClassLabel(names=["a", "b", "c"]) if named else datasets.Value("int64")
    features = datasets.Features({"image": datasets.Image(), "label": label})
    cells = [{"bytes": png(n), "path": None} for n in range(len(labels))]
    made = datasets.Dataset.from_dict({"image": cells, "label": [0] * len(labels)}, features)
    columns = made.data.table.set_column(1, made.data.table.schema.field(1), [labels])
    pq.write_table(columns, path)
    return str(path)


def test_a_string_is_a_source_as_ever(small_folder: Path) -> None:
    found = open_data(data(labeled=str(small_folder), labels_per_class=2), seed=0)
    assert (found.classes, len(found.train), len(found.unlabeled_indices)) == (("cat", "dog"), 4, 6)


def test_the_seed_chooses_labels_and_validation_images(small_folder: Path) -> None:
    keys = data(labeled=str(small_folder), labels_per_class=3, validation_per_class=1)
    splits = {}
    for seed in range(6):
        one, again = open_data(keys, seed), open_data(keys, seed)
        splits[seed] = one.train.tolist(), one.validation.tolist()
        assert splits[seed] == (again.train.tolist(), again.validation.tolist())
        kept = sorted(splits[seed][0] + splits[seed][1])
        assert sorted([*kept, *one.unlabeled_indices.tolist()]) == list(range(10))
        assert one.labeled.labels is not None
        assert np.bincount(one.labeled.labels[kept]).tolist() == [3, 3]
    # of ten choices of three images of five, for each class
    assert len({str(split) for split in splits.values()}) > 3
    alone = data(labeled=str(small_folder), validation_per_class=1)
    assert len({str(open_data(alone, seed).validation) for seed in range(6)}) > 2


def test_the_prior_is_that_of_the_images_trained_on(small_folder: Path) -> None:
    (small_folder / "dog" / "0.png").unlink()
    opened = open_data(data(labeled=str(small_folder), validation_per_class=2), seed=0)
    assert opened.prior(PseudoLabels(rest="labeled")) == (0.6, 0.4)  # 3 cats, 2 dogs
    assert opened.prior(PseudoLabels()) is None
    assert opened.prior(PseudoLabels(rest="labeled", labels="hard")) is None


def test_a_run_of_another_split_is_told_apart(small_folder: Path, tmp_path: Path) -> None:
    settings = ["data.labels_per_class=3", f"data.labeled='{small_folder}'"]
    text = TINY_RECIPE.replace('unlabeled = { source = "digits", split = "unlabeled" }', "")
    (tmp_path / "tiny.toml").write_text(text)
    settings += ["defaults.batch_size=2", "defaults.steps=1", "generations.0.steps=1"]
    recipe = str(tmp_path / "tiny.toml")
    run = train(recipe, tmp_path / "run", settings=settings, device="cpu")
    before = (run / "recipe.toml").read_bytes()
    with pytest.raises(NsbenchError, match=r"other data \(seed is 1, was 0\): restore"):
        train(recipe, run, settings=[*settings, "seed=1"], device="cpu")
    assert (run / "recipe.toml").read_bytes() == before
    # a variant of another seed opens images of its own
    variant = '[[variants]]\nname = "again"\nset = ["seed=1"]\n'
    (tmp_path / "tiny.toml").write_text(text + variant)
    train(recipe, run, settings=settings, variants=["again"], device="cpu")
    chosen = [
        read_info(folder / "generation-0")["identity"]["chosen images"]
        for folder in (run, run / "variants" / "again")
    ]
    assert chosen[0] != chosen[1]


def test_unlabeled_images_are_added_to_those_whose_labels_are_not_kept(
    small_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "more").mkdir()
    for number in range(3):
        (tmp_path / "more" / f"{number}.png").write_bytes(png(number))
    keys = {"labeled": str(small_folder), "labels_per_class": 2}
    alone = open_data(data(**keys), seed=0)
    found = open_data(data(**keys, unlabeled=str(tmp_path / "more")), seed=0)
    assert found.train.tolist() == alone.train.tolist()
    assert alone.unlabeled is not None
    assert found.unlabeled is not None
    before = [alone.unlabeled.ids[i] for i in alone.unlabeled_indices]
    after = [found.unlabeled.ids[i] for i in found.unlabeled_indices]
    assert after == [*(f"0/{name}" for name in before), "1/0.png", "1/1.png", "1/2.png"]


def test_unlabeled_images_may_be_of_uneven_classes() -> None:
    keys = {"labeled": {"source": "digits", "split": "train"}, "labels_per_class": 100}
    found = open_data(data(**keys, unlabeled_imbalance=10.0), seed=0)
    assert found.labeled.labels is not None
    counts = np.bincount(found.labeled.labels[found.unlabeled_indices]).tolist()
    # 300 images of each class have no label; from class to class by 10 ** (1 / 9).
    assert counts == [300, 232, 180, 139, 108, 83, 65, 50, 39, 30]
    assert np.unique(found.unlabeled_indices).tolist() == found.unlabeled_indices.tolist()
    assert not np.intersect1d(found.unlabeled_indices, found.train).size
    even = open_data(data(**keys), seed=0)
    assert found.train.tolist() == even.train.tolist()
    assert np.isin(found.unlabeled_indices, even.unlabeled_indices).all()
    other = open_data(data(**keys, unlabeled_imbalance=5.0), seed=0)
    # Of fewer images those that are chosen of more.
    assert np.isin(found.unlabeled_indices, other.unlabeled_indices).all()


def test_uneven_classes_need_labels(tiny_recipe: Path) -> None:
    with pytest.raises(NsbenchError, match=r"unlabeled_imbalance needs the labels of the unlab"):
        load_recipe(str(tiny_recipe), ["data.unlabeled_imbalance=10"])


def test_several_sources(small_folder: Path, tmp_path: Path) -> None:
    tar = str(tar_of(small_folder, tmp_path / "a.tar"))
    digits = {"source": "digits", "split": "unlabeled"}
    found = open_data(
        data(labeled=[str(small_folder), tar], unlabeled=[digits, tar, "digits"]), seed=0
    )
    assert found.classes == ("cat", "dog")
    assert found.train.tolist() == list(range(20))
    assert found.labeled.labels is not None
    assert np.bincount(found.labeled.labels).tolist() == [10, 10]
    assert found.unlabeled is not None
    assert len(found.unlabeled_indices) == len(found.unlabeled) == 3800 + 10 + 1000
    assert found.unlabeled.labels is None


def test_classes_that_differ_between_sources(small_folder: Path) -> None:
    with pytest.raises(NsbenchError, match="class 0 is 'cat' in the first and '0' in the second"):
        open_data(data(labeled=[str(small_folder), "digits"]), seed=0)


@pytest.mark.parametrize(
    ("labels", "named", "sentence"),
    [
        ([0, 12, 1], True, r"label 12, but data\.labeled needs class numbers from 0 to 2: correct"),
        ([0, 1, -1], True, r"label -1, but data\.labeled needs class numbers from 0 to 2"),
        ([0, 1, -1], False, r"label -1, but data\.labeled needs class numbers from 0 upwards"),
        ([-1, -1, -1], False, r"has no labels, but data\.labeled needs them"),
    ],
)
def test_labels_that_are_no_class(
    tmp_path: Path, labels: list[int], named: bool, sentence: str
) -> None:
    path = table(tmp_path / "t.parquet", labels, named=named)
    with pytest.raises(NsbenchError, match=sentence) as caught:
        open_data(data(labeled=path), seed=0)
    assert "t.parquet" in str(caught.value)
    # unlabeled images may have any labels
    assert (
        len(open_data(data(labeled="digits", unlabeled=[path, path]), seed=0).unlabeled_indices)
        == 6
    )
    assert len(open_data(data(labeled="digits", unlabeled=path), seed=0).unlabeled_indices) == 3


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("labeled=[]", "the key 'data.labeled' is [], but it must name a source"),
        ('labeled=[{source="a",splt="b"}]', "unknown key 'data.labeled.0.splt'; did you mean 'spl"),
        ('labeled={source="a",splt="b"}', "unknown key 'data.labeled.splt'; did you mean 'split'"),
        ("labeled=3", "the key 'data.labeled' is 3"),
        ('unlabeled=["a", 3]', "the key 'data.unlabeled.1' is 3"),
        ("unlabeled=[]", "the key 'data.unlabeled' is [], but it must name a source"),
        ('labeled={source="a",streaming=true}', "streaming is for data sets of the Hugging Face"),
    ],
)
def test_wrong_sources_are_named_by_their_key(
    tiny_recipe: Path, setting: str, sentence: str
) -> None:
    with pytest.raises(NsbenchError) as caught:
        load_recipe(str(tiny_recipe), [f"data.{setting}"])
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_of_several_sources_trains_and_goes_on(tiny_recipe: Path, tmp_path: Path) -> None:
    text = tiny_recipe.read_text()
    text = text.replace('{ source = "digits", split = "unlabeled" }', '["digits", "digits"]')
    tiny_recipe.write_text(text)
    assert load_recipe(str(tiny_recipe)).data.unlabeled == [SourceSpec(source="digits")] * 2
    settings = ["generations.0.steps=2", "generations.1.steps=2"]
    run = train(str(tiny_recipe), tmp_path / "run", settings=settings, device="cpu")
    assert load_recipe(str(run / "recipe.toml")).data == load_recipe(str(tiny_recipe)).data
    assert train(resume=run, device="cpu") == run
    assert (run / "generation-1" / "model.json").is_file()


@pytest.mark.parametrize("key", ["labeled", "unlabeled"])
def test_a_source_that_is_missing_is_named_by_its_key(key: str, tiny_recipe: Path) -> None:
    recipe = load_recipe(str(tiny_recipe), [f"data.{key}=unlabeled-images"])
    with pytest.raises(NsbenchError, match=f"^data.{key}: there is no unlabeled-images: a source"):
        open_data(recipe.data, seed=0)


def test_validation_sees_images_as_255ths_and_normalised(small_folder: Path) -> None:
    found = open_data(data(labeled=str(small_folder), validation_per_class=2), seed=0)
    size = Preprocessing(image_size=32, mean=[0.25, 0.5, 0.0], std=[0.5, 0.25, 1.0])
    seen: list[torch.Tensor] = []

    class Kept(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images)
            return torch.tensor([[0.0, 1.0]]).repeat(len(images), 1)

    accuracy = validator(found, size, torch.device("cpu"))
    assert accuracy
    assert accuracy(Kept()) == 0.5  # two of four are of the second class
    crops = [center_crop(found.labeled.image(int(i)), size) for i in found.validation]
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (size.mean, size.std))
    wanted = (torch.from_numpy(np.stack(crops)) / 255 - mean) / std
    torch.testing.assert_close(torch.cat(seen), wanted)


def test_validation_goes_on_with_fewer_images_where_memory_is_short(small_folder: Path) -> None:
    opened = open_data(data(labeled=str(small_folder), validation_per_class=4), seed=0)
    sizes = []

    class Short(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            sizes.append(len(images))
            if len(images) > 3:
                raise RuntimeError("CUDA error: out of memory")
            return torch.nn.functional.one_hot(torch.zeros(len(images)).long(), 2).float()

    accuracy = validator(opened, Preprocessing(image_size=32), torch.device("cpu"))
    assert accuracy
    assert accuracy(Short()) == 0.5
    assert sizes == [8, 4, 2, 2, 2, 2]
