from pathlib import Path

import numpy as np
import pytest
import torch

from nsbench.data.loaders import Stream, TrainingBatches, clean_crops, training_batches
from nsbench.data.sources import SourceSpec, open_source
from nsbench.data.transforms import Preprocessing, center_crop, training_transform
from nsbench.errors import NsbenchError


def batches(folder: Path, seed: int = 0, steps: int = 5) -> TrainingBatches:
    source = open_source(SourceSpec(source=str(folder)))
    assert source.labels is not None
    labeled = Stream("labeled", source, np.arange(6), source.labels, 4)
    soft = np.eye(6, 2, dtype=np.float32)
    unlabeled = Stream("unlabeled", source, np.array([5, 4, 3, 2, 1, 0]), soft, 3)
    transform = training_transform(Preprocessing(image_size=32), "pad", 0.5, "rand-m5-n1")
    return TrainingBatches(labeled, unlabeled, transform, seed, steps)


def test_batches_hold_labeled_images_first(image_folder: Path) -> None:
    images, labels, targets = next(training_batches(batches(image_folder), 0))
    assert images.shape == (7, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert labels.shape == (4,)
    assert targets.shape == (3, 2)


def test_batches_do_not_depend_on_the_number_of_workers(image_folder: Path) -> None:
    alone = list(training_batches(batches(image_folder), 0))
    helped = list(training_batches(batches(image_folder), 2))
    assert len(alone) == len(helped) == 5
    for one, other in zip(alone, helped, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    other_seed = next(training_batches(batches(image_folder, seed=1), 0))
    assert not torch.equal(other_seed.images, alone[0].images)


def test_a_walk_visits_every_image_once_an_epoch(image_folder: Path) -> None:
    stream = batches(image_folder)._labeled
    rows = [row for step in range(3) for _, row in stream.rows(0, step)]
    assert sorted(rows[:6]) == sorted(rows[6:]) == list(range(6))
    assert [p for step in range(3) for p, _ in stream.rows(0, step)] == list(range(12))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_stops_with_its_name(image_folder: Path, workers: int) -> None:
    (image_folder / "dog" / "2.png").write_bytes(b"broken")
    with pytest.raises(NsbenchError, match=r"^the image .*dog/2\.png cannot be read") as caught:
        list(training_batches(batches(image_folder), workers))
    assert "\n" not in str(caught.value)


def test_clean_crops_keep_the_order(image_folder: Path) -> None:
    source = open_source(SourceSpec(source=str(image_folder)))
    size = Preprocessing(image_size=16, crop_pct=0.5)
    crops = list(clean_crops(source, np.array([4, 0, 2]), size))
    for index, crop in zip([4, 0, 2], crops, strict=True):
        assert (crop == center_crop(source.image(index), size)).all()
