"""The report of a folder of seeds in all forms but a page: its tables and records over seeds."""

import json
from collections.abc import Callable

from nsbench.reporting.claims_tables import claims_data, claims_tables
from nsbench.reporting.formats import latex_whole
from nsbench.reporting.seed_tables import seeds_answers, seeds_tables, with_seeds
from nsbench.reporting.seeds import SeedRuns
from nsbench.reporting.tables import csv_text, markdown_text
from nsbench.util.provenance import environment


def _csv(runs: SeedRuns) -> str:
    """A line for each metric of each model over seeds, and for each of its changes."""
    return csv_text(with_seeds([], [runs]))


def _json(runs: SeedRuns) -> str:
    """The same records, with the title, the answers and what is missing."""
    content = {
        "title": runs.home.resolve().name,
        "answers": seeds_answers(runs),
        "notes": runs.notes,
        "claims": claims_data(runs),
        # The same as of nsbench eval, without the records of each seed.
        "records": with_seeds([], [runs]),
        "made": environment("none"),
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _markdown(runs: SeedRuns) -> str:
    answers = "\n".join(f"- {answer}" for answer in seeds_answers(runs))
    tables = markdown_text([*claims_tables(runs), *seeds_tables(runs)])
    parts = [f"# {runs.home.resolve().name}", answers, tables]
    return "\n\n".join(filter(None, parts)) + "\n"


def _latex(runs: SeedRuns) -> str:
    return latex_whole([*claims_tables(runs), *seeds_tables(runs)])


SEEDS_TEXTS: dict[str, Callable[[SeedRuns], str]] = {
    "md": _markdown,
    "csv": _csv,
    "json": _json,
    "latex": _latex,
}
"""By name what makes the text of a form; the page and the figures are made by themselves."""
