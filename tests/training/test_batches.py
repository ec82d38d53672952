"""What each step sees: the same from memory, from workers, and divided among processes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nsbench.augment.pipeline import Augmentation
from nsbench.data.open import SourceSpec, open_source
from nsbench.data.preprocessing import Preprocessing
from nsbench.recipes.recipe import Generation
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


def test_a_walk_visits_every_image_once_an_epoch(image_folder: Path) -> None:
    sampler = plan(image_folder).labeled
    rows = sampler.rows(0, np.arange(12)).tolist()
    assert sorted(rows[:6]) == sorted(rows[6:]) == list(range(6))
    assert sampler.rows(0, np.array([7, 2])).tolist() == [rows[7], rows[2]]


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
