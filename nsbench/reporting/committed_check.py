"""Whether the numbers of a kept report are those of its predictions: made again and compared."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nsbench.reporting.committed_index import PREDICTIONS, REPORT, entries_in, read_about
from nsbench.reporting.packed import unpack
from nsbench.reporting.report import write_report
from nsbench.reporting.tables import Table, csv_text
from nsbench.util.errors import NsbenchError
from nsbench.util.files import read_object
from nsbench.util.progress import counted

TOLERANCE = 1e-6
"""Points in percent by which two machines may differ: sums are rounded in another order. What is
printed has one decimal."""

NUMBERS = ("value", "low", "high")
"""Of a record; what else it holds follows from these, or says what it is of."""

IDENTITY = ("kind", "model", "control", "suite", "metric", "cell", "against", "seeds")
"""What a record is of; no two records of a report agree in all of them."""

NAMED = 3
"""Records that differ and are named; of more it says how many there are."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Verified:
    """What came of a report. values: numbers that were compared, None without predictions.

    differences: a clause for each record that is another one.
    """

    name: str
    values: int | None
    differences: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool | None:
        """Whether all numbers are those of the predictions, None where there are none."""
        return None if self.values is None else not self.differences

    def __str__(self) -> str:
        """Such as `holds (412 values)`."""
        if self.values is None:
            return "has no predictions to verify from"
        if not self.differences:
            return f"holds ({counted(self.values, 'value')})"
        more = len(self.differences) - NAMED
        others = f"; and {counted(more, 'other record')}" if more > 0 else ""
        return f"differs: {'; '.join(self.differences[:NAMED])}{others}"


def verify_reports(home: Path, names: Sequence[str] = ()) -> list[Verified]:
    """Make the numbers of reports again from their predictions, and compare every record.

    names: of the reports, by default all. Raises NsbenchError for one that there is none of, or
    whose files are broken; predictions that cannot be trusted are a difference.
    """
    return [_verified(folder) for folder in entries_in(home, names)]


def verified_table(found: Sequence[Verified]) -> Table:
    """A row for each report."""
    data = [
        {
            "report": one.name,
            "holds": one.holds,
            "values": one.values,
            "differences": one.differences,
        }
        for one in found
    ]
    rows = [[one.name, str(one)] for one in found]
    return Table("reports, made again from their predictions", ["report", "outcome"], rows, data,
                 prose=True, keep=("outcome",))  # fmt: skip


def _verified(folder: Path) -> Verified:
    about = read_about(folder)
    # No failure: a repository cannot keep the predictions of everything.
    if not (folder / PREDICTIONS).is_dir():
        return Verified(folder.name, None)
    stated = _records(folder / f"{REPORT}.json")
    try:
        again = _made_again(folder, about["report"])
    except NsbenchError as error:
        return Verified(folder.name, 0, [f"it cannot be made again ({error})"])
    # Numbers, not records, as each of them is compared.
    values = sum(record.get(key) is not None for record in stated for key in NUMBERS)
    differences = compare_records(stated, again)
    # The same records, but somebody may read the one file and not the other.
    csv = folder / f"{REPORT}.csv"
    if not csv.is_file() or csv.read_bytes() != csv_text(stated).encode():
        differences.append(f"{csv.name} has other records than {REPORT}.json")
    return Verified(folder.name, values, differences)


def _made_again(folder: Path, called: Record) -> list[Record]:
    """The records of the same report, of the predictions. called: what it was made with."""
    # By the same function that wrote the report, so that nothing is computed in a second way.
    with tempfile.TemporaryDirectory() as made:
        home = Path(made) / PREDICTIONS
        shutil.copytree(folder / PREDICTIONS, home, ignore=shutil.ignore_patterns("*.parquet"))
        unpack(folder / PREDICTIONS, home)  # a copy, as what is committed must stay as it is
        places = [home / place for place in called["places"]]
        # about.json may be of anybody, and only what lies beside it is to be read.
        if any(home.resolve() not in place.resolve().parents for place in places):
            raise NsbenchError(f"{folder} names places outside of its predictions")
        out = Path(made) / f"{REPORT}.html"
        write_report(
            places,
            out,
            title=called["title"],
            base=called["base"],
            across=called["across"],
            formats=["json"],
        )
        return _records(out.with_suffix(".json"))


def _records(path: Path) -> list[Record]:
    records = read_object(path).get("records")
    if not isinstance(records, list) or not all(isinstance(one, dict) for one in records):
        raise NsbenchError(f"{path} holds no records: make the report anew")
    return list(records)


def compare_records(stated: Sequence[Record], again: Sequence[Record]) -> list[str]:
    """A clause for each record whose numbers or verdict differ, or that only one side has."""
    # By what they are of, and not by their order, which a later version may change.
    found = {_identity(record): record for record in again}
    differences = []
    for record in stated:
        other = found.pop(_identity(record), None)
        if other is None:
            differences.append(f"{_named(record)} is not in what the predictions give")
        elif unlike := [key for key in (*NUMBERS, "verdict") if _differ(record, other, key)]:
            key = unlike[0]
            differences.append(
                f"{_named(record)}: {key} {record.get(key)}, but {other.get(key)} by the "
                "predictions"
            )
    # What nobody stated is as wrong as what is stated wrongly.
    return [*differences, *(f"{_named(record)} is missing" for record in found.values())]


def _identity(record: Record) -> tuple[Any, ...]:
    return tuple(str(record.get(key)) for key in IDENTITY)


def _differ(one: Record, other: Record, key: str) -> bool:
    a, b = one.get(key), other.get(key)
    # A number and no number differ, as two verdicts do.
    if isinstance(a, int | float) and isinstance(b, int | float):
        # Written so that a NaN differs from everything.
        return not abs(a - b) <= TOLERANCE
    return bool(a != b)


def _named(record: Record) -> str:
    """Such as `run/generation-1 on digits, top1, against run/generation-0`."""
    cell = f" {record['cell']}" if record.get("cell") else ""
    against = f" against {record['against']}" if record.get("against") else ""
    return f"{record.get('model')} on {record.get('suite')}{cell}, {record.get('metric')}{against}"
