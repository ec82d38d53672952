"""Predictions to metrics with intervals: every metric is a mean over images, or over clips.

mCE, mFR and the like weigh an image's errors by constants of the reference, so each image has one
score and the metric is their mean. Intervals and paired comparisons then need only the scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsbench.metrics.calibration import DETECTION, calibration_percent
from nsbench.metrics.change import Detection, DetectionMetric, Metric
from nsbench.metrics.robustness import (
    Floats,
    corruption_errors,
    flip_probability,
    in_top_k,
    mce,
    normalised_mean,
    relative_mce,
    top5_distance,
)
from nsbench.names import CORRUPTIONS, frame_count, is_noise
from nsbench.predictions import Predictions, read_cell
from nsbench.suites.load import (
    AccuracySuite,
    AttackSuite,
    CorruptionSuite,
    DetectionSuite,
    PerturbationSuite,
    Suite,
    epsilon_cell,
    parse_suite,
)
from nsbench.util.errors import NsbenchError
from nsbench.util.files import read_json

Tables = dict[str, dict[str, list[float]]]

MIN_RISE = 0.05
"""Relative mCE leaves out, and says so, a corruption that raises the reference's mean error by less
than five points: it would divide by noise. AlexNet has none on ImageNet-C (the least is 13)."""

WORST_DISTANCE = 15.0
"""The top-5 distance of two rankings without a common class: 5 + 4 + 3 + 2 + 1."""


@dataclass(frozen=True)
class SuiteScores:
    """The metrics of one model on one suite, the first being the headline.

    tables: figures behind them, by name, each a map of a row (a corruption, an epsilon) to numbers.
    parts: what the headline is made of, by corruption (mean error) or perturbation (flips).
    """

    suite: Suite
    model: str
    info: dict[str, Any]
    manifest: dict[str, Any]
    metrics: dict[str, Metric]
    tables: Tables
    reference: str | None
    parts: dict[str, Metric] = field(default_factory=dict)


def score(folder: Path) -> SuiteScores:
    """The metrics of a folder of predictions. Raises NsbenchError for a missing or broken file."""
    manifest = read_json(folder / "suite.json")
    try:
        return _score(folder, manifest)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NsbenchError(
            f"the predictions in {folder} are broken ({error!r}): delete the folder and evaluate "
            "again"
        ) from error


def _score(folder: Path, manifest: dict[str, Any]) -> SuiteScores:
    suite = parse_suite(manifest["suite"], str(folder / "suite.json"))
    reference = manifest["reference"]
    parts: dict[str, Metric] = {}
    if isinstance(suite, AccuracySuite):
        metrics, tables = _accuracy({cell: read_cell(folder, cell) for cell in suite.cells()})
    elif isinstance(suite, DetectionSuite):
        metrics, tables = _detection(read_cell(folder, "images"), read_cell(folder, "clean"))
    elif isinstance(suite, CorruptionSuite):
        metrics, tables, parts = _corruption(suite, folder, reference)
    elif isinstance(suite, PerturbationSuite):
        metrics, tables, parts = _perturbation(suite, folder, reference)
    else:
        metrics, tables = _attack(suite, {cell: read_cell(folder, cell) for cell in suite.cells()})
    info = manifest["model"]
    used = reference["model"] if reference else None
    return SuiteScores(suite, info["name"], info, manifest, metrics, tables, used, parts)


def _correct(rows: Predictions, k: int = 1) -> NDArray[np.bool_]:
    return in_top_k(rows.labels, rows.top, k)


def _proportion(name: str, rows: Predictions, k: int = 1) -> Metric:
    scores: Floats = 100.0 * _correct(rows, k).astype(np.float64)
    return Metric(name, tuple(rows.ids), scores, True, proportion=True)


def _parts(ids: tuple[str, ...], name: str, scores: Mapping[str, Floats]) -> dict[str, Metric]:
    """A metric in percent for each row of a table, from its per-image fractions (N,)."""
    return {part: Metric(name, ids, 100 * values, False) for part, values in scores.items()}


def _accuracy(cells: Mapping[str, Predictions]) -> tuple[dict[str, Metric], Tables]:
    metrics = {
        "top1": _proportion("top-1", cells["images"]),
        "top5": _proportion("top-5", cells["images"], 5),
    }
    if "clean" in cells:
        metrics["clean_top1"] = _proportion("clean top-1", cells["clean"])
    rows = cells["images"]
    found = calibration_percent(rows.confidence.astype(np.float64), _correct(rows))
    return metrics, {"calibration": {name: [value] for name, value in found.items()}}


def _detection(unknown: Predictions, known: Predictions) -> tuple[dict[str, Metric], Tables]:
    """The score is minus the confidence; an image that could not be read has the worst one."""
    lost = unknown.top[:, 0] < 0
    confidence = np.concatenate([np.where(lost, 1, unknown.confidence), known.confidence])
    scores: Floats = -confidence.astype(np.float64)
    detection = Detection(scores, np.arange(len(scores)) < len(lost))
    ids = (*unknown.ids, *known.ids)
    metrics: dict[str, Metric] = {
        name.lower(): DetectionMetric(name, ids, scores, name != "FPR95", detection=detection)
        for name in DETECTION
    }
    metrics["clean_top1"] = _proportion("clean top-1", known)
    return metrics, {}


def mce_name(corruptions: Sequence[str]) -> str:
    """`mCE` of the 15 corruptions that it is defined by; of others their number stands with it."""
    if set(corruptions) == set(CORRUPTIONS):
        return "mCE"
    return f"mCE of {len(corruptions)} corruption{'s' if len(corruptions) > 1 else ''}"


def _corruption(
    suite: CorruptionSuite, folder: Path, reference: dict[str, Any] | None
) -> tuple[dict[str, Metric], Tables, dict[str, Metric]]:
    errors = {name: _errors(suite, folder, name) for name in suite.corruptions}
    clean_rows = read_cell(folder, "clean")
    clean = (~_correct(clean_rows)).astype(float)
    ids = tuple(clean_rows.ids)
    metrics = _normalised(errors, clean, ids, reference) if reference else {}
    per_corruption = np.stack([row.mean(0) for row in errors.values()])
    plain: Floats = 100 * per_corruption.mean(0)
    metrics["error"] = Metric("mean error under corruption", ids, plain, False)
    metrics["clean_top1"] = _proportion("clean top-1", clean_rows)
    tables = {"error": {name: (100 * row.mean(1)).tolist() for name, row in errors.items()}}
    if reference:
        found = corruption_errors(errors, reference["errors"])
        tables["ce"] = {name: [float(row.mean())] for name, row in found.items()}
    return (
        metrics,
        tables,
        _parts(ids, "error", {name: row.mean(0) for name, row in errors.items()}),
    )


def _normalised(
    errors: Mapping[str, NDArray[np.bool_]],
    clean: Floats,
    ids: tuple[str, ...],
    reference: Mapping[str, Any],
) -> dict[str, Metric]:
    """MCE, and relative mCE where the reference suffers; their bounds are to be always wrong."""
    base, clean_base = reference["errors"], reference["clean"]
    always = {name: np.ones(len(row)) for name, row in errors.items()}
    bounds = (0.0, float(mce(always, base)))
    metrics = {"mce": Metric(mce_name(list(errors)), ids, mce(errors, base), False, bounds=bounds)}
    rising = [name for name in errors if np.mean(base[name]) - clean_base >= MIN_RISE]
    if rising:
        some = f" ({len(rising)} of {len(errors)})" if len(rising) < len(errors) else ""
        chosen = {name: errors[name] for name in rising}
        values = relative_mce(chosen, clean, base, clean_base)
        most = float(relative_mce({name: always[name] for name in rising}, 0, base, clean_base))
        metrics["relative_mce"] = Metric(
            f"relative mCE{some}", ids, values, False, bounds=(-most, most)
        )
    return metrics


def _errors(suite: CorruptionSuite, folder: Path, name: str) -> NDArray[np.bool_]:
    """Whether each image is wrong at each severity, (S, N); a cell's rows are not kept."""
    cells = (read_cell(folder, f"{name}/{severity}", id_step=0) for severity in suite.severities)
    return np.stack([~_correct(rows) for rows in cells])


def _perturbation(
    suite: PerturbationSuite, folder: Path, reference: dict[str, Any] | None
) -> tuple[dict[str, Metric], Tables, dict[str, Metric]]:
    flips, distances = {}, {}
    for name in suite.cells():
        frames = frame_count(name, suite.image_size)
        rows = read_cell(folder, name, id_step=frames)
        top, noise = rows.top.reshape(-1, frames, rows.top.shape[1]), is_noise(name)
        lost = (top[..., 0] < 0).all(1)  # a clip that could not be read counts as the worst
        flips[name] = np.where(lost, 1.0, flip_probability(top[..., 0], noise))
        distances[name] = np.where(lost, WORST_DISTANCE, top5_distance(top, noise))
        ids = tuple(rows.ids)
    metrics = {}
    if reference:
        rates = normalised_mean(flips, reference["flip_probability"])
        most = normalised_mean(dict.fromkeys(flips, 1.0), reference["flip_probability"])
        metrics["mfr"] = Metric("mFR", ids, rates, False, bounds=(0, most))
        spread = normalised_mean(distances, reference["top5_distance"])
        most = normalised_mean(dict.fromkeys(flips, WORST_DISTANCE), reference["top5_distance"])
        metrics["mt5d"] = Metric("mT5D", ids, spread, False, bounds=(0, most))
    plain: Floats = 100 * np.stack(list(flips.values())).mean(0)
    metrics["flip_probability"] = Metric("mean flip probability", ids, plain, False)
    tables = {
        "flip_probability": {name: [float(100 * row.mean())] for name, row in flips.items()},
        "top5_distance": {name: [float(row.mean())] for name, row in distances.items()},
    }
    return metrics, tables, _parts(ids, "flip probability", flips)


def _attack(
    suite: AttackSuite, cells: Mapping[str, Predictions]
) -> tuple[dict[str, Metric], Tables]:
    title = suite.attack.upper()
    curve = {
        epsilon: _proportion(f"{title} ε={epsilon:g}", cells[epsilon_cell(epsilon)])
        for epsilon in suite.epsilons
    }
    first = curve[suite.headline]
    metrics = {f"{suite.attack}_{suite.headline:g}": first}
    metrics |= {f"{suite.attack}_{e:g}": metric for e, metric in curve.items()}
    tables = {
        "accuracy": {f"{e:g}": [m.value, *m.interval] for e, m in curve.items()},
    }
    return metrics, tables
