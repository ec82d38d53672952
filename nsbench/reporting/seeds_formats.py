"""The report of a folder of seeds for programs: CSV and JSON, of records over seeds and images."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from nsbench.reporting.seed_tables import seeds_answers, with_seeds
from nsbench.reporting.seeds import SeedRuns
from nsbench.reporting.tables import csv_text
from nsbench.util.errors import NsbenchError
from nsbench.util.provenance import environment


def check_seeds_formats(home: Path, formats: Sequence[str]) -> None:
    """Raise NsbenchError for a form that a report over seeds does not have."""
    for form in formats:
        if form not in ("html", *SEEDS_TEXTS):
            raise NsbenchError(
                f"{home} holds several seeds, whose report is html, csv or json: leave out the "
                f"format {form}, or report one seed"
            )


def seeds_csv(runs: SeedRuns) -> str:
    """A line for each metric of each model over seeds, and for each of its changes."""
    return csv_text(with_seeds([], [runs]))


def seeds_json(runs: SeedRuns) -> str:
    """The same records, with the title, the answers and what is missing."""
    content = {
        "title": runs.home.resolve().name,
        "answers": seeds_answers(runs),
        "notes": runs.notes,
        # The same as of nsbench eval, without the records of each seed.
        "records": with_seeds([], [runs]),
        "made": environment("none"),
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


SEEDS_TEXTS: dict[str, Callable[[SeedRuns], str]] = {"csv": seeds_csv, "json": seeds_json}
"""By name what makes the text of a form; the page is made by itself."""
