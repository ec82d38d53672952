"""The page of the machines that `nsbench doctor` has checked, made from its JSON files."""

from collections.abc import Iterable
from pathlib import Path

from nsbench.reporting.doctor_result import DoctorResult, Speed, StepResult, read_result
from nsbench.reporting.tables import Table, markdown_text
from nsbench.util.errors import NsbenchError
from nsbench.util.files import write_text

PAGE = "README.md"
"""What forges show of a folder."""

ROWS = 10
"""Speeds of a step that are shown at once; more are folded away."""

FOLDED = "<details><summary>{}, each work</summary>\n\n{}\n</details>\n"

WORDS = """\
A limit is what nothing that the work needs would exceed. For a corruption on a GPU that is the
time to read and write the bytes of each of its operations, at the speed of a copy measured on the
machine, or to start the operation, whichever is longer; on a CPU, whose caches hold what is
worked on, the time to read and write the images once. For an evaluation, a labeling and an attack
it is the bare forward passes of the model on images that lie ready; for a step of training, bare
steps. What binds a speed is in one word: `memory`, `launches` (the starting of operations),
`compute` (the arithmetic in them), `model` (its own passes), `corruptions`, `noise`
(RandAugment), or `host` (the device waits for it). On a GPU goals stand beside figures; one that
is missed is no fault.
"""


def write_page(folder: Path) -> Path:
    """Write the page of a folder's JSON files into it, and return its path.

    Raises NsbenchError for a folder without any, and for a file that `read_result` does not take.
    """
    path = folder / PAGE
    write_text(path, page_text(folder))
    return path


def page_text(folder: Path) -> str:
    """The page as Markdown: a table of all machines, then each with its verdicts and speeds."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise NsbenchError(
            f"{folder} has no JSON file: write one with nsbench doctor --json {folder}/NAME.json"
        )
    results = {file.name: read_result(file) for file in files}
    parts = [
        "# Machines that were checked\n",
        "Each JSON file is what `nsbench doctor --json FILE` wrote on one machine. This page is "
        "made from them by `nsbench doctor --page FOLDER`.\n",
        markdown_text([_machines(results)]),
        WORDS,
        *(_section(name, result) for name, result in results.items()),
    ]
    return "\n".join(parts)


def _machines(results: dict[str, DoctorResult]) -> Table:
    rows = [
        [
            f"[{result.machine}]({name})",
            result.date,
            _verdict(result),
            _figure(result, "corruption_speed", "images_per_second"),
            _share(result, "evaluation_speed"),
            _share(result, "training_speed"),
            _share(result, "labeling_speed"),
            _figure(result, "foolbox", "speedup"),
        ]
        for name, result in results.items()
    ]
    columns = [
        "machine",
        "date",
        "verdict",
        "corrupted images/s",
        "evaluation / forwards",
        "step / bare step",
        "labeling / forwards",
        "FGSM, times foolbox",
    ]
    return Table("Summary", columns, rows)


def _verdict(result: DoctorResult) -> str:
    return {0: "all right", 1: "wrong", 3: "not all checked"}[result.exit_code]


def _steps(result: DoctorResult, name: str) -> Iterable[StepResult]:
    return (step for step in result.steps if step.step == name)


def _figure(result: DoctorResult, step: str, key: str) -> str:
    values = [found.figures.get(key) for found in _steps(result, step)]
    shown = [_number(value) for value in values if isinstance(value, int | float)]
    return shown[0] if shown else "–"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _share(result: DoctorResult, step: str) -> str:
    shares = [
        f"{speed.share:.0%}" for found in _steps(result, step) for speed in found.speeds.values()
    ]
    return " / ".join(shares) or "–"


def _section(name: str, result: DoctorResult) -> str:
    found = next(iter(_steps(result, "environment")), None)
    machine = found.figures if found else {}
    known = [
        f"{machine[key]} {unit}".strip()
        for key, unit in (("cores", "cores"), ("threads", "threads of torch"), ("platform", ""))
        if machine.get(key)
    ]
    known += [f"{key} {machine[key]}" for key in ("driver", "cuda", "cudnn") if machine.get(key)]
    versions = machine.get("versions")
    if isinstance(versions, dict):
        known += [f"{key} {versions[key]}" for key in ("torch", "nsbench") if versions.get(key)]
    lines = [
        f"## {result.machine}\n",
        f"{result.date}, sizes for a {result.sizes.replace('gpu', 'GPU').replace('cpu', 'CPU')}, "
        f"{result.seconds / 60:.1f} minutes; {', '.join(known) or 'no environment'}. "
        f"All figures: [{name}]({name}).\n",
        markdown_text([_verdicts(result)]),
    ]
    if any(step.goals for step in result.steps):
        lines.append(markdown_text([_goals(result)]))
    for step in result.steps:
        if step.speeds:
            table = markdown_text([_speeds(step)])
            # a hundred rows of corruptions would hide the machines that follow
            many = len(step.speeds) > ROWS
            lines.append(FOLDED.format(step.step, table) if many else table)
    return "\n".join(lines)


def _verdicts(result: DoctorResult) -> Table:
    rows = [[step.step, f"{step.seconds:.0f}", step.outcome, step.verdict] for step in result.steps]
    return Table("What was found", ["step", "seconds", "outcome", "verdict"], rows, prose=True)


def _speeds(step: StepResult) -> Table:
    rows = [[name, *_cells(speed)] for name, speed in step.speeds.items()]
    columns = ["work", "images/s", "limit", "of the limit", "binds"]
    return Table(step.step, columns, rows)


def _cells(speed: Speed) -> list[str]:
    rates = [_number(speed.images_per_second), _number(speed.limit)]
    return [*rates, f"{speed.share:.0%}", speed.binds]


def _goals(result: DoctorResult) -> Table:
    rows = [
        [goal.name, goal.text, "yes" if goal.is_met else "no"]
        for step in result.steps
        for goal in step.goals
    ]
    return Table("Goals", ["goal", "figure", "reached"], rows)
