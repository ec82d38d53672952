import io
import re

import pytest
from rich.console import Console

from nsbench.util import progress


def test_plain_lines_say_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    now = iter([0.0, 20.0, 25.0, 40.0, 40.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    with progress.stage("fog", 400) as advance:
        advance(200, "loss 1.5")
        advance(50)
        advance(150)
    lines = capfd.readouterr().err.splitlines()
    assert lines == [
        "fog: 200 of 400 images, 10/s, 20 s left loss 1.5",
        "fog: 400 images in 40.0 s, 10/s",
    ]


def test_units_that_are_done_again_are_taken_back(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    now = iter([0.0, 5.0, 20.0, 40.0, 40.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    with progress.stage("rotate", 20) as advance:
        advance(10)
        advance(-10)  # nothing is done, and there is no rate to divide by
        advance(20)
    assert capfd.readouterr().err == "rotate: 20 images in 40.0 s, 0.5/s\n"


def test_a_failed_stage_does_not_say_that_it_is_done(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="stop"), progress.stage("fog", 3):
        raise ValueError("stop")
    assert capfd.readouterr().err == ""


def test_a_stage_of_unknown_length(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    now = iter([0.0, 20.0, 40.0, 40.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    with progress.stage("fog", None) as advance:
        advance(200)
        advance(200)
    lines = capfd.readouterr().err.splitlines()
    assert lines == [
        "fog: 200 images, 10/s",
        "fog: 400 images, 10/s",
        "fog: 400 images in 40.0 s, 10/s",
    ]


def test_a_line_with_a_bar_fits_80_columns() -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True, color_system=None)
    name = "images of /a/long/path/of/data/imagenet-sample (test)"
    with progress._bar(console, name, 50_000, "images", 0) as advance:
        advance(12_345, "loss 1.234")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue()).replace("\r", "\n").split("\n")
    last = [line for line in lines if line.strip()][-1]
    assert len(last) <= 80
    for part in ("images …", "12345/50000", "images/s", "loss"):
        assert part in last
