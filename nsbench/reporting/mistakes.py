"""Single images that models get wrong: the surest mistakes of one, and where two models differ."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nsbench.names import is_noise
from nsbench.predictions import MANIFEST, read_cell, read_manifest
from nsbench.reporting.compare import check_one_model
from nsbench.reporting.gallery import (
    SEED,
    Answer,
    Choice,
    answer_at,
    at_middle,
    cell_choices,
    cells_shown,
    class_name,
    wrong_at,
)
from nsbench.reporting.results import Entry, collect
from nsbench.reporting.tables import Table
from nsbench.run_folder import generation_folders, is_run, place_in_seeds
from nsbench.suites.base import SuiteScores
from nsbench.suites.load import parse_suite
from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint

HASHED = (
    f"Of all such images those whose names have the lowest hash (SHA-256, seed {SEED}), as in the "
    "pictures of a report."
)
"""How the images of two models are chosen: not by hand."""


@dataclass(frozen=True)
class Mistake:
    """An image that a model is wrong on. before: what it says of the frame that it flips from."""

    image: str
    frame: int
    label: str
    answer: Answer
    before: str | None = None


@dataclass(frozen=True)
class Sure:
    """The surest mistakes of one model in a cell. total: how many it has there, of all images."""

    model: str
    suite: str
    cell: str
    shown: list[Mistake]
    total: int
    images: int

    def records(self) -> list[dict[str, Any]]:
        """A flat record for each image."""
        about = {"suite": self.suite, "cell": self.cell, "model": self.model}
        return [
            {
                **about,
                "image": one.image,
                "frame": one.frame,
                "label": one.label,
                "prediction": one.answer.name,
                "confidence": one.answer.confidence,
                "before": one.before,
            }
            for one in self.shown
        ]

    def tables(self) -> list[Table]:
        """One table for the terminal."""
        flips = any(one.before is not None for one in self.shown)
        title = f"{self.model}\n{_where(self.suite, self.cell)}: surest "
        if flips:
            columns = ["image", "frame", "label", "before", "then"]
            rows = [
                [one.image, str(one.frame + 1), one.label, one.before or "", _said(one.answer)]
                for one in self.shown
            ]
        else:
            columns = ["image", "label", "prediction"]
            rows = [[one.image, one.label, _said(one.answer)] for one in self.shown]
        title += "flips" if flips else "mistakes"
        what = "clips flip" if flips else "images are wrong"
        notes = [f"{self.total:,} of {self.images:,} {what}."]
        return [Table(title, columns, rows, self.records(), notes, prose=True)]


@dataclass(frozen=True)
class Apart:
    """Images that one of two models gets right and the other wrong, in one cell.

    gained: those that A gets wrong and B right; lost: the reverse. Of both there are `totals`.
    """

    a: str
    b: str
    suite: str
    cell: str
    gained: list[Choice]
    lost: list[Choice]
    totals: tuple[int, int]
    flips: bool

    def records(self) -> list[dict[str, Any]]:
        """A flat record for each image. right: the name of the model that is."""
        return [self._record(choice) for choice in (*self.gained, *self.lost)]

    def _record(self, choice: Choice) -> dict[str, Any]:
        return {
            "suite": choice.suite,
            "cell": choice.cell,
            "image": choice.image,
            "frame": choice.frame,
            "label": choice.label,
            "right": self.b if choice.gained else self.a,
            "a": self.a,
            "a_prediction": choice.teacher.name,
            "a_confidence": choice.teacher.confidence,
            "b": self.b,
            "b_prediction": choice.student.name,
            "b_confidence": choice.student.confidence,
        }

    def tables(self) -> list[Table]:
        """A table for each direction."""
        wrong, right = ("flips", "does not") if self.flips else ("is wrong", "right")
        head = f"A: {self.a}\nB: {self.b}\n{_where(self.suite, self.cell)}: "
        titles = (f"{head}A {wrong} and B {right}", f"B {wrong} and A {right}")
        frame = ["frame"] if self.flips else []
        tables = []
        for title, shown, total in zip(titles, (self.gained, self.lost), self.totals, strict=True):
            tables.append(
                Table(
                    f"{title}, {len(shown):,} of {total:,}",
                    ["image", *frame, "label", "A says", "B says"],
                    [self._row(choice) for choice in shown],
                    [self._record(choice) for choice in shown],
                    prose=True,
                )
            )
        # Said once, below both.
        tables[-1].notes.append(HASHED)
        return tables

    def _row(self, choice: Choice) -> list[str]:
        # Frames count from 0 in records, as in stored predictions, and from 1 where people read.
        frame = [str(choice.frame + 1)] if self.flips else []
        return [choice.image, *frame, choice.label, _said(choice.teacher), _said(choice.student)]


def mistakes(
    a: Path, b: Path | None, suite: str, cell: str | None = None, count: int = 10
) -> list[Sure] | list[Apart]:
    """The mistakes of a model, or what two models differ in, from stored predictions.

    a, b: a generation, a run of one generation, or a folder of one model's results. cell: such as
    `fog/3`; by default the images themselves, of corruptions the one with most errors at the middle
    severity or, of two models, those that changed most, as in the pictures of a report.
    count: images of each kind, at most.
    Raises NsbenchError for a path of several models, and a suite or cell that there is none of.
    """
    paths = [a] if b is None else [a, b]
    # All of it first: scoring a suite of 75 cells takes seconds.
    for path in paths:
        _check(path, suite, cell)
    # Only this suite, as a run may have results on many.
    entries = collect(paths, (), [suite])
    for entry in entries:
        if suite in entry.outdated:
            raise NsbenchError(
                f"the two were evaluated differently on {suite} ({entry.name}: "
                f"{entry.outdated[suite]}): evaluate both alike"
            )
    if b is None:
        scores = entries[0].scores[suite]
        return [_sure(entries[0], suite, cell or _worst(scores), count)]
    first, second = entries
    # The cells of the pictures in a report, so that both show the same images.
    shown = cells_shown(first.scores[suite], second.scores[suite])
    cells = [cell] if cell else shown or first.scores[suite].suite.cells()[:1]
    # The same rule for both models, whichever is called A: it only tells which cells are shown.
    return [_apart(first, second, suite, one, count) for one in cells]


def _check(path: Path, suite: str, cell: str | None) -> None:
    """Raise NsbenchError for several models, a suite without results, or a cell without a name.

    Before anything is scored, which takes seconds.
    """
    check_one_model(path)
    if place_in_seeds(path):
        raise NsbenchError(f"{path} stands for a model of every seed: name that of one seed")
    manifests = list(_manifests(path))
    # By the names of folders alone, which takes no time.
    known = sorted({manifest.parents[1].name for manifest in manifests})
    if suite not in known:
        if not known:
            raise NsbenchError(f"{path} was not evaluated: run nsbench eval first")
        raise NsbenchError(f"{path} was not evaluated on '{suite}'{nearest(suite, known)}")
    own = next(manifest for manifest in manifests if manifest.parents[1].name == suite)
    cells = parse_suite(read_manifest(own.parent)["suite"], str(own)).cells()
    if cell is not None and cell not in cells:
        raise NsbenchError(f"{suite} has no cell '{cell}'{nearest(cell, cells)}")


def _manifests(path: Path) -> Iterator[Path]:
    """The suite.json of all results of one model."""
    folder = generation_folders(path)[0] if is_run(path) else path
    results = folder / "results" if (folder / "model.json").is_file() else folder
    return results.glob(f"*/*/{MANIFEST}")


def _worst(scores: SuiteScores) -> str:
    """The cell of a suite that is shown of one model."""
    if "error" in scores.tables:
        # Over severities, as the mean error is; the middle one is neither trivial nor hopeless.
        errors = {name: np.mean(values) for name, values in scores.tables["error"].items()}
        return at_middle(max(errors, key=errors.__getitem__), scores.suite.cells())
    if "flip_probability" in scores.tables:
        flips = scores.tables["flip_probability"]
        return max(flips, key=lambda name: flips[name][0])
    # Kinds from outside may have cells of any name.
    return next(iter(cells_shown(scores, scores)), scores.suite.cells()[0])


def _sure(entry: Entry, suite: str, cell: str, count: int) -> Sure:
    scores = entry.scores[suite]
    frames = scores.suite.frame_count(cell)
    rows = read_cell(scores.folder, cell, id_step=frames)
    wrong = wrong_at(rows, frames, cell)
    # The surest mistake of each clip; -1 where there is none.
    sure = np.where(wrong, rows.confidence.reshape(wrong.shape), -1.0)
    best = sure.max(1)
    numbers = np.flatnonzero(wrong.any(1)).tolist()
    # Of equally sure ones, as of a model that is always certain, by hash and not by name.
    numbers.sort(key=lambda n: (-best[n], fingerprint([SEED, suite, cell, rows.ids[n]])))
    shown = []
    for number in numbers[:count]:
        # The first of equally sure frames.
        frame = int(sure[number].argmax())
        row = number * frames + frame
        # Noise is compared with the first frame, all else with the one before: see is_noise.
        base = row - frame if frames > 1 and is_noise(cell) else row - 1
        before = class_name(entry, int(rows.top[base, 0])) if frames > 1 else None
        # Their folders are named by what they are mistaken for, which is no label.
        unknown = scores.suite.has_unknown_classes and cell == "images"
        label = "unknown class" if unknown else class_name(entry, int(rows.labels[row]))
        answer = answer_at(entry, rows, row)
        shown.append(Mistake(rows.ids[number], frame, label, answer, before))
    return Sure(entry.name, suite, cell, shown, len(numbers), len(wrong))


def _apart(a: Entry, b: Entry, suite: str, cell: str, count: int) -> Apart:
    # All of them, as the title tells how many there are.
    found = cell_choices(a, b, suite, cell)
    gained = [choice for choice in found if choice.gained]
    lost = [choice for choice in found if not choice.gained]
    flips = a.scores[suite].suite.frame_count(cell) > 1
    totals = (len(gained), len(lost))
    return Apart(a.name, b.name, suite, cell, gained[:count], lost[:count], totals, flips)


def _said(answer: Answer) -> str:
    return f"{answer.name}, {100 * answer.confidence:.1f}%"


def _where(suite: str, cell: str) -> str:
    return suite if cell == "images" else f"{suite}, {cell}"


def mistake_tables(found: Sequence[Sure] | Sequence[Apart]) -> list[Table]:
    """All tables of what `mistakes` gave."""
    return [table for one in found for table in one.tables()]


def mistake_records(found: Sequence[Sure] | Sequence[Apart]) -> list[dict[str, Any]]:
    """All records of what `mistakes` gave, for JSON and CSV."""
    return [record for one in found for record in one.records()]
