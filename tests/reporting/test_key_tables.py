"""Every key of recipes and suites is explained."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from nsbench.recipes.files import shipped as recipes
from nsbench.reporting.key_tables import RECIPE, recipe_key_tables, suite_key_tables
from nsbench.suites.load import kinds
from nsbench.suites.load import shipped as suites
from nsbench.util.config import read_toml
from tests.test_cli import call

TABLES = [*recipe_key_tables(), *suite_key_tables()]


@pytest.mark.parametrize("title", [table.title for table in TABLES])
def test_every_key_has_a_docstring_of_its_own(title: str) -> None:
    (table,) = [one for one in TABLES if one.title == title][:1]
    assert table.data
    for row in table.data:
        assert re.match(r"[A-Z`].*\.$", row["about"]), (title, row["key"])
    texts = [row["about"] for row in table.data]
    assert len(set(texts)) == len(texts)


def test_every_key_of_the_classes_is_listed() -> None:
    for table, kind in zip(recipe_key_tables(), RECIPE.values(), strict=True):
        assert [row["key"] for row in table.data] == list(kind.model_fields)
    listed = {row["key"] for table in suite_key_tables() for row in table.data}
    assert {key for kind in kinds().values() for key in kind.model_fields} <= listed


def keys_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(keys_in(part) for part in value.values()))
    return set().union(*(keys_in(part) for part in value)) if isinstance(value, list) else set()


def test_what_shipped_files_use_is_explained() -> None:
    listed = {row["key"] for table in TABLES for row in table.data}
    free = {"defaults", "controls", "variants"}  # tables of tables, explained themselves
    for path in (*recipes().values(), *suites().values()):
        table = read_toml(path)
        for section in (table.get("defaults", {}), *table.get("generations", [])):
            section.pop("model_args", None)
            section.pop("optimizer_args", None)
        assert keys_in(table) <= listed | free, path.name


def test_defaults_and_limits_are_told() -> None:
    rows = {row["key"]: row for row in recipe_key_tables()[3].data}
    assert rows["arch"]["default"] == "needed"
    assert rows["lr"]["default"] == "0.1"
    assert rows["lr"]["range"] == "Above 0"
    assert rows["dropout"]["range"] == "From 0 below 1"
    assert rows["channels_last"]["default"] == "true"
    rows = {row["key"]: row for table in suite_key_tables() for row in table.data}
    assert rows["severities"]["default"] == "[1, 2, 3, 4, 5]"
    assert rows["corruptions"]["default"] == "15 names"


def test_the_commands_print_them(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for command in ("recipes", "suites"):
        assert call(command, "--keys", "--json", tmp_path / "k.json") == 0
        assert "keys of" in capfd.readouterr().out
        assert all(table for table in json.loads((tmp_path / "k.json").read_text()))
