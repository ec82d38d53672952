"""Reports of predictions as odd as they can be: one class, no error, every error, two images."""

from pathlib import Path

import numpy as np
import pytest

from nsbench.bench.report import write_model
from nsbench.predictions import Predictions, Store
from nsbench.reporting.report import write_report
from nsbench.suites.base import Suite
from nsbench.suites.load import load_suite
from nsbench.suites.reference import reference_of
from nsbench.util.errors import NsbenchError
from nsbench.util.provenance import environment
from nsbench.util.sealed import read_record

SUITES = ("digits", "digits-c", "digits-p", "digits-fgsm")

ALL = ["html", "md", "csv", "json", "latex"]


def write(home: Path, suite: Suite, top: int, confidence: float, images: int = 30) -> None:
    """Predictions of one class for images whose labels are all 0."""
    weights = read_record(home / "model.json", "")["weights"]
    identity = {
        "protocol": suite.protocol(places=False),
        "weights": weights,
        "images": f"{images}",
        "generator": suite.generator_identity(),
    }
    store = Store(home / "results", suite.name, identity)
    ids = [f"{number}" for number in range(images)]
    for cell in suite.cells():
        frames = suite.frame_count(cell)
        ranks = np.tile(np.array([top, 1 - top, 2, 3, 4], np.int32), (images * frames, 1))
        sure = np.full(images * frames, confidence, np.float32)
        rows = Predictions(ids, np.zeros(images, np.int32), ranks, sure)
        store.write(cell, rows, frames)
    store.finish(
        {
            "suite": suite.model_dump(exclude={"reference"}),
            "model": {"name": home.name},
            "images": images,
            "unreadable": {},
            "chosen": None,
            "resized": None,
            "environment": environment("cpu"),
            "seconds": None,
            "reference": reference_of(suite),
            "evaluated": "2026-01-01T00:00:00+00:00",
        }
    )


def homes(folder: Path, count: int = 2) -> list[Path]:
    found = [folder / f"generation-{number}" for number in range(count)]
    for number, home in enumerate(found):
        write_model(home, number)
    return found


@pytest.mark.parametrize("confidence", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("tops", [(0, 0), (1, 1), (1, 0), (0, 1)])
@pytest.mark.parametrize("images", [2, 30])
def test_no_error_and_every_error(
    tmp_path: Path, tops: tuple[int, int], confidence: float, images: int
) -> None:
    models = homes(tmp_path)
    for home, top in zip(models, tops, strict=True):
        for name in SUITES:
            write(home, load_suite(name), top, confidence, images)
    write_report(models, tmp_path / "r.html", formats=ALL)
    text = (tmp_path / "r.html").read_text()
    assert "nan" not in text.replace("nano", "").lower().split("<script")[0]
    verdict = "raises top-1" if tops == (1, 0) else "lowers top-1"
    assert (verdict in text) == (tops[0] != tops[1] and images == 30)


def test_a_confidence_that_is_no_number_is_a_broken_file(tmp_path: Path) -> None:
    (home,) = homes(tmp_path, 1)
    write(home, load_suite("digits"), 0, float("nan"))
    with pytest.raises(NsbenchError, match="are broken .*confidence lies between 0 and 1"):
        write_report(home, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()
