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
    with pytest.raises(NsbenchError, match="has no split 'tst'; did you mean 'test'"):
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


CARD = """---
configs:
- config_name: fine
  data_files: [{split: train, path: fine/a-*}, {split: test, path: fine/b-*}]
- config_name: coarse
  data_files: [{split: train, path: coarse/*}]
---
"""


@pytest.mark.parametrize("layout", ["data/{}-00000-of-00001", "plain/{}-0", "{}/0000", "c/{}/0"])
def test_a_snapshot_of_the_hub_has_its_files_further_down(tmp_path: Path, layout: str) -> None:
    for split, count in (("train", 3), ("test", 2)):
        file = tmp_path / "hub" / f"{layout.format(split)}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        # As in the cache of the hub, where all files are links.
        stored = write_parquet(tmp_path / split, [0] * count, [png()] * count)
        file.symlink_to(stored)
    (tmp_path / "hub" / "README.md").write_text("# Images\n")
    assert len(open_source(spec(tmp_path / "hub", split="test"))) == 2
    with pytest.raises(NsbenchError, match="hub has the splits train, test: name one as split"):
        open_source(spec(tmp_path / "hub"))
    file.unlink()
    assert open_source(spec(tmp_path / "hub")).ids[0] == "train-00000000"


def test_the_card_of_a_snapshot_names_subsets_and_splits(tmp_path: Path) -> None:
    for number, name in enumerate(("fine/a-0", "fine/b-0", "coarse/x")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_parquet(tmp_path / f"{name}.parquet", [0] * (number + 1), [png()] * (number + 1))
    (tmp_path / "README.md").write_text(CARD)
    assert len(open_source(spec(tmp_path, subset="fine", split="test"))) == 2
    assert len(open_source(spec(tmp_path, subset="coarse"))) == 3
    with pytest.raises(NsbenchError, match="has the subsets fine, coarse: set subset to one"):
        open_source(spec(tmp_path, split="train"))
    with pytest.raises(NsbenchError, match="has no subset 'corse'; did you mean 'coarse'"):
        open_source(spec(tmp_path, subset="corse"))


def test_a_snapshot_of_which_files_are_missing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_parquet(tmp_path / "data" / "train-00000-of-00002.parquet", [0, 1], [png()] * 2)
    (tmp_path / "README.md").write_text(
        "---\ndataset_info:\n  splits: [{name: train, num_examples: 5}]\n---\n"
    )
    with pytest.raises(NsbenchError, match="has 2 of the 5 rows that its card tells of: fetch"):
        open_source(spec(tmp_path))
    gone = tmp_path / "data" / "train-00001-of-00002.parquet"
    gone.symlink_to("blob")
    with pytest.raises(NsbenchError, match=r"00002\.parquet is a link that leads nowhere \(blob\)"):
        open_source(spec(tmp_path))


def test_folders_of_images_with_a_table_below_are_no_snapshot(image_folder: Path) -> None:
    write_parquet(image_folder / "cat" / "t.parquet", [0], [png()])
    assert open_source(spec(image_folder)).classes == ("cat", "dog")


@pytest.mark.parametrize("name", ["a[1]", "a*b?", "x**", "a b=c", "naïve", "{0..1}"])
def test_paths_are_no_patterns(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.mkdir()
    file = write_parquet(place / f"{name}.parquet", [0, 1], [png()] * 2)
    assert len(open_source(spec(file))) == len(open_source(spec(place))) == 2
    (place / "data").mkdir()
    file.rename(place / "data" / "test-0.parquet")
    assert open_source(spec(place)).ids[0] == "test-00000000"


def test_a_subset_is_of_tables_alone(image_folder: Path) -> None:
    with pytest.raises(NsbenchError, match=r"images has no subsets, .*: leave out subset = 'x'"):
        open_source(spec(image_folder, subset="x"))


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
