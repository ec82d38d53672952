"""Reports and tables as their reader wants them: title, names, base and order."""

import json
import shutil
from pathlib import Path

import pytest

import nsbench
from nsbench.reporting.report import write_report
from nsbench.util.errors import NsbenchError
from tests.conftest import write_suite
from tests.test_cli import call

FEW = 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 4\n'


@pytest.fixture(scope="module")
def place(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs with results on one suite, in a folder."""
    folder = tmp_path_factory.mktemp("place")
    suite = write_suite(folder / "few.toml", FEW)
    for name in ("one", "two"):
        shutil.copytree(tiny_run, folder / name)
        for results in (folder / name).rglob("results"):
            shutil.rmtree(results)
        nsbench.evaluate(folder / name, suite, device="cpu")
    return folder


def models(path: Path) -> list[str]:
    return [row["model"] for row in json.loads(path.read_text())]


def test_title_names_base_and_order(place: Path, tmp_path: Path) -> None:
    options = ["--title", "Five <models>", "--name", "one/generation-1=student"]
    options += ["--base", "student", "--sort", "few", "--json", str(tmp_path / "r.json")]
    out = tmp_path / "r.html"
    assert call("report", place / "one", place / "two", "--out", out, *options) == 0
    text = out.read_text()
    assert "<h1>Five &lt;models&gt;</h1>" in text
    assert "against student" in text
    first, *others = models(tmp_path / "r.json")
    assert first == "student"
    values = {
        row["model"]: row["suites"]["few"]["top1"]["value"]
        for row in json.loads((tmp_path / "r.json").read_text())
    }
    assert [values[name] for name in others] == sorted((values[n] for n in others), reverse=True)
    assert values["student"] == values["two/generation-1"]


WRONG: dict[str, dict[str, object]] = {
    "there is no model 'none' to compare with": {"base": "none"},
    "nothing called 'few2' to sort by; did you mean 'few'": {"sort": "few2"},
    "there is no model 'x' to name": {"names": {"x": "y"}},
    "two models would have one name": {"names": {"one/generation-0": "one/generation-1"}},
}


@pytest.mark.parametrize("sentence", WRONG)
def test_what_there_is_none_of_is_told(sentence: str, place: Path, tmp_path: Path) -> None:
    with pytest.raises(NsbenchError, match=sentence):
        write_report(place / "one", tmp_path / "r.html", **WRONG[sentence])  # type: ignore[arg-type]
    assert not (tmp_path / "r.html").exists()


def test_a_name_needs_both_sides(
    place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.html"
    assert call("report", place / "one", "--out", out, "--name", "x") == 2
    assert "--name x: write OLD=NEW" in capfd.readouterr().err


def test_eval_names_and_orders(
    place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    suite = ["--suite", "few.toml", "--device", "cpu"]
    assert call("eval", "one", *suite, "--sort", "top1", "--json", "e.json") == 0
    capfd.readouterr()
    assert call("eval", "one/generation-0", *suite, "--name", "mine") == 0
    assert "\nmine " in capfd.readouterr().out
    assert call("eval", "one", *suite, "--sort", "top9") == 2
    assert "to sort by called 'top9'; did you mean 'top1'" in capfd.readouterr().err
    assert call("eval", "one", *suite, "--sort", "few", "--json", "f.json") == 0
    assert json.loads((place / "e.json").read_text()) == json.loads((place / "f.json").read_text())
    # It is called by its own name again, as nobody says otherwise.
    assert call("eval", "one", *suite) == 0
    assert "mine" not in capfd.readouterr().out


def test_a_folder_of_results_is_all_that_is_inside(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    from tests.models.test_given import Net

    suite = write_suite(tmp_path / "few.toml", FEW)
    for name, outputs in (("a", 10), ("b", 10)):
        module = Net(outputs)
        if name == "b":
            module.head.bias.data.add_(1)
        nsbench.evaluate(module, suite, device="cpu", name=name, image_size=32)
    summary, *_ = write_report("results", "r.html")
    assert sorted(row["model"] for row in summary.data) == ["a", "b"]
    assert sorted(nsbench.load_results("results").models) == ["a", "b"]
