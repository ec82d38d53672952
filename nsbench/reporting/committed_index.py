"""The list of the reports that are kept with a repository: what each is, and what it found."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from nsbench.reporting.ends import ends_text
from nsbench.reporting.layout import shared_prefix
from nsbench.util.config import NAME, Config, nearest, parse
from nsbench.util.errors import NsbenchError
from nsbench.util.files import read_object, read_text, write_text
from nsbench.util.provenance import short_commit

ABOUT, PREDICTIONS, PICTURE, REPORT = "about.json", "predictions", "picture.png", "report"
"""What lies where in the folder of a report."""

INDEX = "README.md"
"""The name that code hosts show below the list of a folder's files."""

BEGIN, END = "<!-- made by nsbench reports index -->", "<!-- end of what nsbench reports made -->"
"""Around what is made anew; what people write outside of these lines stays."""

HEAD = "# Reports of real runs\n"

HOW = (
    "Each folder holds a report as a page, CSV and JSON, and where it is small enough what its "
    "numbers come from: `nsbench reports verify` makes them again from the stored predictions, and "
    "compares."
)
"""The first paragraph of the list."""


class Called(Config):
    """How a report is made again: what `write_report` is called with."""

    places: list[str]
    title: str | None
    base: str | None
    across: list[str]


class AboutFile(Config):
    """What about.json holds. Anybody may have written it."""

    name: str
    title: str
    commands: list[str]
    remarks: list[str] = Field(default_factory=list)
    commit: str | None
    trained_at_commit: str | None = None
    date: str
    hardware: str
    report: Called
    picture: str | None = None
    predictions: str


SPEED = "speed"
"""Beside the reports: the checks of machines, which nsbench doctor makes."""


def check_name(home: Path, name: str) -> None:
    """Raise NsbenchError for a name that no report can have, or that something else has."""
    if not re.fullmatch(NAME, name) or name == SPEED:
        raise NsbenchError(
            f"a report cannot be called '{name}': choose letters, digits, dots and dashes"
            + (f", other than {SPEED}" if name == SPEED else "")
        )
    folder = home / name
    if folder.exists() and not (folder / ABOUT).is_file():
        raise NsbenchError(f"{folder} is there and no report: choose another name, or remove it")


def read_about(folder: Path) -> dict[str, Any]:
    """The about.json of a report. Raises NsbenchError if it is missing or broken."""
    path = folder / ABOUT
    return parse(AboutFile, read_object(path), str(path)).model_dump()


def entries_in(home: Path, names: Sequence[str] = ()) -> list[Path]:
    """The folders of all reports in a folder, or of those that are named.

    Others, as that of the speeds of machines, hold no about.json, and are none.
    Raises NsbenchError for a name that there is none of, or without any report.
    """
    # By about.json, so that a folder of anything else is left alone.
    found = {path.parent.name: path.parent for path in sorted(home.glob(f"*/{ABOUT}"))}
    # Half of one is left where adding it was killed.
    found = {name: folder for name, folder in found.items() if not name.startswith(".")}
    if not found:
        raise NsbenchError(f"{home} holds no report: make one by nsbench reports add RUN --name …")
    for name in names:
        if name not in found:
            raise NsbenchError(f"there is no report '{name}' in {home}{nearest(name, found)}")
    return [found[name] for name in names or found]


def write_index(home: Path) -> Path:
    """Write the list of the reports in a folder, and return its path.

    Raises NsbenchError without a report, or where one is broken.
    """
    parts = [HOW, *(_entry(folder) for folder in entries_in(home))]
    block = "\n\n".join([BEGIN, *parts, END])
    path = home / INDEX
    empty = f"{HEAD}\n{BEGIN}\n{END}\n"
    text = read_text(path, "mend or remove it") if path.exists() else empty
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (begun and ended):
        # Nobody has made room for the list: what is there was written by hand, and stays.
        before, after = f"{text.rstrip()}\n\n", "\n"
    write_text(path, before + block + after)
    return path


def _entry(folder: Path) -> str:
    """A report as Markdown: picture, title, what it found, commands, hardware."""
    about, name = read_about(folder), folder.name
    # The answers are those of the report itself, word for word, and so never out of date.
    content = read_object(folder / f"{REPORT}.json")
    answers = content.get("answers", [])
    if not isinstance(answers, list):
        raise NsbenchError(f"{folder / REPORT}.json holds no answers: make the report anew")
    title = _plain(about["title"])
    lines = [f"## [{title}]({name}/{REPORT}.html)"]
    if (folder / PICTURE).is_file():
        lines.append(f"![{_plain(about.get('picture') or title)}]({name}/{PICTURE})")
    if about["commands"]:
        # Indented, not fenced, so that no command can end the block; and before the answers, as it
        # would else be a part of the last of them.
        lines.append("\n".join(f"    {' '.join(one.split())}" for one in about["commands"]))
    if answers:
        lines.append("\n".join(f"- {_plain(str(answer))}" for answer in answers))
    if about["remarks"]:
        lines.append("What to know of these numbers:")
        lines.append("\n".join(f"- {_plain(remark)}" for remark in about["remarks"]))
    if claims := content.get("claims"):
        try:
            lines.append(_checklist(claims))
        except (KeyError, TypeError, ValueError) as error:
            raise NsbenchError(
                f"{folder / REPORT}.json holds claims without {error}: make the report anew"
            ) from error
    made = f"{about['date']}, {about['hardware']}"
    commit = f", commit {short_commit(about['commit'])}" if about["commit"] else ""
    csv, json = (f"[{ending.upper()}]({name}/{REPORT}.{ending})" for ending in ("csv", "json"))
    kept = f"predictions {about['predictions']}"
    lines.append(f"{_plain(made + commit)}; {csv}, {json}; {_plain(kept)}.")
    return "\n\n".join(lines)


def _checklist(claims: Sequence[dict[str, Any]]) -> str:
    """The claims of the paper as a Markdown table, word for word as in the report's JSON."""
    # Of every change what its first model has above the two that a gain is told against.
    roles = ("first teacher", "labeled-only")
    beside = " | ".join(f"against {role}" for role in roles)
    # The verdicts first: the changes that they rest on are too many to begin with.
    prefix = shared_prefix(
        [name for one in claims for a in one["answers"] for name in (a["model"], a["against"])]
    )
    rows = [
        "| claim of the paper | verdict | changes |",
        "|---|---|---|",
        *(
            f"| {_plain(one['claim'])} | **{_plain(one['verdict'])}** | {_counts(one)} |"
            for one in claims
        ),
        "",
        f"| claim of the paper, models | suite | change | n | verdict | {beside} |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in claims:
        found = f"**{_plain(one['claim'])}** ({_plain(one['source'])})"
        lacking = ", ".join(map(_plain, one["missing"]))
        commands = "".join(f": `{_plain(command)}`" for command in one["commands"])
        without = f"; without {lacking}{commands}" if lacking else ""
        if one["lacking"]:
            without += f"; not evaluated: {', '.join(map(_plain, one['lacking']))}"
        rows.append(f"| {found}{without} | | | | **{_plain(one['verdict'])}** | | |")
        for answer in one["answers"]:
            above = [answer["above"].get(role) for role in roles]
            change, *others = [_change(one) if one else "" for one in (answer, *above)]
            both = (answer[side].removeprefix(prefix) for side in ("model", "against"))
            models = " against ".join(map(_plain, both))
            models += f" ({_plain(answer['unequal'])})" if answer["unequal"] else ""
            suite = f"{_plain(answer['suite'])}, {_plain(answer['metric'])}"
            counts = f"{answer['seeds']} × {answer['images']:,}"
            verdict = _plain(answer["verdict"])
            cells = [models, suite, change, counts, verdict, *others]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _counts(one: dict[str, Any]) -> str:
    """`3 held, 1 did not hold`: how many changes say what."""
    counts = Counter(_plain(answer["verdict"]) for answer in one["answers"])
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def _change(one: dict[str, Any]) -> str:
    return f"{one['value']:+z.1f} {ends_text(*one['interval'])}"


def _plain(text: str) -> str:
    """A text on one line in which nothing is Markdown or HTML."""
    # Names of models and titles are anybody's text.
    marked = "".join(f"\\{letter}" if letter in "\\`*_[]<>#|" else letter for letter in text)
    return " ".join(marked.split())
