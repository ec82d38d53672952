"""Data sets saved to disk are read as they are in memory."""

from pathlib import Path

import datasets
import numpy as np
import pytest

from nsbench.data.open import open_source
from nsbench.data.spec import SourceSpec
from nsbench.util.errors import NsbenchError
from tests.data.readers.test_given import LABELS, PIXELS, of_hub


def test_a_saved_data_set_is_a_source(tmp_path: Path) -> None:
    of_hub(image="img").save_to_disk(tmp_path / "saved")
    source = open_source(SourceSpec(source=str(tmp_path / "saved")))
    assert source.classes == ("cat", "dog", "fish")
    assert source.labels is not None
    assert source.labels.tolist() == LABELS
    assert (np.stack([np.asarray(source.image(i)) for i in range(4)]) == PIXELS).all()
    numbers = open_source(SourceSpec(source=str(tmp_path / "saved"), label_space="indices"))
    assert numbers.classes is None


def test_splits_are_named(tmp_path: Path) -> None:
    both = datasets.DatasetDict({"train": of_hub(), "test": of_hub().select([0, 1])})
    both.save_to_disk(tmp_path / "saved")
    assert len(open_source(SourceSpec(source=str(tmp_path / "saved"), split="test"))) == 2
    with pytest.raises(NsbenchError, match="has the splits train, test: name one as split"):
        open_source(SourceSpec(source=str(tmp_path / "saved")))
    with pytest.raises(NsbenchError, match="has no split 'tets'; did you mean 'test'"):
        open_source(SourceSpec(source=str(tmp_path / "saved"), split="tets"))


def test_labels_may_be_names_or_none(tmp_path: Path) -> None:
    images = of_hub()
    for number, (made, classes) in enumerate(
        [
            (images.remove_columns("label"), None),
            (images.remove_columns("label").add_column("label", [-1] * len(images)), None),
            (images.remove_columns("label").add_column("label", list("abab")), ("a", "b")),
        ]
    ):
        made.save_to_disk(tmp_path / str(number))
        source = open_source(SourceSpec(source=str(tmp_path / str(number))))
        assert (source.classes, source.labels is None) == (classes, classes is None)


def test_one_data_set_has_no_splits(tmp_path: Path) -> None:
    of_hub().save_to_disk(tmp_path / "saved [1]")
    assert len(open_source(SourceSpec(source=str(tmp_path / "saved [1]")))) == len(LABELS)
    with pytest.raises(NsbenchError, match="one data set without splits: leave out split = 'test'"):
        open_source(SourceSpec(source=str(tmp_path / "saved [1]"), split="test"))


def test_a_damaged_folder_is_one_sentence(tmp_path: Path) -> None:
    of_hub().save_to_disk(tmp_path / "saved")
    for file in (tmp_path / "saved").glob("*.arrow"):
        file.write_bytes(b"no")
    with pytest.raises(NsbenchError, match="saved cannot be read .*: save it again"):
        open_source(SourceSpec(source=str(tmp_path / "saved")))


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    of_hub().save_to_disk(tmp_path / "saved")
    with pytest.raises(NsbenchError, match="none is 'picture': give image_column"):
        open_source(SourceSpec(source=str(tmp_path / "saved"), image_column="picture"))
