"""The command line as a user meets it: exit codes, sentences, tables, JSON."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import nsbench
from nsbench import cli
from nsbench.commands import options
from nsbench.commands.quickstart import undecided
from nsbench.reporting.tables import Table
from nsbench.suites.load import shipped
from nsbench.training.seeds import SeedsDiverged
from tests.conftest import write_suite


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nsbench", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"},
    )


def call(*arguments: object) -> int:
    """The command in this process, for speed; its exit code."""
    with pytest.raises(SystemExit) as left:
        cli.main([str(argument) for argument in arguments])
    code = left.value.code
    return code if isinstance(code, int) else 0


def test_train_eval_report_from_the_shell(tiny_recipe: Path, tmp_path: Path) -> None:
    settings = ["generations.0.epochs=1", "defaults.epochs=0.5"]
    done = run(
        "train", tiny_recipe, "--set", *settings, "--out", "r", "--json", "t.json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "test_efficientnet" in done.stdout
    assert "generation 1: " in done.stderr
    assert [row["generation"] for row in json.loads((tmp_path / "t.json").read_text())] == [0, 1]
    suite = write_suite(
        tmp_path / "s.toml", 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 2\n'
    )
    other = write_suite(
        tmp_path / "f.toml",
        'kind = "attack"\nsource = "digits"\nimages_per_class = 2\nepsilons = [8]\nheadline = 8\n',
    )
    done = run("eval", "r", "--suite", suite, other, "--json", "e.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "top-1" in done.stdout
    assert "FGSM" in done.stdout
    tables = json.loads((tmp_path / "e.json").read_text())
    assert [table["suite"] for table in tables] == ["s", "f"]
    assert set(tables[0]["models"]) == {"r/generation-0", "r/generation-1"}
    done = run("eval", "r", "--suite", suite, other, cwd=tmp_path)
    assert done.stderr.count("nothing left to do") == 2
    done = run("report", "r", "--out", "report.html", "--json", "s.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").stat().st_size > 20_000
    assert json.loads((tmp_path / "s.json").read_text())[1]["model"] == "r/generation-1"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "nothing.toml"], "there is no recipe nothing.toml"),
        (["train", "quickstart", "--set", "sed=1"], "unknown key 'sed'; did you mean 'seed'?"),
        (["train", "quickstart", "--set", "seed"], "--set seed: write key=value"),
        (["eval", "nowhere", "--suite", "digits"], "there is no model nowhere"),
        (
            ["eval", "nowhere", "--suite", "digit"],
            "there is no suite digit; did you mean 'digits'?",
        ),
        (
            ["eval", "--suite", "digits", "--device", "tpu9", "x"],
            "there is no device 'tpu9'",
        ),
        (["train", "quickstart", "--device", "meta"], "the device 'meta' computes no numbers"),
        (
            ["train", "quickstart", "--dry-run", "--device", "cuda:99"],
            "the device 'cuda:99' cannot",
        ),
        (["bench", "attack", "--device", "meta"], "the device 'meta' computes no numbers"),
        (["bench", "corruptions", "--device", "meta"], "the device 'meta' computes no numbers"),
        (["bench", "eval", "--device", "meta"], "the device 'meta' computes no numbers"),
        (["bench", "train", "--device", "meta"], "the device 'meta' computes no numbers"),
        (["report", "nowhere"], "nowhere is neither a run folder nor a folder of results"),
        (["compare", "nowhere", "x"], "nowhere is neither a run folder nor a folder of results"),
        (["reference", "digits", "--out", "r.json"], "the suite digits takes no reference"),
        (["bench", "corruptions", "--corruption", "fogg"], "there is no corruption 'fogg'"),
        (["show", "corruptions", "cat.jpg"], "cat.jpg"),
        (["show", "perturbations", "cat.jpg"], "cat.jpg"),
        (["show", "perturbations", __file__, "--image-size", "100"], "the image size is 100, but"),
        (["bench", "attack", "--arch", "resnetx"], "timm has no architecture 'resnetx'"),
        (["make", "imagenet-c", "nowhere", "c"], "there is no nowhere: a source is a folder"),
        (
            ["make", "imagenet-c", "digits", "c", "--corruption", "fogg"],
            "there is no corruption 'fogg'; did you mean 'fog'?",
        ),
        (["make", "imagenet-p", "digits", "p", "--difficulty", "4"], "less than or equal to 3"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 2
    error = capfd.readouterr().err.strip()
    assert sentence in error
    assert error.startswith("nsbench: ")
    assert "Traceback" not in error
    assert "\n" not in error
    assert not list(tmp_path.iterdir())


def test_wrong_usage_has_exit_code_2_too(capfd: pytest.CaptureFixture[str]) -> None:
    assert call("eval", "x") == 2
    assert "--suite" in capfd.readouterr().err
    assert call("evl") == 2


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: out of memory\nCompile with it"), MemoryError()]
)
def test_a_shortage_of_memory_that_nobody_foresaw_is_one_sentence(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def short(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", short)
    assert call("bench", "eval") == 2
    said = capfd.readouterr().err
    assert said.startswith("nsbench: there is too little memory (")
    assert said.count("\n") == 1
    assert "lower the batch size" in said


def test_a_process_whose_main_one_is_gone_has_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise RuntimeError("[gloo/transport/tcp/pair.cc:561] Connection closed by peer [::1]:2972.")

    monkeypatch.setattr(cli, "app", lost)
    assert call() == 1  # alone, it would be a fault of ours
    assert "did not foresee this" in capfd.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert call() == 2
    sentence = "nsbench: another process of this command ended: mend what it says, and repeat the"
    assert capfd.readouterr().err.startswith(sentence)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    suite = write_suite(
        tmp_path / "full.toml", 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 2\n'
    )

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert call("eval", tiny_run, "--suite", suite) == 2
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert "images.parquet: No space left on device" in error
    assert not list(tiny_run.rglob("results/full/*/*"))
    assert call("eval", tiny_run, "--suite", suite) == 0


@pytest.mark.parametrize(
    "command",
    [[], ["train"], ["eval"], ["report"], ["compare"], ["leaderboard"], ["quickstart"], ["suites"],
     ["reference"], ["bench", "attack"], ["make", "imagenet-c"], ["make", "imagenet-p"],
     ["bench", "corruptions"], ["bench", "eval"], ["show", "corruptions"],
     ["show", "perturbations"], ["show", "mistakes"], ["reports"], ["reports", "add"],
     ["reports", "verify"], ["reports", "index"],
     ["data"], ["data", "fetch"], ["doctor"]],
)  # fmt: skip
def test_help_has_an_example(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert call(*command, "--help") == 0
    text = capfd.readouterr().out
    assert not command or f"nsbench {' '.join(command)}" in text.split("Example")[1]


def test_the_quickstart_takes_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def train(recipe: str, out: Path, **options: Any) -> Path:
        asked.update(options, recipe=recipe)
        return out

    monkeypatch.setattr(nsbench, "train", train, raising=False)
    monkeypatch.setattr(nsbench, "evaluate", lambda *_, **__: [], raising=False)
    monkeypatch.setattr(nsbench, "write_report", lambda *_, **__: [], raising=False)
    assert call("quickstart", "--seeds", "3", "--seed", "2", "--out", tmp_path / "many") == 0
    assert (asked["recipe"], asked["seeds"], asked["settings"]) == ("quickstart", 3, ["seed=2"])


def test_the_quickstart_ends_with_what_is_undecided() -> None:
    def changes(verdict: str) -> dict[str, Any]:
        return {"value": 0.25, "interval": [-0.5, 1.0], "verdict": verdict}

    def row(model: str, control: str, verdict: str) -> dict[str, Any]:
        suites = {"digits": {"top1": {"change": changes(verdict)}}}
        return {"model": model, "control": control, "kind": "labeled-only", "suites": suites}

    plain = {"model": "generation 0", "suites": {"digits": {"top1": {"change": changes("better")}}}}
    told = row("generation 1", "labeled-only", "undecided")
    decided = row("generation 2", "labeled-only-2", "better")
    assert list(undecided([table(plain), table(told, decided)])) == [
        "clean accuracy is undecided on 1,000 test digits: "
        "generation 1 +0.2 [-0.5, +1.0] above labeled-only"
    ]
    assert list(undecided([table(plain), table(decided)])) == []

    # Over seeds a student stands beside every control, of which one is its own.
    own = {"against": "labeled-only", **changes("undecided")}
    other = {"against": "labeled-only-2", **changes("undecided")}
    student = {
        "model": "generation 1",
        "control": None,
        "suites": {"digits": {"top1": {"changes": [own, other]}}},
    }
    controls = [
        {"model": name, "control": "labeled-only", "student": f"generation {of}", "suites": {}}
        for of, name in enumerate(("labeled-only", "labeled-only-2"), start=1)
    ]
    (sentence,) = undecided([table(student, *controls), table()])
    assert sentence.endswith(": generation 1 +0.2 [-0.5, +1.0] above labeled-only")


def table(*records: dict[str, Any]) -> Table:
    return Table("title", ["model"], [], list(records))


def test_the_quickstart_reports_the_seeds_beside_one_that_diverged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def train(*_: Any, **__: Any) -> Path:
        raise SeedsDiverged("seed 1 of the quickstart: 1 training diverged")

    made: list[Path] = []

    def write_report(_: Any, out: Path, **__: Any) -> list[Table]:
        made.append(out)
        return []

    monkeypatch.setattr(nsbench, "train", train, raising=False)
    monkeypatch.setattr(nsbench, "evaluate", lambda *_, **__: [], raising=False)
    monkeypatch.setattr(nsbench, "write_report", write_report, raising=False)
    assert call("quickstart", "--seeds", "3", "--out", tmp_path / "many") == 2
    assert made == [tmp_path / "many" / "report.html"]
    assert capfd.readouterr().err.endswith("seed 1 of the quickstart: 1 training diverged\n")


def test_suites_are_listed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "imagenet" / "val").mkdir(parents=True)
    assert call("suites", "--data", tmp_path, "--json", tmp_path / "s.json") == 0
    out = capfd.readouterr().out
    assert all(name in out for name in shipped())
    listed = {suite["name"]: suite for suite in json.loads((tmp_path / "s.json").read_text())}
    assert list(listed) == list(shipped())
    found = {name: suite["found"] for name, suite in listed.items()}
    assert found["digits"] == found["imagenet-1k"] == found["imagenet-real"] == "yes"
    assert found["imagenet-c"] == "made from data:imagenet-1k"
    assert found["imagenet-a"] == found["imagenet-c-bar"] == found["cifar10-c"] == "missing"
    counts = {name: suite["image_count"] for name, suite in listed.items()}
    assert counts["digits-p"] == 200
    assert counts["imagenet-real"] == 46_837
    assert counts["imagenet-o"] == 2_000


@pytest.mark.parametrize(
    ("name", "sentences"),
    [
        ("imagenet-c", ["JPEG quality 85", "AlexNet (published)", "47 GB", "76d9393",
                        "instead, they are made from data:imagenet-1k"]),
        ("imagenet-c-bar", ["read as released, never made", "nsbench data fetch imagenet-c-bar"]),
        ("imagenet-a", ["Only the logits", "instead, the clean accuracy is left out",
                        "github.com/hendrycks/natural-adv-examples"]),
        ("imagenet-o", ["AUPR", "ImageNet-1k, the validation images"]),
        ("imagenet-pgd", ["10 steps of 0.25 ε, no random start", "top-1 under PGD, ε=16/255"]),
        ("imagenet-p", ["Difficulty 1", "mFR"]),
        ("digits-a", ["208", "yes"]),
    ],
)  # fmt: skip
def test_a_suite_is_explained(
    name: str,
    sentences: list[str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    assert call("suites", name, "--data", tmp_path, "--json", tmp_path / "s.json") == 0
    out = capfd.readouterr().out
    for sentence in sentences:
        assert sentence in out
    assert json.loads((tmp_path / "s.json").read_text())["name"] == name


def test_a_suite_of_ones_own_is_explained(
    tmp_path: Path, image_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    suite = write_suite(tmp_path / "pets.toml", f'kind = "accuracy"\nsource = "{image_folder}"\n')
    assert call("suites", suite, "--json", tmp_path / "s.json") == 0
    facts = json.loads((tmp_path / "s.json").read_text())
    assert (facts["image_count"], facts["found"], facts["metric"]) == (6, "yes", "top-1")
    suite = write_suite(tmp_path / "gone.toml", 'kind = "accuracy"\nsource = "no/where"\n')
    assert call("suites", suite) == 0
    assert "correct the path in the suite" in capfd.readouterr().out
    assert call("suites", "digit") == 2
    assert "did you mean 'digits'?" in capfd.readouterr().err


def test_several_values_after_one_option() -> None:
    spread = options._spread(["m", "--suite", "a", "b", "--json", "f", "-x", "c"], {"--suite"})
    assert spread == ["m", "--suite", "a", "--suite", "b", "--json", "f", "-x", "c"]


def test_an_option_may_stand_without_its_values() -> None:
    bare = options.WithVariants.BARE
    assert options._filled(["m", "--variants"], bare) == ["m", "--variants", "all"]
    filled = options._filled(["m", "--variants", "--set", "a=1"], bare)
    assert filled == ["m", "--variants", "all", "--set", "a=1"]
    named = ["--variants", "x", "y", "--out", "o"]
    assert options._filled(named, bare) == named


def test_variants_from_the_shell(tiny_recipe: Path, tmp_path: Path) -> None:
    text = tiny_recipe.read_text().replace("epochs = 8", "epochs = 0.5")
    for name in ("quiet", "loud"):
        text += f'[[variants]]\nname = "{name}"\nset = ["generations.1.dropout=0.{len(name)}"]\n'
    tiny_recipe.write_text(text)
    run = tmp_path / "run"
    assert call("train", tiny_recipe, "--out", run, "--device", "cpu") == 0
    assert not (run / "variants").exists()
    assert call("train", tiny_recipe, "--out", run, "--variants", "loud", "--device", "cpu") == 0
    assert [path.name for path in (run / "variants").iterdir()] == ["loud"]
    assert call("train", tiny_recipe, "--variants", "--out", run, "--device", "cpu") == 0
    assert sorted(path.name for path in (run / "variants").iterdir()) == ["loud", "quiet"]
    assert (run / "variants" / "quiet" / "generation-1" / "model.json").is_file()


def test_bench_attack_reports_both_sides(tmp_path: Path) -> None:
    arguments = ["bench", "attack", "--arch", "test_efficientnet", "--image-size", 32]
    assert call(*arguments, "--batch-size", 4, "--rounds", 1, "--json", tmp_path / "b.json") == 0
    found = json.loads((tmp_path / "b.json").read_text())
    assert len(found["epsilons"]) == 8
    ratio = found["nsbench_images_per_second"] / found["foolbox_images_per_second"]
    assert found["speedup"] == pytest.approx(ratio)
    assert found["fraction_of_peak"] > 0


def test_make_from_the_shell(small_folder: Path, tmp_path: Path) -> None:
    options = ["--layout", "folder", "--workers", "2"]
    names = ["--corruption", "fog", "contrast", "--severity", "1", "3"]
    done = run(
        "make", "imagenet-c", "small", "c", *names, *options, "--json", "c.json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "imagenet-c: 40 files in" in done.stderr
    assert "written" in done.stdout
    summary = json.loads((tmp_path / "c.json").read_text())
    assert summary | {"seconds": 0.0} == {
        "target": "c", "images": 10, "cells": 4, "written": 40, "kept": 0, "seconds": 0.0
    }  # fmt: skip
    assert len(list((tmp_path / "c").glob("*/*/*/*.JPEG"))) == 40


def test_make_clips(small_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    names = ["--perturbation", "rotate", "--workers", 1]
    assert call("make", "imagenet-p", small_folder, tmp_path / "p", *names) == 0
    assert "imagenet-p: 10 clips in" in capfd.readouterr().err
    made = [".digests", "labels.npy", "nsbench.json", "rotate.npy"]
    assert sorted(os.listdir(tmp_path / "p")) == made


def test_a_checkpoint_of_others_from_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(timm.create_model("test_resnet", num_classes=10).state_dict(), "best.pth")
    Path("names.txt").write_text("\n".join("0123456789"))
    suite = write_suite(
        tmp_path / "s.toml", 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 2\n'
    )
    input_of = ["--image-size", 32, "--mean", 0.5, 0.5, 0.5, "--std", 0.5, 0.5, 0.5]
    command = ["eval", "best.pth", *input_of, "--suite", suite]
    assert call(*command) == 2
    assert (
        "best.pth needs its architecture: give a name of timm's by --arch" in capfd.readouterr().err
    )
    command += ["--arch", "test_resnet", "--classes", "names.txt"]
    assert call(*command, "--json", "t.json") == 0
    name = f"{tmp_path.name}/best.pth"
    assert list(json.loads(Path("t.json").read_text())[0]["models"]) == [name]
    (manifest,) = (
        json.loads(p.read_text()) for p in tmp_path.glob("results/best-*/s/*/suite.json")
    )
    assert manifest["identity"]["preprocessing"] | {"crop_pct": 0, "interpolation": ""} == {
        "image_size": 32, "crop_pct": 0, "crop_mode": "center", "interpolation": "",
        "mean": [0.5] * 3, "std": [0.5] * 3,
    }  # fmt: skip
    assert manifest["model"]["arch"] == "test_resnet"
    torch.save(timm.create_model("test_resnet", num_classes=10).state_dict(), "best.pth")
    assert call(*command) == 0
    assert len(list(tmp_path.glob("results/best-*/s/*/images.parquet"))) == 2


def test_models_of_two_kinds_and_sizes_share_a_command(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("two_sizes.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 10))\n"
    )
    Path("names.txt").write_text("\n".join("0123456789"))
    suite = write_suite(
        tmp_path / "s.toml", 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 2\n'
    )
    models = [tiny_run / "generation-0", "python:two_sizes:make", "linear:digits"]
    assert (
        call("eval", *models, "--classes", "names.txt", "--suite", suite, "--json", "t.json") == 0
    )
    names = list(json.loads(Path("t.json").read_text())[0]["models"])
    assert names == ["run/generation-0", "python:two_sizes:make", "linear:digits"]


def test_a_mistake_of_nsbench_ends_in_a_sentence_and_a_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("a thing")

    monkeypatch.setattr(cli, "app", broken)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert call("suites") == 1
    said = capsys.readouterr().err
    assert said.startswith("nsbench: nsbench did not foresee this (KeyError: 'a thing'): please")
    (log,) = tmp_path.glob("nsbench-*.log")
    assert str(log) in said
    assert "Traceback (most recent call last)" in log.read_text()
    assert "Traceback" not in said


def test_a_reader_that_has_enough_is_no_error() -> None:
    command = f"{sys.executable} -m nsbench suites"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} | head -1"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "suites\n", "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_tables_are_printed_in_any_encoding(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nsbench", "suites"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert done.returncode == 0, done.stderr
    assert "imagenet-c" in done.stdout.decode(encoding)


@pytest.mark.parametrize(
    "command",
    ["eval {}.pth --arch resnet18 --suite digits", "train {}.toml", "eval {} --suite digits",
     "eval linear:digits --suite {}.toml", "eval linear:digits --suite {}", "show corruptions {}"],
)  # fmt: skip
def test_a_link_that_leads_nowhere_is_told_as_one(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in ("", ".pth", ".toml"):
        (tmp_path / f"x{suffix}").symlink_to("gone")
    assert call(*command.format(tmp_path / "x").split()) == 2
    assert "a link that leads nowhere (gone)" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["eval {} --suite digits", "train {}", "eval x --suite {}",
                                     "show corruptions {}", "report {}"])  # fmt: skip
def test_a_pipe_is_refused_at_once(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("x.toml", "x.pth", "x.png"):
        os.mkfifo(tmp_path / name)
        words = command.format(tmp_path / name).split()
        assert call(*words) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "name", ["a [b] {0..1}", "a=b, c:d", "été*?", "-x %s $(x)", "[bold]\x1b[31m"]
)
def test_runs_results_and_reports_of_any_name(
    name: str, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Without what other tests have evaluated, not all of it to the end.
    without = shutil.ignore_patterns("results")
    run = shutil.copytree(tiny_run, tmp_path / name / name, ignore=without)
    assert call("eval", run, "--suite", "digits", "--limit", "4", "--device", "cpu") == 0
    page = tmp_path / f"{name}.html"
    assert call("report", run, "--out", page) == 0
    assert page.is_file()
    assert call("compare", run / "generation-0", run / "generation-1") == 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([name, page.name])
    said = capsys.readouterr()
    assert "\x1b[31m" not in said.out + said.err
    assert page.name.replace("\x1b", "") in said.out + said.err
