import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from nsbench.data.readers.npy import ArraySource
from nsbench.models import Classifier
from nsbench.pseudo_labels import filter_model, pipeline
from nsbench.pseudo_labels.filter_model import load_filter
from nsbench.pseudo_labels.job import LabelingJob
from nsbench.pseudo_labels.pipeline import PseudoLabeledSet, pseudo_label
from nsbench.pseudo_labels.predict import predict
from nsbench.pseudo_labels.targets import dense
from nsbench.recipes.parts import PseudoLabels
from nsbench.util.errors import NsbenchError
from nsbench.util.files import read_json
from tests.pseudo_labels.label_stores import linear_teacher, noise_source, small_shards

CPU = torch.device("cpu")
CLASSES = tuple(f"class {index}" for index in range(5))


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArraySource:
    small_shards(monkeypatch, 32)
    return noise_source(tmp_path / "images", 150)


def labeled(
    source: ArraySource, run: Path, number: int = 1, base: Path | None = None, **keys: Any
) -> PseudoLabeledSet:
    settings = PseudoLabels.model_validate({"min_confidence": 0.3, "per_class": 20, **keys})
    job = LabelingJob(source, np.arange(10, 150), CPU, settings, CLASSES, run_folder=run, base=base)
    return pseudo_label(job, linear_teacher(seed=number), run / f"generation-{number}")


def as_filter(monkeypatch: pytest.MonkeyPatch, model: Classifier) -> None:
    monkeypatch.setattr(filter_model, "load_model", lambda name, device: model)


def test_rows_lead_to_images_and_their_targets(
    source: ArraySource, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = labeled(source, tmp_path / "run")
    assert "pseudo-labels of linear 1: 140 images in " in capfd.readouterr().err
    assert len(found.chosen) == read_json(tmp_path / "run/generation-1/selection.json")["selected"]
    assert isinstance(found.chosen, np.memmap)
    rows = np.arange(len(found))[::-1]  # in any order
    images = found.images(rows)
    assert images.tolist() == found.store.indices(found.chosen).tolist()[::-1]
    again = predict(
        LabelingJob(source, images, CPU, settings=PseudoLabels(top_k=5)),
        linear_teacher(seed=1),
        tmp_path / "again",
    )
    targets = dense(found.targets(rows), 5)
    torch.testing.assert_close(
        targets, dense(again.rows(np.arange(len(images))), 5), atol=1e-3, rtol=0
    )
    assert (targets.amax(1) >= 0.299).all()


def test_a_filter_chooses_once_for_all_generations(
    source: ArraySource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, run = linear_teacher(seed=7), tmp_path / "run"
    as_filter(monkeypatch, model)
    first = labeled(source, run, 1, filter="other")
    as_filter(monkeypatch, linear_teacher(seed=7))
    second = labeled(source, run, 2, filter="other")
    # the filter by itself, as if it were the teacher
    alone = labeled(source, tmp_path / "alone", 7)
    wanted = alone.store.indices(alone.chosen)
    for found in (first, second):
        assert (found.store.indices(found.chosen) == wanted).all()
        assert len(found.store) == len(np.unique(wanted))
    assert first.store.manifest["teacher_weights"] == "1" * 64
    assert not torch.equal(first.store.rows(first.chosen).ids, second.store.rows(second.chosen).ids)
    summaries = [read_json(run / f"generation-{n}/selection.json") for n in (1, 2)]
    assert summaries[0] == summaries[1]
    assert summaries[0]["labeled_by"] == "linear 7"
    assert [path.name for path in sorted((run / "filter-labels").glob("*.npy"))] == [
        "chosen.npy", "rows.npy", "selection.npy",
    ]  # fmt: skip


def test_labels_of_a_base_are_read_and_its_choice_is_left_alone(
    source: ArraySource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_filter(monkeypatch, linear_teacher(seed=7))
    run, other = tmp_path / "run", tmp_path / "run" / "variants" / "other"
    first = labeled(source, run, filter="other")
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.*")}
    same = labeled(source, other, base=run, filter="other")
    assert same.store.folder == first.store.folder
    assert (same.chosen == first.chosen).all()
    less = labeled(source, other.with_name("less"), base=run, filter="other", min_confidence=0.5)
    assert less.store.folder == other.with_name("less") / "generation-1" / "labels"
    assert not list((run / "variants").rglob("filter-labels/*.arrow"))
    assert len(less.store) < len(first.store)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_filter_answers_in_the_classes_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    model = linear_teacher(seed=7)
    as_filter(monkeypatch, model)
    settings = PseudoLabels(filter="other")
    some = ("class 3", "class 0")
    found = load_filter(settings, some, CPU)
    assert found is not None
    images = torch.rand(4, 3, 8, 8)
    with torch.inference_mode():
        assert torch.equal(found.logits(images), model.logits(images)[:, [3, 0]])
    assert (found.num_classes, found.classes) == (2, some)
    model.module.forward = lambda x: torch.zeros(len(x), 9)  # not the five it was loaded with
    with pytest.raises(NsbenchError, match=r"ValueError: outputs of shape \(4, 9\), not \(n, 5\)"):
        found.logits(images)
    del model.module.forward
    assert load_filter(PseudoLabels(), some, CPU) is None
    with pytest.raises(NsbenchError, match="does not know the class 'class 9'.*did you mean"):
        load_filter(settings, ("class 9",), CPU)
    model.classes = None
    with pytest.raises(NsbenchError, match="the names of whose 5 classes are not known"):
        load_filter(settings, some, CPU)
    indices = load_filter(settings, tuple("01234"), CPU)  # labels without names
    assert indices is not None
    with torch.inference_mode():
        assert torch.equal(indices.logits(images), model.logits(images))


SCRIPT = """
import sys
from pathlib import Path
import numpy as np, torch
from nsbench.util import distributed
from nsbench.recipes.parts import PseudoLabels
from nsbench.pseudo_labels import filter_model, store
from nsbench.pseudo_labels.job import LabelingJob
from nsbench.pseudo_labels.pipeline import pseudo_label
from tests.pseudo_labels.label_stores import linear_teacher, noise_source

folder = Path(sys.argv[1])
store.SHARD_SIZE = 32
filter_model.load_model = lambda name, device: linear_teacher(seed=7)
device = distributed.start(torch.device("cpu"))
source = noise_source(folder / f"images-{distributed.rank()}", 150)
source.version = "the same"
job = LabelingJob(
    source, np.arange(10, 150), device, PseudoLabels(per_class=20, filter="other"),
    tuple(f"class {index}" for index in range(5)), run_folder=folder / "run",
)
found = pseudo_label(job, linear_teacher(seed=1), folder / "run/generation-1")
np.save(folder / f"images-{distributed.rank()}.npy", found.store.indices(found.chosen))
distributed.stop()
"""


def test_two_processes_choose_as_one_does(
    source: ArraySource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *launch, str(script), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    as_filter(monkeypatch, linear_teacher(seed=7))
    alone = labeled(source, tmp_path / "alone", filter="other")
    wanted = alone.store.indices(alone.chosen)
    for rank in (0, 1):
        assert (np.load(tmp_path / f"images-{rank}.npy") == wanted).all()


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 100])
def test_chosen_images_are_numbered_once_however_many_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(pipeline, "CHUNK", chunk)
    taken = np.array([0, 0, 2, 3, 3, 3, 3, 7, 8, 8], np.uint32)
    np.save(tmp_path / "selection.npy", taken)
    store = SimpleNamespace(indices=lambda positions: 100 + positions)
    pipeline._renumber(store, tmp_path)  # type: ignore[arg-type]
    assert np.load(tmp_path / "chosen.npy").tolist() == [100, 102, 103, 107, 108]
    rows = np.load(tmp_path / "rows.npy")
    assert rows.tolist() == [0, 0, 1, 2, 2, 2, 2, 3, 4, 4]
    assert rows.dtype == taken.dtype


def test_withheld_labels_are_in_the_classes_of_the_recipe() -> None:
    """-1 for a class that it has not."""

    def withheld(**source: Any) -> Any:
        job = SimpleNamespace(source=SimpleNamespace(**source), classes=("a", "b", "c"))
        return pipeline._withheld(job)  # type: ignore[arg-type]

    labels = np.array([2, 0, 1, 1])
    assert withheld(labels=labels, classes=("c", "x", "a")).tolist() == [0, 2, -1, -1]
    assert withheld(labels=labels, classes=None) is None
    assert withheld(labels=None, classes=("a",)) is None
