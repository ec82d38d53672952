"""Make the constants that normalise the metrics of suites, from any model's predictions."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nsbench.data.open import open_source
from nsbench.evaluation.options import make_options
from nsbench.evaluation.runner import evaluate_with
from nsbench.predictions import read_manifest
from nsbench.suites.base import Suite
from nsbench.suites.load import load_suite, take_reference
from nsbench.suites.reference import classes_of
from nsbench.util.errors import NsbenchError
from nsbench.util.sealed import write_record


def make_reference(
    suites: Sequence[str], model: str, out: str | Path, *, device: str | None = None
) -> dict[str, Any]:
    """Evaluate one model and write its errors, flip rates and misclassified ids as JSON.

    The file is what a suite's key `reference` names. Returns its content.
    Raises NsbenchError for a suite that takes no reference.
    """
    chosen = [load_suite(name) for name in dict.fromkeys(suites)]
    take_reference(chosen)
    # Without the old reference, by which its images may be chosen or its metrics normalised.
    whole = [suite.without_reference() for suite in chosen]
    folders = evaluate_with([model], whole, make_options(device=device))
    # A run folder stands for all of its generations, but constants are those of one model.
    if len(folders) > len(chosen):
        raise NsbenchError(f"{model} is several models: name one generation of it")
    # The protocol goes with the constants: they are refused for a suite that has changed since.
    content = {
        "model": model,
        "command": shlex.join(["nsbench", "reference", *suites, "--model", model]),
        "weights": read_manifest(folders[0])["identity"]["weights"],
        "suites": {
            suite.name: {**_belonging(suite, folder), **suite.reference_entry(folder)}
            for suite, folder in zip(chosen, folders, strict=True)
        },
    }
    write_record(Path(out), content, named=False)
    return content


def _belonging(suite: Suite, folder: Path) -> dict[str, Any]:
    """What the constants of a suite belong to, by which they are refused for anything else."""
    size = {"image_size": suite.crop.image_size} if suite.crop else {}
    classes = classes_of(suite, open_source(suite.source))
    generator = read_manifest(folder)["identity"]["generator"]
    made_by = {"generator": generator} if generator else {}
    return {"protocol": suite.protocol(), **size, **classes, **made_by}
