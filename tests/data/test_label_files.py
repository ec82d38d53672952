"""Labels from elsewhere, and several right ones for an image."""

import json
from pathlib import Path

import numpy as np
import pytest
from timm.data import RealLabelsImagenet

from nsbench.data.open import label_sets, of_classes, open_source, origin
from nsbench.util.errors import NsbenchError
from tests.data.readers.kinds import png, renamed, spec, tar_of


@pytest.fixture
def val(tmp_path: Path) -> Path:
    """Images 1 to 6 of ImageNet's validation set, flat."""
    for number in range(1, 7):
        path = tmp_path / "val" / f"ILSVRC2012_val_{number:08d}.JPEG"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(number))
    return tmp_path / "val"


def test_real_leaves_out_images_without_labels(val: Path) -> None:
    source = open_source(spec(val, labels="real"))
    sets = label_sets(source)
    assert sets is not None
    names = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, 50_001)]
    theirs = RealLabelsImagenet(names).real_labels
    wanted = [theirs[name] for name in names[:6]]
    assert [list(labels) for labels in sets] == [labels for labels in wanted if labels]
    assert len(source) == len(sets) == 5  # the first of all has none
    assert source.ids[0] == "ILSVRC2012_val_00000002.JPEG"
    (told,) = [count for why, count in source.passed_over.items() if "without a label in" in why]
    assert told == 1
    assert source.labels is not None
    assert source.labels.tolist() == [labels[0] for labels in sets]
    assert source.classes is not None
    assert (len(source.classes), source.classes[0]) == (1000, "n01440764")
    assert np.asarray(source.image(0)).max() == 2
    assert open_source(spec(val, labels="real", label_space="indices")).classes is None
    assert label_sets(open_source(spec(val))) is None


def test_real_by_number_and_not_by_order(val: Path, tmp_path: Path) -> None:
    sets = [[], [5, 3], [1], [7], [], [2]]
    (tmp_path / "real.json").write_text(json.dumps(sets))
    (val / "n01").mkdir()
    (val / "n02").mkdir()
    for number, folder in enumerate(("n02", "n01", "n02", "n01", "n01", "n02"), 1):
        name = f"ILSVRC2012_val_{number:08d}.JPEG"
        renamed(val, {name: f"{folder}/{name}"})
    for place in (val, tar_of(val, tmp_path / "val.tar")):
        source = open_source(spec(place, labels=str(tmp_path / "real.json")))
        assert [int(name[-6]) for name in source.ids] == [2, 4, 3, 6]
        assert label_sets(source) == ((5, 3), (7,), (1,), (2,))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{}", "is not a list of lists of ImageNet-1k class numbers"),
        ("[[1000]]", "is not a list of lists"),
        ("[[true]]", "is not a list of lists"),
        ("[[1]]", "has 1 entries, but .* has image 6: these labels are of other images"),
        ("[[], [], [], [], [], []]", "has no label for any image"),
        ("[", "cannot read .*real.json"),
    ],
)
def test_wrong_sets(val: Path, tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "real.json").write_text(content)
    with pytest.raises(NsbenchError, match=sentence):
        open_source(spec(val, labels=str(tmp_path / "real.json")))


def test_sets_need_numbered_images(image_folder: Path) -> None:
    with pytest.raises(NsbenchError, match=r"named ILSVRC2012_val_00000001 .* has cat/0\.png"):
        open_source(spec(image_folder, labels="real"))


@pytest.mark.parametrize(
    "line", ["{}.JPEG n0{}", "{}\tn0{}\t0\t32\t44\t62", "{},n0{} 85 1 499 272", "val/{}.JPEG n0{}"]
)
def test_a_list_of_files_labels_a_flat_folder(val: Path, tmp_path: Path, line: str) -> None:
    lines = [line.format(f"ILSVRC2012_val_{n:08d}", n % 2) for n in range(6, 0, -1)]
    (tmp_path / "l.txt").write_text("\n".join(["ImageId,PredictionString", *lines, ""]))
    source = open_source(spec(val, labels=str(tmp_path / "l.txt")))
    assert source.classes == ("n00", "n01")
    assert source.labels is not None
    assert source.labels.tolist() == [1, 0, 1, 0, 1, 0]
    assert label_sets(source) is None


def test_a_list_of_class_numbers(val: Path, tmp_path: Path) -> None:
    lines = [f"ILSVRC2012_val_{n:08d}.JPEG {100 * n}" for n in range(1, 7)]
    (tmp_path / "l.txt").write_text("\n".join(lines))
    source = open_source(spec(val, labels=str(tmp_path / "l.txt"), label_space="indices"))
    assert source.classes is None
    assert source.labels is not None
    assert source.labels.tolist() == [100, 200, 300, 400, 500, 600]


def test_lists_that_lack_something(val: Path, tmp_path: Path) -> None:
    path = tmp_path / "l.txt"
    with pytest.raises(NsbenchError, match=r"cannot read the labels .*l\.txt"):
        open_source(spec(val, labels=str(path)))
    path.write_text("ILSVRC2012_val_00000001.JPEG n01\n")
    with pytest.raises(NsbenchError, match=r"no line for the image ILSVRC2012_val_00000002\.JPEG"):
        open_source(spec(val, labels=str(path)))
    path.write_text("\nalone\n")
    with pytest.raises(NsbenchError, match=r"l\.txt, line 2: write a file and its class, not 'al"):
        open_source(spec(val, labels=str(path)))


def test_a_suite_without_labels_keeps_its_fingerprint() -> None:
    assert "labels" not in spec("digits").model_dump()
    assert spec("digits", labels="real").model_dump()["labels"] == "real"


def test_images_of_some_classes(image_folder: Path, tmp_path: Path) -> None:
    source = open_source(spec(image_folder))
    dogs = of_classes(source, ("dog",))
    assert dogs.ids == ["dog/0.png", "dog/1.png", "dog/2.png"]
    assert dogs.labels is not None
    assert (dogs.classes, dogs.labels.tolist()) == (("dog",), [0, 0, 0])
    where, rows = origin(dogs, np.array([2, 0]))
    assert where is source
    assert rows.tolist() == [5, 3]
    assert dogs.image(1).tobytes() == source.image(4).tobytes()
    with pytest.raises(NsbenchError, match="has no image of the class 'cow': complete it"):
        of_classes(source, ("cow", "dog"))


def test_numbers_are_those_of_imagenet(tmp_path: Path) -> None:
    for index in (107, 3, 89):
        path = tmp_path / "numbers" / str(index) / "0.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(png(index))
    source = open_source(spec(tmp_path / "numbers", label_space="indices"))
    chosen = of_classes(source, ("n01819313", "n01910747"))  # 89 and 107
    assert chosen.ids == ["107/0.png", "89/0.png"]
    assert chosen.labels is not None
    assert chosen.labels.tolist() == [1, 0]
    with pytest.raises(NsbenchError, match="has no labels"):
        of_classes(open_source(spec(tmp_path / "numbers" / "3")), ("n01819313",))


def test_classes_of_one_and_numbers_beyond_all(tmp_path: Path) -> None:
    for index in (0, 999, 1000):
        path = tmp_path / "numbers" / str(index) / "0.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(png(index))
    (tmp_path / "some" / "cat").mkdir(parents=True)
    (tmp_path / "some" / "cat" / "0.png").write_bytes(png(0))
    assert of_classes(open_source(spec(tmp_path / "some")), ("cat",)).ids == ["cat/0.png"]
    source = open_source(spec(tmp_path / "numbers", label_space="indices"))
    with pytest.raises(NsbenchError, match="has labels beyond the 1000 of ImageNet-1k"):
        of_classes(source, ("n01440764",))
    (tmp_path / "numbers" / "1000" / "0.png").unlink()
    (tmp_path / "numbers" / "1000").rmdir()
    source = open_source(spec(tmp_path / "numbers", label_space="indices"))
    assert of_classes(source, ("n01440764",)).ids == ["0/0.png"]


def test_a_source_of_other_labels_shares_its_images(val: Path) -> None:
    opened = {}  # type: ignore[var-annotated]
    real = open_source(spec(val, labels="real"), opened)
    assert origin(real, np.array([0]))[0] is open_source(spec(val), opened)
    assert open_source(spec(val, labels="real"), opened) is real
