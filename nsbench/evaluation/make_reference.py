"""Make the constants that normalise suites' metrics, from the predictions of any model."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nsbench.evaluation.runner import evaluate
from nsbench.metrics.robustness import in_top_k
from nsbench.predictions import read_cell
from nsbench.suites.load import AccuracySuite, CorruptionSuite, PerturbationSuite, Suite, load_suite
from nsbench.suites.scores import score
from nsbench.util.errors import NsbenchError
from nsbench.util.files import write_json


def make_reference(
    suites: Sequence[str], model: str, out: str | Path, *, device: str | None = None
) -> dict[str, Any]:
    """Evaluate one model and write its errors, flip rates and misclassified ids as JSON.

    The file is what a suite's key `reference` names. Returns its content.
    Raises NsbenchError for a suite that takes no reference.
    """
    chosen = [load_suite(name) for name in dict.fromkeys(suites)]
    for suite in chosen:
        _check(suite)
    bare = [_without_reference(suite) for suite in chosen]
    folders = evaluate([model], bare, device=device)
    if len(folders) > len(chosen):
        raise NsbenchError(f"{model} is several models: name one generation of it")
    entries = {
        suite.name: {"protocol": suite.protocol(), **_entry(suite, folder)}
        for suite, folder in zip(chosen, folders, strict=True)
    }
    content = {
        "model": model,
        "command": shlex.join(["nsbench", "reference", *suites, "--model", model]),
        "suites": entries,
    }
    write_json(Path(out), content)
    return content


def _check(suite: Suite) -> None:
    takes_one = isinstance(suite, CorruptionSuite | PerturbationSuite) or (
        isinstance(suite, AccuracySuite) and suite.misclassified
    )
    if not takes_one:
        raise NsbenchError(f"the suite {suite.name} takes no reference: its metrics need none")


def _without_reference(suite: Suite) -> Suite:
    update: dict[str, Any] = {"reference": None}
    if isinstance(suite, AccuracySuite):
        update["misclassified"] = False
    return suite.model_copy(update=update)


def _entry(suite: Suite, folder: Path) -> dict[str, Any]:
    if isinstance(suite, AccuracySuite):
        rows = read_cell(folder, "images")
        wrong = ~in_top_k(rows.labels, rows.top, 1)
        return {"misclassified": [name for name, bad in zip(rows.ids, wrong, strict=True) if bad]}
    scores = score(folder)
    tables = scores.tables
    if isinstance(suite, PerturbationSuite):
        flips = {name: row[0] / 100 for name, row in tables["flip_probability"].items()}
        distances = {name: row[0] for name, row in tables["top5_distance"].items()}
        return {
            "flip_probability": {name: round(value, 6) for name, value in flips.items()},
            "top5_distance": {name: round(value, 6) for name, value in distances.items()},
        }
    errors = {name: [round(e / 100, 6) for e in row] for name, row in tables["error"].items()}
    return {"clean": round(1 - scores.metrics["clean_top1"].value / 100, 6), "errors": errors}
