"""Results as `score` gives them, without an evaluation."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from nsbench.metrics.change import Metric
from nsbench.suites.base import SuiteScores
from nsbench.suites.load import load_suite
from nsbench.suites.reference import reference_of

INPUT = {"image_size": 224, "crop_pct": 0.95, "crop_mode": "center", "interpolation": "bicubic"}
TV = {**INPUT, "crop_pct": 0.875, "interpolation": "bilinear"}


def metric(value: float) -> Metric:
    return Metric("m", ("a",), np.array([value]), True)


def result(
    suite: str,
    metrics: dict[str, float],
    images: int,
    *,
    model: dict[str, Any] | None = None,
    preprocessing: dict[str, Any] = INPUT,
    tables: dict[str, dict[str, list[float]]] | None = None,
    **manifest: Any,
) -> SuiteScores:
    """A result as `score` gives it, of resnet50.a1_in1k unless the model says another."""
    own = load_suite(suite)
    info = {"name": "m", "arch": "resnet50.a1_in1k", "parameters": 1, **(model or {})}
    content = {
        "suite": own.model_dump(exclude={"reference"}),
        "model": info,
        "images": images,
        "unreadable": {},
        "chosen": None,
        "released_files": True,
        "reference": reference_of(own),
        "identity": {"preprocessing": preprocessing, "weights": "0"},
        **manifest,
    }
    found = {key: metric(value) for key, value in metrics.items()}
    read = json.loads(json.dumps(content))  # as suite.json holds it
    return SuiteScores(own, Path(), "m", read["model"], read, found, tables or {}, None, {})
