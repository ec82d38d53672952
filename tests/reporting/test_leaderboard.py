"""The leaderboard: ranks that respect uncertainty, published results apart, the page."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nsbench
from nsbench.metrics.change import Metric, changes, changes_of_all
from nsbench.metrics.verdict import judge
from nsbench.reporting.leaderboard import answers, leaderboard, ranks_on, write_leaderboard
from nsbench.reporting.results import Entry, paired_changes
from nsbench.suites.scores import score
from nsbench.util.errors import NsbenchError
from tests.reporting.test_browser import SERIOUS, opened
from tests.reporting.test_browser import browser as browser
from tests.reporting.test_report import Page
from tests.reporting.test_report import evaluated as evaluated
from tests.test_cli import call


def metric(right: Sequence[int] | np.ndarray[Any, Any], ids: str = "image") -> Metric:
    """Top-1 of images that are right or wrong."""
    scores = 100.0 * np.asarray(right, np.float64)
    return Metric("top-1", tuple(f"{ids}-{n}" for n in range(len(scores))), scores, True, True)


def entries_of(evaluated: Path, suites: dict[str, list[Metric]]) -> list[Entry]:
    """Models of given metrics, with all else from real results."""
    plain = score(next((evaluated / "generation-0/results/plain").iterdir()))
    count = len(next(iter(suites.values())))
    made = []
    for number in range(count):
        scores = {}
        for name, metrics in suites.items():
            own = plain.suite.model_copy(update={"name": name})
            scores[name] = replace(plain, suite=own, metrics={"top1": metrics[number]})
        made.append(Entry(f"model-{number}", None, {}, scores))
    return made


def test_all_pairs_are_the_pairs_one_by_one() -> None:
    rng = np.random.default_rng(0)
    shares = [metric(rng.random(300) < share) for share in (0.5, 0.6, 0.9, 0.9)]
    ids = tuple(map(str, range(300)))
    means = [Metric("error", ids, rng.random(300) * 100, False) for _ in range(4)]
    for metrics in (shares, [*means, means[0]]):
        found = changes_of_all(metrics)
        pairs = list(combinations(range(len(metrics)), 2))
        assert list(found) == pairs
        one_by_one = changes(*([metrics[pair[side]] for pair in pairs] for side in (0, 1)))
        for change, wanted in zip(found.values(), one_by_one, strict=True):
            assert change.interval == pytest.approx(wanted.interval, abs=1e-9)
            assert change.p_value == pytest.approx(wanted.p_value, abs=1e-9)
            assert (change.value, change.better) == (wanted.value, wanted.better)
    with pytest.raises(NsbenchError, match="different images"):
        changes_of_all([metric([1, 0]), metric([1, 0], "other")])


def test_ranks_count_the_models_that_are_significantly_better(evaluated: Path) -> None:
    rng = np.random.default_rng(1)
    draws = rng.random(400)
    metrics = [metric(draws < share) for share in (0.95, 0.94, 0.70, 0.71, 0.30)]
    entries = entries_of(evaluated, {"s": metrics})
    ranks = ranks_on(entries, "s")
    # The first two, and the next two, cannot be told apart; each rank counts the models above.
    assert ranks == {0: 1, 1: 1, 2: 3, 3: 3, 4: 5}
    pairs = list(combinations(range(5), 2))
    judged = judge(paired_changes([(metrics[a], metrics[b]) for a, b in pairs]))
    for number in range(5):
        above = [
            (a, b)
            for (a, b), one in zip(pairs, judged, strict=True)
            if (one.verdict, number) in (("better", b), ("worse", a))
        ]
        assert ranks[number] == 1 + len(above)
    board = leaderboard(entries)
    assert [one.mean for one in board.standings] == [1, 1, 3, 3, 5]
    (said,) = answers(board)
    assert "2 of 5 models share rank 1: model-0, model-1" in said


def test_the_mean_rank_is_over_suites_that_all_have(evaluated: Path) -> None:
    draws = np.random.default_rng(2).random(300)
    a, b = metric(draws < 0.9), metric(draws < 0.5)
    entries = entries_of(evaluated, {"one": [a, b], "two": [b, a], "three": [a, b]})
    del entries[1].scores["two"]
    board = leaderboard(entries)
    assert board.of_all == ["one", "three"]
    assert [(one.entry.name, one.mean) for one in board.standings] == [
        ("model-0", 1),
        ("model-1", 2),
    ]
    assert "over 2 suites of 3" in board.notes[0]
    entries[1].scores["three"] = replace(entries[1].scores["three"], metrics={"top1": metric([1])})
    entries[1].scores.pop("one")
    board = leaderboard(entries)
    assert board.of_all == []
    assert board.standings[0].mean is None
    assert any("has no rank on three" in note for note in board.notes)


def test_published_results_stand_apart_without_ranks(evaluated: Path, tmp_path: Path) -> None:
    draws = np.random.default_rng(3).random(300)
    metrics = [metric(draws < 0.9), metric(draws < 0.5)]
    board = leaderboard(entries_of(evaluated, {"imagenet-1k": metrics, "mine": metrics}))
    assert [one.entry.name for one in board.standings] == ["model-0", "model-1"]
    (suite,) = board.published.rows
    shown = board.published.rows[suite]
    assert (suite, len(shown)) == ("imagenet-1k", 20)
    assert all(row.protocol == "" and row.means.key == "top1" for row in shown)
    values = [row.comparable for row in shown]
    assert values == sorted(values, reverse=True)
    few, unlike = board.published.notes
    assert "the best 20 are shown: nsbench published --suite imagenet-1k" in few
    assert "measured unlike them: the suite is not nsbench's imagenet-1k" in unlike
    (table,) = board.published.tables()
    assert len(table.data) == 20
    assert all(record["published"] for record in table.data)


def test_the_page_is_whole_escaped_and_self_contained(evaluated: Path, tmp_path: Path) -> None:
    other = tmp_path / "<i>second"
    shutil.copytree(evaluated, other)
    shutil.rmtree(other / "generation-1" / "results" / "p")
    tables = write_leaderboard([evaluated, other], tmp_path / "l.html", title="A <b>title</b>")
    text = (tmp_path / "l.html").read_text()
    page = Page(text)
    assert page.loads == []
    assert len(page.ids) == len(set(page.ids))
    assert "A &lt;b&gt;title&lt;/b&gt;" in text
    assert "<i>second" not in text
    assert "not evaluated" in text
    assert "1 + the number of models that are significantly better" in text
    (table,) = tables
    assert [record["model"] for record in table.data] == [row[0] for row in table.rows]
    by_name = {record["model"]: record for record in table.data}
    lacking = by_name["<i>second/generation-1"]
    assert lacking["missing"] == {"p": "not evaluated"}
    # The copies have the same predictions, and so the same ranks.
    for suite in ("plain", "c", "f"):
        for number in (0, 1):
            both = [
                by_name[f"{run}/generation-{number}"]["suites"][suite]["rank"]
                for run in ("run", "<i>second")
            ]
            assert both[0] == both[1]


def test_the_command_sorts_and_writes(evaluated: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "l.html", tmp_path / "l.json"
    assert call("leaderboard", evaluated, "--out", out, "--sort", "c", "--json", file) == 0
    records = json.loads(file.read_text())
    values = [record["suites"]["c"]["value"] for record in records]
    assert values == sorted(values)
    assert "<h1>Leaderboard</h1>" in out.read_text()
    assert nsbench.write_leaderboard is write_leaderboard


def test_the_folder_that_all_models_share_is_named_once(
    evaluated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("leaderboard", evaluated, "--out", tmp_path / "l.html") == 0
    assert "; models: run/…" in " ".join(capsys.readouterr().out.split())


def test_a_suite_that_there_is_none_of(
    evaluated: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "l.html"
    assert call("leaderboard", evaluated, "--out", out, "--sort", "plane") == 2
    assert "did you mean 'plain'?" in capfd.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_in_a_browser(
    browser: Any, evaluated: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core")
    write_leaderboard(evaluated, tmp_path / "l.html")
    page, said = opened(browser, tmp_path / "l.html", width, color_scheme=scheme)
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = axe.Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in SERIOUS] == []
    head = page.locator("thead th").nth(2)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    page.close()
