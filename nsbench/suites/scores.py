"""From predictions to metrics with intervals: every metric is a mean over images, or over clips.

mCE, mFR and the like weigh an image's errors by constants of the reference, so that each image has
one score and the metric is their mean. Intervals and paired comparisons then need only the scores.
"""

from pathlib import Path

from nsbench.predictions import read_manifest
from nsbench.suites.base import SuiteScores
from nsbench.suites.load import parse_suite
from nsbench.util.errors import NsbenchError


def score(folder: Path) -> SuiteScores:
    """The metrics of a folder of predictions. Raises NsbenchError for a missing or broken file."""
    # The suite and the reference as they were evaluated: files of today may say something else.
    manifest = read_manifest(folder)
    try:
        suite = parse_suite(manifest["suite"], str(folder / "suite.json"))
        reference, info = manifest["reference"], manifest["model"]
        scored = suite.score(folder, reference)
        normaliser = reference["model"] if reference else None
        return SuiteScores(
            suite=suite,
            folder=folder,
            model=info["name"],
            info=info,
            manifest=manifest,
            metrics=scored.metrics,
            tables=scored.tables,
            reference=normaliser,
            parts=scored.parts,
        )
    # What damaged or foreign files raise once they are parsed; one sentence names the folder.
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NsbenchError(
            f"the predictions in {folder} are broken ({error!r}): delete the folder and evaluate "
            "again"
        ) from error
