"""Mistakes are told at once: neither torch nor timm is imported for them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nsbench
from nsbench.models.timm_index import timm_index

LATE = ("torch", "timm", "scipy", "datasets", "matplotlib")

MISTAKES = {
    "train": "name a recipe, or a run folder to continue by --resume",
    "train nosuch": "there is no recipe nosuch",
    "train nothing.toml": "there is no recipe nothing.toml",
    "train quickstar": "there is no recipe quickstar; did you mean 'quickstart'?",
    "train quickstart --set lr=1": "unknown key 'lr'; did you mean 'defaults.lr'?",
    "train quickstart --set learning_rate=1": "did you mean 'defaults.lr'",
    "train quickstart --set batch-size=1": "did you mean 'defaults.batch_size'",
    "train quickstart --set weight-decay=1": "did you mean 'defaults.weight_decay'",
    "train quickstart --set epochs=1": "did you mean 'defaults.epochs'",
    "train quickstart --set defaults.learning_rate=1": "did you mean 'defaults.lr'",
    "train quickstart --set defaults.arch=resnet5O": "did you mean 'resnet50'?",
    "train quickstart --set defaults.optimizer=adamv": "did you mean 'adamw'?",
    "train quickstart --set defaults.schedule=cosin": "did you mean 'cosine'?",
    "train quickstart --set defaults.randaugment=foo": "it must be of the form paper-mMAGNITUDE",
    "train quickstart --set defaults.precision=bf16": "did you mean 'bfloat16'?",
    "train quickstart --set data.labeled=nowhere": "there is no nowhere",
    "train quickstart --set data.labeled.source=gone": "there is no gone: a source is",
    "train quickstart --controls labeled": "did you mean 'labeled-only'?",
    "train quickstart --controls orcle": "did you mean 'oracle'",
    "train quickstart --variants no-nois": "did you mean 'no-noise'",
    "train --resume gone": "gone holds no recipe.toml",
    "eval python:no_such_module:make --suite digits": "there is no Python module no_such_module",
    "train quickstart --device cud": "did you mean 'cuda'",
    "train quickstart --epochs 3": "write --set defaults.epochs=…",
    "eval timm:resnet5O --suite digits": "timm has no model 'resnet5O'; did you mean 'resnet50'?",
    "eval resnet5O --suite digits": "there is no model resnet5O; did you mean 'resnet50'?",
    "eval resnt50 --suite digits": "did you mean 'resnet50'",
    "eval resnet50.a1_in1 --suite digits": "did you mean 'resnet50.a1_in1k'",
    "eval local-dir:gone --suite digits": "gone holds no model in timm's form",
    "eval nowhere --suite digits": "there is no model nowhere",
    "eval best.pth --suite digits": "cannot read best.pth",
    "eval best.pth --arch resnet5O --suite digits": "did you mean 'resnet50'",
    "eval resnet50 --suite imagenetc": "there is no suite imagenetc; did you mean 'imagenet-c'?",
    "eval resnet50 --suite imagenet": "did you mean 'imagenet-1k'?",
    "eval resnet50 --suite imagenet-1k": "the data set imagenet-1k cannot be looked for",
    "eval resnet50 --suite gone.toml": "cannot read gone.toml",
    "eval resnet50 --suite digits --precision bf16": "did you mean 'bfloat16'?",
    "eval resnet50 --suite digits --device cud": "did you mean 'cuda'",
    "eval resnet50 --suite digits --device tpu9": "there is no device 'tpu9'",
    "eval resnet50 --suite digits --interpolation cubic": "'bicubic'",
    "eval resnet50 --suite digits --mean 0.5": "the key 'mean' is [0.5]",
    "eval resnet50 --suite digits --classes gone": "cannot read gone",
    "eval resnet50 --sute digits": "eval has no option --sute; did you mean --suite?",
    "report nowhere": "nowhere is neither a run folder nor a folder of results",
    "report here --across precison": "did you mean 'precision'?",
    "leaderboard nowhere": "nowhere is neither a run folder nor a folder of results",
    "leaderboard here --across precison": "did you mean 'precision'?",
    "compare nowhere x": "nowhere is neither",
    "compare here x --across precison": "did you mean 'precision'?",
    "suites imagenetc": "did you mean 'imagenet-c'?",
    "data fetch imagenetc": "there is no data set imagenetc; did you mean 'imagenet-c'?",
    "data imagenetc": "there is no data set imagenetc; did you mean 'imagenet-c'?",
    "make imagenet-c nowhere c": "there is no nowhere: a source is a folder",
    "make imagenet-c digits c --corruption fogg": "did you mean 'fog'?",
    "make imagenet-c digits c --severity 6": "less than or equal to 5",
    "make imagenet-p digits c --perturbation tild": "did you mean 'tilt'?",
    "make imagenet-p digits c --difficulty 4": "less than or equal to 3",
    "make imagenet-p digits c --layout fodler": "did you mean 'folder'?",
    "bench attack --arch resnet5O": "did you mean 'resnet50'?",
    "bench eval --arch resnet5O": "did you mean 'resnet50'?",
    "bench train --device tpu9": "there is no device 'tpu9'",
    "bench corruptions --corruption fogg": "there is no corruption 'fogg'; did you mean 'fog'?",
    "show corruptions cat.jpg": "there is no image cat.jpg",
    "show perturbations here/cat.jpg --image-size 100": "the image size is 100",
    "show labels nowhere": "nowhere",
    "show mistakes nowhere --suite digits": "nowhere is neither a run folder nor",
    "show mistakes here": "show mistakes needs --suite",
    "show mistakes here --suite digitz": "not evaluated on 'digitz'; did you mean 'digits'?",
    "reports add nowhere --name x": "nowhere is neither a run folder nor a folder of results",
    "reports add here --name speed": "a report cannot be called 'speed'",
    "reports add here": "reports add needs --name",
    "reports add here --name x --across precison": "did you mean 'precision'?",
    "reports verify": "reports holds no report: make one by nsbench reports add",
    "reports index --home here": "here holds no report",
    "reports verfy": "did you mean 'nsbench reports verify'?",
    "reference digitz --out r.json": "did you mean 'digits'?",
    "reference digits-c --out r.json --model resnet5O": "did you mean 'resnet50'?",
    "reference digits --out r.json": "the suite digits takes no reference",
    "doctor --only pixel": "there is no step 'pixel'; did you mean 'pixels'?",
    "quickstart --device tpu9": "there is no device 'tpu9'",
    "recipes cifar": "did you mean 'cifar10-4k'?",
    "recipies": "there is no command nsbench recipies; did you mean 'nsbench recipes'?",
    "ls suits": "did you mean 'suites'",
    "forget nowhere --suite digits": "neither a run folder nor a folder of results",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str]]:
    """For each mistake the exit code, what was said, and what was imported; in one process."""
    timm_index()  # makes the index, which is made once
    code = (
        "import io, sys, contextlib, json\n"
        "from nsbench import cli\n"
        "found = {}\n"
        "for line in json.loads(sys.argv[1]):\n"
        "    said = io.StringIO()\n"
        "    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):\n"
        "        try: cli.main(line.split())\n"
        "        except SystemExit as left: code = left.code\n"
        f"    late = ' '.join(name for name in {LATE} if name in sys.modules)\n"
        "    found[line] = code, said.getvalue(), late\n"
        "print(json.dumps(found))\n"
    )
    import json

    home = {
        **os.environ,
        "PYTHONPATH": str(Path(nsbench.__file__).parents[1]),
        "COLUMNS": "200",
        "NSBENCH_DATA": "",
    }
    here = tmp_path_factory.mktemp("there")
    (here / "here" / "digits" / "0").mkdir(parents=True)
    (here / "here" / "digits" / "0" / "suite.json").touch()
    (here / "here" / "cat.jpg").touch()
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(list(MISTAKES))],
        capture_output=True,
        text=True,
        env=home,
        cwd=here,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, tuple[int, str, str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_told_before_torch_is_imported(
    line: str, told: dict[str, tuple[int, str, str]]
) -> None:
    code, said, late = told[line]
    assert (code, late) == (2, "")
    assert MISTAKES[line] in " ".join(said.split())
    assert "Traceback" not in said
    assert said.startswith("nsbench: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("words", ["", "eval", "train", "data", "bench eval"])
def test_help_needs_none_of_the_large_packages(words: str) -> None:
    large = ("torch", "timm", "numpy", "pyarrow", "rich.markdown", "PIL")
    code = (
        "import sys\nfrom nsbench import cli\n"
        "try:\n    cli.main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {large} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words.split(), "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    *lines, imported = done.stdout.splitlines()
    assert imported == "[]"
    examples = lines.index("Examples:") if "Examples:" in lines else len(lines)
    cut = re.compile(r"[a-z,]\.\.\.$")
    assert all(len(line) <= 80 and not cut.search(line) for line in lines[:examples])
