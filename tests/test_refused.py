"""What Python code gives by mistake ends in one sentence that names the argument."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import torch

import nsbench
from nsbench import corruptions, metrics, perturbations
from nsbench.results import Results, load_results
from nsbench.suites.given import suites_of
from nsbench.util.config import as_settings
from nsbench.util.errors import NsbenchError
from tests.conftest import write_suite
from tests.data.readers.test_given import LABELS, PIXELS, of_hub
from tests.evaluating import evaluate

IMAGES = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
CONFIDENCE, CORRECT = np.full(10, 0.5), np.zeros(10, bool)
BOTH = datasets.DatasetDict({"train": of_hub(), "test": of_hub()})
STREAM = of_hub().to_iterable_dataset()
ERRORS = {"fog": [0.2, 0.4]}

REFUSED: dict[str, Callable[[], Any]] = {
    "Results are of scores of suites, not of an int": lambda: Results([3]),  # type: ignore[list-item]
    "scores of suites, not of an int$": lambda: Results(3),  # type: ignore[arg-type]
    "path is an int, but must be the name of a file": lambda: Results([]).save_csv(3),  # type: ignore[arg-type]
    "path is None, but must be": lambda: Results([]).save_latex(None),  # type: ignore[arg-type]
    "by a number, a slice or a name, not by None": lambda: Results([])[None],  # type: ignore[call-overload]
    "no folder was named": load_results,
    "Reference: the key 'model' is missing": lambda: nsbench.Reference(),  # type: ignore[call-arg]
    "Reference: the key 'model' is 3, but must be a valid string": lambda: nsbench.Reference(
        model=3,  # type: ignore[arg-type]
        suites=3,  # type: ignore[arg-type]
    ),
    "there is no perturbation '3'": lambda: perturbations.is_noise(3),  # type: ignore[arg-type]
    "quality is 'a', but must be": lambda: corruptions.jpeg(IMAGES, "a"),  # type: ignore[arg-type]
    "quality is 500, but must be": lambda: corruptions.jpeg(IMAGES, 500),
    "JPEG files need a torch tensor": lambda: corruptions.jpeg([3], 50),  # type: ignore[arg-type]
    "need dense tensors": lambda: corruptions.corrupt(IMAGES.to_sparse(), "fog", 1),
    "severity is '1', but must be": lambda: corruptions.corrupt(IMAGES, "fog", "1"),  # type: ignore[arg-type]
    "successes is 5, but must be from 0 to trials, 1": lambda: metrics.wilson(5, 1),
    "successes is -1": lambda: metrics.wilson(-1, 5),
    "seed is -1, but must be at least 0": lambda: metrics.bootstrap(np.array([1.0, 2.0]), -1),
    "clean_error has the shape": lambda: metrics.relative_mean_corruption_error(
        ERRORS, [0.1, 0.2], ERRORS, 0.1
    ),
    "reference_clean has the shape": lambda: metrics.relative_mean_corruption_error(
        ERRORS,
        0.1,
        ERRORS,
        [0.1, 0.2],  # type: ignore[arg-type]
    ),
    "ids is an int": lambda: metrics.Metric("x", 3, np.zeros(1), True),  # type: ignore[arg-type]
    "name is an int": lambda: metrics.Metric(3, ("a",), np.zeros(1), True),  # type: ignore[arg-type]
    "scores is a list": lambda: metrics.Metric("x", ("a", "b"), [1, 2], True),  # type: ignore[arg-type]
    "there are 1 id and 2 scores": lambda: metrics.Metric("x", ("a",), np.zeros(2), True),
    "confidence is of 10 images and correct of 5": lambda: metrics.expected_calibration_error(
        CONFIDENCE, CORRECT[:5]
    ),
    "higher_is_better must be true or false": lambda: metrics.paired_change(
        [1.0],
        [2.0],
        higher_is_better="no",  # type: ignore[arg-type]
    ),
    "five classes a frame": lambda: metrics.top5_distance(np.zeros((2, 3, 4), int), False),
    "two frames a clip at least": lambda: metrics.flip_probability(np.array([[1]]), False),
    "the key 'mean' is .*, but must have at least 3 values": lambda: nsbench.ModelOptions(
        mean=[1, 2]
    ),
    "no argument source": lambda: nsbench.suite_of("accuracy", (PIXELS, LABELS), source="x"),
    "label_column is for data sets with columns": lambda: nsbench.suite_of(
        "accuracy", (PIXELS, LABELS), label_column="x"
    ),
    "no suite was named": lambda: suites_of([]),
    "no suite was named: name": lambda: suites_of(""),
    "suites has a DatasetDict.*the splits train, test: give one": lambda: suites_of(BOTH),
    "data is a DatasetDict of the splits": lambda: nsbench.suite_of("accuracy", BOTH),
    "data is a DataFrame, but must be": lambda: nsbench.suite_of("accuracy", pd.DataFrame()),
    "data is an IterableDataset, but must": lambda: nsbench.suite_of("accuracy", STREAM),
    "data is a dict, but must be": lambda: nsbench.suite_of("accuracy", {"image": PIXELS}),
    "data has 1 part, but": lambda: nsbench.suite_of("accuracy", (PIXELS,)),
    "suites has an int, but must be": lambda: suites_of(3),
    "leave out recipe, or leave out resume": lambda: nsbench.train("quickstart", resume="r"),
    "leave out out, or leave out resume": lambda: nsbench.train(out="x", resume="r"),
    "leave out settings": lambda: nsbench.train(settings={"seed": 1}, resume="r"),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_a_wrong_argument_is_named(sentence: str) -> None:
    with pytest.raises((NsbenchError, TypeError, ValueError), match=sentence) as caught:
        REFUSED[sentence]()
    assert "\n" not in str(caught.value)


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    assert type(nsbench.ModelOptions(image_size=np.int64(32)).image_size) is int  # type: ignore[arg-type]
    assert as_settings({"seed": np.int64(3), "lr": np.float64(0.5)}) == ["seed=3", "lr=0.5"]


def test_results_that_are_left_out_are_told(tiny_run: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "part.toml", 'kind = "accuracy"\nsource = "digits"\n')
    # A copy, since other tests evaluate the run too.
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("results"))
    one = str(run / "generation-0")
    evaluate([one], [suite], device="cpu", limit=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_results(one)
    evaluate([one], [suite], device="cpu", limit=4)
    told = "has other results on part, which are left out: --limit"
    with pytest.warns(UserWarning, match=told) as caught:
        load_results(one)
    assert __file__ in [one.filename for one in caught]
