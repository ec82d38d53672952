"""Images that a program gives: every kind is read as the same pixels, and what is none is told."""

from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, Subset, TensorDataset
from torchvision.transforms import v2

from nsbench.data.readers.given import GivenSource
from nsbench.util.errors import NsbenchError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (4, 32, 40, 3), dtype=np.uint8)
LABELS = [1, 0, 2, 1]
TENSOR = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
PHOTOS = [Image.fromarray(pixels) for pixels in PIXELS]


class Photos(Dataset[Any]):
    """As torchvision's data sets are: items of a transform, names of classes, targets."""

    classes = ["cat", "dog", "fish"]

    def __init__(self, transform: Any = None, as_dict: bool = False) -> None:
        self.transform, self.as_dict = transform, as_dict

    def __len__(self) -> int:
        return len(PHOTOS)

    def __getitem__(self, index: int) -> Any:
        image = self.transform(PHOTOS[index]) if self.transform else PHOTOS[index]
        pair = image, LABELS[index]
        return dict(zip(("image", "label"), pair, strict=True)) if self.as_dict else pair


def of_hub(**columns: str) -> Any:
    names = {"image": "image", "label": "label", **columns}
    features = datasets.Features(
        {
            names["image"]: datasets.Image(),
            names["label"]: datasets.ClassLabel(names=["cat", "dog", "fish"]),
        }
    )
    content = {names["image"]: PHOTOS, names["label"]: LABELS}
    return datasets.Dataset.from_dict(content, features=features)


SAME: dict[str, Any] = {
    "tensors": (TENSOR, torch.tensor(LABELS)),
    "floats": (TENSOR.float() / 255, LABELS),
    "arrays": (PIXELS, np.array(LABELS)),
    "photographs": (PHOTOS, LABELS),
    "data set": Photos(),
    "of dictionaries": Photos(as_dict=True),
    "of tensors": Photos(v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])),
    "subset": Subset(Photos(), range(4)),
    "tensor data set": TensorDataset(TENSOR, torch.tensor(LABELS)),
    "list of pairs": list(zip(PHOTOS, LABELS, strict=True)),
    "hub": of_hub(),
    "hub, other columns": of_hub(image="img", label="fine_label"),
}


@pytest.mark.parametrize("kind", SAME)
def test_every_kind_has_the_same_pixels_and_labels(kind: str) -> None:
    source = GivenSource(SAME[kind])
    assert source.labels is not None
    assert source.labels.tolist() == LABELS
    assert len(source.ids) == len(set(source.ids)) == 4
    read = [np.asarray(source.image(index)) for index in range(4)]
    assert (np.stack(read) == PIXELS).all()
    assert (source.digests == GivenSource(SAME["arrays"]).digests).all()


@pytest.mark.parametrize("kind", ["data set", "hub", "hub, other columns"])
def test_names_of_classes_are_kept(kind: str) -> None:
    assert GivenSource(SAME[kind]).classes == ("cat", "dog", "fish")


def test_gray_images_are_rgb() -> None:
    gray = torch.arange(32 * 32, dtype=torch.int64).remainder(256).byte().reshape(1, 1, 32, 32)
    image = np.asarray(GivenSource((gray, [0])).image(0))
    assert image.shape == (32, 32, 3)
    assert (image == gray[0].permute(1, 2, 0).numpy()).all()


def test_no_image_is_read_for_its_label() -> None:
    class Unread(Photos):
        targets = LABELS

        def __getitem__(self, index: int) -> Any:
            assert index == 0, "only the first is looked at, for its kind"
            return super().__getitem__(index)

    assert GivenSource(Unread()).labels is not None


BAD: dict[str, tuple[Any, str]] = {
    "normalised": ((TENSOR.float() - 100, LABELS), "leave out the normalisation"),
    "whole numbers": ((TENSOR.int(), LABELS), "values are int32, but must be uint8"),
    "five channels": ((torch.zeros(1, 5, 32, 32), [0]), r"shape \(5, 32, 32\), which is no image"),
    "flat": ((torch.zeros(1, 100), [0]), r"shape \(100,\), which is no image"),
    "lengths": ((TENSOR, [0]), "data has 4 images and 1 label"),
    "none": ((TENSOR[:0], []), "the data given has no images"),
    "negative": ((TENSOR, [0, 1, 2, -1]), "must be from 0, not -1"),
    "shares": ((TENSOR, torch.rand(4)), "one whole number for each image"),
    "columns": (of_hub().rename_column("label", "y").remove_columns("y"), "give label_column"),
    "no pairs": ([1, 2, 3], "items of the data set are of type int"),
    "random": (Photos(lambda _: torch.rand(3, 9, 9)), "leave random transforms out"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_one_sentence(case: str) -> None:
    data, sentence = BAD[case]
    with pytest.raises(NsbenchError, match=sentence):
        GivenSource(data)


@pytest.mark.parametrize("data", [3, None, object(), (TENSOR,), (TENSOR, LABELS, LABELS), iter([])])
def test_what_holds_no_images_is_a_wrong_type(data: Any) -> None:
    with pytest.raises(TypeError, match="must be a (tuple|pair) of images and labels"):
        GivenSource(data)
