"""Images that a program gives: tensors, arrays, PIL images, data sets of torch or the hub.

Neither torch nor `datasets` is imported for them: what they give is asked of the object itself.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nsbench.data.content import StoredSource
from nsbench.data.decode import refuse_long, to_rgb
from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.progress import counted
from nsbench.util.text import a_type


class GivenSource(StoredSource):
    """The images of a program, in their order; ids are `00000000` and so on.

    data: a tuple of images and labels, a map-style torch `Dataset` of such pairs, or a Hugging Face
    `Dataset` with the columns `image` and `label`, or two others that are named. Images are PIL
    images, or tensors and arrays of 8 bits or of floats in [0, 1]: (3, H, W) or (1, H, W) tensors,
    (H, W, 3), (H, W, 1) or (H, W) arrays. Nothing is kept of a data set but its labels: its images
    are asked for when they are read, and have to be the same each time.
    Raises TypeError for other objects, and NsbenchError for images or labels that cannot be.
    """

    def __init__(
        self, data: Any, image_column: str | None = None, label_column: str | None = None
    ) -> None:
        self.name = "the data given"
        _refuse_kind(data)
        columns = {"image_column": image_column, "label_column": label_column}
        if named := [name for name, column in columns.items() if column]:
            _check_has_columns(data, named[0])
        if isinstance(data, tuple):
            self._item, labels, self.classes = _of_pair(data)
        elif hasattr(data, "column_names") and hasattr(data, "features"):
            self._item, labels, self.classes = _of_table(data, image_column, label_column)
        elif _sized(data):
            self._item, labels, self.classes = _of_items(data)
        else:
            raise TypeError(
                f"data is {a_type(data)}, but must be a tuple of images and labels, or "
                "a data set with a length and items"
            )
        self.labels = _whole_numbers(labels, self.name)
        self.ids = [f"{index:08d}" for index in range(len(self.labels))]
        self._lock = threading.Lock()
        if not self.ids:
            raise NsbenchError(f"{self.name} has no images: give at least one")
        if not np.array_equal(np.asarray(self.image(0)), np.asarray(self.image(0))):
            raise NsbenchError(
                f"{self.name} gives another image each time: leave random transforms out"
            )

    def raw(self, index: int) -> bytes:
        """The pixels of an image after its height and width."""
        pixels = np.asarray(self.image(index))
        return b"%d %d " % pixels.shape[:2] + pixels.tobytes()

    def image(self, index: int) -> Image.Image:
        """RGB image. Raises NsbenchError naming the image if it is none, or cannot be got."""
        try:
            with self._lock:  # data sets of others need not be safe for several threads
                item = self._item(index)
            image = to_image(item)
            refuse_long(*image.size)
            return image
        except Exception as error:
            raise NsbenchError(
                f"image {index} of {self.name} cannot be used: {first_line(error)}"
            ) from error


def _refuse_kind(data: Any) -> None:
    """Raise TypeError for collections of data sets, tables and streams, and say what to give."""
    if isinstance(data, Mapping):
        splits = [name for name, value in data.items() if hasattr(value, "column_names")]
        if splits:
            raise TypeError(
                f"data is {a_type(data)} of the splits {', '.join(map(str, splits))}: give one of "
                f"them, as [{splits[-1]!r}] does"
            )
    # pandas has its own items and lengths, of columns; a stream has the columns of a data set.
    tabular = hasattr(data, "iloc")
    if isinstance(data, Mapping) or tabular or (hasattr(data, "features") and not _sized(data)):
        raise TypeError(
            f"data is {a_type(data)}, but must be a tuple of images and labels, or a data set with "
            "a length and items"
        )


def _sized(data: Any) -> bool:
    return hasattr(data, "__len__") and hasattr(data, "__getitem__")


def _check_has_columns(data: Any, name: str) -> None:
    if not hasattr(data, "column_names"):
        raise TypeError(f"{name} is for data sets with columns, and data is {a_type(data)}")


Parts = tuple[Callable[[int], Any], Any, tuple[str, ...] | None]


def _of_pair(data: tuple[Any, ...]) -> Parts:
    if len(data) != 2:
        parts = counted(len(data), "part")
        raise TypeError(f"data has {parts}, but must be a tuple of images and labels")
    images, labels = data
    if len(images) != len(labels):
        counts = [counted(len(images), "image"), counted(len(labels), "label")]
        raise NsbenchError(f"data has {' and '.join(counts)}: give one label for each image")
    return images.__getitem__, labels, None


def _of_table(data: Any, image_column: str | None, label_column: str | None) -> Parts:
    image = column_of(data, image_column, "image", "Image")
    label = column_of(data, label_column, "label", "ClassLabel")
    names = getattr(data.features[label], "names", None)
    return (lambda index: data[index][image]), data[label], tuple(names) if names else None


def column_of(data: Any, named: str | None, usual: str, kind: str) -> str:
    """A column by name, by its usual name, or the only one of its kind. Raises NsbenchError."""
    columns: list[str] = list(data.column_names)
    of_kind = [name for name in columns if type(data.features[name]).__name__ == kind]
    for name in [named] if named else [usual, *(of_kind if len(of_kind) == 1 else [])]:
        if name in columns:
            return name
    raise NsbenchError(
        f"the data set has the columns {', '.join(columns)}, and none is '{named or usual}': give "
        f"{usual}_column"
    )


def _of_items(data: Any) -> Parts:
    # As torchvision's data sets keep them, so that no image is read for its label.
    labels = getattr(data, "targets", getattr(data, "labels", None))
    if labels is None or len(labels) != len(data):
        labels = [_pair(data[index])[1] for index in range(len(data))]
    names = getattr(data, "classes", None)
    named = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return (lambda index: _pair(data[index])[0]), labels, tuple(names) if named and names else None


def _pair(item: Any) -> tuple[Any, Any]:
    if isinstance(item, dict) and {"image", "label"} <= item.keys():
        return item["image"], item["label"]
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise NsbenchError(
            f"the items of the data set are of type {type(item).__name__}, but must be pairs of an "
            "image and its label"
        )
    return item[0], item[1]


def _whole_numbers(labels: Any, name: str) -> NDArray[np.int64]:
    try:
        numbers = np.asarray(labels.cpu() if hasattr(labels, "cpu") else labels)
    except Exception as error:  # tensors on a GPU, ragged lists
        raise NsbenchError(f"the labels of {name} cannot be used: {first_line(error)}") from error
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise NsbenchError(
            f"the labels of {name} are {numbers.dtype} {numbers.shape}, but must be one whole "
            "number for each image"
        )
    if numbers.size and numbers.min() < 0:
        raise NsbenchError(f"the labels of {name} must be from 0, not {numbers.min()}")
    return numbers.astype(np.int64)


def to_image(item: Any) -> Image.Image:
    """An RGB image of 8 bits from a PIL image, tensor or array; see `GivenSource`.

    Raises ValueError for what is no image, or has floats beyond [0, 1].
    """
    if isinstance(item, Image.Image):
        return to_rgb(item)
    channels_first = not isinstance(item, np.ndarray)  # tensors, as torchvision has them
    detached = item.detach().cpu() if hasattr(item, "detach") else item
    pixels = np.asarray(detached)
    if channels_first and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, 2)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise ValueError(f"it has the shape {tuple(np.shape(detached))}, which is no image's")
    rgb = np.broadcast_to(_bytes(pixels), (*pixels.shape[:2], 3))
    return Image.fromarray(np.ascontiguousarray(rgb))


def _bytes(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind != "f":
        raise ValueError(f"its values are {pixels.dtype}, but must be uint8 or floats in [0, 1]")
    if not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(
            f"its values reach from {pixels.min():.3g} to {pixels.max():.3g}, but must be in "
            "[0, 1]: leave out the normalisation, which belongs to the model"
        )
    # 255 values of 1/255 each, so that what ToTensor makes of 8 bits comes back as it was.
    rounded: NDArray[np.uint8] = np.rint(pixels.astype(np.float64) * 255).astype(np.uint8)
    return rounded
