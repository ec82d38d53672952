"""Streams of the hub, played by local files."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nsbench.data.cache import VARIABLE
from nsbench.data.open import SourceSpec, open_source
from nsbench.data.readers.hub_stream import ROWS, cache_file, streamed
from nsbench.training.generations import train
from nsbench.util import distributed
from nsbench.util.errors import NsbenchError
from tests.data.readers.kinds import png, spec
from tests.test_cli import call

NAMES = ["ant", "bee", "cat"]
Hub = Callable[..., list[tuple[Any, ...]]]


def table(path: Path, count: int, *, encoded: bool = True) -> Path:
    """Rows with an image, a named class and a column that nobody needs."""
    image = datasets.Image(decode=False) if encoded else datasets.Value("binary")
    features = datasets.Features(
        {
            "image": image,
            "label": datasets.ClassLabel(names=NAMES),
            "text": datasets.Value("string"),
        }
    )
    cells = [
        {"bytes": png(n % 256), "path": None} if encoded else png(n % 256) for n in range(count)
    ]
    columns = {"image": cells, "label": [n % 3 for n in range(count)], "text": ["long"] * count}
    datasets.Dataset.from_dict(columns, features).to_parquet(path)
    return path


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Makes a builder and its files what the hub has as owner/name; returns what is asked of it."""
    real = datasets.load_dataset
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))

    def plays(kind: str, **files: Any) -> list[tuple[Any, ...]]:
        asked: list[tuple[Any, ...]] = []

        def load(name: str, subset: str | None = None, **keys: Any) -> Any:
            if name == "owner/name":
                asked.append((subset, keys.get("split"), keys.get("streaming", False)))
                return real(kind, **files, **keys)
            return real(name, subset, **keys)

        monkeypatch.setattr(datasets, "load_dataset", load)
        return asked

    return plays


def of_hub(**keys: Any) -> SourceSpec:
    return SourceSpec.model_validate({"source": "hf:owner/name", "streaming": True, **keys})


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").glob("*.parquet"))


@pytest.mark.parametrize("encoded", [True, False])
def test_a_stream_is_the_table_that_it_is_of(tmp_path: Path, hub: Hub, encoded: bool) -> None:
    path = table(tmp_path / "t.parquet", ROWS + 7, encoded=encoded)
    asked = hub("parquet", data_files=str(path))
    source, whole = open_source(of_hub(subset="small")), open_source(spec(path))
    assert asked == [("small", "train", True)]
    assert source.classes == whole.classes == tuple(NAMES)
    assert source.labels is not None
    assert whole.labels is not None
    assert source.labels.tolist() == whole.labels.tolist()
    assert len(set(source.ids)) == len(source) == ROWS + 7
    for index in (0, ROWS, ROWS + 6):
        assert (np.asarray(source.image(index)) == index % 256).all()
    kept = pq.ParquetFile(cache_file(of_hub(subset="small")))
    assert kept.schema_arrow.names == ["image", "label"]
    assert [kept.metadata.row_group(n).num_rows for n in range(kept.num_row_groups)] == [ROWS, 7]


def test_a_stream_is_read_once(tmp_path: Path, hub: Hub) -> None:
    asked = hub("parquet", data_files=str(table(tmp_path / "t.parquet", 5)))
    first, again = open_source(of_hub()), open_source(of_hub())
    assert len(asked) == 1
    assert (first.ids, first.version) == (again.ids, again.version)
    assert cache_file(of_hub()) == cache_file(of_hub(split="train"))
    # another label column is another file
    assert open_source(of_hub(label_column="none")).labels is None
    assert len(asked) == 2
    assert len(files(tmp_path)) == 2


def test_a_damaged_stream_is_kept_aside_and_read_again(
    tmp_path: Path, hub: Hub, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = hub("parquet", data_files=str(table(tmp_path / "t.parquet", 5)))
    first = open_source(of_hub()).version
    path = cache_file(of_hub())
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    assert open_source(of_hub()).version == first
    assert len(asked) == 2
    assert "is not as it was written" in capfd.readouterr().err
    assert path.with_name(f"{path.name}.set-aside-1").read_bytes() == content


def test_files_of_a_stream_are_fetched_with_it(
    tmp_path: Path, hub: Hub, image_folder: Path
) -> None:
    hub("imagefolder", data_dir=str(image_folder))
    source = open_source(of_hub())
    wanted = {}
    for file in image_folder.rglob("*.png"):
        wanted[np.asarray(Image.open(file)).tobytes()] = file.parent.name
        file.unlink()
    assert source.classes == ("cat", "dog")
    assert source.labels is not None
    found = {
        np.asarray(source.image(n)).tobytes(): source.classes[source.labels[n]] for n in range(6)
    }
    assert found == wanted


def test_a_stream_of_unknown_types(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"image": {"bytes": png(n), "path": None}, "label": n} for n in range(3)]
    stream = datasets.IterableDataset.from_generator(lambda: iter(rows))
    assert stream.features is None
    real = datasets.load_dataset

    def load(name: str, *args: Any, **keys: Any) -> Any:
        return stream if name == "owner/name" else real(name, *args, **keys)

    hub("parquet")
    monkeypatch.setattr(datasets, "load_dataset", load)
    source = open_source(of_hub())
    assert source.labels is not None
    assert source.labels.tolist() == [0, 1, 2]
    assert (np.asarray(source.image(2)) == 2).all()


def test_what_a_stream_lacks_is_told_in_a_sentence(tmp_path: Path, hub: Hub) -> None:
    hub("parquet", data_files=str(table(tmp_path / "t.parquet", 5)))
    with pytest.raises(NsbenchError, match=r"cannot stream hf:owner/name \(tst\): .*tst"):
        open_source(of_hub(split="tst"))
    with pytest.raises(NsbenchError, match="no column 'img'; did you mean 'image'.*image_column"):
        open_source(of_hub(image_column="img"))
    hub("parquet", data_files=str(table(tmp_path / "e.parquet", 0)))
    with pytest.raises(NsbenchError, match="holds no images"):
        open_source(of_hub())
    assert files(tmp_path) == []


def test_a_stream_that_breaks_leaves_nothing(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = hub("parquet", data_files=str(table(tmp_path / "t.parquet", 5)))

    def broken(self: Any) -> Any:
        yield {"image": {"bytes": png(), "path": None}, "label": 0}
        raise ConnectionError("the connection is gone")

    with monkeypatch.context() as patch:
        patch.setattr(datasets.IterableDataset, "__iter__", broken)
        with pytest.raises(NsbenchError, match="cannot stream .*the connection is gone; .*repeat"):
            open_source(of_hub())
    assert files(tmp_path) == []
    assert len(open_source(of_hub())) == 5
    assert len(asked) == 2


def test_the_first_process_of_a_machine_streams_for_the_others(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = hub("parquet", data_files=str(table(tmp_path / "t.parquet", 5)))
    monkeypatch.setattr(distributed, "size", lambda: 2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    waited: list[int] = []

    def others() -> None:
        """What happens elsewhere while this process waits."""
        waited.append(len(asked))
        with monkeypatch.context() as patch:
            patch.setenv("LOCAL_RANK", "0")
            patch.setattr(distributed, "barrier", lambda: None)
            streamed(of_hub())

    monkeypatch.setattr(distributed, "barrier", others)
    assert len(open_source(of_hub())) == 5
    assert waited == [0]
    assert len(asked) == 1


PROCESS = """
import os, sys
import datasets, torch
from nsbench.util import distributed
from nsbench.data.open import SourceSpec, open_source

real, asked = datasets.load_dataset, []

def load(name, subset=None, **keys):
    if name != "owner/name":
        return real(name, subset, **keys)
    asked.append(name)
    return real("parquet", data_files=sys.argv[1], **keys)

datasets.load_dataset = load
if len(sys.argv) == 2:
    distributed.start(torch.device("cpu"))
source = open_source(SourceSpec(source="hf:owner/name", streaming=True))
print("rank", os.environ["RANK"], "asked", len(asked), "and has", len(source), flush=True)
"""


def test_two_processes_stream_once(tmp_path: Path) -> None:
    (tmp_path / "process.py").write_text(PROCESS)
    path = table(tmp_path / "t.parquet", 5)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         str(tmp_path / "process.py"), str(path)],
        env=os.environ | {VARIABLE: str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("rank")]
    assert sorted(lines) == ["rank 0 asked 1 and has 5", "rank 1 asked 0 and has 5"]


def test_processes_that_have_not_joined_stream_once(tmp_path: Path) -> None:
    (tmp_path / "process.py").write_text(PROCESS)
    path = table(tmp_path / "t.parquet", 5)
    own = os.environ | {VARIABLE: str(tmp_path / "cache"), "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, str(tmp_path / "process.py"), str(path), "alone"],
            env=own | {"RANK": str(rank), "LOCAL_RANK": str(rank)}, stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    said = sorted(process.communicate()[0] for process in processes)
    assert [line.endswith("and has 5\n") for line in said] == [True, True]
    assert sum("asked 1" in line for line in said) == 1


def test_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> Any:
        raise ConnectionError("Couldn't reach the Hugging Face Hub\nand more")

    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(datasets, "load_dataset", offline)
    for keys in ({}, {"streaming": False}):
        with pytest.raises(NsbenchError, match="Couldn't reach the Hugging Face Hub") as caught:
            open_source(of_hub(**keys))
        assert "\n" not in str(caught.value)


def test_a_subset_without_streaming(tmp_path: Path, hub: Hub) -> None:
    asked = hub("parquet", data_files=str(table(tmp_path / "t.parquet", 5)))
    assert len(open_source(of_hub(streaming=False, subset="small"))) == 5
    assert asked == [("small", "train", False)]


def test_keys_of_the_hub_elsewhere() -> None:
    with pytest.raises(ValueError, match="streaming is for data sets of the Hugging"):
        SourceSpec.model_validate({"source": "data/cifar10", "streaming": True})


def test_unused_keys_are_not_in_the_dump() -> None:
    old = {
        "source": "hf:owner/name", "split": None, "image_column": "image",
        "label_column": "label", "label_space": "names",
    }  # fmt: skip
    assert spec("hf:owner/name").model_dump() == old
    assert of_hub(subset="x").model_dump() == old | {"subset": "x", "streaming": True}
    assert str(of_hub(subset="x", split="test")) == "hf:owner/name (x, test)"


def test_an_evaluation_of_a_stream(
    tmp_path: Path, hub: Hub, tiny_run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list("0123456789"))}
    )
    digits = open_source(spec("digits"))
    assert digits.labels is not None
    rows = {"image": [digits.image(n) for n in range(40)], "label": digits.labels[:40].tolist()}
    datasets.Dataset.from_dict(rows, names).to_parquet(tmp_path / "d.parquet")
    asked = hub("parquet", data_files={"test": str(tmp_path / "d.parquet")})
    suite = tmp_path / "stream.toml"
    suite.write_text(
        'kind = "accuracy"\n'
        'source = { source = "hf:owner/name", split = "test", streaming = true }\n'
    )
    for number in range(2):
        out = tmp_path / f"r{number}.json"
        assert call("eval", tiny_run, "--suite", suite, "--device", "cpu", "--json", out) == 0
    assert asked == [(None, "test", True)]
    assert "streaming hf:owner/name (test): 40 images" in capfd.readouterr().err
    first, again = (json.loads((tmp_path / f"r{n}.json").read_text()) for n in range(2))
    assert first == again


def test_a_recipe_of_streams(tmp_path: Path, hub: Hub, tiny_recipe: Path) -> None:
    files = {"train": table(tmp_path / "t.parquet", 12), "extra": table(tmp_path / "e.parquet", 9)}
    asked = hub("parquet", data_files={split: str(path) for split, path in files.items()})
    settings = ["defaults.steps=2", "defaults.batch_size=4"]
    text = tiny_recipe.read_text()
    weights: list[str] = []
    for of_split in (
        'source = "hf:owner/name", subset = "small", split = "{0}", streaming = true',
        f'source = "{tmp_path}/{{1}}.parquet"',
    ):
        labeled, unlabeled = of_split.format("train", "t"), of_split.format("extra", "e")
        of_these = text.replace('source = "digits", split = "labeled"', labeled)
        tiny_recipe.write_text(
            of_these.replace('source = "digits", split = "unlabeled"', unlabeled)
        )
        run = train(
            str(tiny_recipe), tmp_path / f"run{len(weights)}", settings=settings, device="cpu"
        )
        assert json.loads((run / "generation-1" / "selection.json").read_text())["images"] == 9
        found = json.loads((run / "generation-1" / "model.json").read_text())
        assert found["classes"] == NAMES
        weights.append(found["weights"])
    assert asked == [("small", "train", True), ("small", "extra", True)]
    assert weights[0] == weights[1]  # as from the files themselves
