"""A kind of suite from outside: two classes and one call of `register`."""

import shutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import pytest

from nsbench import evaluation
from nsbench.commands.app import app
from nsbench.evaluation.accuracy import AccuracyPasses
from nsbench.evaluation.batches import clean_batches
from nsbench.evaluation.estimate import estimate
from nsbench.evaluation.forward import logits_of
from nsbench.evaluation.model_run import ModelRun
from nsbench.evaluation.options import Options, make_options
from nsbench.evaluation.plan import Passes, SuitePlan, crop_for
from nsbench.evaluation.register import passes_of
from nsbench.predictions import read_cell
from nsbench.reporting.compare import compare
from nsbench.reporting.report import write_report
from nsbench.suites import load
from nsbench.suites.accuracy import AccuracySuite
from nsbench.suites.base import Scored, Suite, accuracy_metric
from nsbench.suites.load import kinds, load_suite
from nsbench.util.errors import NsbenchError
from nsbench.util.progress import Advance
from tests.conftest import write_suite
from tests.evaluating import evaluate


class MirrorSuite(Suite):
    """Top-1 on mirrored images."""

    kind: Literal["mirror"]

    def cells(self) -> list[str]:
        return ["mirrored"]

    def score(self, folder: Path, reference: Mapping[str, Any] | None) -> Scored:
        metric = accuracy_metric("mirrored top-1", read_cell(folder, "mirrored"))
        return Scored({"mirrored_top1": metric}, {}, {})

    @property
    def metric_name(self) -> str:
        return "mirrored top-1"


class MirrorPasses(Passes[MirrorSuite]):
    def run(
        self, plan: SuitePlan, runs: list[ModelRun], options: Options, advance: Advance
    ) -> None:
        for run in runs:
            crops = plan.images.crops(crop_for(self.suite, run.model))
            for batch in clean_batches(crops, options):
                run.add("mirrored", logits_of(run, batch.images.flip(-1), options))
                advance(len(batch.images))
            run.finish("mirrored", plan.images)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    # the module, since `nsbench.evaluation.register` is its function
    module = import_module("nsbench.evaluation.register")
    monkeypatch.setattr(module, "_passes", dict(module._passes))
    monkeypatch.setattr(load, "_added", {})
    evaluation.register("mirror", MirrorSuite, MirrorPasses)
    text = 'kind = "mirror"\ndescription = "<b>"\nsource = "digits"\nimages_per_class = 3\n'
    return write_suite(tmp_path / "mirror.toml", text)


def test_a_kind_from_outside_is_evaluated_compared_and_reported(
    mirror: str, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The fixture's own folder may have results of other tests.
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("results"))
    rows = estimate([str(run)], [mirror], make_options(device="cpu"))
    assert {row["forward_passes"] for row in rows} == {30}
    plain = write_suite(
        tmp_path / "plain.toml", 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 3\n'
    )
    app(["eval", str(run), "--suite", mirror, plain], standalone_mode=False)
    assert "mirrored top-1" in capsys.readouterr().out
    folders = evaluate([str(run)], [mirror, plain], device="cpu")
    mirrored = read_cell(folders[0], "mirrored")
    assert len(mirrored.ids) == 30
    assert (mirrored.top != read_cell(folders[2], "images").top).any()  # they were mirrored

    comparison = compare(run / "generation-0", run / "generation-1")
    assert [row.suite for row in comparison.headlines] == ["plain", "mirror"]
    assert [row.kappa is None for row in comparison.headlines] == [False, True]
    write_report(run, tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()
    assert '<h2 id="mirror"><a href="#mirror">mirror</a></h2>' in html
    assert "mirrored top-1 ↑" in html
    assert "&lt;b&gt;" in html

    app(["suites", mirror], standalone_mode=False)
    assert "mirrored top-1" in capsys.readouterr().out


def test_every_kind_has_passes() -> None:
    assert list(kinds()) == ["accuracy", "detection", "corruption", "perturbation", "attack"]
    passes = {name: type(passes_of(load_suite(name))) for name in ("imagenet-1k", "imagenet-o")}
    assert set(passes.values()) == {AccuracyPasses}


def test_a_kind_is_registered_once(mirror: str) -> None:
    evaluation.register("mirror", MirrorSuite, MirrorPasses)  # the same again
    with pytest.raises(ValueError, match="the kind 'mirror' is MirrorSuite already"):
        evaluation.register("mirror", AccuracySuite, AccuracyPasses)
    with pytest.raises(ValueError, match="the kind 'accuracy' is AccuracySuite already"):
        evaluation.register("accuracy", MirrorSuite, MirrorPasses)


def test_a_kind_without_passes_is_told() -> None:
    suite = MirrorSuite(kind="mirror", name="m", source="digits")  # type: ignore[arg-type]
    with pytest.raises(NsbenchError, match="no passes are registered for the kind 'mirror' of m"):
        passes_of(suite)
