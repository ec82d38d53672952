"""SVHN and STL-10 in small files of their formats, read by torchvision's formulas too."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from nsbench.data import catalog
from nsbench.data.open import open_source
from nsbench.recipes.parts import Data
from nsbench.training.data import open_data
from nsbench.util.errors import NsbenchError
from tests.data.readers.kinds import spec

RNG = np.random.default_rng(5)
NAMES = ["airplane", "bird", "car"]


def svhn(path: Path, count: int = 12, **other: Any) -> np.ndarray[Any, Any]:
    """A file of random images of the digits 1, 2, … 9, 0, 1, 2; returns them as (N, H, W, 3)."""
    path.parent.mkdir(exist_ok=True)
    images = RNG.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    labels = (np.arange(count) % 10 + 1).astype(np.uint8)[:, None]
    content = {"X": images.transpose(1, 2, 3, 0), "y": labels} | other
    content = {name: value for name, value in content.items() if value is not None}
    savemat(path, content, do_compression=True)
    return images


def stl10(folder: Path, split: str, count: int, *, labeled: bool) -> np.ndarray[Any, Any]:
    """The files of a split of random images; returns them as (N, H, W, 3)."""
    folder.mkdir(exist_ok=True)
    images = RNG.integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)
    with (folder / f"{split}_X.bin").open("wb") as file:
        for image in images:
            for channel in range(3):
                for column in range(96):
                    file.write(image[:, column, channel].tobytes())
    if labeled:
        (folder / f"{split}_y.bin").write_bytes(bytes(n % 3 + 1 for n in range(count)))
    (folder / "class_names.txt").write_text("\n".join(NAMES) + "\n")
    return images


def same(source: Any, images: np.ndarray[Any, Any]) -> bool:
    return len(source) == len(images) and all(
        (np.asarray(source.image(index)) == image).all() for index, image in enumerate(images)
    )


def test_svhn(tmp_path: Path) -> None:
    folder = tmp_path / "svhn"
    images = {split: svhn(folder / f"{split}_32x32.mat") for split in ("train", "test", "extra")}
    for split, wanted in images.items():
        source = open_source(spec(folder, split=split))
        assert same(source, wanted)
        assert source.ids[3] == f"{split}-00000003"
        assert source.classes == tuple("0123456789")
        assert source.labels is not None
        assert source.labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    alone = open_source(spec(folder / "test_32x32.mat"))
    assert same(alone, images["test"])
    assert alone.version == open_source(spec(folder, split="test")).version
    assert open_source(spec(folder, split="test", label_space="indices")).classes is None
    sent = pickle.dumps(alone)
    assert len(sent) < 2000  # no pixels
    assert same(pickle.loads(sent), images["test"])


def test_stl10(tmp_path: Path) -> None:
    folder = tmp_path / "stl10_binary"
    train = stl10(folder, "train", 5, labeled=True)
    unlabeled = stl10(folder, "unlabeled", 4, labeled=False)
    source = open_source(spec(folder, split="train"))
    assert same(source, train)
    assert source.classes == tuple(NAMES)
    assert source.labels is not None
    assert source.labels.tolist() == [0, 1, 2, 0, 1]
    assert source.ids[4] == "train-00000004"
    other = open_source(spec(folder, split="unlabeled"))
    assert same(other, unlabeled)
    assert (other.labels, other.classes) == (None, None)
    assert open_source(spec(folder, split="train", label_space="indices")).classes is None


def test_the_splits_of_a_recipe(tmp_path: Path) -> None:
    svhn(tmp_path / "svhn" / "train_32x32.mat", 20)
    svhn(tmp_path / "svhn" / "extra_32x32.mat", 30)
    stl10(tmp_path / "stl10_binary", "train", 6, labeled=True)
    stl10(tmp_path / "stl10_binary", "unlabeled", 7, labeled=False)
    catalog.set_roots([tmp_path])
    for name, rest, sizes in (("svhn", "extra", (20, 30)), ("stl10", "unlabeled", (6, 7))):
        labeled, other = ({"source": f"data:{name}", "split": s} for s in ("train", rest))
        found = open_data(Data.model_validate({"labeled": labeled, "unlabeled": other}), seed=0)
        assert (len(found.train), len(found.unlabeled_indices)) == sizes
    # with the extra images as labeled ones too, as the supervised models of SVHN are trained
    both = [{"source": "data:svhn", "split": split} for split in ("train", "extra")]
    assert len(open_data(Data.model_validate({"labeled": both}), seed=0).train) == 50
    with pytest.raises(NsbenchError, match=r"holds several splits: set split to one of extra, tra"):
        open_source(spec("data:svhn"))
    with pytest.raises(NsbenchError, match=r"has no test_X\.bin: set split to one of train, unlab"):
        open_source(spec("data:stl10", split="test"))


def test_svhn_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    catalog.set_roots([tmp_path])
    for name, way in (
        ("svhn", "nsbench data fetch svhn"),
        ("stl10", r"fetch stl10 and then unpack stl10_binary\.tar"),
        ("imagenet-train", r"tars inside a tar are not read"),
    ):
        with pytest.raises(NsbenchError, match=way):
            open_source(spec(f"data:{name}", split="train"))


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"X": None}, "holds nothing as X"),
        ({"y": None}, "holds nothing as y, but its 12 images need"),
        ({"X": np.zeros((32, 32, 12), np.uint8)}, r"holds uint8 \(32, 32, 12\) as X"),
        ({"X": np.zeros((32, 32, 3, 12))}, r"holds float64 \(32, 32, 3, 12\) as X"),
        ({"y": np.ones((11, 1), np.uint8)}, r"holds uint8 \(11, 1\) as y"),
        ({"y": np.full((12, 1), 11, np.uint8)}, "as many labels from 1 to 10"),
        ({"y": np.zeros((12, 1), np.uint8)}, "as many labels from 1 to 10"),
    ],
)
def test_wrong_files_of_svhn(tmp_path: Path, other: dict[str, Any], sentence: str) -> None:
    svhn(tmp_path / "train_32x32.mat", **other)
    with pytest.raises(NsbenchError, match=sentence) as caught:
        open_source(spec(tmp_path, split="train"))
    assert "train_32x32.mat" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_a_cut_off_file_of_svhn(tmp_path: Path, share: float) -> None:
    path = tmp_path / "train_32x32.mat"
    svhn(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(NsbenchError, match=r"train_32x32\.mat (cannot be read|holds nothing)"):
        open_source(spec(path))
    path.write_bytes(b"no MATLAB" * 100)
    with pytest.raises(NsbenchError, match=r"train_32x32\.mat cannot be read"):
        open_source(spec(path))


def test_wrong_files_of_stl10(tmp_path: Path) -> None:
    def fails(sentence: str) -> None:
        with pytest.raises(NsbenchError, match=sentence) as caught:
            open_source(spec(tmp_path, split="train"))
        assert "\n" not in str(caught.value)

    stl10(tmp_path, "train", 4, labeled=True)
    images, labels = tmp_path / "train_X.bin", tmp_path / "train_y.bin"
    names = tmp_path / "class_names.txt"
    pixels = images.read_bytes()
    images.write_bytes(pixels[:-1])
    fails(r"train_X\.bin has 110591 bytes, but STL-10's images are 27648 each")
    images.write_bytes(b"")
    fails(r"train_X\.bin has 0 bytes")
    images.write_bytes(pixels)
    for wrong in (bytes([1, 2, 3]), bytes([0, 1, 2, 3]), bytes([1, 2, 3, 4])):
        labels.write_bytes(wrong)
        fails(rf"train_y\.bin holds {len(wrong)} labels, but 4 images need as many from 1 to 3")
    names.unlink()
    fails(r"cannot read the class names .*class_names\.txt")
    labels.unlink()
    fails(r"train_X\.bin has no labels train_y\.bin beside it")


def test_the_formats_are_torchvisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import STL10, SVHN

    monkeypatch.setattr(SVHN, "_check_integrity", lambda self: True)
    monkeypatch.setattr(STL10, "_check_integrity", lambda self: True)
    svhn(tmp_path / "train_32x32.mat")
    stl10(tmp_path / "stl10_binary", "train", 5, labeled=True)
    for theirs, place in (
        (SVHN(tmp_path, split="train"), tmp_path),
        (STL10(tmp_path, split="train"), tmp_path / "stl10_binary"),
    ):
        ours = open_source(spec(place, split="train"))
        assert same(ours, np.stack([np.asarray(theirs[n][0]) for n in range(len(theirs))]))
        assert ours.labels is not None
        assert ours.labels.tolist() == [theirs[n][1] for n in range(len(theirs))]
