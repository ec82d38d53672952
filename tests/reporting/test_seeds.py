"""Reports over seeds: mean, spread, intervals over seeds and images, and what is missing."""

import csv
import html
import json
import re
import shutil
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from nsbench.cli import main
from nsbench.commands.app import app
from nsbench.metrics.change import Metric
from nsbench.metrics.seeds import change_over_seeds, over_seeds
from nsbench.predictions import results_of
from nsbench.reporting.compare_seeds import compare_seeds
from nsbench.reporting.controls import WHAT
from nsbench.reporting.figures.seeds import seeds_figures
from nsbench.reporting.leaderboard import write_leaderboard
from nsbench.reporting.report import write_report
from nsbench.reporting.seed_models import models_table, suites_table
from nsbench.reporting.seed_tables import seeds_tables, with_seeds
from nsbench.reporting.seeds import SeedRuns, collect_seeds
from nsbench.reporting.trust import commands
from nsbench.run_folder import DIVERGED, read_info
from nsbench.suites.scores import score
from nsbench.training.generations import train
from nsbench.util.errors import NsbenchError
from nsbench.util.sealed import seal_text, write_record
from tests.conftest import write_suite
from tests.evaluating import evaluate
from tests.reporting.test_claims import model
from tests.training.test_seeds import RECIPE

PLAIN = 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 5\n'
FOGGY = (
    'kind = "corruption"\nsource = "digits"\nimages_per_class = 3\nimage_size = 32\n'
    'corruptions = ["fog"]\nseverities = [1]\n'
)
ALONE = "controls/labeled-only/generation-0"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / "tiny.toml").write_text(RECIPE)
    write_suite(folder / "plain.toml", PLAIN)
    write_suite(folder / "foggy.toml", FOGGY)
    return folder


@pytest.fixture(scope="module")
def home(files: Path) -> Path:
    """Three seeds with a control, evaluated on two suites."""
    out = files / "many"
    recipe = str(files / "tiny.toml")
    train(recipe, out, device="cpu", seeds=3, controls=["all"], settings=["defaults.epochs=2"])
    suites = [str(files / "plain.toml"), str(files / "foggy.toml")]
    evaluate([str(out)], suites, device="cpu")
    return out


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(home, tmp_path / "many"))


def metrics(home: Path, place: str, suite: str = "plain", seeds: int = 3) -> list[Metric]:
    folders = [home / f"seed-{seed}" / place / "results" for seed in range(seeds)]
    every = [score(results_of(folder)[suite][0].folder).metrics for folder in folders]
    return [next(iter(of_one.values())) for of_one in every]


def texts(cells: list[str]) -> list[str]:
    return [" ".join(cell.split()) for cell in cells]


def test_a_report_begins_with_all_seeds(home: Path, tmp_path: Path) -> None:
    levels, gains, above, verdicts = write_report(home, tmp_path / "report.html")
    assert verdicts.rows[0][0] == "Students are better on clean images"
    assert "3 seeds" in levels.title
    assert "95% interval over seeds and images" in levels.title
    assert [row[:2] for row in levels.rows] == [
        ["many/generation-0", "3"],
        ["many/generation-1", "3"],
        ["many/labeled-only/generation-0", "3"],
    ]
    student, teacher, alone = (
        metrics(home, place) for place in ("generation-1", "generation-0", ALONE)
    )
    pooled = over_seeds(student)
    assert pooled.interval
    low, high = pooled.interval
    cell = f"{pooled.mean:.1f} ± {pooled.spread:.1f} [{low:.1f}, {high:.1f}]"
    assert texts(levels.rows[1])[2] == cell
    assert [row[0] for row in gains.rows] == ["many/generation-1", "many/labeled-only/generation-0"]
    assert "Change against many/generation-0" in gains.title
    assert [row[0] for row in above.rows] == ["many/generation-1"]
    assert "above many/labeled-only/generation-0" in above.title
    assert "the gain of self-training" in above.notes[0]
    record = levels.data[1]["suites"]["plain"]["top1"]
    assert record["value"] == statistics.fmean(m.value for m in student)
    assert record["spread"] == statistics.stdev(m.value for m in student)
    assert (record["interval_over"], record["seeds"]) == ("seeds and images", 3)
    assert record["interval"] == [low, high]
    for change, base in zip(record["changes"], (teacher, alone), strict=True):
        wanted = change_over_seeds(student, base)
        assert change["value"] == wanted.mean
        assert change["interval"] == list(wanted.interval or ())
    assert [change["against"] for change in record["changes"]] == [
        "many/generation-0",
        "many/labeled-only/generation-0",
    ]
    text = (tmp_path / "report.html").read_text()
    assert text.index("Change against generation-0") < text.index("<details><summary>seed 0")
    assert text.count("intervals over images alone</summary>") == 3
    assert "What seed-2/generation-1 has above its controls" in text
    assert "Names of models begin with many/, which is left out of tables." in text
    assert 'src="http' not in text
    assert 'href="http' not in text


def test_eval_shows_seeds_first_and_writes_them(home: Path, files: Path, tmp_path: Path) -> None:
    arguments = ["eval", str(home), "--suite", str(files / "plain.toml"), "--device", "cpu"]
    outputs = [tmp_path / name for name in ("a.json", "a.csv", "a.md")]
    options = [f"--json={outputs[0]}", f"--csv={outputs[1]}", f"--markdown={outputs[2]}"]
    done = CliRunner().invoke(app, [*arguments, *options])
    assert done.exit_code == 0, done.output
    assert done.output.index("3 seeds") < done.output.index("plain (%")
    assert "foggy" not in done.output
    pooled, *_ = json.loads(outputs[0].read_text())
    wanted = over_seeds(metrics(home, "generation-1"))
    assert pooled[1]["suites"]["plain"]["top1"]["value"] == wanted.mean
    rows = list(csv.DictReader(outputs[1].open()))
    kinds = {(row["interval_over"], row["seeds"]) for row in rows}
    assert kinds == {("seeds and images", "3"), ("images", "")}
    levels = {row["model"]: row for row in rows if row["metric"] == "top-1" and not row["against"]}
    assert float(levels["many/generation-1"]["value"]) == wanted.mean
    assert {row["against"] for row in rows} == {
        "",
        "many/generation-0",
        "many/labeled-only/generation-0",
    }
    assert "95% interval over seeds and images" in outputs[2].read_text()


def test_eval_takes_one_model_of_all_seeds(home: Path, files: Path, tmp_path: Path) -> None:
    for place, shown in (
        ("generation-1", "many/generation-1"),
        (ALONE, "many/labeled-only/generation-0"),
    ):
        arguments = ["eval", str(home / place), "--suite", str(files / "plain.toml")]
        options = ["--device", "cpu", "--json", str(tmp_path / "one.json")]
        done = CliRunner().invoke(app, [*arguments, *options])
        assert done.exit_code == 0, done.output
        (pooled, *_) = json.loads((tmp_path / "one.json").read_text())
        assert [(row["model"], row["seeds"]) for row in pooled] == [(shown, [0, 1, 2])]
        assert "many/generation-0" not in done.output
    done = CliRunner().invoke(app, ["eval", str(home / "generation-7"), *arguments[2:]])
    assert "no seed of" in str(done.exception)


def test_a_run_of_one_seed_says_what_its_intervals_leave_out(home: Path, tmp_path: Path) -> None:
    summary, *_ = write_report(home / "seed-0", tmp_path / "report.html")
    sentence = "One seed: intervals are over images alone"
    assert any(note.startswith(sentence) for note in summary.notes)
    assert sentence in (tmp_path / "report.html").read_text()


def test_a_report_of_one_seed_holds_students_against_labeled_images_only(
    home: Path, tmp_path: Path
) -> None:
    write_report(home / "seed-0", tmp_path / "report.html", formats=["json"])
    records = json.loads((tmp_path / "report.json").read_text())["records"]
    pairs = {(r["model"], r["against"]) for r in records if r["kind"] == "change"}
    student = "many/seed-0/generation-1"
    alone = "many/seed-0/labeled-only/generation-0"
    assert pairs == {(student, "many/seed-0/generation-0"), (student, alone)}
    (found,) = (r for r in records if (r["against"], r["suite"]) == (alone, "plain"))
    own, base = (metrics(home, place, seeds=1)[0] for place in ("generation-1", ALONE))
    assert found["value"] == pytest.approx(own.value - base.value)


def test_a_leaderboard_ranks_each_seed_by_itself(home: Path, tmp_path: Path) -> None:
    everything, *_ = write_leaderboard([home], tmp_path / "all.html")
    names = {row[0] for row in everything.rows}
    places = ("generation-0", "generation-1")
    assert len(names) == len(everything.rows) == 6
    for seed in range(3):
        assert all(any(f"seed-{seed}/{place}" in name for name in names) for place in places)
    students, *_ = write_leaderboard([home / "generation-1"], tmp_path / "one.html")
    assert len(students.rows) == 3


def test_a_folder_of_one_seed_has_no_interval_over_seeds(copy: Path, tmp_path: Path) -> None:
    for seed in (1, 2):
        shutil.rmtree(copy / f"seed-{seed}")
    record: dict[str, Any] = json.loads((copy / "seeds.json").read_text())
    write_record(copy / "seeds.json", {"name": "tiny", "recipe": record["recipe"], "seeds": [0]})
    levels, gains, _ = write_report(copy, tmp_path / "report.html")
    assert "interval" not in levels.title
    assert levels.notes[-1].startswith("One seed: ")
    student = metrics(copy, "generation-1", seeds=1)[0]
    assert levels.rows[1][2] == f"{student.value:.1f}"
    assert "undecided" in gains.rows[0][1]
    data = levels.data[1]["suites"]["plain"]["top1"]
    assert data["interval"] is data["spread"] is data["interval_over"] is None


def test_what_is_missing_is_told_and_never_dropped(copy: Path, tmp_path: Path) -> None:
    shutil.rmtree(copy / "seed-1" / "generation-1")
    shutil.rmtree(copy / "seed-1" / "controls")
    what = "the loss of seed 1, generation 1 is nan at step 7 with learning rate 0.2"
    write_record(copy / "seed-1" / DIVERGED, {"sentence": what})
    shutil.rmtree(copy / "seed-2" / "generation-0" / "results" / "foggy")
    levels, gains, _, _ = write_report(copy, tmp_path / "report.html")
    assert [row[1] for row in levels.rows] == ["3", "2", "2"]
    assert levels.notes == [
        f"T{what[1:]}: it diverged.",
        "Seed 1 has no results of generation-1, labeled-only.",
        "many/generation-0 has no results on foggy that compare with the others of seed 2.",
    ]
    assert levels.notes[0] in (tmp_path / "report.html").read_text()
    assert levels.data[0]["missing"] == levels.notes
    # Of a change both sides have the same seeds.
    change = levels.data[1]["suites"]["plain"]["top1"]["changes"][0]
    assert change["seeds"] == 2
    assert gains.rows[0][0] == "many/generation-1"


def test_seeds_of_two_recipes_are_not_pooled(
    copy: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / "seed-1" / "recipe.toml"
    text = path.read_text().rpartition("# ")[0].replace("lr = 0.002", "lr = 0.003")
    path.write_text(seal_text(text))
    for arguments in (["report", str(copy)], ["compare", str(copy / "generation-0"), str(home)]):
        with pytest.raises(SystemExit) as left:
            main([*arguments, *(["--out", str(tmp_path / "r.html")] * (len(arguments) == 2))])
        assert left.value.code == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "seed-1 is of another recipe or other images than the seeds beside it (" in said
        assert "lr is 0.003, was 0.002), with which it cannot be pooled: move it away" in said
    assert not (tmp_path / "r.html").exists()
    # A copy of one seed under the name of another would count twice.
    shutil.rmtree(copy / "seed-1")
    shutil.copytree(copy / "seed-0", copy / "seed-1")
    with pytest.raises(NsbenchError, match=r"seed-1 is of .* \(its seed is 0\)"):
        write_report(copy, tmp_path / "report.html")
    other: dict[str, Any] = json.loads((home / "seeds.json").read_text())
    other["recipe"]["generations"][0]["lr"] = 0.5
    write_record(copy / "seeds.json", {key: other[key] for key in ("name", "recipe", "seeds")})
    with pytest.raises(NsbenchError, match=r"hold seeds of two recipes \(.*lr is 0.5"):
        write_report([home, copy], tmp_path / "report.html")
    with pytest.raises(NsbenchError, match="has no other models: report it by itself"):
        write_report([home, home / "seed-0"], tmp_path / "report.html")


def test_seeds_of_other_images_are_not_pooled(copy: Path, tmp_path: Path) -> None:
    path = copy / "seed-2" / "generation-0" / "model.json"
    info: dict[str, Any] = json.loads(path.read_text())
    info["identity"]["labeled images"] = "0123"
    write_record(path, {key: value for key, value in info.items() if key not in ("file", "digest")})
    with pytest.raises(NsbenchError, match=r"seed-2 is of .* other images .*\(images is 0123"):
        write_report(copy, tmp_path / "report.html")


def test_damaged_records_are_one_sentence(copy: Path, tmp_path: Path) -> None:
    record = copy / "seeds.json"
    whole = record.read_bytes()
    record.write_bytes(whole.replace(b"tiny", b"teny"))
    with pytest.raises(NsbenchError, match=r"seeds\.json is not as it was written"):
        write_report(copy, tmp_path / "report.html")
    record.write_bytes(whole)
    (copy / "seed-0" / DIVERGED).write_text("{}")
    with pytest.raises(NsbenchError, match=r"diverged\.json holds no digest"):
        write_report(copy, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_compare_pairs_the_same_model_of_every_seed(home: Path, tmp_path: Path) -> None:
    a, b, out = home / "controls" / "labeled-only", home / "generation-1", tmp_path / "a.csv"
    done = CliRunner().invoke(
        app, ["compare", str(a), str(b), f"--csv={out}", f"--json={tmp_path / 'a.json'}"]
    )
    assert done.exit_code == 0, done.output
    wanted = change_over_seeds(metrics(home, "generation-1"), metrics(home, ALONE))
    rows = list(csv.DictReader(out.open()))
    assert [(row["suite"], row["part"]) for row in rows] == [
        ("plain", ""),
        ("foggy", ""),
        ("foggy", "fog"),
    ]
    assert float(rows[0]["change"]) == wanted.mean
    assert float(rows[0]["change_spread"]) == wanted.spread
    assert [float(rows[0][key]) for key in ("low", "high")] == list(wanted.interval or ())
    assert (rows[0]["interval_over"], rows[0]["seeds"]) == ("seeds and images", "3")
    data = json.loads((tmp_path / "a.json").read_text())
    assert data["seeds"] == [0, 1, 2]
    assert "95% interval over seeds and images" in " ".join(done.output.split())


def test_a_part_of_the_images_is_told_over_seeds_too(
    copy: Path, files: Path, tmp_path: Path
) -> None:
    for results in copy.rglob("results"):
        shutil.rmtree(results)
    evaluate([str(copy)], [str(files / "plain.toml")], device="cpu", limit=10)
    told = "plain: 10 images, chosen by --limit 10."
    *tables, _ = write_report(copy, tmp_path / "report.html")
    assert all(told in table.notes for table in tables)
    assert told in (tmp_path / "report.html").read_text()
    found = compare_seeds(copy / "generation-0", copy / "generation-1")
    assert told in found.notes
    assert {record["chosen"] for record in found.records()} == {"--limit 10"}
    one = copy / "seed-0"
    for table in write_report(one, tmp_path / "one.html"):  # with its control
        assert told in table.notes


def test_compare_takes_one_model_on_one_side(home: Path) -> None:
    one = home / "seed-0" / "generation-0"
    for a, b, sign in ((one, home / "generation-1", 1), (home / "generation-1", one, -1)):
        found = compare_seeds(a, b)
        before, after = metrics(home, "generation-0")[:1] * 3, metrics(home, "generation-1")
        assert found.headlines[0].change.mean == sign * change_over_seeds(after, before).mean
        assert found.notes == [
            "many/seed-0/generation-0 is one model, how much whose training varies is left out."
        ]
        # One model has no spread over seeds, and no interval over them.
        level = found.headlines[0].a if a == one else found.headlines[0].b
        assert (level.values, level.interval) == ((before[0].value,), None)
    # Also where it is among the other side's.
    found = compare_seeds(home / "generation-0", one)
    assert found.headlines[0].change.values[0] == 0
    assert found.headlines[0].b.mean == metrics(home, "generation-0")[0].value
    same = compare_seeds(home / "generation-1", home / "generation-1")
    assert same.headlines[0].change.values == (0, 0, 0)
    assert same.records()[0]["verdict"] == "undecided"


def test_compare_takes_a_folder_of_results_on_one_side(
    home: Path, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (folder,) = evaluate(["linear:digits"], [str(files / "plain.toml")], device="cpu")
    found = compare_seeds(home / "generation-1", folder.parents[1])
    assert found.seeds == [0, 1, 2]
    linear = next(iter(score(folder).metrics.values()))
    wanted = change_over_seeds([linear] * 3, metrics(home, "generation-1"))
    assert [row.change.mean for row in found.headlines] == [wanted.mean]
    assert found.notes[0].endswith("was not evaluated on foggy, seed 0.")


def test_compare_tells_what_cannot_be_compared(copy: Path, home: Path) -> None:
    with pytest.raises(NsbenchError, match="holds 2 generations of each seed: name one, such as"):
        compare_seeds(copy, copy / "generation-0")
    with pytest.raises(NsbenchError, match="no seed of .* has a finished generation-5"):
        compare_seeds(copy / "generation-5", copy / "generation-0")
    with pytest.raises(NsbenchError, match="holds 2 generations: name one"):
        compare_seeds(copy / "seed-0", copy / "generation-0")
    with pytest.raises(NsbenchError, match="was not evaluated on digits, seed 0: run nsbench eval"):
        compare_seeds(copy / "generation-0", copy / "generation-1", ["digits"])
    shutil.rmtree(copy / "seed-1" / "generation-1")
    shutil.rmtree(copy / "seed-2" / "generation-1" / "results" / "foggy")
    found = compare_seeds(home / "generation-0", copy / "generation-1")
    assert found.seeds == [0, 2]
    assert [row.suite for row in found.headlines] == ["plain"]
    assert found.notes == [
        f"{copy / 'generation-1'} was not evaluated on foggy, seed 2.",
        f"Seed 1 of {home / 'generation-0'} is left out, which the other side lacks.",
    ]
    shutil.rmtree(copy / "seed-0" / "generation-1")
    shutil.rmtree(copy / "seed-2" / "generation-0")
    with pytest.raises(NsbenchError, match="have no seed in common"):
        compare_seeds(copy / "generation-0", copy / "generation-1")


def test_a_report_over_seeds_begins_with_each_student_against_its_teacher(
    home: Path, tmp_path: Path
) -> None:
    write_report(home, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    answers = re.findall(r"<li>(Generation [^<]+)</li>", text)
    assert answers[0].startswith("Generation 1 ")
    assert "against its teacher, generation 0, over 3 seeds" in answers[0]
    assert any("the same model trained on labeled images only" in answer for answer in answers)


def test_a_report_over_seeds_is_written_for_programs_too(home: Path, tmp_path: Path) -> None:
    write_report(home, tmp_path / "r.html", formats=["json", "csv"])
    assert not (tmp_path / "r.html").exists()
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["title"] == "many"
    assert len(content["answers"]) == 2
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(content["records"])
    wanted = over_seeds(metrics(home, "generation-1"))
    assert wanted.interval
    (level,) = (
        record
        for record in content["records"]
        if (record["model"], record["suite"], record["metric"], record.get("against"))
        == ("many/generation-1", "plain", "top-1", None)
    )
    assert (level["value"], level["low"], level["high"]) == (wanted.mean, *wanted.interval)
    against = {record["against"] for record in content["records"]}
    assert against == {None, "many/generation-0", "many/labeled-only/generation-0"}
    write_report(home, tmp_path / "s.html", formats=["md", "latex", "pdf-figures"])
    assert not (tmp_path / "s.html").exists()
    low, high = wanted.interval
    level_text = f"{wanted.mean:.1f} ± {wanted.spread:.1f} [{low:.1f}, {high:.1f}]"
    markdown, latex = ((tmp_path / f"s.{end}").read_text() for end in ("md", "tex"))
    for text in (markdown.replace("<br>", " "), latex):
        assert level_text in text
    assert "\\toprule" in latex
    figures = {path.name for path in (tmp_path / "s-figures").iterdir()}
    assert {"seeds-changes.pdf", "plain-seeds.png"} <= figures


def test_what_models_and_suites_are_stands_first(home: Path, tmp_path: Path) -> None:
    write_report(home, tmp_path / "report.html", remarks=["Not <all> of it is sure."])
    page = html.unescape((tmp_path / "report.html").read_text())
    assert "<li>Not <all> of it is sure.</li>" in page
    runs = collect_seeds(home)
    table = models_table(runs)
    assert [row[:3] for row in table.rows] == [
        ["many/generation-0", "the first teacher, which learns labeled images", "3"],
        ["many/generation-1", "a student, taught by generation-0", "3"],
        [
            "many/labeled-only/generation-0",
            f"control of generation-1: {WHAT['labeled-only']}",
            "3",
        ],
    ]
    info = read_info(home / "seed-0" / "generation-1")
    own = info["identity"]["generation"]
    seen = info["steps"] * own["batch_size"] * 2  # as many unlabeled ones
    assert table.rows[1][3:] == [f"{info['parameters']:,}", f"{seen:,}", "CPU"]
    assert [row[0] for row in suites_table(runs).rows] == ["plain", "foggy"]
    assert page.index(">What models and suites are</a></h2>") < page.index(">Over seeds</a></h2>")


def test_changes_are_told_part_by_part(home: Path, tmp_path: Path) -> None:
    write_report(home, tmp_path / "report.html", formats=["html", "csv"])
    page = (tmp_path / "report.html").read_text()
    assert "foggy: changes part by part" in page
    assert "plain: changes part by part" not in page
    with (tmp_path / "report.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "error, fog"]
    # The student against both that its gain is told against.
    names = [f"many/{place}" for place in ("generation-0", "labeled-only/generation-0")]
    assert [(row["model"], row["against"]) for row in rows] == [
        ("many/generation-1", name) for name in names
    ]
    for row, place in zip(rows, ("generation-0", ALONE), strict=True):
        compared = compare_seeds(home / place, home / "generation-1", ["foggy"])
        ((part,),) = compared.parts.values()
        change = part.change
        assert change.interval
        ends = change.interval
        assert (row["value"], row["low"], row["high"]) == tuple(map(str, (change.mean, *ends)))


def test_figures_over_seeds_show_what_their_tables_say(home: Path) -> None:
    runs = collect_seeds(home)
    figures = {drawn.key: drawn for drawn in seeds_figures(runs)}
    wanted = over_seeds(metrics(home, "generation-1"))
    assert wanted.interval
    levels = figures["plain-seeds"]
    (row,) = (row for row in levels.table.rows if row[0] == "generation-1")
    assert row[3] == ", ".join(f"{value:.1f}" for value in wanted.values)
    (axes,) = levels.figure.axes
    drawn = [np.asarray(line.get_xdata()) for line in axes.lines]
    assert wanted.interval == pytest.approx(drawn[3])
    assert wanted.values == pytest.approx(drawn[4])
    assert (wanted.mean,) == pytest.approx(drawn[5])
    change = change_over_seeds(metrics(home, "generation-1"), metrics(home, "generation-0"))
    changes = figures["seeds-changes"]
    against = "generation-1 against generation-0"
    (row,) = (r for r in changes.table.rows if r[:2] == [against, "plain, top-1 ↑"])
    assert change.interval
    assert row[2] == f"{change.mean:+.1f} [{change.interval[0]:+.1f}, {change.interval[1]:+.1f}]"
    (axes,) = changes.figure.axes
    xs = [np.asarray(line.get_xdata()) for line in axes.lines]
    means = [x[0] for x in xs if len(x) == 1]
    assert any(mean == pytest.approx(change.mean) for mean in means)


def test_variants_stand_beside_the_generation_that_they_change(
    copy: Path, files: Path, tmp_path: Path
) -> None:
    more: dict[str, Any] = {"seeds": 3, "variants": ["hard"], "settings": ["defaults.epochs=2"]}
    train(str(files / "tiny.toml"), copy, device="cpu", **more)
    evaluate([str(copy)], [str(files / "plain.toml")], device="cpu")
    *_, variants, verdicts = write_report(copy, tmp_path / "report.html", formats=["html", "csv"])
    assert variants.title.startswith("Variants against many/generation-1, paired, mean ± standard")
    assert [row[0] for row in variants.rows] == ["many/hard/generation-1"]
    assert variants.notes[0] == "hard: pseudo_labels.labels='hard'"
    wanted = change_over_seeds(
        metrics(copy, "variants/hard/generation-1"), metrics(copy, "generation-1")
    )
    assert f"{wanted.mean:+z.1f} ± {wanted.spread:.1f}" in variants.rows[0][1]
    with (tmp_path / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    own = {"model": "many/hard/generation-1", "against": "many/generation-1", "suite": "plain"}
    (row, *_) = [row for row in rows if own.items() <= row.items()]
    assert float(row["value"]) == wanted.mean
    assert verdicts.rows[4][2] == "not run"  # of soft labels: the paper's variant has another name
    assert not any(note.startswith("Not trained") for note in variants.notes)  # a recipe of its own
    record: dict[str, Any] = json.loads((copy / "seeds.json").read_text())
    about = {"name": "cifar10-4k", "recipe": record["recipe"], "seeds": [0, 1, 2]}
    write_record(copy / "seeds.json", about)
    *_, again, _ = write_report(copy, tmp_path / "report.html")
    command = "nsbench train cifar10-4k --seeds 3 --variants no-augmentation"
    (untrained,) = [note for note in again.notes if note.startswith("Not trained: no-augmentation")]
    assert f"({command} " in untrained
    # What only the first seeds have is trained of these alone.
    shutil.rmtree(copy / "seed-2" / "variants")
    assert commands([copy], [], {})[:2] == [
        "nsbench train cifar10-4k --seeds 3 --controls labeled-only --out many",
        "nsbench train cifar10-4k --seeds 2 --variants hard --out many",
    ]


def test_a_variant_that_sees_more_images_is_told(copy: Path, files: Path, tmp_path: Path) -> None:
    path = files / "more.toml"
    variant = '\n[[variants]]\nname = "more"\nset = ["generations.1.unlabeled_ratio=3"]\n'
    path.write_text((files / "tiny.toml").read_text() + variant)
    more: dict[str, Any] = {"seeds": 1, "variants": ["more"], "settings": ["defaults.epochs=2"]}
    train(str(path), copy, device="cpu", **more)
    evaluate([str(copy / "seed-0")], [str(files / "plain.toml")], device="cpu")
    student = read_info(copy / "seed-0" / "generation-1")
    batch = student["identity"]["generation"]["batch_size"]
    assert student["identity"]["generation"]["unlabeled_ratio"] == 1
    *_, variants, _ = write_report(copy, tmp_path / "report.html")
    seen = [f"{student['steps'] * batch * (1 + ratio):,}" for ratio in (3, 1)]
    changed = "more: generations.1.unlabeled_ratio=3"
    assert variants.notes[0] == f"{changed}; {seen[0]} images seen against {seen[1]}"


def test_models_of_different_devices_are_told(copy: Path, tmp_path: Path) -> None:
    levels, *_ = write_report(copy, tmp_path / "report.html")
    assert not any(note.startswith("Trained on") for note in levels.notes)
    for seed in range(3):
        path = copy / f"seed-{seed}" / ALONE / "model.json"
        info = read_info(path.parent)
        info["environment"] |= {"device": "cuda:0", "gpu": "NVIDIA <T4>"}
        write_record(path, info)
    levels, *_ = write_report(copy, tmp_path / "report.html")
    said = "Trained on CPU, but many/labeled-only/generation-0 on NVIDIA <T4>."
    assert said in levels.notes
    page = html.unescape((tmp_path / "report.html").read_text())
    assert said in page
    alone = ", ".join(f"seed-{seed}/labeled-only/generation-0" for seed in range(3))
    assert f"{alone}: NVIDIA <T4>" in " ".join(page.split())


def test_students_are_told_against_each_control(tmp_path: Path) -> None:
    write_record(tmp_path / "seeds.json", {"name": "own", "recipe": {}, "seeds": [0, 1, 2]})
    kinds = ("labeled-only", "longer-teacher", "ensemble")
    beside = [model(f"controls/{kind}/generation-0", 55, kind) for kind in kinds]
    students = [model("generation-0", 50), model("generation-1", 70)]
    runs = SeedRuns(tmp_path, [0, 1, 2], [*students, *beside], [])
    titles = {table.title.split(",")[0]: table for table in seeds_tables(runs)}
    for kind, control in zip(kinds, beside, strict=True):
        table = titles[f"What students have above {control.name}"]
        assert [row[0] for row in table.rows] == ["many/generation-1"]
        assert table.rows[0][1].startswith("+15.0 ± 0.0")
        assert WHAT[kind] in table.notes[0]
    named = {row["against"] for row in with_seeds([], [runs]) if row.get("against")}
    assert {control.name for control in beside} <= named


def test_two_seeds_are_several(copy: Path) -> None:
    shutil.rmtree(copy / "seed-2")
    record: dict[str, Any] = json.loads((copy / "seeds.json").read_text())
    about = {"name": "tiny", "recipe": record["recipe"], "seeds": [0, 1]}
    write_record(copy / "seeds.json", about)
    found = compare_seeds(copy / "generation-0", copy / "generation-1")
    assert (found.a, found.b) == ("many/generation-0", "many/generation-1")
    assert (
        "B against A, seeds 0, 1: mean ± standard deviation over seeds" in found.tables()[0].title
    )
