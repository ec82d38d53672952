"""The doctor: a step that fails, hangs or crashes costs only itself, and the real ones run."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from nsbench import cli
from nsbench.bench import doctor_worker
from nsbench.bench.doctor import run_doctor
from nsbench.bench.doctor_steps import STEPS, Step, corruptions
from nsbench.bench.doctor_steps.machine import Failed, Machine
from nsbench.corruptions import corrupt
from nsbench.util.errors import NsbenchError


def fake(name: str, limit: float = 30, least: float = 0) -> Step:
    return Step(name, "tests.bench.doctor_fakes", limit, least)


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main([str(argument) for argument in arguments])
    code = left.value.code
    return code if isinstance(code, int) else 0


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # ended, but not yet fetched by the init process


def test_each_end_of_a_step_is_told_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_worker, "GRACE", 1.0)
    monkeypatch.setenv("DOCTOR_CHILD", str(tmp_path / "child"))
    names = ["works", "raises", "leaves_out", "finds_wrong", "needs_a_package"]
    steps = [*map(fake, names), fake("sleeps", 0.5), fake("dies"), fake("hangs", 0.5)]
    steps += [fake("works"), fake("works", least=1e6)]
    out = tmp_path / "out"
    out.mkdir()
    for name in ("doctor.json", "steps.jsonl", "worker.log"):
        (out / name).write_text("of an earlier check")
    result = run_doctor("cpu", tiny=False, seconds=60, only=None, out=out, steps=steps)
    records = result["steps"]
    outcomes = [record["outcome"] for record in records]
    assert outcomes[:9] == [
        "done",
        "error: ValueError: no such luck",
        "skipped: the moon is wrong",
        "error: 1 of 2 are not right: fog",
        "error: ModuleNotFoundError: No module named 'no_such_package'",
        "error: not done in 0 s",
        "error: its process ended with exit code 7",
        "error: its process hung and was killed after 2 s",
        "done",
    ]
    assert outcomes[9].startswith("skipped: ")
    assert "s are left, and it takes 1000000 s or more" in outcomes[9]
    first, last = records[0]["figures"], records[8]["figures"]
    assert first["process"] != last["process"]
    assert (first["sum"], first["size"]) == ("tensor(3.)", 9)
    assert records[3]["figures"] == {"fog": 3}
    assert "raise ValueError" in records[1]["traceback"]
    assert json.loads((out / "doctor.json").read_text()) == result
    assert [json.loads(line) for line in (out / "steps.jsonl").read_text().splitlines()] == records
    log = (out / "worker.log").read_text()
    assert log.count("== works") == 2
    assert "earlier" not in log
    time.sleep(0.1)
    left = [int((tmp_path / "child").read_text()), first["process"], last["process"]]
    assert not any(map(is_alive, left))


def test_what_is_asked_for_wrongly_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(NsbenchError, match="no step 'wrks'; did you mean 'works'"):
        run_doctor("cpu", tiny=True, seconds=9, only=["wrks"], out=out, steps=[fake("works")])
    with pytest.raises(NsbenchError, match="the device 'tpu9' cannot be used here"):
        run_doctor("tpu9", tiny=True, seconds=9, only=None, out=out, steps=[fake("works")])
    assert not out.exists()


def test_real_steps_run_on_the_cpu(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    names = ["environment", "synchronisations", "training_speed", "out_of_memory"]
    out, json_file = tmp_path / "out", tmp_path / "table.json"
    assert call("doctor", "--device", "cpu", "--tiny", "--only", *names, "--out", out,
                "--json", json_file) == 0  # fmt: skip
    printed = capfd.readouterr().out
    assert all(name in printed for name in names)
    assert "skipped: only the memory of a GPU can be limited" in printed
    result = json.loads((out / "doctor.json").read_text())
    assert json.loads(json_file.read_text()) == result
    figures = {record["step"]: record["figures"] for record in result["steps"]}
    assert list(figures) == names
    assert figures["environment"]["cores"] == len(os.sched_getaffinity(0))
    assert figures["training_speed"]["bfloat16"]["steps_images_per_second"] > 0
    assert figures["training_speed"]["randaugment"]["beside_the_cpu"]["largest"] == 0


def test_a_failed_step_ends_in_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {"step": "fog", "seconds": 1.25, "outcome": "error: no luck", "figures": {}}
    result = {"device": "cpu", "tiny": True, "seconds": 2, "steps": [record]}
    monkeypatch.setattr("nsbench.bench.doctor.run_doctor", lambda *_, **__: result)
    assert call("doctor", "--out", tmp_path / "out") == 2
    printed = capfd.readouterr()
    assert "error: no luck" in printed.out
    assert "1 of 1 steps failed (fog): the details are in" in printed.err


def test_wrong_pixels_fail_and_missing_packages_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = iter(range(1000))

    def unsteady(images: torch.Tensor, name: str, *arguments: Any, **ids: Any) -> torch.Tensor:
        if name == "frost":
            raise NsbenchError("frost needs a package")
        return corrupt(images, name, *arguments, **ids) ^ (next(calls) % 2 if name == "fog" else 0)

    monkeypatch.setattr(corruptions, "corrupt", unsteady)
    monkeypatch.setattr(corruptions, "ALL_NAMES", ("contrast", "fog", "frost"))
    with pytest.raises(Failed, match=r"2 of 10 are not right: fog/5 at 224 px, fog/5") as failed:
        corruptions.corruptions_right(Machine(torch.device("cpu"), tiny=True))
    figures = failed.value.figures
    assert figures["wrong"] == list(figures["differing"])
    assert not figures["differing"]["fog/5 at 32 px"]["repeats"]
    assert set(figures["skipped"]) == {"frost/5 at 224 px", "frost/5 at 32 px"}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_is_there_and_says_what_it_does(step: Step) -> None:
    function = step.function()
    assert function.__doc__
    assert 0 < step.least < step.limit
