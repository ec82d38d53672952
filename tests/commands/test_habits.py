"""Commands as people type them who come from other tools."""

import json
from pathlib import Path
from typing import Any

import pytest

from nsbench.commands.app import app
from nsbench.commands.habits import translated
from nsbench.suites.load import load_suite
from nsbench.util.errors import NsbenchError
from tests.conftest import write_suite
from tests.test_cli import call


def params(command: str) -> list[Any]:
    import typer.main

    group: Any = typer.main.get_command(app)
    for name in command.split():
        group = group.commands[name]
    found: list[Any] = group.params
    return found


@pytest.mark.parametrize(
    ("command", "typed", "own"),
    [
        ("eval", "--model resnet50 --tasks digits", "resnet50 --suite digits"),
        ("eval", "--tasks digits,digits-c --model=a -m b", "a b --suite digits digits-c"),
        ("eval", "--models a b --task digits", "a b --suite digits"),
        ("eval", "--models a,b --suites digits", "a b --suite digits"),
        ("eval", "--suite digits --model a", "a --suite digits"),
        ("eval", "a --suite digits --batch_size 8", "a --suite digits --batch-size 8"),
        ("eval", "a --suite digits -b 8", "a --suite digits --batch-size 8"),
        ("eval", "a --suite digits --image_size=32", "a --suite digits --image-size=32"),
        ("eval", "a --suite digits --dtype bfloat16", "a --suite digits --precision bfloat16"),
        ("eval", "a --suite d --mean 0.4,0.5,0.6", "a --suite d --mean 0.4 0.5 0.6"),
        ("eval", "a --suite d --checkpoint f.pth", "a --suite d --weights f.pth"),
        ("eval", "--suite d -- -m", "--suite d -- -m"),
        ("train", "--recipe quickstart --output r", "quickstart --out r"),
        ("train", "quickstart --output_path r", "quickstart --out r"),
        ("train", "quickstart --output-dir=r", "quickstart --out=r"),
        ("train", "quickstart -o r --dry_run", "quickstart --out r --dry-run"),
        ("train", "x --set a=[1,2] b=1", "x --set a=[1,2] b=1"),
        ("report", "--runs a b -o r.html", "a b --out r.html"),
        ("compare", "--models a b --tasks digits", "a b --suite digits"),
        ("bench corruptions", "--corruptions fog,snow", "--corruption fog snow"),
        ("make imagenet-c", "a b --severities 1 3", "a b --severity 1 3"),
    ],
)
def test_other_spellings(command: str, typed: str, own: str) -> None:
    assert translated(typed.split(), command, params(command)) == own.split()


def test_a_path_with_a_comma_is_one_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b").mkdir()
    assert translated(["--models", "a,b"], "eval", params("eval")) == ["a,b"]


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("eval a --suite b --output c", "eval has no option --output: predictions go beside each"),
        ("eval a --suite b --output_path c", "eval has no option --output_path: predictions go"),
        ("eval a --suite b --model_args x=1", "eval has no option --model_args: name the model"),
        ("train quickstart --overwrite", "train has no option --overwrite: what is finished is"),
        ("train quickstart --lr 1", "it is a key of the recipe: write --set defaults.lr=…"),
        ("train quickstart --batch_size 8", "write --set defaults.batch_size=…"),
        ("train quickstart --model resnet50 --lr 3", "write --set defaults.lr=…"),
        ("train quickstart --tasks digits", "run nsbench eval on the run folder"),
        ("report a --overwrite", "report has no option --overwrite: it is always written anew"),
        ("compare a b --output c", "compare has no option --output: --json FILE, --csv FILE or"),
        ("eval a --limt 3 --suite b", "eval has no option --limt; did you mean --limit?"),
        ("eval a --wrong-thing 3 --suite b", "nsbench eval --help lists them"),
        ("eval a", "eval needs --suite: shipped suites"),
        ("eval --suite a", "eval needs MODELS: run folders"),
        ("eval a --suite", "eval: option '--suite' requires an argument"),
        ("eval a --suite b --limit x", "eval: invalid value for '--limit'"),
        ("evaluate a", "there is no command nsbench evaluate; did you mean 'nsbench eval'?"),
        ("bench evl", "there is no command nsbench bench evl; did you mean 'nsbench bench eval'?"),
        ("data --dta x", "data has no option --dta; did you mean --data?"),
        ("data fech x", "did you mean 'nsbench data fetch'?"),
        ("zzz", "there is no command nsbench zzz; there are "),
        ("--wrong", "nsbench has no option --wrong; nsbench --help lists them"),
    ],
)
def test_what_has_no_place_is_one_sentence(
    typed: str, sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(*typed.split()) == 2
    error = capfd.readouterr().err
    assert sentence in error
    assert error.startswith("nsbench: ")
    assert error.count("\n") == 1


def test_help_is_plain_and_its_examples_are_whole(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert call("eval", "--help") == 0
    lines = capfd.readouterr().out.splitlines()
    start = lines.index("Examples:")
    assert all(len(line) <= 80 for line in lines)
    examples = "\n".join(lines[start + 1 :]).replace("\\\n", "").split("\n")
    assert all(line.startswith("  nsbench eval ") for line in examples)


def test_a_command_of_lm_eval_works(
    tiny_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    suite = write_suite(
        tmp_path / "one.toml", 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 2\n'
    )
    model = tiny_run / "generation-1"
    json_file = tmp_path / "e.json"
    assert call("eval", "--model", model, "--tasks", suite, "--batch_size", 10, "--json",
                json_file) == 0  # fmt: skip
    assert list(json.loads(json_file.read_text())[0]["models"]) == ["run/generation-1"]
    capfd.readouterr()


def test_a_folder_is_an_accuracy_suite(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = load_suite(f"{image_folder}/")
    assert (suite.kind, suite.name) == ("accuracy", "images")
    assert suite.source.source == str(image_folder)
    monkeypatch.chdir(tmp_path)
    # A shipped suite comes before a folder of its name, unless that is named as one.
    image_folder.rename(tmp_path / "digits")
    assert load_suite("digits").source.source == "digits"
    assert load_suite("digits/").source.source == "./digits"
    (tmp_path / "my pets (all)").mkdir()
    assert load_suite("my pets (all)").name == "my-pets-all"
    write_suite(tmp_path / "pets.toml", "")
    with pytest.raises(NsbenchError, match=r"no suite pets; did you mean 'pets\.toml'\?"):
        load_suite("pets")


def test_a_report_takes_all_models_of_a_folder(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    suite = write_suite(
        tmp_path / "one.toml", 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 2\n'
    )
    assert call("eval", tiny_run, "--suite", suite) == 0
    for number in range(2):
        (tmp_path / "results").mkdir(exist_ok=True)
        results = tiny_run / f"generation-{number}" / "results"
        (tmp_path / "results" / f"model-{number}").symlink_to(results)
    monkeypatch.chdir(tmp_path)
    assert call("report", "results", "--json", "r.json") == 0
    rows = json.loads((tmp_path / "r.json").read_text())
    assert [row["model"] for row in rows] == ["run/generation-0", "run/generation-1"]
    assert "<h1>results</h1>" in (tmp_path / "report.html").read_text()
    capfd.readouterr()
    assert call("compare", "results", "results/model-1") == 2
    sentence = "results holds 2 models: name one, such as results/model-0"
    assert sentence in capfd.readouterr().err
    assert call("compare", "results/model-0", "results/model-1") == 0
    assert call("report", "model-1") == 2
    assert "did you mean 'results/model-1'?" in capfd.readouterr().err
