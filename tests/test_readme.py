"""What the README shows is what works: its files load and its commands run on small real data."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import timm
from PIL import Image

from nsbench import cli
from nsbench.data.open import DigitsSource
from nsbench.recipes.recipe import load_recipe
from nsbench.suites.load import load_suite
from tests.conftest import ROOT

TEXT = (ROOT / "README.md").read_text()
PRETRAINED = "tf_efficientnet_b0.ns_jft_in1k"
WNIDS = ("n01440764", "n01443537", "n01484850")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.S)


def files() -> dict[str, str]:
    named = [(re.match(r"# (\S+\.toml)", block), block) for block in blocks("toml")]
    return {match.group(1): block for match, block in named if match}


def commands() -> list[list[str]]:
    lines = [line.split("#")[0] for block in blocks("bash") for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.strip()]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the README's files and tiny data where its files look for them."""
    for name, text in files().items():
        (tmp_path / name).write_text(text)
    rng = np.random.default_rng(0)
    for folder in ("data/imagenet/train", "data/imagenet/val", "data/imagenet-a"):
        for wnid in WNIDS:
            for index in range(5):
                path = tmp_path / folder / wnid / f"{index}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)).save(path)
    (tmp_path / "unlabeled-images").mkdir()
    for index in range(6):
        path = tmp_path / "unlabeled-images" / f"{index}.png"
        Image.fromarray(rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main(list(arguments))
    code = left.value.code
    return code if isinstance(code, int) else 0


def test_every_file_is_named_and_loads(workplace: Path) -> None:
    assert len(files()) == len(blocks("toml"))
    for name, text in files().items():
        if "[[generations]]" in text:
            load_recipe(name)
        else:
            load_suite(name)


def test_every_command_is_one_of_ours_or_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    known = {"train", "eval", "report", "compare", "reference", "suites", "quickstart", "bench",
             "show", "make", "data", "recipes", "doctor", "published"}  # fmt: skip
    for program, verb, *_ in commands():
        assert (program == "nsbench" and verb in known) or f"\n{verb}:" in makefile


def test_the_imagenet_section_runs_on_a_small_tree(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = timm.create_model
    monkeypatch.setattr("timm.create_model", lambda name, pretrained=False, **k: create(name, **k))
    wanted = [command[1:] for command in commands() if "imagenet" in " ".join(command)]
    made = [arguments for arguments in wanted if arguments[0] == "make"]
    known = ("suites", "data", "published")
    told = [arguments for arguments in wanted if arguments[0] in known]
    wanted = [arguments for arguments in wanted if arguments not in [*made, *told]]
    assert [arguments[0] for arguments in wanted] == ["train", "eval", "report", "compare"]
    small = ["workers=0", "generations.0.epochs=1", "defaults.epochs=1", "defaults.batch_size=3",
             "defaults.unlabeled_ratio=1", "defaults.arch=x", "defaults.image_size=64",
             "generations.0.arch=test_efficientnet", "generations.1.arch=test_efficientnet",
             "pseudo_labels.min_confidence=0.0", "pseudo_labels.balance=false"]  # fmt: skip
    for arguments in wanted:
        ready = ["cpu" if word == "cuda" else word for word in arguments]
        ready = [
            word.replace("tf_efficientnet_b0.ns_jft_in1k", "test_resnet.r160_in1k")
            for word in ready
        ]
        if ready[0] == "train":
            ready += ["--set", *small]
        if ready[0] == "eval":
            ready += ["--limit", "2"]
        assert run(*ready) == 0, ready
    text = (workplace / "report.html").read_text()
    assert "generation-1" in text or "generation 1" in text
    assert "test_resnet" in text
    few = {"imagenet-c": ["--corruption", "fog", "--severity", "1"],
           "imagenet-p": ["--perturbation", "tilt"]}  # fmt: skip
    assert [arguments[1] for arguments in made] == list(few)
    for arguments in made:
        assert run(*arguments, *few[arguments[1]]) == 0
    lines = 'source = "data:imagenet-1k"\nimage_size = 224\nresize_size = 256\n'
    c = 'kind = "corruption"\nfiles = "data:imagenet-c"\ncorruptions = ["fog"]\nseverities = [1]\n'
    p = 'kind = "perturbation"\nfiles = "data:imagenet-p"\nperturbations = ["tilt"]\n'
    for name, suite in (("c", c), ("p", p)):
        Path(f"{name}.toml").write_text(suite + lines)
    suites = ["--suite", "c.toml", "p.toml", "--data", "data", "--json", "e.json"]
    assert run("eval", "timm:test_resnet.r160_in1k", *suites, "--device", "cpu") == 0
    manifests = [
        json.loads(path.read_text()) for path in Path("results").glob("*/[cp]/*/suite.json")
    ]
    generators = [manifest["identity"]["generator"] for manifest in manifests]
    assert [generator[:9] for generator in generators] == ["the files"] * 2
    assert [arguments[:2] for arguments in told] == [
        ["suites", "imagenet-c"], ["data", "fetch"], ["published", "--suite"],
    ]  # fmt: skip
    assert run(*told[0]) == 0


def test_the_lists_of_suites_and_data_sets(workplace: Path) -> None:
    known = ("suites", "data", "published")
    lists = [command[1:] for command in commands() if command[1] in known]
    plain = [arguments for arguments in lists if "fetch" not in arguments]
    assert len(plain) == 6
    assert all(run(*arguments) == 0 for arguments in plain)


def test_recipes_are_listed_and_copied(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed, copied = ([*c[1:]] for c in commands() if c[1] == "recipes")
    assert run(*listed) == 0
    capsys.readouterr()
    assert copied[-2:] == [">", "svhn.toml"]
    assert run(*copied[:-2]) == 0
    Path(copied[-1]).write_text(capsys.readouterr().out)
    assert load_recipe(copied[-1]).generations[1].arch == "tf_efficientnet_b0"


def test_the_own_recipe_and_suites_run_on_digits(workplace: Path) -> None:
    source = DigitsSource("labeled")
    assert source.labels is not None
    for index in range(len(source)):
        path = workplace / "data/cifar10/train" / str(source.labels[index]) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        source.image(index).save(path)
    (workplace / "data/cifar10/train").rename(workplace / "data/cifar10/test")
    (workplace / "data/cifar10/train").symlink_to(workplace / "data/cifar10/test")
    small = ["workers=0", "defaults.epochs=1", "data.labels_per_class=4", "defaults.batch_size=10",
             "data.validation_per_class=1", "pseudo_labels.balance=false",
             "pseudo_labels.min_confidence=0.0", "generations.0.arch=test_efficientnet",
             "generations.1.arch=test_efficientnet", "generations.2.arch=test_resnet"]  # fmt: skip
    assert run("train", "my-recipe.toml", "--set", *small, "--out", "runs/mine") == 0
    for name in ("my-corruptions.toml", "my-attack.toml"):
        text = Path(name).read_text().replace("images_per_class = 50", "images_per_class = 1")
        Path(name).write_text(text)
    suites = ["digits", "my-suite.toml", "my-corruptions.toml", "my-attack.toml"]
    assert run("eval", "runs/mine", "--suite", *suites) == 0
    assert run("report", "runs/mine", "--out", "report.html") == 0
    made = ["my-corruptions.toml", "--model", "runs/mine/generation-0", "--out", "reference.json"]
    assert run("reference", *made) == 0


def test_the_python_lines_run(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nsbench

    alone, code, own = blocks("python")
    exec(alone, {})
    exec(own, {})
    assert (workplace / "results.csv").is_file()
    train = nsbench.train
    small = ["workers=0", "defaults.steps=2"]
    small += ["pseudo_labels.balance=false", "pseudo_labels.min_confidence=0.0"]

    def quick(recipe: str, out: str, settings: dict[str, int]) -> Path:
        return train(recipe, out, settings=[f"seed={settings['seed']}", *small])

    monkeypatch.setattr(nsbench, "train", quick, raising=False)
    exec(code, {})
    assert (workplace / "report.html").is_file()
    assert max(len(text.strip().splitlines()) for text in (code, own)) <= 10
