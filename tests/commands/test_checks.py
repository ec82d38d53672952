"""Mistakes are told at once: neither torch nor timm is imported for them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import nsbench
from nsbench.models.names import timm_names

LATE = ("torch", "timm", "scipy", "datasets", "matplotlib")

MISTAKES = {
    "eval timm:resnet5O --suite digits": "did you mean 'resnet50'",
    "eval resnt50 --suite digits": "did you mean 'resnet50'",
    "eval nowhere --suite digits": "there is no model nowhere",
    "eval resnet50 --suite imagenetc": "did you mean 'imagenet-c'",
    "eval resnet50 --suite none.toml": "cannot read none.toml",
    "eval resnet50 --suite imagenet-1k": "cannot be looked for",
    "eval resnet50 --suite digits --precision bf16": "did you mean 'bfloat16'",
    "eval resnet50 --suite digits --device cud": "did you mean 'cuda'",
    "eval resnet50 --suite digits --interpolation cubic": "'bicubic'",
    "eval resnet50 --suite digits --sute": "No such option",
    "eval best.pth --arch resnet5O --suite digits": "No such file",
    "train nosuch": "there is no recipe nosuch",
    "train quickstart --set lr=1": "did you mean 'defaults.lr'",
    "train quickstart --set learning_rate=1": "did you mean 'defaults.lr'",
    "train quickstart --set batch-size=1": "did you mean 'defaults.batch_size'",
    "train quickstart --set weight-decay=1": "did you mean 'defaults.weight_decay'",
    "train quickstart --set epochs=1": "did you mean 'defaults.epochs'",
    "train quickstart --set defaults.learning_rate=1": "did you mean 'defaults.lr'",
    "train quickstart --set defaults.arch=resnet5O": "did you mean 'resnet50'",
    "train quickstart --set data.labeled=nowhere": "there is no nowhere",
    "train quickstart --controls orcle": "did you mean 'oracle'",
    "train quickstart --variants no-nois": "did you mean 'no-noise'",
    "train quickstart --device cud": "did you mean 'cuda'",
    "quickstart --device cud": "did you mean 'cuda'",
    "report nowhere": "neither a run folder nor a folder of results",
    "compare nowhere there": "neither a run folder nor a folder of results",
    "suites nosuch": "there is no suite nosuch",
    "recipes nosuch": "there is no recipe nosuch",
    "reference nosuch --out x.json": "there is no suite nosuch",
    "reference digits-c --model resnt50 --out x.json": "did you mean 'resnet50'",
    "make imagenet-c nowhere out": "there is no nowhere",
    "make imagenet-c digits out --corruption fogg": "did you mean 'fog'",
    "make imagenet-p digits out --perturbation tillt": "did you mean 'tilt'",
    "bench corruptions --corruption fogg": "did you mean 'fog'",
    "bench attack --arch resnet5O": "did you mean 'resnet50'",
    "show corruptions no.jpg --out a.png": "there is no image no.jpg",
    "doctor --only pixel": "did you mean 'pixels'",
    "ls suits": "did you mean 'suites'",
    "forget nowhere --suite digits": "neither a run folder nor a folder of results",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str]]:
    """For each mistake the exit code, what was said, and what was imported; in one process."""
    timm_names()  # makes the index, which is made once
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
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(list(MISTAKES))],
        capture_output=True,
        text=True,
        env=home,
        cwd=tmp_path_factory.mktemp("here"),
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
