"""The doctor: a step that fails, hangs or crashes costs only itself, and all of it is told."""

import json
import os
import time
from pathlib import Path

import pytest

from nsbench import cli
from nsbench.bench import doctor, doctor_worker
from nsbench.bench.doctor import Check, run_doctor
from nsbench.bench.doctor_steps import STEPS, Step
from nsbench.reporting.doctor_result import DoctorResult, read_result
from nsbench.util.errors import NsbenchError


def fake(name: str, limit: float = 30, least: float = 0) -> Step:
    return Step(name, "tests.bench.doctor_fakes", limit, least)


def ignore(_: object) -> None:
    pass


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main(["doctor", *(str(argument) for argument in arguments)])
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
    names = ["works", "raises", "leaves_out", "finds_wrong", "needs_a_package", "measures"]
    steps = [*map(fake, names), fake("sleeps", 0.5), fake("runs_out", 1.5), fake("dies")]
    steps += [fake("hangs", 0.5), fake("works"), fake("works", least=1e6)]
    out = tmp_path / "out"
    out.mkdir()
    for name in ("doctor.json", "worker.log"):
        (out / name).write_text("of an earlier check")
    told: list[str] = []
    check = Check("cpu", out, minutes=5, json=tmp_path / "found.json", steps=steps)
    result = run_doctor(check, lambda step: told.append(step.line))
    assert told[:7] == [
        "works: right, 3 of 3 works",
        "raises: error, ValueError: no such luck in file.py",
        "leaves_out: skipped, the moon is wrong",
        "finds_wrong: wrong, 1 of 2: fog",
        "needs_a_package: error, ModuleNotFoundError: No module named 'no_such_package'",
        "measures: measured, half as fast",
        "sleeps: no time, not done in 0 s",
    ]
    assert told[7].startswith("runs_out: no time, ")
    assert told[8:11] == [
        "dies: error, its process ended with exit code 7",
        "hangs: error, its process hung and was killed after 2 s",
        "works: right, 3 of 3 works",
    ]
    assert told[11].startswith("works: no time, ")
    assert "s are left, and it takes 1000000 s or more" in told[11]
    assert result.exit_code == 1
    assert result.summary.startswith("wrong: raises, finds_wrong, needs_a_package, dies, hangs; on")
    first, last = result.steps[0].figures, result.steps[10].figures
    assert first["process"] != last["process"]
    assert (first["sum"], first["size"]) == ("tensor(3.)", 8)
    assert result.steps[3].figures == {"fog": 3}
    assert result.steps[5].figures == {"none": "NaN", "home": "file.py"}
    assert 2 <= result.steps[7].figures["done"] <= 8
    assert read_result(out / "doctor.json") == read_result(tmp_path / "found.json") == result
    log = (out / "worker.log").read_text()
    assert log.count("== works") == 2
    assert "raise ValueError" in log
    assert "earlier" not in log
    time.sleep(0.1)
    left = [int((tmp_path / "child").read_text()), first["process"], last["process"]]
    assert not any(map(is_alive, left))


def test_what_is_found_is_written_step_by_step(tmp_path: Path) -> None:
    found = tmp_path / "deep" / "found.json"
    seen: list[tuple[int, bool]] = []

    def look(_: object) -> None:
        written = read_result(found)
        seen.append((len(written.steps), written.finished))

    check = Check("cpu", tmp_path, tiny=True, json=found, steps=[fake("works")] * 2)
    run_doctor(check, look)
    assert seen == [(1, False), (2, True)]


def test_more_minutes_give_each_step_more(tmp_path: Path) -> None:
    steps = [fake("runs_out", 0.5)]
    few, many = (
        run_doctor(Check("cpu", tmp_path, minutes=minutes, steps=steps), ignore)
        for minutes in (doctor.MINUTES, 4 * doctor.MINUTES)
    )
    assert few.steps[0].figures["done"] < many.steps[0].figures["done"]


@pytest.mark.parametrize(
    ("names", "code", "line"),
    [
        (["works", "measures", "leaves_out"], 0, "all is right on "),
        (["works", "finds_wrong"], 1, "wrong: finds_wrong; on "),
        (["works", "sleeps"], 3, "not all is checked: no time for sleeps; on "),
        (["finds_wrong", "sleeps", "raises"], 1, "wrong: finds_wrong, raises; on "),
    ],
)
def test_the_exit_code_and_the_last_line_sum_up(
    names: list[str],
    code: int,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    steps = [fake(name, 0.3 if name == "sleeps" else 30) for name in names]
    monkeypatch.setattr(doctor.Check, "chosen", lambda _: steps)
    assert call("--device", "cpu", "--out", tmp_path / "out") == code
    printed = capfd.readouterr()
    lines = printed.out.strip().splitlines()
    assert [text.split(":")[0] for text in lines[: len(names)]] == names
    assert lines[-1].startswith(line)
    assert "stopped" not in printed.err  # as after Ctrl-C
    assert all(len(text) <= 80 for text in lines[:-1])
    if "measures" in names:
        assert "goal missed: speed, 50 % of bare forwards, the goal is 75 %" in lines


def test_what_is_asked_for_wrongly_leaves_nothing(tmp_path: Path) -> None:
    out, steps = tmp_path / "out", [fake("works")]
    with pytest.raises(NsbenchError, match="no step 'wrks'; did you mean 'works'"):
        run_doctor(Check("cpu", out, only=["wrks"], steps=steps), ignore)
    with pytest.raises(NsbenchError, match="the device 'tpu9' cannot be used here"):
        run_doctor(Check("tpu9", out, json=tmp_path / "f.json", steps=steps), ignore)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--minutes", "0"], "--minutes is 0.0: give a number above 0"),
        (["--minutes", "-1"], "--minutes is -1.0: give a number above 0"),
        (["--minutes", "nan"], "--minutes is nan: give a number above 0"),
        (["--minutes", "inf"], "--minutes is inf: give a number above 0"),
        (["--only", "pixel", "--device", "cpu"], "there is no step 'pixel'; did you mean 'pixels'"),
        (["--page", "p", "--tiny"], "--page only makes a page: leave out the other options"),
        (["--page", "p"], "p has no JSON file: write one with nsbench doctor --json p/NAME.json"),
        (["--only", "draws", "--device", "cpu", "--json", "f/x"], "cannot write f/x: "),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").write_text("a file where a folder is wanted")
    assert call(*arguments) == 2
    printed = capfd.readouterr()
    assert sentence in printed.err
    assert printed.err.count("nsbench: ") == 1
    assert "Traceback" not in printed.err
    assert not printed.out


def test_real_steps_run_on_the_cpu(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # the others take longer, and are called in test_doctor_steps.py, or whole by hand
    names = ["environment", "sequences", "draws", "precision", "out_of_memory", "training_speed"]
    names += ["labeling_speed", "synchronisations", "profile"]
    found = tmp_path / "found.json"
    assert call("--device", "cpu", "--tiny", "--only", *names, "--out", tmp_path, "--minutes", 5,
                "--json", found) == 0  # fmt: skip
    lines = capfd.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == names
    assert lines[2] == "draws: right, 95 of 95 cells with the CPU's draws bit for bit"
    assert lines[-1].startswith("all is right on ")
    assert lines[-1].endswith("; skipped: synchronisations")
    result = read_result(found)
    assert (result.device, result.sizes, result.finished) == ("cpu", "tiny", True)
    figures = {step.step: step.figures for step in result.steps}
    assert figures["environment"]["cores"] == len(os.sched_getaffinity(0))
    assert figures["training_speed"]["randaugment"]["beside_the_cpu"]["largest"] == 0
    assert figures["out_of_memory"]["images_at_once"] == 2


def test_no_name_of_a_person_or_machine_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "calculon.example.org")
    monkeypatch.setattr("getpass.getuser", lambda: "fry")
    steps = [fake("measures"), fake("raises")]
    (tmp_path / "fry").mkdir()
    check = Check("cpu", tmp_path / "fry", json=tmp_path / "fry" / "f.json", steps=steps)
    run_doctor(check, ignore)
    text = (tmp_path / "fry" / "f.json").read_text()
    for name in ("calculon", "fry", str(tmp_path), str(Path.home() / "secret"), "site-packages"):
        assert name not in text
    assert json.loads(text)["steps"][1]["verdict"] == "ValueError: no such luck in file.py"


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_is_there_and_says_what_it_does(step: Step) -> None:
    function = step.function()
    assert function.__doc__
    assert 0 < step.least < step.limit


def test_what_was_not_finished_is_not_right() -> None:
    result = DoctorResult.model_validate(
        {"made_by": "nsbench doctor", "version": 1, "machine": "m", "device": "cuda",
         "sizes": "gpu", "date": "2026-01-31", "seconds": 1.0, "finished": False, "steps": []}
    )  # fmt: skip
    assert result.exit_code == 3
    assert result.summary.startswith("not all is checked: no time for the last steps; on m")
