"""Claims of the paper as tables and as JSON: verdicts, and the changes that they rest on."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from nsbench.metrics.seeds import OVER
from nsbench.reporting.claims import (
    ALONE,
    TEACHER,
    VERDICTS,
    Checked,
    checked_claims,
    commands_for,
)
from nsbench.reporting.score_tables import metric_head
from nsbench.reporting.seed_texts import over_seeds_data, seed_change_text
from nsbench.reporting.seeds import SeedRuns, entries_of
from nsbench.reporting.summary import notes_on_images
from nsbench.reporting.tables import Table


def claims_data(runs: SeedRuns) -> list[dict[str, Any]]:
    """Claims as JSON: numbers in percent and points, as in the records of the same report."""
    return [
        {
            "claim": one.claim.text,
            "source": one.claim.source,
            "verdict": one.verdict,
            "missing": one.missing,
            "commands": commands_for(runs, one.missing),
            "lacking": one.lacking,
            "answers": [
                {
                    "model": answer.student.name,
                    "against": answer.base.name,
                    "suite": answer.suite,
                    "metric": metric_head(answer.metric),
                    **over_seeds_data(answer.change),
                    "verdict": answer.verdict,
                    "unequal": answer.unequal,
                    "above": {
                        role: {"against": name, **over_seeds_data(change)}
                        for role, (name, change) in answer.above.items()
                    },
                }
                for answer in one.answers
            ],
        }
        for one in checked_claims(runs)
    ]


CLAIMED = "What the Noisy Student paper claims (Xie et al. 2020)"


def claims_tables(runs: SeedRuns) -> list[Table]:
    """Each claim with its verdict; and each change, with the models that are missing."""
    checked = checked_claims(runs)
    return [_verdicts(runs, checked), _changes(runs, checked)] if checked else []


def _verdicts(runs: SeedRuns, checked: Sequence[Checked]) -> Table:
    rows = []
    for one in checked:
        counts = Counter(answer.verdict for answer in one.answers)
        known = [f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict]]
        rows.append([one.claim.text, one.claim.source, one.verdict, ", ".join(known)])
    rule = (
        "A claim held if the interval over seeds and images of each of its changes excludes zero "
        "on the better side, and did not hold if that of one does on the other."
    )
    heads = ["claim", "source", "verdict", "changes"]
    return Table(CLAIMED, heads, rows, claims_data(runs), [rule], prose=True)


def _changes(runs: SeedRuns, checked: Sequence[Checked]) -> Table:
    total = sum(len(one.answers) for one in checked)
    rows = []
    notes = [f"n: seeds × images. Intervals are over {OVER}; ± is the deviation over seeds."]
    # A reader who counts verdicts must know how many of them chance alone would give.
    by_chance = f"one in twenty of these {total} would exclude zero by chance where nothing changed"
    notes.append(f"Each interval is a 95% one by itself: {by_chance}.")
    for one in checked:
        for number, answer in enumerate(one.answers):
            suite = f"{answer.suite}, {metric_head(answer.metric)}"
            counts = f"{len(answer.change.values)} × {answer.change.images:,}"
            change = seed_change_text(answer.change)
            # Once: the changes of a claim follow each other.
            claim = "" if number else one.claim.text
            above = [
                seed_change_text(known[1]) if known else ""
                for known in map(answer.above.get, (TEACHER, ALONE))
            ]
            # What is unequal stands at the models, where a reader would else take them for equals;
            # once, as the suites of two models follow each other.
            said = any(before.models == answer.models for before in one.answers[:number])
            models = "\n".join(filter(None, (answer.models, "" if said else answer.unequal)))
            rows.append([claim, models, suite, change, counts, answer.verdict, *above])
        if one.missing:
            what = f"{one.claim.text}: {', '.join(one.missing)} not trained"
            commands = "; ".join(commands_for(runs, one.missing))
            notes.append(f"{what} ({commands})." if commands else f"{what}.")
        if one.lacking:
            notes.append(f"{one.claim.text}: not evaluated: {', '.join(one.lacking)}.")
    heads = ["claim", "models", "suite", "change\n[95% interval]", "n", "verdict"]
    heads += [f"against\n{role}" for role in (TEACHER, ALONE)]
    notes.append(
        f"The last columns: what the first of the two has above the {TEACHER} and above the "
        f"{ALONE} of its generation, over the same seeds; empty where there is none."
    )
    notes += notes_on_images(entries_of(runs.models))
    return Table(f"{CLAIMED}: each change", heads, rows, [], notes, prose=True)
