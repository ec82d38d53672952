"""Parquet files and other tables as sources."""

import datetime
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nsbench.data.open import open_source
from nsbench.suites.load import load_suite
from nsbench.util.errors import NsbenchError
from tests.data.readers.kinds import png, spec, write_parquet


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


def test_of_several_splits_one_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", [0, 1, 0], [png(1)] * 3)
    test = write_parquet(tmp_path / "test-0.parquet", [0, 1], [png(1)] * 2)
    with pytest.raises(NsbenchError, match=r"has the splits train, test: name one as split"):
        open_source(spec(str(tmp_path)))
    assert len(open_source(load_suite(f"{tmp_path}:test").source)) == 2
    (tmp_path / "train-0.parquet").unlink()
    source = open_source(spec(str(tmp_path)))  # the only one
    assert source.ids[0] == "test-00000000"
    assert len(open_source(load_suite(str(test)).source)) == 2


@pytest.mark.parametrize("labels", [[1.5, 2.0], ["a", None], [[1], [2]]])
def test_labels_that_are_none(tmp_path: Path, labels: list[object]) -> None:
    path = write_parquet(tmp_path / "t.parquet", labels, [png(1)] * 2)
    with pytest.raises(NsbenchError, match="holds no class labels") as caught:
        open_source(spec(str(path)))
    assert (None in labels) == ("row 1 has none" in str(caught.value))


@pytest.mark.parametrize(
    "values", [[1, 2], [0.5, 1.5], [True, False], [datetime.date(2020, 1, 1)] * 2]
)
def test_a_column_of_no_images_is_named(tmp_path: Path, values: list[object]) -> None:
    pq.write_table(pa.table({"image": values, "label": [0, 1]}), tmp_path / "t.parquet")
    with pytest.raises(NsbenchError, match=r"the column 'image' of .* and no images: set image_c"):
        open_source(spec(str(tmp_path / "t.parquet")))


def test_a_row_that_names_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    cells = [{"bytes": None, "path": str(tmp_path / "x.png")}, {"bytes": png(1), "path": None}]
    pq.write_table(pa.table({"image": cells, "label": [0, 1]}), tmp_path / "t.parquet")
    with pytest.raises(NsbenchError, match="it is a pipe or a device"):
        open_source(spec(str(tmp_path / "t.parquet"))).image(0)


def test_a_file_that_is_no_table(image_folder: Path) -> None:
    with pytest.raises(NsbenchError, match="is not a source"):
        open_source(spec(str(image_folder / "cat" / "0.png")))


def test_rows_without_an_image_are_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", [0, 1, 2], [b"", None, png(1)])
    source = open_source(spec(str(path)))
    with pytest.raises(NsbenchError, match=r"the image 0 of .* cannot be read \(it is empty\)"):
        source.image(0)
    with pytest.raises(NsbenchError, match=r"the image 1 of .* is missing: remove its row"):
        source.image(1)
