"""What a source is, and how recipes and suites name one."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import (
    PrivateAttr,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from nsbench.util.config import Config

HUB = "hf:"
# Keys that came later, which hashes of old suites do not have.
_NEWER = ("labels", "subset", "streaming")


class SourceSpec(Config):
    """How a recipe or suite names a source; a plain string is short for `source`."""

    source: str
    """`digits`; a folder with one folder a class, or a `.tar` of one; a folder of tars of one class
    each, such as `n01440764.tar`; a `.parquet` file or a folder of them; a folder that
    `Dataset.save_to_disk` made; `hf:OWNER/NAME`; WebDataset shards, as a folder of `.tar` files or
    `NAME-{000..003}.tar`; a `.npy` file of images or a folder with `images.npy`; a folder of SVHN's
    `train_32x32.mat` and so on, or one of these files; a folder of STL-10's `train_X.bin` and so
    on; or `data:NAME`, a data set of the catalog, found in the data roots. Paths count from the
    working directory."""
    split: str | None = None
    """`test`, `train`, `labeled` or `unlabeled` of the digits; the split of a data set, such as
    `extra` of SVHN; a folder below the folder or inside the tar."""
    image_column: str = "image"
    """Column of the images in Parquet files and Hugging Face data sets."""
    label_column: str = "label"
    """Column of the labels in Parquet files and Hugging Face data sets."""
    label_space: Literal["names", "indices"] = "names"
    """`names` matches classes by name; `indices` takes labels as the model's own class indices, for
    data sets whose class names a model does not know."""
    labels: str | None = None
    """Labels from elsewhere: `real` for ImageNet-ReaL as timm ships it, a `.json` file like ReaL's,
    or a text or CSV file of lines `FILE CLASS` or `CLASS FILE`, in which files are named as far as
    they differ: `a/x.png`, `./train/a/x.png`, or `x` where that is one image."""
    subset: str | None = None
    """The configuration of a Hugging Face data set, such as `cropped_digits`, on the hub or in a
    folder."""
    streaming: bool = False
    """Stream a split of a Hugging Face data set, of which only the two columns are kept, into a
    Parquet file in NSBENCH_CACHE."""

    # Images that a program gave, which no text can name; see `given`.
    _given: "Source | None" = PrivateAttr(default=None)

    @property
    def given(self) -> "Source | None":
        """The source itself, where a program gave the images; None for all others."""
        return self._given

    @classmethod
    def of(cls, source: "Source") -> "SourceSpec":
        """The name of a source that a program gave, which leads to it."""
        spec = cls(source=f"given:{source.name}")
        spec._given = source
        return spec

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"source": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _hub_only(self) -> "SourceSpec":
        if self.streaming and not self.source.startswith(HUB):
            raise ValueError(f"streaming is for data sets of the Hugging Face hub, {HUB}OWNER/NAME")
        return self

    @model_serializer(mode="wrap")
    def _without_unused(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Suites are known by a hash of this, which a key they do not use must not change.
        table: dict[str, Any] = dump(self)
        return {
            k: value for k, value in table.items() if k not in _NEWER or value not in (None, False)
        }

    def __str__(self) -> str:
        part = ", ".join(filter(None, [self.subset, self.split]))
        return f"{self.source} ({part})" if part else self.source


class Source(Protocol):
    """Images with ids, and labels where they are known.

    name: what errors call it. ids: unique strings. classes: class names in label order, None where
    labels are bare class indices. labels: int64 (N,), None for unlabeled images. Several threads
    and forked processes may ask for images at once. Where an image may have several right labels,
    see `label_sets`.
    passed_over: what lies where the images do and is none of them, by reasons that read on from a
    number, such as `not named as images (.txt)`, to counts of files; empty if nothing does.
    """

    name: str
    classes: tuple[str, ...] | None
    labels: NDArray[np.int64] | None

    @property
    def passed_over(self) -> Mapping[str, int]:
        """Counts by reason, in the order in which they are said; see `nsbench.data.found`."""
        ...

    @property
    def ids(self) -> Sequence[str]:
        """Unique strings, in the order of the images."""
        ...

    @property
    def digests(self) -> NDArray[np.uint8]:
        """Digests of the images' content, uint8 (N, 16), in the order of the images.

        Each is the first 16 bytes of the SHA-256 of the image's stored bytes: the encoded file, or
        the pixels where none is encoded. Read and hashed when first asked for, and kept; see
        `nsbench.data.content`. Zeros stand for an image that cannot be read; where all lie in one
        file that is gone, NsbenchError is raised.
        """
        ...

    def digests_of(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Of some images, uint8 (n, 16): the others are not read. Raises as `digests` does."""
        ...

    @property
    def version(self) -> str:
        """A hash of the ids, the digests, the labels and the class names.

        The same for the same bytes in another place and of other times; a change of one byte of an
        image changes it. Asking for it makes the digests. Raises NsbenchError as they do.
        """
        ...

    def __len__(self) -> int: ...

    def image(self, index: int) -> Image.Image:
        """RGB image. Raises NsbenchError naming the image if it cannot be read."""
        ...


def label_sets(source: Source) -> tuple[tuple[int, ...], ...] | None:
    """All the right labels of each image, or None where each has the one in `labels` only.

    They are numbers in the same space as `labels`, whose entries are the first of each set.
    """
    sets: tuple[tuple[int, ...], ...] | None = getattr(source, "label_sets", None)
    return sets
