"""The metrics of the benchmarks for arrays of one's own, with what they are given checked."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nsbench.metrics.change import Change, Metric, change
from nsbench.metrics.given import FLAG, SCORES, given
from nsbench.metrics.robustness import corruption_errors as ce
from nsbench.metrics.robustness import mce, normalised_mean, relative_mce
from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError
from nsbench.util.text import a_type

Numbers = Mapping[str, ArrayLike]


def corruption_errors(errors: Numbers, reference: Any) -> dict[str, Any]:
    """CE of each corruption in percent: its errors over those of the reference.

    errors, reference: as for `mean_corruption_error`, which is the mean of these. Returns a float
    for each, or (N,) for images; raises as that.
    """
    rows, base = _both(errors, reference, "errors", 1)
    return {name: _plain(value) for name, value in ce(rows, base).items()}


def mean_corruption_error(errors: Numbers, reference: Any) -> Any:
    """The mCE in percent (Hendrycks and Dietterich, ICLR 2019).

    errors: for each corruption its errors by severity as fractions, (S,), or by severity and image,
    (S, N). reference: the same of the model that normalises, or what `nsbench.load_reference` gave,
    of which only the corruptions in `errors` count. Returns a float, or (N,) for images.
    Raises NsbenchError for a corruption or severity that the reference lacks, or values that are no
    fractions, and TypeError for what is no mapping.
    """
    rows, base = _both(errors, reference, "errors", 1)
    return _plain(mce(rows, base))


def relative_mean_corruption_error(
    errors: Numbers, clean_error: ArrayLike, reference: Any, reference_clean: float | None = None
) -> Any:
    """Relative mCE in percent: as mCE, of the rise of errors over those on clean images.

    clean_error: a fraction, or (N,). reference_clean: the error of the model that normalises on
    clean images, by default that of the reference. Returns and raises as `mean_corruption_error`.
    """
    rows, base = _both(errors, reference, "errors", 1)
    known = reference_clean if reference_clean is not None else getattr(reference, "clean", None)
    if known is None:
        raise NsbenchError("the reference has no error on clean images: give reference_clean")
    clean = _numbers("clean_error", clean_error, 1)
    for name, row in rows.items():
        if clean.ndim and clean.shape != row.shape[1:]:
            raise NsbenchError(
                f"clean_error has the shape {clean.shape}, and errors['{name}'] {row.shape}: give "
                "a number, or one for each image"
            )
    below = _numbers("reference_clean", known, 1)
    if below.size != 1:
        raise NsbenchError(f"reference_clean has the shape {below.shape}: give one number")
    return _plain(relative_mce(rows, clean, base, below.item()))


def mean_flip_rate(flip_probability: Numbers, reference: Any) -> Any:
    """The mFR in percent: the mean of flip probabilities over those of the reference.

    flip_probability: for each perturbation a fraction, or (N,) by clip, as `flip_probability`
    gives it. reference: as for `mean_corruption_error`. Returns and raises as that.
    """
    rows, base = _both(flip_probability, reference, "flip_probability", 1)
    return _plain(normalised_mean(rows, base))


def mean_top5_distance(top5_distance: Numbers, reference: Any) -> Any:
    """mT5D in percent: the mean of top-5 distances over those of the reference.

    top5_distance: for each perturbation a number from 0 to 15, or (N,) by clip, as `top5_distance`
    gives it. reference: as for `mean_corruption_error`. Returns and raises as that.
    """
    rows, base = _both(top5_distance, reference, "top5_distance", 15)
    return _plain(normalised_mean(rows, base))


@given(scores=SCORES, base=SCORES, higher_is_better=FLAG)
def paired_change(scores: ArrayLike, base: ArrayLike, *, higher_is_better: bool = True) -> Change:
    """The change of a mean score against that of another model on the same images.

    scores, base: (N,) for the same images in the same order, in any unit; booleans are whether a
    model was right, and become percent. The interval is a paired bootstrap of 2,000 resamples; the
    p-value is that of McNemar's exact test where scores are right or wrong.
    Raises NsbenchError if the two are not of one length, or empty.
    """
    pair = [_scores(values) for values in (scores, base)]
    if pair[0].shape != pair[1].shape or pair[0].ndim != 1 or not len(pair[0]):
        raise NsbenchError(
            f"the scores have the shapes {pair[0].shape} and {pair[1].shape}, but must be of the "
            "same images, (N,)"
        )
    ids = tuple(map(str, range(len(pair[0]))))
    right_or_wrong = all(np.isin(values, (0.0, 100.0)).all() for values in pair)
    bounds = (float(min(map(np.min, pair))), float(max(map(np.max, pair))))
    metric, other = (
        Metric("score", ids, values, higher_is_better, right_or_wrong, bounds) for values in pair
    )
    return change(metric, other)


def _scores(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values)
    return (100.0 if array.dtype == bool else 1.0) * array.astype(np.float64)


def _both(
    values: Any, reference: Any, key: str, most: float
) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
    """The values and their references as arrays, checked against each other."""
    base = getattr(reference, key, reference)
    for name, table in ((key, values), ("reference", base)):
        if not isinstance(table, Mapping):
            raise TypeError(f"{name} is {a_type(table)}, but must be a mapping of names")
    if not values:
        raise NsbenchError(f"{key} is empty: give at least one row")
    _check_known(values, base)
    rows = {name: _numbers(f"{key}['{name}']", value, most) for name, value in values.items()}
    chosen = {name: _numbers(f"reference['{name}']", base[name], most) for name in values}
    for name, row in rows.items():
        if chosen[name].ndim and row.shape[:1] != chosen[name].shape[:1]:
            count = row.shape[0] if row.ndim else 1
            severities = f"{count} severit{'y' if count == 1 else 'ies'}"
            raise NsbenchError(
                f"{key}['{name}'] has {severities}, but the reference has {len(chosen[name])}"
            )
        if not chosen[name].sum() > 0:
            raise NsbenchError(f"reference['{name}'] is 0, which cannot be divided by")
    return rows, chosen


def _check_known(names: Iterable[str], base: Mapping[str, Any]) -> None:
    for name in names:
        if name not in base:
            raise NsbenchError(f"the reference has no '{name}'{nearest(str(name), base)}")


def _numbers(what: str, values: ArrayLike, most: float) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise NsbenchError(f"{what} is {_shown(values)}, but must be numbers") from error
    # `not`, so that nan is refused too.
    if array.size and not (array.min() >= 0 and array.max() <= most):
        if np.isnan(array).any():
            raise NsbenchError(f"{what} has a value that is not a number (nan)")
        percent = ", not percent" if array.min() >= 0 else ""
        unit = f"fractions from 0 to 1{percent}" if most == 1 else f"from 0 to {most:g}"
        raise NsbenchError(
            f"{what} reaches from {array.min():.3g} to {array.max():.3g}, but must be {unit}"
        )
    return array


def _shown(values: Any) -> str:
    text = repr(values)
    return text if len(text) <= 60 else a_type(values)


def _plain(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else value
