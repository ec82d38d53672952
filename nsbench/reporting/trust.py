"""What makes a number comparable, and what it takes to repeat it: choices, versions, commands."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from nsbench.predictions import SETTINGS
from nsbench.reporting.results import Entry, suite_names
from nsbench.reporting.tables import Table, duration
from nsbench.run_folder import (
    control_folders,
    is_run,
    is_seeds,
    read_seeds,
    seed_runs,
    variant_folders,
)
from nsbench.suites.base import SuiteScores
from nsbench.util.progress import counted
from nsbench.util.provenance import short_commit

Value = Callable[[SuiteScores], str]
"""What is told of a model's results on a suite."""

About = Callable[[Mapping[str, Any]], str]
"""What is told of a record."""

T = TypeVar("T")

NAMED = 12
"""Models with the same text that are named; of more the number is told."""

UNREADABLE = 5
"""Images that could not be read that are named; of more the number is told."""


def choices_table(entries: Sequence[Entry]) -> Table:
    """A column for each suite: every choice that decides what its numbers compare with."""
    return _table("Choices that make numbers comparable", entries, CHOICES, [])


def runs_table(entries: Sequence[Entry]) -> Table:
    """A column for each suite: where, when and how fast it was evaluated."""
    notes = ["Wall time is of all models that were evaluated together, as they share the images."]
    return _table("Where and when it was evaluated", entries, RUNS, notes)


def trainings_table(entries: Sequence[Entry]) -> Table:
    """What each model was trained on: device, versions and commit, as far as they are known."""
    # Models of other people, and of an earlier version, may not say it.
    infos = {entry.name: entry.info for entry in entries if "environment" in entry.info}
    rows = [[part, _joined(infos, value)] for part, value in TRAININGS.items()] if infos else []
    return Table("What the models were trained on", ["what", "models"], rows, prose=True)


def trained_on(info: Mapping[str, Any]) -> str:
    """The GPU or the device that a model was trained on, by its record; empty if not known."""
    environment = info.get("environment", {})
    device = environment.get("gpu") or environment.get("device", "")
    return "CPU" if device == "cpu" else str(device)


def _table(
    title: str, entries: Sequence[Entry], parts: Mapping[str, Value], notes: list[str]
) -> Table:
    """A column for each suite, a row for each part."""
    names = suite_names(entries)
    own = [
        {entry.name: entry.scores[name] for entry in entries if name in entry.scores}
        for name in names
    ]
    rows = [[part, *(_joined(scores, value) for scores in own)] for part, value in parts.items()]
    return Table(title, ["suite", *names], rows, notes=notes, prose=True)


def _joined(own: Mapping[str, T], value: Callable[[T], str]) -> str:
    """What all models have, or else what each has, those with the same together."""
    found: dict[str, list[str]] = {}
    for name, known in own.items():
        found.setdefault(value(known), []).append(name)
    if len(found) == 1:
        return next(iter(found))
    return "\n".join(
        f"{', '.join(names) if len(names) <= NAMED else counted(len(names), 'model')}: {text}"
        for text, names in found.items()
        if text
    )


def _images(scores: SuiteScores) -> str:
    chosen = scores.manifest.get("chosen")
    return f"{scores.manifest['images']:,}" + (f", chosen by {chosen}" if chosen else ", all")


def _generator(scores: SuiteScores) -> str:
    made = scores.manifest["identity"].get("generator")
    if not made:
        return "the images themselves"
    return f"{made}" if made.startswith("the files ") else f"on the fly by {made}"


def _jpeg(scores: SuiteScores) -> str:
    quality = scores.suite.model_dump().get("jpeg_quality")
    if quality is None:
        return "not applied"
    return f"quality {quality}" if quality else "none"


def _resolution(scores: SuiteScores) -> str:
    crop = scores.suite.crop
    size = scores.manifest["identity"].get("preprocessing", {}).get("image_size")
    own = f"{crop.image_size} px crop of the suite" if crop else f"the model's {size} px crop"
    resized = scores.manifest.get("resized")
    return f"{own}, resized {resized}" if resized else own


def _reference(scores: SuiteScores) -> str:
    reference = scores.manifest.get("reference") or {}
    return f"{reference.get('model', 'none')}"


def _settings(scores: SuiteScores) -> str:
    identity = scores.manifest["identity"]
    texts = []
    for key, label in SETTINGS.items():
        value = identity.get(key)
        if isinstance(value, list):
            value = " and ".join(map(str, value)) or "none"
        elif isinstance(value, bool):
            value = "yes" if value else "none"
        texts.append(f"{label} {value}")
    return ", ".join(texts)


def _unreadable(scores: SuiteScores) -> str:
    names = sorted(scores.manifest.get("unreadable", {}))
    more = " …" if len(names) > UNREADABLE else ""
    return f"{len(names)}: {', '.join(names[:UNREADABLE])}{more}" if names else "none"


CHOICES: dict[str, Value] = {
    "images": _images,
    "unreadable": _unreadable,
    "pixels": _generator,
    "JPEG": _jpeg,
    "resolution": _resolution,
    "reference": _reference,
    "how models were run": _settings,
    "protocol": lambda scores: scores.manifest["identity"]["protocol"][:12],
    "image list": lambda scores: str(scores.manifest["identity"].get("images"))[:12],
}


def _environment(key: str) -> About:
    return lambda record: str(record.get("environment", {}).get(key) or "")


def _versions(record: Mapping[str, Any]) -> str:
    versions = record.get("environment", {}).get("versions", {})
    return ", ".join(f"{name} {version}" for name, version in versions.items() if version)


# In the record of a model's training, and in that of its results on a suite.
ENVIRONMENT: dict[str, About] = {
    "threads": _environment("threads"),
    "commit": lambda record: short_commit(_environment("git_commit")(record)),
    "python": _environment("python"),
    "versions": _versions,
}
TRAININGS = {"device": trained_on, **ENVIRONMENT}


def _in_manifest(value: About) -> Value:
    return lambda scores: value(scores.manifest)


def _wall(scores: SuiteScores) -> str:
    seconds = scores.manifest.get("seconds")
    return duration(seconds) if seconds else "in several parts"


def _rate(scores: SuiteScores) -> str:
    seconds = scores.manifest.get("seconds")
    frames = sum(scores.suite.frame_count(cell) for cell in scores.suite.cells())
    return f"{frames * scores.manifest['images'] / seconds:,.0f}" if seconds else ""


RUNS: dict[str, Value] = {
    "date": lambda scores: str(scores.manifest.get("evaluated", ""))[:10],
    "device": _in_manifest(_environment("device")),
    "processes": lambda scores: str(scores.manifest.get("processes", "")),
    "wall time": _wall,
    "images/s of a model": _rate,
    **{name: _in_manifest(value) for name, value in ENVIRONMENT.items()},
}


def commands(
    paths: Sequence[Path], entries: Sequence[Entry], recipes: Mapping[str, Any]
) -> list[str]:
    """The commands that make the report again, each on a line of its own.

    recipes: for each run folder its provenance, where it has one.
    """
    lines = []
    for path in filter(is_run, paths):
        about = recipes.get(path.resolve().name) or {}
        if about:
            seed = f" --set seed={about['seed']}" if about.get("seed") else ""
            options = f"{seed}{_options(_names_beside(path))} --out {shlex.quote(path.name)}"
            lines.append(f"nsbench train {about['recipe']}{options}")
    lines += [line for path in filter(is_seeds, paths) for line in _seeds_commands(path)]
    places = " ".join(shlex.quote(path.name) for path in paths)
    for options, names in _evaluations(entries).items():
        lines.append(f"nsbench eval {places} --suite {' '.join(names)}{options}")
    return [*lines, f"nsbench report {places} --out report.html"]


def _seeds_commands(home: Path) -> list[str]:
    """What trains all seeds; and what trains controls and variants that the last ones lack."""
    record, runs = read_seeds(home), seed_runs(home)
    first = f" --set seed={record['seeds'][0]}" if record["seeds"][0] else ""
    # How many of the first seeds there must be for the last one that has it.
    needed = {f: n for n, run in enumerate(runs, 1) for f in _names_beside(run)}
    lines = []
    for count in sorted({len(runs), *needed.values()}, reverse=True):
        own = [name for name, seeds in needed.items() if seeds == count]
        options = f"{first} --seeds {count}{_options(own)}"
        place = shlex.quote(home.resolve().name)
        lines.append(f"nsbench train {record['name']}{options} --out {place}")
    return lines


def _names_beside(run: Path) -> list[tuple[str, str]]:
    """The controls and variants of a run, each after the option that trains it."""
    found = {"controls": control_folders(run), "variants": variant_folders(run)}
    return [(option, folder.name) for option, own in found.items() for folder in own]


def _options(beside: Sequence[tuple[str, str]]) -> str:
    """The options that train controls and variants."""
    by_option: dict[str, list[str]] = {}
    for option, name in beside:
        by_option.setdefault(option, []).append(shlex.quote(name))
    return "".join(f" --{option} {' '.join(names)}" for option, names in by_option.items())


def _evaluations(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """The suites by the options that they were evaluated with."""
    found: dict[str, list[str]] = {}
    for name in suite_names(entries):
        scores = next(entry.scores[name] for entry in entries if name in entry.scores)
        identity, chosen = scores.manifest["identity"], scores.manifest.get("chosen")
        options = f" {chosen}" if chosen else ""
        if identity.get("precision", "float32") != "float32":
            options += f" --precision {identity['precision']}"
        found.setdefault(options, []).append(name)
    return found
