"""The page of checked machines holds what their JSON files say."""

import json
import re
from pathlib import Path

import pytest

from nsbench import cli
from nsbench.reporting.speed_page import PAGE, page_text, write_page
from nsbench.util.anonymous import anonymous
from nsbench.util.errors import NsbenchError
from tests.conftest import ROOT
from tests.reporting.test_doctor_result import RESULT

PAGES = ROOT / "reports" / "speed"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "h100.json").write_text(json.dumps(RESULT))
    other = {**RESULT, "machine": "Some CPU", "device": "cpu", "sizes": "cpu", "steps": []}
    (tmp_path / "a-cpu.json").write_text(json.dumps(other))
    return tmp_path


def test_the_page_shows_each_machine(folder: Path) -> None:
    page = page_text(folder)
    assert page.index("## Some CPU") < page.index("## NVIDIA H100")  # by the files' names
    lines = page.splitlines()
    summary = "| [NVIDIA H100](h100.json) | 2026-01-31 | not all checked | 21,000 | – | – | – | – |"
    assert summary in lines
    assert "| fog/3 | 11,000 | 44,000 | 25% | launches |" in lines
    assert "| mean of the cells | 21,000 images/s, the goal is 20,000 | yes |" in lines
    assert "| evaluation_speed | 0 | no time | 3 s \\| left |" in lines
    assert "16 cores, driver 570.1, torch 2.9" in page
    verdicts = lines.index("| step | seconds | outcome | verdict |")
    assert lines[verdicts + 1] == "| --- | --- | --- | --- |"  # text is read from the left
    assert page == page_text(folder)
    assert str(folder) not in page


def test_many_speeds_are_folded_away(folder: Path) -> None:
    (found,) = (step for step in RESULT["steps"] if "speeds" in step)
    many = {**found, "speeds": {f"fog/{n}": found["speeds"]["fog/3"] for n in range(20)}}
    assert "<details>" not in page_text(folder)
    (folder / "many.json").write_text(json.dumps({**RESULT, "steps": [many]}))
    page = page_text(folder)
    start, end = page.index("<details><summary>corruption_speed"), page.index("</details>")
    assert page[start:end].count("| fog/") == 20


def test_figures_of_another_shape_do_no_harm(folder: Path) -> None:
    odd = {"step": "environment", "outcome": "measured", "verdict": "v", "seconds": 1.0,
           "figures": {"versions": [1], "cores": {"a": 1}}}  # fmt: skip
    (folder / "odd.json").write_text(json.dumps({**RESULT, "steps": [odd]}))
    assert "| environment | 1 | measured | v |" in page_text(folder)


def test_a_command_writes_it(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["doctor", "--page", str(folder)])
    assert not left.value.code
    assert "README.md is written" in capfd.readouterr().out.replace("\n", "")
    assert (folder / PAGE).read_text() == page_text(folder)


def test_a_file_of_another_kind_keeps_the_page_as_it_was(folder: Path) -> None:
    write_page(folder)
    before = (folder / PAGE).read_text()
    (folder / "other.json").write_text("{}")
    with pytest.raises(NsbenchError, match=r"other.json is not of nsbench doctor: move it out"):
        write_page(folder)
    assert (folder / PAGE).read_text() == before
    with pytest.raises(NsbenchError, match="has no JSON file: write one with nsbench doctor"):
        write_page(folder / "nowhere")
    assert not (folder / "nowhere").exists()


@pytest.mark.parametrize("path", sorted(PAGES.glob("*.json")), ids=lambda path: path.stem)
def test_what_is_in_the_repository_names_no_folder_host_or_user(path: Path) -> None:
    found = json.loads(path.read_text())
    assert anonymous(found) == found
    assert not re.search(r"/(home|root|tmp|usr|opt|work)\b", path.read_text())


@pytest.mark.skipif(not PAGES.is_dir(), reason="no machine is reported yet")
def test_the_page_in_the_repository_is_made_from_its_files() -> None:
    assert (PAGES / PAGE).read_text() == page_text(PAGES)
