"""Reports that are kept: what is in their folders, and whether their numbers hold."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nsbench.reporting.claims import FAILED, HELD, NOT_RUN, UNDECIDED
from nsbench.reporting.committed import About, add_report
from nsbench.reporting.committed_check import (
    TOLERANCE,
    compare_records,
    verified_table,
    verify_reports,
)
from nsbench.reporting.committed_index import BEGIN, END, write_index
from nsbench.util.errors import NsbenchError
from tests.conftest import ROOT
from tests.reporting.test_report import evaluated as evaluated
from tests.reporting.test_seeds import files as files
from tests.reporting.test_seeds import home as home
from tests.test_cli import call

ABOUT = About(
    ["nsbench train tiny.toml", "nsbench eval run --suite `c`"], "2 cores", "A <b>run</b>"
)


@pytest.fixture(scope="module")
def kept(evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one report, with the speeds of machines beside it."""
    folder = tmp_path_factory.mktemp("kept") / "reports"
    (folder / "speed").mkdir(parents=True)
    (folder / "speed" / "README.md").write_text("speeds\n")
    add_report(evaluated, "tiny", ABOUT, home=folder)
    return folder


@pytest.fixture
def copy(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "reports"))


KEPT = sorted(path.parent for path in (ROOT / "reports").glob("*/about.json"))
VERDICTS = {HELD, FAILED, UNDECIDED, NOT_RUN}


def change(report: Path, **values: Any) -> None:
    """Write other numbers into the first record, in both files."""
    path = report / "report.json"
    content = json.loads(path.read_text())
    content["records"][0] |= values
    path.write_text(json.dumps(content))
    rows = content["records"]
    with (report / "report.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def test_the_folder_of_a_report(kept: Path, evaluated: Path) -> None:
    folder = kept / "tiny"
    names = {path.name for path in folder.iterdir()}
    assert names == {"report.html", "report.csv", "report.json", "about.json", "picture.png",
                     "predictions"}  # fmt: skip
    about = json.loads((folder / "about.json").read_text())
    assert about["commands"] == list(ABOUT.commands)
    assert (about["hardware"], about["title"]) == ("2 cores", "A <b>run</b>")
    assert about["report"] == {"places": ["run"], "title": "A <b>run</b>", "base": None,
                               "across": []}  # fmt: skip
    # The heat map comes before the figures of other suites.
    assert (folder / "picture.png").read_bytes().startswith(b"\x89PNG")
    inside = [path for path in (folder / "predictions").rglob("*") if path.is_file()]
    assert about["predictions"].startswith(f"{len(inside)} files")
    assert not any(path.suffix in (".safetensors", ".arrow", ".npy") for path in inside)
    stored = {path.relative_to(evaluated) for path in evaluated.rglob("suite.json")}
    packed = {path.relative_to(folder / "predictions") for path in inside}
    assert packed >= {Path("run") / path for path in stored} | {Path("images.parquet")}


def test_what_is_written_holds(kept: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (one,) = verify_reports(kept)
    records = json.loads((kept / "tiny" / "report.json").read_text())["records"]
    numbers = [r[key] for r in records for key in ("value", "low", "high") if r[key] is not None]
    assert (one.holds, str(one)) == (True, f"holds ({len(numbers)} values)")
    assert call("reports", "verify", "--home", kept) == 0
    assert "holds (" in capfd.readouterr().out


@pytest.mark.parametrize("key", ["value", "low", "high"])
def test_another_number_is_told(copy: Path, key: str, capfd: pytest.CaptureFixture[str]) -> None:
    record = json.loads((copy / "tiny" / "report.json").read_text())["records"][0]
    change(copy / "tiny", **{key: record[key] + TOLERANCE / 2})
    assert verify_reports(copy)[0].holds
    change(copy / "tiny", **{key: record[key] + 2 * TOLERANCE})
    assert call("reports", "verify", "tiny", "--home", copy) == 1
    printed = " ".join(capfd.readouterr().out.split())
    assert f"differs: {record['model']} on {record['suite']}, {record['metric']}: {key}" in printed


def test_records_are_paired_by_what_they_are_of() -> None:
    def record(**values: Any) -> dict[str, Any]:
        return {"model": "m", "suite": "s", "metric": "k", "value": 1.0, **values}

    stated = [record(), record(against="b", value=2.0, verdict="better")]
    assert compare_records(stated, stated[::-1]) == []
    assert compare_records(stated, stated[:1]) == [
        "m on s, k against b is not in what the predictions give"
    ]
    assert compare_records(stated[:1], stated) == ["m on s, k against b is missing"]
    other = [stated[0], record(against="b", value=2.0, verdict="undecided")]
    (told,) = compare_records(stated, other)
    assert told == "m on s, k against b: verdict better, but undecided by the predictions"
    assert compare_records([record(value=None)], [record()]) != []
    assert compare_records([record(value=float("nan"))], [record()]) != []


def test_damaged_and_foreign_predictions_are_differences(copy: Path, tmp_path: Path) -> None:
    path = next((copy / "tiny" / "predictions").rglob("images.parquet"))
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    (one,) = verify_reports(copy)
    assert one.holds is False
    assert "cannot be made again" in str(one)
    path.write_bytes(content)
    about = json.loads((copy / "tiny" / "about.json").read_text())
    about["report"]["places"] = ["../../elsewhere"]
    (copy / "tiny" / "about.json").write_text(json.dumps(about))
    assert "places outside of its predictions" in str(verify_reports(copy)[0])


def test_a_csv_of_other_numbers_is_told(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = copy / "tiny" / "report.csv"
    path.write_text(path.read_text().replace("top1", "top2"))
    assert "report.csv has other records than report.json" in str(verify_reports(copy)[0])
    path.write_bytes(b"\xff")
    assert call("reports", "verify", "--home", copy) == 1
    said = capfd.readouterr()
    assert "differs: report.csv has other records" in " ".join(said.out.split())
    assert "stopped" not in said.err


def test_a_list_that_is_no_text_is_told(copy: Path) -> None:
    (copy / "README.md").write_bytes(b"\xff")
    with pytest.raises(NsbenchError, match=r"README\.md \(it is not UTF-8\): mend or remove it"):
        write_index(copy)


def test_large_predictions_are_left_out(evaluated: Path, tmp_path: Path) -> None:
    folder = add_report(evaluated, "tiny", About(), home=tmp_path, most_megabytes=0.01)
    assert not (folder / "predictions").exists()
    about = json.loads((folder / "about.json").read_text())
    assert about["predictions"].startswith("left out: ")
    # Of a report that names none the commands are those that it says itself.
    assert about["commands"][-1] == "nsbench report run --out report.html"
    assert about["hardware"].endswith("CPU cores")
    (one,) = verify_reports(tmp_path)
    assert (one.holds, str(one)) == (None, "has no predictions to verify from")
    assert call("reports", "verify", "--home", tmp_path) == 0
    assert verified_table([one]).data[0]["holds"] is None
    # A report of the same name is made anew, and all of it.
    add_report(evaluated, "tiny", About(), home=tmp_path)
    assert verify_reports(tmp_path)[0].holds
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["README.md", "tiny"]


def test_the_index_says_what_was_found(kept: Path, copy: Path) -> None:
    text = (kept / "README.md").read_text()
    assert "## [A \\<b\\>run\\</b\\>](tiny/report.html)" in text
    assert "](tiny/picture.png)" in text
    assert "\n    nsbench eval run --suite `c`\n" in text
    content = json.loads((kept / "tiny" / "report.json").read_text())
    assert content["answers"]
    assert text.count("\n- ") == len(content["answers"])
    assert "speed" not in text
    assert (kept / "speed" / "README.md").read_text() == "speeds\n"
    by_hand = f"# Mine\n\nfirst\n\n{BEGIN}\nof before\n{END}\n\nlast\n"
    (copy / "README.md").write_text(by_hand)
    made = write_index(copy).read_text()
    assert made.startswith("# Mine\n\nfirst\n")
    assert made.endswith("\n\nlast\n")
    assert "of before" not in made
    (copy / "README.md").write_text("only words\n")
    write_index(copy)
    again = write_index(copy).read_text()
    assert again.startswith("only words\n\n<!--")
    assert again.count("tiny/report.html") == 1


def test_without_corruptions_the_picture_is_of_an_attack(evaluated: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(evaluated, tmp_path / "run"))
    for results in run.rglob("results/c"):
        shutil.rmtree(results)
    add_report(run, "tiny", ABOUT, home=tmp_path)
    about = json.loads((tmp_path / "tiny" / "about.json").read_text())
    assert "of images on average over ε up to 8" in about["picture"]


def test_seeds_are_kept_and_hold(home: Path, tmp_path: Path) -> None:
    add_report(home, "many", About(title="Many"), home=tmp_path)
    about = json.loads((tmp_path / "many" / "about.json").read_text())
    assert (about["title"], about["report"]["title"]) == ("Many", None)
    assert about["picture"].startswith("Of 2 claims of the paper, ")
    (one,) = verify_reports(tmp_path)
    assert one.holds
    assert (one.values or 0) > 20
    # One seed of them has its name from the folder of all.
    add_report(home / "seed-1", "one", About(), home=tmp_path)
    assert [str(found).split()[0] for found in verify_reports(tmp_path)] == ["holds", "holds"]
    add_report(home / "seed-1" / "controls" / "labeled-only", "alone", About(), home=tmp_path)
    assert verify_reports(tmp_path, ["alone"])[0].holds


def test_the_commands(
    evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from nsbench.commands.completion import complete_report

    monkeypatch.chdir(tmp_path)
    Path("remarks.txt").write_text("It is <small>.\nVery small.\n\n\nAnd | dim.\n")
    words = [
        "--remarks",
        "remarks.txt",
        "--command",
        "nsbench train tiny, twice",
        "nsbench eval",
        "--hardware",
        "a laptop",
    ]
    options = ["--title", "Tiny", "--base", "run/generation-1", "--images", "1"]
    assert call("reports", "add", evaluated, "--name", "tiny", *words, *options) == 0
    about = json.loads(Path("reports/tiny/about.json").read_text())
    assert about["commands"] == ["nsbench train tiny, twice", "nsbench eval"]
    assert about["report"]["base"] == "run/generation-1"
    assert about["remarks"] == ["It is <small>. Very small.", "And | dim."]
    assert (
        "<li>It is &lt;small&gt;. Very small.</li>" in Path("reports/tiny/report.html").read_text()
    )
    assert "data:image/" in Path("reports/tiny/report.html").read_text()
    assert call("reports", "verify", "--json", "v.json") == 0
    (record,) = json.loads(Path("v.json").read_text())
    assert (record["report"], record["holds"]) == ("tiny", True)
    Path("reports/README.md").unlink()
    assert call("reports", "index") == 0
    listed = Path("reports/README.md").read_text()
    assert "Tiny" in listed
    assert "\n- It is \\<small\\>. Very small.\n- And \\| dim.\n" in listed
    assert complete_report("t") == ["tiny"]
    assert call("reports", "verify", "tinny") == 2
    assert "there is no report 'tinny' in reports; did you mean 'tiny'?" in capfd.readouterr().err


def test_what_is_refused_leaves_nothing(evaluated: Path, tmp_path: Path) -> None:
    for name in ("speed", "a/b", ".hidden", ""):
        with pytest.raises(NsbenchError, match="a report cannot be called"):
            add_report(evaluated, name, About(), home=tmp_path)
    (tmp_path / "mine").mkdir()
    with pytest.raises(NsbenchError, match="is there and no report"):
        add_report(evaluated, "mine", About(), home=tmp_path)
    with pytest.raises(NsbenchError, match="there is no model 'x' to compare with"):
        add_report(evaluated, "tiny", About(base="x"), home=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    with pytest.raises(NsbenchError, match="holds no report: make one by nsbench reports add"):
        verify_reports(tmp_path)


def test_predictions_of_reports_are_not_ignored_by_git() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout")
    path = "reports/x/predictions/run/generation-0/results/digits/0/suite.json"
    asked = [["git", "-C", str(ROOT), "check-ignore", "-q", one] for one in (path, f"runs/{path}")]
    assert [subprocess.run(command).returncode for command in asked] == [1, 0]


def _row_of(
    rows: list[dict[str, str]], answer: dict[str, Any], against: str, seeds: int
) -> dict[str, str]:
    """The one row of the CSV with the change of an answer's model against another one."""
    metric = answer["metric"].split(" ↑")[0].split(" ↓")[0]
    wanted = {**{key: answer[key] for key in ("model", "suite")}, "against": against}
    wanted["seeds"] = f"{seeds}"
    (row,) = [row for row in rows if row["metric"] == metric and wanted.items() <= row.items()]
    return row


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: folder.name)
def test_numbers_of_the_checklist_are_in_the_data_beside_it(folder: Path) -> None:
    content = json.loads((folder / "report.json").read_text())
    with (folder / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    page = (ROOT / "reports" / "README.md").read_text()
    section = page[page.index(f"]({folder.name}/report.html)") :].split("\n## ")[0]
    listed = [line for line in section.splitlines() if line.startswith("|")]
    answers = [answer for claim in content.get("claims", []) for answer in claim["answers"]]
    # The verdicts alone, and then each with its changes.
    claims = content.get("claims", [])
    assert len(listed) == (4 + 2 * len(claims) + len(answers) if answers else 0)
    prefix = f"{content['title']}/"
    for answer in answers:
        row = _row_of(rows, answer, answer["against"], answer["seeds"])
        numbers = [answer["value"], *answer["interval"]]
        assert [float(row[key]) for key in ("value", "low", "high")] == numbers
        assert (int(row["seeds"]), int(row["images"])) == (answer["seeds"], answer["images"])
        text = f"{_shown(*numbers)} | {row['seeds']} × {answer['images']:,}"
        of_it = [line for line in listed if f"| {text} | {answer['verdict']} |" in line]
        both = (answer[side].removeprefix(prefix) for side in ("model", "against"))
        models = " against ".join(both)
        of_it = [line for line in of_it if models in line and answer["unequal"] in line]
        assert of_it
        for other in answer["above"].values():
            row = _row_of(rows, answer, other["against"], other["seeds"])
            numbers = [float(row[key]) for key in ("value", "low", "high")]
            assert numbers == [other["value"], *other["interval"]]
            # As many seeds as the change itself, where both have them.
            assert other["seeds"] <= answer["seeds"]
            assert any(f"| {_shown(*numbers)} |" in one for one in of_it)
    assert {claim["verdict"] for claim in claims} <= VERDICTS
    for claim in claims:
        of_it = [line for line in listed if f"**{claim['verdict']}**" in line]
        assert any(f"| {claim['claim']} |" in line for line in of_it)
        assert any(f"**{claim['claim']}**" in line for line in of_it)


def test_hard_images_are_those_of_the_script() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "reports" / "hard_images.py"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = made.stdout.splitlines()
    assert len(lines) == 8
    assert made.stdout in (ROOT / "reports" / "README.md").read_text()


def _shown(value: float, *ends: float) -> str:
    """A change as the checklist has it: ends that would round to zero have a second decimal."""
    texts = [f"{end:+.2f}" if 0 < abs(end) < 0.05 else f"{end:+.1f}" for end in ends]
    return f"{value:+z.1f} [{', '.join(texts)}]"
