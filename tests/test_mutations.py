"""Damaged files: whatever happens to a file, no number changes and nothing ends in a traceback.

`NSBENCH_MUTATIONS=20000 pytest tests/test_mutations.py` tries more of them than CI does.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsbench.data.cache import cache_folder
from nsbench.data.preprocessing import Preprocessing
from nsbench.data.readers.folder import FolderSource
from nsbench.evaluation.decoded import load_images
from nsbench.models import build, load_model
from nsbench.pseudo_labels.job import LabelingJob
from nsbench.pseudo_labels.pipeline import pseudo_label
from nsbench.recipes.generation import Generation
from nsbench.recipes.parts import PseudoLabels
from nsbench.recipes.recipe import load_recipe
from nsbench.released.make import make_imagenet_c
from nsbench.released.reader import CorruptedFiles
from nsbench.reporting.report import write_report
from nsbench.reporting.seeds import check_one_recipe
from nsbench.run_folder import DIVERGED, SEEDS, divergence, read_seeds, seed_runs
from nsbench.suites.load import load_suite
from nsbench.suites.reference import reference_of
from nsbench.suites.scores import score
from nsbench.training.fit import _is_usable
from nsbench.training.resolve import resolve
from nsbench.training.state import TrainingState
from nsbench.util.errors import NsbenchError
from nsbench.util.sealed import write_record
from tests.conftest import TINY_RECIPE, write_suite
from tests.evaluating import evaluate
from tests.pseudo_labels.label_stores import linear_teacher, noise_source

COUNT = int(os.environ.get("NSBENCH_MUTATIONS", "200"))
CPU = torch.device("cpu")

SUITES = {
    "acc": 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 2\n',
    "cor": 'kind = "corruption"\nsource = "digits"\nimages_per_class = 1\nimage_size = 32\n'
    'corruptions = ["fog"]\nseverities = [1, 2]\nreference = "ref.json"\n',
    "att": 'kind = "attack"\nsource = "digits"\nimages_per_class = 1\nepsilons = [1.0, 4.0]\n'
    "headline = 4.0\n",
}


class Target(NamedTuple):
    """Files that one reader reads, and what it makes of them.

    read: what must stay as it was, or raise NsbenchError. may_differ: whether other content is
    another thing, which says so itself, as a recipe is.
    """

    name: str
    files: list[Path]
    read: Callable[[], Any]
    may_differ: bool = False


def results(run: Path) -> Target:
    folders = sorted(path.parent for path in run.glob("*/results/*/*/suite.json"))

    def scores() -> list[Any]:
        return [
            [
                s.manifest,
                s.tables,
                [(key, m.ids, m.scores.tolist()) for key, m in s.metrics.items()],
            ]
            for s in map(score, folders)
        ]

    return Target("results", [p for f in folders for p in f.rglob("*.*") if p.is_file()], scores)


def generation(run: Path) -> Target:
    folder, images = run / "generation-1", torch.rand(2, 3, 32, 32)

    def logits() -> list[Any]:
        model = load_model(str(folder), "cpu")
        with torch.inference_mode():
            return [model.logits(images).tolist(), model.classes, model.weights_hash]

    return Target("generation", [folder / "model.json", folder / "model.safetensors"], logits)


def report(run: Path, out: Path) -> Target:
    names = ("training.jsonl", "model.json", "selection.json")
    files = [path for name in names for path in run.glob(f"generation-*/{name}")]

    def page() -> list[Any]:
        # Rows of the log that cannot be trusted are left out, and the curves with them.
        return [table.data for table in write_report(run, out)]

    return Target("report", [*files, run / "recipe.toml", run / "provenance.json"], page)


def checkpoint(folder: Path) -> Target:
    folder.mkdir()
    path, copy, identity = folder / "c.safetensors", folder / "copy", {"seed": 0, "lr": 0.1}

    def fresh() -> TrainingState:
        torch.manual_seed(0)
        module = build("test_resnet", 4)
        return TrainingState(module, Generation(arch="test_resnet", image_size=32, steps=4), 8)

    fresh().save(path, identity)
    whole = path.read_bytes()

    def resumed() -> str:
        if _is_usable(path):
            state = fresh()
            state.load(path, identity)
            state.save(copy, identity)
            assert copy.read_bytes() == whole
        return "either as it was, or begun again"

    return Target("checkpoint", [path], resumed)


def labels(folder: Path) -> Target:
    source, teacher = noise_source(folder / "images", 40), linear_teacher()
    job = LabelingJob(
        source,
        np.arange(40),
        CPU,
        settings=PseudoLabels(min_confidence=0.1, balance=False),
        classes=teacher.classes or (),
        run_folder=folder,
    )

    def labeled() -> list[Any]:
        made = pseudo_label(job, teacher, folder / "generation-1")
        rows = np.arange(len(made))
        targets = made.targets(rows)
        return [made.images(rows).tolist(), *(part.tolist() for part in targets)]

    labeled()
    home = folder / "generation-1"
    names = ("labels/shard-00000.arrow", "labels/manifest.json", "selection.json", "selection.npy")
    return Target("labels", [home / name for name in names], labeled)


def decoded(photos: Path, folder: Path) -> Target:
    source, view = FolderSource(photos), Preprocessing(image_size=16)

    def pixels() -> list[Any]:
        (images,) = load_images(source, np.arange(len(source)), [view], folder)
        return [images.image(row).tolist() for row in range(len(images))]

    pixels()
    return Target("decoded images", sorted(folder.iterdir()), pixels)


def kept_digests(photos: Path, copy: Path) -> Target:
    shutil.copytree(photos, copy)  # whose digests nothing has asked for yet
    folder = cache_folder("digests")
    assert folder
    before = set(folder.glob("*.bin"))
    kept = FolderSource(copy).digests
    files = sorted(set(folder.glob("*.bin")) - before)
    assert len(kept) == 6
    return Target("digests", files, lambda: FolderSource(copy).digests.tolist())


def made_set(photos: Path, folder: Path) -> Target:
    make_imagenet_c(
        str(photos), folder, corruptions=["fog"], severities=[1], layout="folder", workers=1
    )

    def identity() -> str:
        source = FolderSource(photos)
        return CorruptedFiles(folder, source).identity(["fog/1"], np.arange(len(source)))

    files = [path for path in folder.rglob("*") if path.is_file()]
    return Target("made set", sorted(files), identity)


def suite_file(folder: Path) -> Target:
    path = Path(write_suite(folder / "s.toml", SUITES["att"]))
    return Target("suite", [path], lambda: load_suite(str(path)).protocol(), may_differ=True)


def recipe_file(folder: Path) -> Target:
    path = folder / "r.toml"
    path.write_text(TINY_RECIPE)
    return Target("recipe", [path], lambda: load_recipe(str(path)).model_dump(), may_differ=True)


def run_recipe(run: Path) -> Target:
    return Target("run", [run / "recipe.toml"], lambda: resolve(None, resume=run).recipe)


def seeds(run: Path, home: Path) -> Target:
    shutil.copytree(run, home / "seed-0", ignore=shutil.ignore_patterns("results"))
    write_record(home / SEEDS, {"name": "tiny", "recipe": {}, "seeds": [0]})
    write_record(home / "seed-0" / DIVERGED, {"sentence": "the loss of seed 0 is nan at step 12"})

    def recorded() -> list[Any]:
        check_one_recipe(home)
        return [read_seeds(home), seed_runs(home), divergence(home / "seed-0")]

    files = [home / SEEDS, home / "seed-0" / DIVERGED, home / "seed-0" / "recipe.toml"]
    return Target("seeds", files, recorded)


def reference(folder: Path) -> Target:
    suite = load_suite(str(folder / "cor.toml"))
    return Target("reference", [folder / "ref.json"], lambda: reference_of(suite))


@pytest.fixture(scope="module")
def targets(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Target]:
    folder = tmp_path_factory.mktemp("mutations")
    photos, run = folder / "photos", folder / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("results"))
    rng = np.random.default_rng(0)
    from PIL import Image

    for name in ("cat", "dog"):
        (photos / name).mkdir(parents=True)
        for index in range(3):
            pixels = rng.integers(0, 256, (36, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(photos / name / f"{index}.png")
    suites = [folder / f"{name}.toml" for name in SUITES]
    for path, text in zip(suites, SUITES.values(), strict=True):
        path.write_text(text)
    suite = load_suite(str(folder / "cor.toml"))
    entry = {"protocol": suite.protocol(), "errors": {"fog": [0.5, 0.6]}, "clean": 0.1}
    entry["generator"] = suite.generator_identity()
    write_record(folder / "ref.json", {"model": "m", "suites": {"cor": entry}}, named=False)
    evaluate([str(run)], [str(path) for path in suites], device="cpu")
    return [
        results(run),
        generation(run),
        report(run, folder / "report.html"),
        checkpoint(folder / "checkpoint"),
        labels(folder / "labels"),
        decoded(photos, folder / "decoded"),
        kept_digests(photos, folder / "copy"),
        made_set(photos, folder / "made"),
        suite_file(folder),
        recipe_file(folder),
        run_recipe(run),
        reference(folder),
        seeds(run, folder / "seeds"),
    ]


def flipped(content: bytes, at: int, value: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1 << value % 8]) + content[at + 1 :]


def replaced(content: bytes, at: int, value: int) -> bytes:
    return content[:at] + bytes([value]) + content[at + 1 :]


def cut(content: bytes, at: int, value: int) -> bytes:
    return content[:at]


def without_some(content: bytes, at: int, value: int) -> bytes:
    return content[:at] + content[at + 1 + value :]


def doubled(content: bytes, at: int, value: int) -> bytes:
    return content[:at] + content[max(0, at - value) :]


def another_digit(content: bytes, at: int, value: int) -> bytes:
    """The next digit as another one: what a text reader would take without a word."""
    place = next((i for i in range(at, len(content)) if chr(content[i]).isdecimal()), at)
    return replaced(content, place, ord("0") + value % 10)


def zeros(content: bytes, at: int, value: int) -> bytes:
    """What a file system leaves of pages that were never written."""
    return content[:at] + bytes(len(content[at : at + 512])) + content[at + 512 :]


MUTATIONS = [flipped, replaced, cut, without_some, doubled, another_digit, zeros]


@pytest.fixture(scope="module")
def expected(targets: list[Target]) -> list[Any]:
    return [target.read() for target in targets]


@settings(
    max_examples=COUNT,
    deadline=None,
    derandomize=COUNT <= 200,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    which=st.integers(0, 12),
    file=st.integers(0, 10**6),
    at=st.floats(0, 1, exclude_max=True),
    value=st.integers(0, 255),
    mutation=st.sampled_from(MUTATIONS),
)
def test_no_damage_changes_a_number(
    targets: list[Target],
    expected: list[Any],
    which: int,
    file: int,
    at: float,
    value: int,
    mutation: Callable[[bytes, int, int], bytes],
) -> None:
    target = targets[which]
    path = target.files[file % len(target.files)]
    content = path.read_bytes()
    kept = {p: p.read_bytes() for p in target.files}
    changed, sentence = mutation(content, int(at * len(content)), value), ""
    path.write_bytes(changed)
    try:
        found = target.read()
        assert target.may_differ or found == expected[which], (target.name, path.name)
    except NsbenchError as error:
        sentence = str(error)
    finally:
        for folder in {p.parent for p in target.files}:
            for aside in folder.glob("*.set-aside-*"):
                aside.unlink()
        for p, before in kept.items():
            p.write_bytes(before)
    assert "\n" not in sentence
    assert changed != content or not sentence


def test_a_whole_file_of_something_else_changes_no_number(
    targets: list[Target], expected: list[Any]
) -> None:
    """Each file replaced by a neighbour of the same kind, which is whole and holds its digest."""
    tried = 0
    for target, was in zip(targets, expected, strict=True):
        for path in target.files:
            others = [p for p in target.files if p.suffix == path.suffix and p != path]
            for other in others[:2]:
                kept = path.read_bytes()
                shutil.copy(other, path)
                try:
                    assert target.read() == was, (path, other)
                except NsbenchError:
                    pass
                finally:
                    for aside in path.parent.glob("*.set-aside-*"):
                        aside.unlink()
                    path.write_bytes(kept)
                tried += 1
    assert tried > 20


def test_what_is_made_again_is_the_same(targets: list[Target], tmp_path: Path) -> None:
    """One damaged cell: the same command makes it again, with the same bytes."""
    path = next(p for p in targets[0].files if p.name == "images.parquet")
    whole, run = path.read_bytes(), path.parents[4]
    path.write_bytes(flipped(whole, len(whole) // 2, 3))
    evaluate([str(path.parents[3])], [str(run.parent / "acc.toml")], device="cpu")
    assert path.read_bytes() == whole
    for aside in path.parent.glob("*.set-aside-*"):
        aside.unlink()
