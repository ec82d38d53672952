"""The table of formats names tests that exist, and every reader and form of checkpoint."""

import ast
import re
from pathlib import Path

from nsbench.models.names import HUB, LOCAL, SUFFIXES

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and "`" in line]


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def part(title: str) -> str:
    return TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_each_row_names_a_test_that_exists() -> None:
    assert len(ROWS) > 30
    for row in ROWS:
        named = re.fullmatch(r"`(\S+\.py)::(\w+)`", cells(row)[-1])
        assert named, row
        tree = ast.parse((ROOT / "tests" / named[1]).read_text(encoding="utf-8"))
        assert named[2] in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_each_reader_is_in_the_table() -> None:
    readers = {file.stem for file in (ROOT / "nsbench" / "data" / "readers").glob("[!_]*.py")}
    rows = [row for row in part("Data sets").splitlines() if row in ROWS]
    assert set(re.findall(r"\w+", " ".join(cells(row)[3] for row in rows))) == readers


def test_each_form_of_checkpoint_is_in_the_table() -> None:
    text = part("Checkpoints")
    for form in (*SUFFIXES, ".onnx", HUB, LOCAL, "timm:", "python:", "model.json", "recipe.toml"):
        assert form in text, form


def test_the_readme_leads_to_it() -> None:
    assert "(docs/formats.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
