"""Which of a model's results on a suite stand beside those of other models: only ones alike.

Two results are alike if they are of the same images, protocol, generator and reference, and were
computed with the same settings, such as precision and kind of device.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nsbench.predictions import SETTINGS, Result
from nsbench.suites.load import parse_suite
from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError

SUBSET = "subset"
"""What `across` calls the images that were chosen by --limit or --quick."""

ACROSS = (*SETTINGS, SUBSET)
"""The differences that a user can name, to have results compared that differ in them."""

Results = Mapping[str, Sequence[Result]]
"""A model's results by suite, those to be preferred first."""


class Chosen(NamedTuple):
    """A model's results by suite: the ones to show, and for the others a clause each, why not."""

    shown: dict[str, Result]
    other: dict[str, list[str]]


def check_across(across: Sequence[str]) -> None:
    """Raise NsbenchError for a difference that has no such name."""
    for name in across:
        if name not in ACROSS:
            near = nearest(name, ACROSS)
            raise NsbenchError(f"results cannot be compared across '{name}'{near}")


def choose(models: Sequence[Results], across: Sequence[str] = ()) -> list[Chosen]:
    """For each model the results to show, all of a suite alike but for what `across` names.

    Of several versions of a suite one on all of its images is preferred to a subset, then the one
    that most models have, then the newest.
    """
    suites = dict.fromkeys(name for results in models for name in results)
    wanted = {name: _preferred(name, models, across) for name in suites}
    return [chosen_like(results, wanted, across) for results in models]


def chosen_like(
    results: Results, wanted: Mapping[str, Result], across: Sequence[str] = ()
) -> Chosen:
    """Of one model's results those that are like the wanted ones; of other suites the first."""
    chosen = Chosen({}, {})
    for name, those in results.items():
        like = wanted.get(name, those[0])
        version = _version(like, across)
        shown = next((result for result in those if _version(result, across) == version), None)
        if shown:
            chosen.shown[name] = shown
        if clauses := [_difference(r, shown or like) for r in those if r is not shown]:
            chosen.other[name] = clauses
    return chosen


def _preferred(name: str, models: Sequence[Results], across: Sequence[str]) -> Result:
    by_version: dict[str, list[Result]] = {}
    for results in models:
        # Of several results of one version, which `across` allows, only the first would be shown.
        first = {_version(result, across): result for result in reversed(results.get(name, []))}
        for version, result in first.items():
            by_version.setdefault(version, []).append(result)

    def rank(those: list[Result]) -> tuple[bool, int, str]:
        whole = any(result.manifest.get("chosen") is None for result in those)
        return whole, len(those), max(str(r.manifest.get("evaluated")) for r in those)

    return max(by_version.values(), key=rank)[0]


def _version(result: Result, across: Sequence[str]) -> str:
    """What must be equal for two results to stand in one column."""
    manifest, identity = result.manifest, result.manifest["identity"]
    suite = parse_suite(manifest["suite"], str(result.folder / "suite.json"))
    keys = {*suite.comparable_keys, *SETTINGS} - {*across}
    if SUBSET in across:
        keys -= {"images", "clean"}
    compared = {key: identity.get(key) for key in sorted(keys)}
    return json.dumps([compared, manifest["reference"]], sort_keys=True)


def _difference(result: Result, shown: Result) -> str:
    """How a result differs from the one beside which it would stand, as a clause."""
    own, other = result.manifest, shown.manifest
    identities = own["identity"], other["identity"]
    clauses = [
        f"{label} {_text(identities[0].get(key))}, not {_text(identities[1].get(key))}"
        for key, label in SETTINGS.items()
        if identities[0].get(key) != identities[1].get(key)
    ]
    subsets = [m.get("chosen") or "all images" for m in (own, other)]
    if subsets[0] != subsets[1]:
        clauses.append(f"{subsets[0]}, not {subsets[1]}")
    if own["reference"] != other["reference"]:
        clauses.append("another reference")
    return "; ".join(clauses) or "another version of the suite, its images or their files"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " and ".join(map(str, value)) or "none"
    return str(value)
