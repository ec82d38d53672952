"""Small data in the formats and places that the shipped recipes name."""

from functools import cache
from io import BytesIO
from pathlib import Path

import datasets
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from nsbench.bench.photographs import photographs
from nsbench.data.open import open_source
from nsbench.data.transforms import to_array
from tests.data.readers.kinds import spec, write_tar

WNIDS = ["n01440764", "n01443537", "n02123045", "n02124075"]
STL10_CLASSES = "airplane bird car cat deer dog horse monkey ship truck"


def digits(per_class: int, skip: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (n, 32, 32, 3) and digits (n,), after so many of each class."""
    source = open_source(spec("digits", split="train"))
    assert source.labels is not None
    of_each = [
        np.flatnonzero(source.labels == digit)[skip : skip + per_class] for digit in range(10)
    ]
    chosen = np.stack(of_each, 1).ravel()  # in turns, as no file has them sorted
    pixels = [to_array(source.image(int(index))).transpose(1, 2, 0) for index in chosen]
    return np.stack(pixels), source.labels[chosen]


def svhn(root: Path, per_class: int, unlabeled: int) -> Path:
    """The two .mat files of the recipe, in which a zero is labeled 10."""
    (root / "svhn").mkdir(parents=True)
    for name, (images, labels) in {
        "train": digits(per_class), "extra": digits(unlabeled, per_class)
    }.items():  # fmt: skip
        content = {"X": images.transpose(1, 2, 3, 0), "y": np.where(labels, labels, 10)[:, None]}
        savemat(root / "svhn" / f"{name}_32x32.mat", content)
    return root


def stl10(root: Path, per_class: int, unlabeled: int) -> Path:
    """The binary files: a channel after the other, a column after the other, labels from 1."""
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    (folder / "class_names.txt").write_text(STL10_CLASSES.replace(" ", "\n") + "\n")
    images, labels = digits(per_class)
    _stl10_images(images).tofile(folder / "train_X.bin")
    (labels + 1).astype(np.uint8).tofile(folder / "train_y.bin")
    _stl10_images(digits(unlabeled, per_class)[0]).tofile(folder / "unlabeled_X.bin")
    return root


def _stl10_images(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(images.repeat(3, 1).repeat(3, 2).transpose(0, 3, 2, 1))


def cifar10(root: Path, per_class: int) -> Path:
    """The training images as the hub has them, in Parquet with an `img` column."""
    folder = root / "cifar10" / "plain_text"
    folder.mkdir(parents=True)
    names = datasets.ClassLabel(names=[f"class {digit}" for digit in range(10)])
    features = datasets.Features({"img": datasets.Image(), "label": names})
    images, labels = digits(per_class)
    rows = {"img": [Image.fromarray(image) for image in images], "label": labels.tolist()}
    table = datasets.Dataset.from_dict(rows, features)
    table.to_parquet(folder / "train-00000-of-00001.parquet")
    return root


def imagenet(root: Path, per_class: int, unlabeled: int) -> Path:
    """Four class folders of JPEG files, and more pictures in folders and in shards.

    They are photographs of 40 by 48 px, those of a class in one colour, so that any model can tell
    them apart after a few steps.
    """
    for part, count, skip in (("train", per_class, 0), ("val", 2, 3), ("more", unlabeled, 5)):
        for label, name in enumerate(WNIDS):
            folder = root / "imagenet" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{name}_{number}.JPEG").write_bytes(_picture(label, number + skip))
    for number in range(2):
        of_shard = {
            f"{label}_{index}.jpg": _picture(label, index + 9)
            for label in range(len(WNIDS))
            for index in range(number, unlabeled, 2)
        }
        write_tar(root / "shards" / f"more-{number:05d}.tar", of_shard)
    return root


@cache
def _photographs() -> NDArray[np.uint8]:
    return photographs(48, 20).permute(0, 2, 3, 1).numpy()[:, :40]


def _picture(label: int, number: int) -> bytes:
    photograph = _photographs()[number % 20]
    tint = np.array([[255, 20, 20], [20, 255, 20], [20, 20, 255], [250, 250, 20]])[label]
    file = BytesIO()
    Image.fromarray((photograph * 0.3 + tint * 0.7).astype(np.uint8)).save(file, "JPEG")
    return file.getvalue()
