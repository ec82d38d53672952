"""What the doctor wrote is read again, or refused in one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from nsbench.reporting.doctor_result import DoctorResult, Goal, StepResult, read_result
from nsbench.util.errors import NsbenchError

SPEED = {"images_per_second": 11000.0, "limit": 44000.0, "share": 0.25, "binds": "launches"}
RESULT: dict[str, Any] = {
    "made_by": "nsbench doctor",
    "version": 1,
    "machine": "NVIDIA H100",
    "device": "cuda",
    "sizes": "gpu",
    "date": "2026-01-31",
    "seconds": 300.0,
    "finished": True,
    "steps": [
        {"step": "environment", "outcome": "measured", "verdict": "torch 2", "seconds": 1.0,
         "figures": {"cores": 16, "driver": "570.1", "versions": {"torch": "2.9"}}},
        {"step": "corruption_speed", "outcome": "measured", "verdict": "11,000 images/s",
         "seconds": 20.0, "speeds": {"fog/3": SPEED}, "figures": {"images_per_second": 21000.0},
         "goals": [{"name": "mean of the cells", "figure": 21000.0, "wanted": 20000.0,
                    "unit": "images/s"}]},
        {"step": "evaluation_speed", "outcome": "no time", "verdict": "3 s | left", "seconds": 0.0},
    ],
}  # fmt: skip


def test_a_result_is_read(tmp_path: Path) -> None:
    path = tmp_path / "h100.json"
    path.write_text(json.dumps(RESULT))
    result = read_result(path)
    assert result == DoctorResult.model_validate(RESULT)
    assert result.exit_code == 3
    assert result.summary == (
        "not all is checked: no time for evaluation_speed; on NVIDIA H100, 3 steps in 300 s"
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"made_by": "nsbench bench"}, "h100.json is not of nsbench doctor: move it out"),
        ({"version": 2}, "h100.json is of version 2, and this nsbench reads 1: check the machine"),
        ({"version": None}, "h100.json is of version None, and this nsbench reads 1"),
        ({"seconds": "long"}, "h100.json: the key 'seconds' is 'long', but"),
        ({"steps": [{"step": "fog"}]}, "h100.json: the key 'steps.0.outcome' is missing"),
        ({"host": "calculon"}, "h100.json: unknown key 'host'"),
    ],
)
def test_another_file_is_one_sentence(
    change: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "h100.json"
    path.write_text(json.dumps({**RESULT, **change}))
    with pytest.raises(NsbenchError, match=sentence) as told:
        read_result(path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "\udcff"])
def test_a_damaged_file_is_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "h100.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(NsbenchError, match=r"h100.json"):
        read_result(path)


def test_lines_fit_a_terminal() -> None:
    step = StepResult(step="fog", outcome="error", verdict="a\nb " * 99, seconds=1)
    assert len(step.line) == 80
    assert step.line.startswith("fog: error, a b a b")
    assert step.line.endswith("…")
    figures = {
        (0.8123, 0.75, "of bare forwards"): "81 % of bare forwards, the goal is 75 %",
        (2.345, 3.0, "times foolbox"): "2.35 times foolbox, the goal is 3.00",
        (12345.6, 1e4, "images/s"): "12,346 images/s, the goal is 10,000",
    }
    for (figure, wanted, unit), text in figures.items():
        goal = Goal(name="g", figure=figure, wanted=wanted, unit=unit)
        assert goal.text == text
        assert goal.is_met == (figure > wanted)
