"""The report: complete, self-contained, escaped, and made without torch."""

import html.parser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nsbench.reporting.report import write_report
from nsbench.suites.load import load_suite
from nsbench.util.errors import NsbenchError
from tests.conftest import write_suite
from tests.evaluating import evaluate

FEW = 'source = "digits"\nimages_per_class = 3\n'


@pytest.fixture(scope="module")
def evaluated(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run evaluated on a small suite of each kind, two of them with the digits' reference."""
    folder = tmp_path_factory.mktemp("report")
    run = folder / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("results"))
    c = 'kind = "corruption"\nimage_size = 32\ncorruptions = ["contrast", "fog"]\n'
    p = 'kind = "perturbation"\nimage_size = 32\nperturbations = ["translate"]\n'
    suites = {
        "plain": f'kind = "accuracy"\ndescription = "<script>alert(1)</script>"\n{FEW}',
        "c": c + FEW + 'reference = "ref.json"\n',
        "p": p + FEW,
        "f": f'kind = "attack"\n{FEW}epsilons = [0.0, 4.0, 8.0]\nheadline = 8.0\n',
    }
    paths = {name: write_suite(folder / f"{name}.toml", text) for name, text in suites.items()}
    entry = {
        "protocol": load_suite(paths["c"]).protocol(),
        "clean": 0.2,
        "errors": {"contrast": [0.3, 0.4, 0.5, 0.6, 0.7], "fog": [0.4, 0.5, 0.6, 0.7, 0.8]},
    }
    content = {"model": "the <b>bold</b> one", "suites": {"c": entry}}
    (folder / "ref.json").write_text(json.dumps(content))
    evaluate([str(run)], list(paths.values()), device="cpu")
    return run


class Page(html.parser.HTMLParser):
    """Tags opened, ids, and everything a browser would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for key, value in attrs:
            if key == "id":
                self.ids.append(value or "")
            if key in ("src", "href", "xlink:href") and not (value or "").startswith("#"):
                self.loads.append(value or "")


def test_the_page_is_whole_and_self_contained(evaluated: Path, tmp_path: Path) -> None:
    write_report(evaluated, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert page.loads == []
    assert "url(http" not in text
    assert "@import" not in text
    # reliability, risk and classes; severity, family and heat maps; flips by sequence and frame;
    # the curve of the attack; corruption and attack against clean accuracy; labels; training
    assert page.tags.count("svg") == 13
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("script") == 1  # our own
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    for word in (
        "run/generation-0",
        "run/generation-1",
        "mCE",
        "FGSM ε=8",
        "Can it be trusted and repeated?",
        "seed 0",
        "torch",
    ):
        assert word in text


def test_references_inside_figures_resolve(evaluated: Path, tmp_path: Path) -> None:
    write_report(evaluated, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    assert used
    assert used <= set(Page(text).ids)


def test_the_summary_is_the_scores_and_their_paired_changes(
    evaluated: Path, tmp_path: Path
) -> None:
    from nsbench.metrics.change import change
    from nsbench.predictions import results_of
    from nsbench.suites.scores import score

    summary, *_ = write_report([evaluated], tmp_path / "report.html")
    assert [row["model"] for row in summary.data] == ["run/generation-0", "run/generation-1"]
    before, after = (
        score(results_of(evaluated / f"generation-{i}" / "results")["c"][0].folder) for i in (0, 1)
    )
    found = summary.data[1]["suites"]["c"]["mce"]
    assert found["value"] == after.metrics["mce"].value
    expected = change(after.metrics["mce"], before.metrics["mce"])
    assert found["change"]["value"] == expected.value
    # All changes are resampled at once, which adds up in another order.
    assert found["change"]["interval"] == pytest.approx(list(expected.interval), abs=1e-9)
    assert f"{expected.value:+.1f} [" in (tmp_path / "report.html").read_text()
    assert "change" not in summary.data[0]["suites"]["c"]["mce"]


def test_the_report_is_the_same_every_time(evaluated: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_report(evaluated, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_predictions_of_other_images_are_not_compared(evaluated: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(evaluated, run)
    text = 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 4\n'
    other = write_suite(tmp_path / "plain.toml", text)
    evaluate([str(run / "generation-1")], [other], device="cpu")
    summary, *_ = write_report(run, tmp_path / "report.html")
    # both have the first version, and so that is shown; the other is told of
    assert all("plain" in row["suites"] for row in summary.data)
    note, one_seed = summary.notes
    assert note.startswith(
        "run/generation-1 has other results on plain, which are left out: another "
    )
    assert one_seed.startswith("One seed: intervals are over images alone")
    assert note in (tmp_path / "report.html").read_text()
    shutil.rmtree(run / "generation-0" / "results" / "plain")
    other = write_suite(tmp_path / "plain.toml", text + "seed = 1\n")
    evaluate([str(run / "generation-0")], [other], device="cpu")
    summary, *_ = write_report(run, tmp_path / "report.html")
    assert "plain" in summary.data[0]["suites"]
    assert "plain" not in summary.data[1]["suites"]
    assert "evaluated differently" in (tmp_path / "report.html").read_text()


def test_several_runs_and_a_missing_suite(evaluated: Path, tmp_path: Path) -> None:
    run = tmp_path / "second"
    shutil.copytree(evaluated, run)
    shutil.rmtree(run / "generation-1" / "results" / "p")
    summary, *_ = write_report([evaluated, run], tmp_path / "report.html")
    assert len(summary.data) == 4
    assert "p" not in summary.data[3]["suites"]
    assert "not evaluated" in (tmp_path / "report.html").read_text()
    names = [f"{name}/generation-{index}" for name in ("run", "second") for index in (0, 1)]
    assert [row["model"] for row in summary.data] == names


def test_nothing_to_report(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(NsbenchError, match="neither a run folder nor a folder of results"):
        write_report(tmp_path, tmp_path / "report.html")
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("results"))
    with pytest.raises(NsbenchError, match="was evaluated: run nsbench eval first"):
        write_report(run, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_reporting_does_not_import_torch() -> None:
    code = "import sys, nsbench.reporting.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
