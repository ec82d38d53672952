"""Images that the last student gets right and its teacher wrong, and the reverse.

Which they are, and how they are shown. Their pixels are made by `nsbench.evaluation.gallery`, which
needs torch.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nsbench.metrics.robustness import in_top_k
from nsbench.names import is_noise
from nsbench.predictions import Predictions, read_cell
from nsbench.reporting.gains import teacher_of
from nsbench.reporting.results import Entry, suite_names
from nsbench.suites.base import SuiteScores
from nsbench.util.files import fingerprint

SEED = 0

RULE = (
    "Which images are shown is not chosen by hand: of all that one model gets right and the other "
    f"wrong, those whose names have the lowest hash (SHA-256, seed {SEED}). Under corruptions, "
    "those of the corruption that the student gained most on and the one that it gained least on "
    "or lost most, at the middle severity; of sequences the one whose flips fell most, at the "
    "first frame where one model flips and the other does not; under attack at the strength that "
    "the summary has. Each model is attacked by itself: its pictures are made again on a CPU and "
    "rounded to the 8 bits of a file, and the answer under a name is the one to its own picture."
)


class Answer(NamedTuple):
    """What a model says of an image: its class, and how sure it is."""

    name: str
    confidence: float


@dataclass(frozen=True)
class Choice:
    """An image to show. gained: whether the student is right and the teacher wrong."""

    suite: str
    cell: str
    frame: int
    image: str
    gained: bool
    label: str
    teacher: Answer
    student: Answer


class PictureFile(NamedTuple):
    """A picture as the content of a file. kind: such as `png` or `webp`."""

    kind: str
    content: bytes

    @property
    def uri(self) -> str:
        """The picture as it stands in a page."""
        return f"data:image/{self.kind};base64,{base64.b64encode(self.content).decode()}"


@dataclass(frozen=True)
class Shot:
    """A choice with its pictures.

    views: by what they show, which is empty for the one that both models saw.
    """

    choice: Choice
    views: dict[str, PictureFile]


@dataclass(frozen=True)
class Sheet:
    """A contact sheet of a suite's corruptions, of one of its images: pictures under heads."""

    suite: str
    image: str
    heads: list[str]
    rows: dict[str, list[PictureFile]]


@dataclass(frozen=True)
class Gallery:
    """The pictures of a report. teacher, student: names. notes: of what could not be made."""

    teacher: str
    student: str
    shots: list[Shot] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def groups(self) -> list[tuple[str, list[Shot]]]:
        """Titles, and the shots of each: by suite and cell, what was gained comes first."""
        found: dict[str, list[Shot]] = {}
        for shot in self.shots:
            found.setdefault(_title(shot.choice), []).append(shot)
        return list(found.items())


def _title(choice: Choice) -> str:
    # A sequence has no right class at a frame: a model flips there, or does not.
    if choice.frame:
        who = "teacher" if choice.gained else "student"
        cell = choice.cell.replace("_", " ")
        return f"{choice.suite}, {cell}: only the {who} flips"
    what = "right, its teacher wrong" if choice.gained else "wrong, its teacher right"
    where = choice.cell.replace("_", " ").replace("/", ", severity ").replace("eps=", "ε = ")
    cell = "" if choice.cell == "images" else f", {where}"
    return f"{choice.suite}{cell}: the student is {what}"


def pair_shown(entries: Sequence[Entry]) -> tuple[Entry, Entry] | None:
    """The last student and its teacher; without generations the last model and the first one."""
    for entry in reversed(entries):
        if teacher := teacher_of(entry, entries):
            return teacher, entry
    return (entries[0], entries[-1]) if len(entries) > 1 else None


def choices(teacher: Entry, student: Entry, count: int) -> list[Choice]:
    """The images to show: up to `count` of each cell and direction, by `RULE`."""
    found = []
    for suite in suite_names([teacher, student]):
        if suite in teacher.scores and suite in student.scores:
            for cell in cells_shown(teacher.scores[suite], student.scores[suite]):
                found += cell_choices(teacher, student, suite, cell, count)
    return found


def cells_shown(teacher: SuiteScores, student: SuiteScores) -> list[str]:
    """The cells of a suite whose images are shown."""
    suite = student.suite
    cells = suite.cells()
    if "error" in student.tables:
        before, after = teacher.tables["error"], student.tables["error"]
        change = {name: np.mean(after[name]) - np.mean(before[name]) for name in after}
        ends = dict.fromkeys(
            [min(change, key=change.__getitem__), max(change, key=change.__getitem__)]
        )
        return [at_middle(name, cells) for name in ends]
    if "flip_probability" in student.tables:
        before, after = (s.tables["flip_probability"] for s in (teacher, student))
        return [min(after, key=lambda name: after[name][0] - before[name][0])]
    if "accuracy" in student.tables:
        headline = next(iter(student.metrics)).split("_", 1)[1]
        return [cell for cell in cells if cell == f"eps={headline}"]
    return [cell for cell in cells if cell == "images"]


def at_middle(corruption: str, cells: Sequence[str]) -> str:
    """The cell of a corruption at the middle severity of a suite."""
    levels = list(dict.fromkeys(cell.split("/")[1] for cell in cells if "/" in cell))
    return f"{corruption}/{levels[len(levels) // 2]}"


def cell_choices(
    teacher: Entry, student: Entry, suite: str, cell: str, count: int | None = None
) -> list[Choice]:
    """Up to `count` images of a cell in each direction, by the hash of `RULE`; else all."""
    frames = student.scores[suite].suite.frame_count(cell)
    pair = (teacher, student)
    rows = [read_cell(e.scores[suite].folder, cell, id_step=frames) for e in pair]
    ids = [*rows[0].ids]
    if ids != [*rows[1].ids]:  # `across` allows other images, which cannot be paired
        return []
    wrong = [wrong_at(one, frames, cell) for one in rows]
    found = []
    for gained, where in ((True, wrong[0] & ~wrong[1]), (False, wrong[1] & ~wrong[0])):
        numbers = np.flatnonzero(where.any(1)).tolist()
        ranked = sorted(numbers, key=lambda n: fingerprint([SEED, suite, cell, ids[n]]))
        for number in ranked[:count]:
            frame = int(where[number].argmax())
            row = number * frames + frame
            label = class_name(student, int(rows[1].labels[row]))
            answers = [answer_at(*one, row) for one in zip(pair, rows, strict=True)]
            found.append(Choice(suite, cell, frame, ids[number], gained, label, *answers))
    return found


def wrong_at(rows: Predictions, frames: int, cell: str) -> NDArray[np.bool_]:
    """Whether a model is wrong, or flips, at each frame: (N, F). frames: those of a clip."""
    return _flips(rows, frames, is_noise(cell)) if frames > 1 else _errors(rows)


def _errors(rows: Predictions) -> NDArray[np.bool_]:
    """Whether each image is wrong, (N, 1)."""
    return ~in_top_k(rows.labels, rows.top, 1)[:, None]


def _flips(rows: Predictions, frames: int, noise: bool) -> NDArray[np.bool_]:
    """Whether each frame of a clip flips, (N, F); the first never does."""
    top = rows.top[:, 0].reshape(-1, frames)
    flips = np.zeros(top.shape, np.bool_)
    flips[:, 1:] = top[:, 1:] != (top[:, :1] if noise else top[:, :-1])
    return flips


def answer_at(entry: Entry, rows: Predictions, row: int) -> Answer:
    """What a model says of the image in a row."""
    return Answer(class_name(entry, int(rows.top[row, 0])), float(rows.confidence[row]))


def class_name(entry: Entry, number: int) -> str:
    """What a class is called, by its number where the model does not know names."""
    names = entry.info.get("classes") or []
    return str(names[number]) if 0 <= number < len(names) else f"class {number}"
