"""The tables of `nsbench suites`: all shipped suites, and one suite explained."""

from pathlib import Path
from typing import Any

from nsbench.data.catalog import PREFIX, data_set, find, how_to_get
from nsbench.data.open import open_source
from nsbench.reporting.tables import Table
from nsbench.suites.base import Suite
from nsbench.suites.load import load_suite, shipped
from nsbench.suites.reference import reference_of
from nsbench.util.errors import NsbenchError


def suites_table() -> Table:
    """A row for each shipped suite."""
    data = [_facts(load_suite(name)) for name in shipped()]
    columns = ["suite", "kind", "images", "cells", "metric", "found"]
    rows = [
        [
            facts["name"],
            facts["kind"],
            _number(facts["image_count"]),
            str(len(facts["cells"])),
            facts["metric"],
            facts["found"],
        ]
        for facts in data
    ]
    notes = ["nsbench suites NAME explains one; a TOML file of your own is a suite too."]
    return Table("suites", columns, rows, data, notes)


def suite_table(name: str) -> Table:
    """One suite, shipped or a TOML file, explained. Raises NsbenchError as `load_suite` does."""
    suite = load_suite(name)
    facts = _facts(suite)
    rows = [
        ["kind", facts["kind"]],
        ["images", _number(facts["image_count"])],
        ["cells", f"{len(facts['cells'])}: {', '.join(facts['cells'][:8])}" + _more(facts)],
        ["protocol", facts["protocol"]],
        ["metric", facts["metric"]],
        ["normalised by", facts["reference"] or "nothing"],
        ["found", facts["found"]],
    ]
    for use in facts["uses"]:
        rows += [[use["role"], row] for row in _use_rows(use)]
    return Table(suite.name, ["", suite.description], _left(rows), facts, prose=True)


def _left(rows: list[list[str]]) -> list[list[str]]:
    """Rows with a title that repeats the one above left blank."""
    titles = ["", *(title for title, _ in rows)]
    return [
        ["" if title == above else title, text]
        for above, (title, text) in zip(titles, rows, strict=False)
    ]


def _more(facts: dict[str, Any]) -> str:
    return " …" if len(facts["cells"]) > 8 else ""


def _number(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _use_rows(use: dict[str, Any]) -> list[str]:
    where = use["path"] or ("missing" if use["missing"] else "")
    size = f"{use['gigabytes']:g} GB to download" if use["gigabytes"] else ""
    get = f"to get them: {use['how_to_get']}" if use["missing"] else ""
    texts = [use["name"], use["title"], use["citation"], size, where, get, use["instead"]]
    return [text for text in texts if text]


def _facts(suite: Suite) -> dict[str, Any]:
    reference = reference_of(suite)
    uses = _uses(suite)
    return {
        **suite.model_dump(exclude={"reference"}),
        "cells": suite.cells(),
        "image_count": _count(suite, reference),
        "metric": suite.metric_name,
        "reference": _normaliser(suite, reference),
        "protocol": suite.describe(),
        "found": _availability(suite, {use["role"]: use["missing"] for use in uses}),
        "uses": uses,
    }


def _normaliser(suite: Suite, reference: dict[str, Any] | None) -> str | None:
    if not reference or not suite.normalised:
        return None
    return f"{reference['model']}. {reference.get('source', '')}".strip(". ")


def _count(suite: Suite, reference: dict[str, Any] | None) -> int | None:
    """Images of the source that are evaluated, None where the source is not found."""
    if (ids := suite.chosen_ids(reference)) is not None:
        return len(ids)
    per_class = suite.images_per_class
    if suite.source.source.startswith(PREFIX):
        entry = data_set(suite.source.source.removeprefix(PREFIX))
        return entry.classes * per_class if per_class else entry.images
    try:
        source = open_source(suite.source)
    except NsbenchError:
        return None
    if per_class and source.labels is not None:
        return len(set(source.labels.tolist())) * per_class
    return len(source)


def _uses(suite: Suite) -> list[dict[str, Any]]:
    """The images that a suite reads, by role."""
    clean, files = suite.clean_source, suite.released_files
    named = {"source": suite.source.source, "files": files, "clean": clean and clean.source}
    return [_use(suite, role, name) for role, name in named.items() if name]


def _use(suite: Suite, role: str, name: str) -> dict[str, Any]:
    use: dict[str, Any] = {
        "role": role, "name": name, "title": "", "citation": "", "gigabytes": None,
        "path": None, "missing": False, "how_to_get": "", "instead": "",
    }  # fmt: skip
    if not name.startswith(PREFIX):
        path = Path(name).expanduser()
        # Neither a hub's data set nor a pattern is a path on this disk.
        elsewhere = name == "digits" or name.startswith("hf:") or "{" in name
        return use | {"path": str(path) if path.exists() else None,
                      "missing": not elsewhere and not path.exists(),
                      "how_to_get": "correct the path in the suite"}  # fmt: skip
    name = name.removeprefix(PREFIX)
    entry, folder = data_set(name), find(name)
    return use | {
        "title": entry.title,
        "citation": entry.source,
        "gigabytes": entry.gigabytes,
        "path": str(folder) if folder else None,
        "missing": folder is None,
        "how_to_get": how_to_get(name),
        "instead": "" if folder else _instead(suite, role),
    }


def _instead(suite: Suite, role: str) -> str:
    if role == "files" and suite.can_generate:
        return f"instead, they are made from {suite.source}"
    if role == "clean" and suite.clean_is_optional:
        return "instead, the clean accuracy is left out"
    return ""


def _availability(suite: Suite, missing: dict[str, bool]) -> str:
    if missing["source"]:
        return "missing"
    if missing.get("files"):
        return f"made from {suite.source}" if _instead(suite, "files") else "missing"
    if missing.get("clean"):
        return "without clean" if _instead(suite, "clean") else "missing"
    return "yes"
