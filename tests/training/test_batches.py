"""What each step sees: the same from memory, from workers, and divided among processes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from nsbench.augment.pipeline import Augmentation
from nsbench.data.open import SourceSpec, open_source
from nsbench.data.preprocessing import Preprocessing
from nsbench.data.spec import Source
from nsbench.pseudo_labels.pipeline import PseudoLabeledSet
from nsbench.pseudo_labels.targets import SparseTargets
from nsbench.recipes.generation import Generation
from nsbench.training import batches
from nsbench.training.batches import BatchPlan, Labeled, ShuffledSampler, training_batches
from nsbench.util.errors import NsbenchError

CPU = torch.device("cpu")
SIZE = Preprocessing(image_size=32)


def plan(folder: Path, seed: int = 0, **shares: int) -> BatchPlan:
    source = open_source(SourceSpec(source=str(folder)))
    assert source.labels is not None
    labeled = ShuffledSampler("labeled", source, Labeled(np.arange(6), source.labels), 4)
    return BatchPlan(labeled, None, seed, **shares)


def augmentation(**settings: object) -> Augmentation:
    given = {"arch": "x", "crop": "pad", "randaugment": "paper", "image_size": 32}
    return Augmentation(Generation.model_validate(given | settings), SIZE)


def collect(
    chosen: BatchPlan, noise: Augmentation, workers: int = 0, steps: int = 5
) -> list[torch.Tensor]:
    made = training_batches(chosen, noise, range(steps * chosen.parts), workers, CPU)
    return [noise.on_device(batch.images, batch.keys) for batch in made][: steps * chosen.parts]


def test_a_batch_holds_images_keys_and_labels(image_folder: Path) -> None:
    chosen = plan(image_folder)
    batch = next(training_batches(chosen, augmentation(), range(1), 0, CPU))
    assert batch.images.shape == (4, 3, 32, 32)
    assert batch.images.dtype == torch.uint8
    assert batch.keys.shape == (4,)
    assert len(set(batch.keys.tolist())) == 4
    (rows,) = chosen.rows(0)
    assert batch.labels.tolist() == [int(row >= 3) for row in rows]  # cats, then dogs
    assert batch.targets is None


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"crop": "reflect-pad", "cutout": 4},
        {"randaugment": "rand-m5-n1", "flip": 0.5},
        {"crop": "random-resized", "randaugment": "paper-m5-n1"},
        {"randaugment": "", "random_erasing": 0.5},
    ],
)
def test_batches_do_not_depend_on_workers(image_folder: Path, settings: dict[str, object]) -> None:
    noise = augmentation(**settings)
    alone, helped = (collect(plan(image_folder), noise, workers) for workers in (0, 2))
    assert len(alone) == 5
    assert all(torch.equal(one, other) for one, other in zip(alone, helped, strict=True))
    assert not torch.equal(collect(plan(image_folder, seed=1), noise)[0], alone[0])


def test_batches_from_memory_and_from_files_are_the_same(
    image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = augmentation()
    assert noise.fixed
    resident = collect(plan(image_folder), noise)
    monkeypatch.setattr(batches, "RESIDENT_SHARE", 0.0)
    read = collect(plan(image_folder), noise)
    assert all(torch.equal(one, other) for one, other in zip(resident, read, strict=True))


@pytest.mark.parametrize(
    ("free", "step", "resident"),
    [(36_864, 0, True), (36_863, 0, False), (10**6, 0, True), (10**6, 963_137, False)],
)
def test_images_stay_only_where_a_step_leaves_them_room(
    free: int,
    step: int,
    resident: bool,
    image_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # six images of 32 px, of which some are there several times, are 18,432 bytes
    monkeypatch.setattr(batches, "free_memory", lambda device: free)
    monkeypatch.setattr(batches, "PART", 4)
    source = open_source(SourceSpec(source=str(image_folder)))
    assert source.labels is not None
    repeated = Labeled(np.arange(6).repeat(9), source.labels.repeat(9))
    chosen = BatchPlan(ShuffledSampler("labeled", source, repeated, 4), None, 0)
    assert chosen.images_at_once == 4
    noise = augmentation()
    for item, batch in enumerate(training_batches(chosen, noise, range(3), 0, CPU, step)):
        indices = repeated.images(chosen.rows(item)[0])
        expected = np.stack([noise.read(source.image(index), 0) for index in indices])
        assert (batch.images.numpy() == expected).all()
    assert ("reading labeled images" in capfd.readouterr().err) == resident


SCRIPT = """
import sys
from pathlib import Path
import torch
from nsbench.training import batches
from nsbench.util import distributed
from tests.training.test_batches import CPU, augmentation, plan
distributed.start(CPU)
batches.free_memory = lambda device: 10**9 * (1 - distributed.rank())  # the second one has none
chosen, noise = plan(Path(sys.argv[1])), augmentation()
made = batches.training_batches(chosen, noise, range(1), 0, CPU)
print("read" if made.__name__ == "_read_batches" else "resident")
distributed.stop()
"""


def test_processes_keep_images_only_where_all_can(image_folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(script), str(image_folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("read") == 2


def test_a_walk_visits_every_image_once_an_epoch(image_folder: Path) -> None:
    sampler = plan(image_folder).labeled
    rows = sampler.rows(0, np.arange(12)).tolist()
    assert sorted(rows[:6]) == sorted(rows[6:]) == list(range(6))
    assert sampler.rows(0, np.array([7, 2])).tolist() == [rows[7], rows[2]]


def orders(sampler: ShuffledSampler, seed: int) -> set[tuple[int, ...]]:
    """Those of 30 epochs of six images, of 720 that there are."""
    return {tuple(epoch) for epoch in sampler.rows(seed, np.arange(180)).reshape(30, 6).tolist()}


def test_each_epoch_seed_and_stream_has_orders_of_its_own(image_folder: Path) -> None:
    sampler = plan(image_folder).labeled
    own = orders(sampler, 0)
    assert len(own) > 25
    for others in (orders(sampler, 1), orders(replace(sampler, name="unlabeled"), 0)):
        assert len(others) > 25
        assert len(own & others) < 5


def test_what_is_drawn_for_an_image_follows_seed_stream_and_position(image_folder: Path) -> None:
    """Both of what is drawn as an image is read, and of the keys for the device."""
    chosen = plan(image_folder)
    noise = augmentation(crop="random-resized")

    def drawn(of: BatchPlan, name: str) -> set[int]:
        seeds: list[int] = []

        class Kept(Augmentation):
            def read(self, image: Image.Image, seed: int) -> NDArray[np.uint8]:
                seeds.append(seed)
                return super().read(image, seed)

        noise.__class__ = Kept
        of = replace(of, labeled=replace(of.labeled, name=name))
        passes = list(training_batches(of, noise, range(5), 0, CPU))
        noise.__class__ = Augmentation
        keys = [key for batch in passes for key in batch.keys.tolist()]
        assert len(seeds) == len(set(seeds)) == len(keys) == len(set(keys)) == 20
        return {*seeds, *keys}

    own = drawn(chosen, "labeled")
    assert drawn(chosen, "labeled") == own
    assert not own & drawn(chosen, "unlabeled")
    assert not own & drawn(replace(chosen, seed=1), "labeled")


def test_starting_later_gives_the_same_steps(image_folder: Path) -> None:
    chosen, noise = plan(image_folder), augmentation()
    whole = collect(chosen, noise)
    late = [
        noise.on_device(b.images, b.keys)
        for b in training_batches(chosen, noise, range(3, 5), 0, CPU)
    ]
    assert all(torch.equal(one, other) for one, other in zip(whole[3:], late, strict=True))


@pytest.mark.parametrize(("parts", "processes"), [(2, 1), (1, 2), (2, 2), (4, 1)])
def test_parts_and_processes_together_see_the_same_images(
    image_folder: Path, parts: int, processes: int
) -> None:
    noise = augmentation()
    whole = collect(plan(image_folder), noise, steps=2)
    for step in range(2):
        divided = [
            collect(plan(image_folder, parts=parts, rank=rank, processes=processes), noise)[
                step * parts + part
            ]
            for rank in range(processes)
            for part in range(parts)
        ]
        assert torch.equal(torch.cat(divided), whole[step])


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_stops_with_its_name(image_folder: Path, workers: int) -> None:
    (image_folder / "dog" / "2.png").write_bytes(b"broken")
    with pytest.raises(NsbenchError, match=r"^the image .*dog/2\.png cannot be read") as caught:
        collect(plan(image_folder), augmentation(randaugment="rand-m5-n1"), workers)
    assert "\n" not in str(caught.value)


def test_erasing_does_not_go_with_the_papers_cutout() -> None:
    with pytest.raises(NsbenchError, match=r"'random_erasing'.*set random_erasing = 0"):
        augmentation(random_erasing=0.5)


class Pseudo(PseudoLabeledSet):
    """All images of a source, with no labels worth reading."""

    def __init__(self, source: Source) -> None:
        super().__init__(source, None, np.arange(len(source)))  # type: ignore[arg-type]

    def images(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return rows

    def targets(self, rows: NDArray[np.int64]) -> SparseTargets:
        return SparseTargets(*torch.zeros(3, len(rows), 1))


def both(
    folder: Path, noise: Augmentation, workers: int = 0
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """What five steps make of four labeled and of five pseudo-labeled images each."""
    source = open_source(SourceSpec(source=str(folder)))
    pseudo = ShuffledSampler("unlabeled", source, Pseudo(source), 5)
    chosen = BatchPlan(plan(folder).labeled, pseudo, 0)
    made = training_batches(chosen, noise, range(5), workers, CPU)
    images = [noise.batch(batch.images, batch.keys, len(batch.labels)) for batch in made]
    return [part[:4] for part in images], [part[4:] for part in images]


@pytest.mark.parametrize(
    ("settings", "unlabeled", "resident"),
    [
        ({}, {"crop": "center", "randaugment": "", "flip": 0.0}, True),  # table 6: "w/o Aug"
        ({"cutout": 8}, {"crop": "reflect-pad", "cutout": 0}, True),
        ({"randaugment": ""}, {"randaugment": "rand-m5-n1", "random_erasing": 0.5}, False),
        ({"crop": "random-resized"}, {"crop": "pad", "flip": 1.0}, False),
    ],
)
def test_each_stream_has_its_noise(
    image_folder: Path, settings: dict[str, object], unlabeled: dict[str, object], resident: bool
) -> None:
    """As the same images have it where a generation has that noise for all."""
    mixed = augmentation(**settings, unlabeled_noise=unlabeled)
    assert mixed.fixed == resident
    labeled = both(image_folder, augmentation(**settings))
    other = both(image_folder, augmentation(**{**settings, **unlabeled}))
    for workers in (0, 1):
        found = both(image_folder, mixed, workers)
        for step in range(5):
            assert torch.equal(found[0][step], labeled[0][step])
            assert torch.equal(found[1][step], other[1][step])
            assert not torch.equal(found[1][step], labeled[1][step])


def test_the_noise_of_a_generation_may_be_said_twice(image_folder: Path) -> None:
    once = both(image_folder, augmentation())
    twice = both(image_folder, augmentation(unlabeled_noise={"crop": "pad"}))
    for one, other in zip(once, twice, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_noise_of_one_stream_is_checked_too() -> None:
    with pytest.raises(ValueError, match="it must be of the form paper-mMAGNITUDE"):
        augmentation(unlabeled_noise={"randaugment": "rund"})
