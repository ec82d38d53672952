"""The interface of the sequences: names, counts, sizes, errors, draws that ignore the batch."""

import gc
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from nsbench import perturbations
from nsbench.perturbations import _settings

ALL = perturbations.NAMES + perturbations.EXTRA_NAMES
NOISES = ("gaussian_noise", "shot_noise", "speckle_noise")
RANDOM = (*NOISES, "snow", "spatter")
RNG = np.random.default_rng(0)
IMAGES = torch.from_numpy(RNG.integers(0, 256, (5, 3, 32, 32), dtype=np.uint8))
WIDE = torch.from_numpy(RNG.integers(0, 256, (3, 3, 240, 303), dtype=np.uint8))
IDS = [f"test/{number}" for number in range(5)]
COUNTS = {224: {"translate": 41}, 64: {}, 32: {"motion_blur": 21, "translate": 16}}


@pytest.fixture(params=ALL)
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "spatter":
        pytest.importorskip("cv2")
    return str(request.param)


def sequence(
    name: str, images: torch.Tensor = IMAGES, ids: Sequence[str] = IDS, **more: Any
) -> torch.Tensor:
    return torch.stack(list(perturbations.frames(images, name, ids=ids, **more)), 1)


def test_there_are_ten_test_and_four_validation_sequences() -> None:
    assert (
        *("gaussian_noise", "shot_noise", "motion_blur", "zoom_blur", "snow"),
        *("brightness", "translate", "rotate", "tilt", "scale"),
    ) == perturbations.NAMES
    assert perturbations.EXTRA_NAMES == ("speckle_noise", "gaussian_blur", "spatter", "shear")
    assert tuple(filter(perturbations.is_noise, ALL)) == NOISES
    assert perturbations.SIZES == (224, 64, 32)
    assert tuple(_settings.TABLES) == ALL
    assert all(tuple(table) == perturbations.SIZES for table in _settings.TABLES.values())


def test_frames_are_those_of_the_three_generators(name: str) -> None:
    for size, special in COUNTS.items():
        assert perturbations.frame_count(name, size) == special.get(name, 31)


@pytest.mark.parametrize("size", (32, 64))
def test_counts_shapes_and_types(name: str, size: int) -> None:
    images = WIDE[:1, :, : size + 3, : size + 6]
    expected = perturbations.frame_count(name, size)
    made = sequence(name, images, IDS[:1], size=size)
    assert made.shape == (1, expected, 3, size, size)
    assert made.dtype == torch.uint8
    # Turning a narrow blur by few degrees need not change any 8-bit pixel; drops dry up.
    changes = sum(bool((made[:, i] != made[:, i + 1]).any()) for i in range(expected - 1))
    some = name in ("snow", "spatter") or (name == "motion_blur" and size == 64)
    assert changes >= (15 if some else expected - 1)


def test_frames_are_made_one_by_one_and_not_kept(name: str) -> None:
    batch, ids = IMAGES.repeat(4, 1, 1, 1), [str(i) for i in range(20)]
    made = perturbations.frames(batch, name, ids=ids)
    assert isinstance(made, Iterator)
    before = 0
    for index, frame in enumerate(made):
        before = before or (live_bytes() if index == 5 else 0)
        earlier = weakref.ref(frame)
    assert live_bytes() - before < 4 * frame.numel()
    del frame
    assert earlier() is None


def live_bytes() -> int:
    gc.collect(0)
    found = [thing for thing in gc.get_objects() if type(thing) is torch.Tensor]
    return sum(tensor.numel() * tensor.element_size() for tensor in found)


def test_bytes_do_not_depend_on_the_batch(name: str) -> None:
    whole = sequence(name)
    order = [3, 0, 4, 2, 1]
    mixed = sequence(name, IMAGES[order], [IDS[i] for i in order])
    split = torch.cat([sequence(name, IMAGES[:1], IDS[:1]), sequence(name, IMAGES[1:], IDS[1:])])
    assert torch.equal(mixed, whole[order])
    assert torch.equal(split, whole)


@pytest.mark.parametrize("name", ("shot_noise", "snow", "tilt", "zoom_blur", "gaussian_blur"))
def test_large_frames_do_not_depend_on_the_batch_either(name: str) -> None:
    whole = perturbations.frames(WIDE, name, ids=IDS[:3])
    mixed = perturbations.frames(WIDE[[2, 0, 1]], name, ids=["test/2", "test/0", "test/1"])
    alone = perturbations.frames(WIDE[1:2], name, ids=IDS[1:2])
    for _ in range(3):
        expected = next(whole)
        assert expected.shape == (3, 3, 224, 224)
        assert torch.equal(next(mixed), expected[[2, 0, 1]])
        assert torch.equal(next(alone), expected[1:2])


@pytest.mark.parametrize("name", ("gaussian_noise", "rotate", "snow", "zoom_blur"))
def test_threads_do_not_change_a_byte(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = sequence(name)
    monkeypatch.setattr(perturbations, "CHUNK", 2 * 3 * 32 * 32)
    assert torch.equal(sequence(name), expected)
    torch.set_num_threads(2)  # restored by a fixture of all tests
    assert torch.equal(sequence(name), expected)


def test_draws_follow_seed_and_id_only_where_there_are_draws(name: str) -> None:
    whole = sequence(name)
    assert torch.equal(sequence(name), whole)
    other_seed, other_ids = sequence(name, seed=1), sequence(name, ids=IDS[::-1])
    assert torch.equal(other_seed, whole) == (name not in RANDOM)
    assert torch.equal(other_ids, whole) == (name not in RANDOM)


def test_whole_numbers_are_ids_too() -> None:
    numbers = [3, 1, 4, 15, 9]
    expected = sequence("snow", ids=[str(number) for number in numbers])
    for ids in (numbers, torch.tensor(numbers)):
        made = torch.stack(list(perturbations.frames(IMAGES, "snow", ids=ids)), 1)
        assert torch.equal(made, expected)


@pytest.mark.parametrize("name", (*NOISES, "zoom_blur"))
def test_the_first_frame_is_a_copy_of_the_clean_crop(name: str) -> None:
    first = next(perturbations.frames(IMAGES, name, ids=IDS))
    assert torch.equal(first, IMAGES)
    assert first.data_ptr() != IMAGES.data_ptr()
    wide = next(perturbations.frames(WIDE, name, ids=IDS[:3]))
    assert torch.equal(wide, WIDE[:, :, 8:232, 40:264])  # 39.5 rounds to even


def test_the_largest_size_that_fits_is_the_default() -> None:
    for height, width, size in ((32, 32, 32), (63, 300, 32), (64, 64, 64), (300, 224, 224)):
        image = torch.zeros(1, 3, height, width, dtype=torch.uint8)
        assert next(perturbations.frames(image, "rotate", ids=[0])).shape[-2:] == (size, size)
    small = next(perturbations.frames(WIDE, "translate", ids=IDS[:3], size=64))
    assert small.shape == (3, 3, 64, 64)


def test_the_input_is_left_alone_and_its_layout_is_free(name: str) -> None:
    before = IMAGES.clone()
    strided = IMAGES.contiguous(memory_format=torch.channels_last)
    assert torch.equal(sequence(name, strided), sequence(name))
    assert torch.equal(before, IMAGES)
    empty = list(perturbations.frames(IMAGES[:0], name, ids=[]))
    assert len(empty) == perturbations.frame_count(name, 32)
    assert empty[0].shape == (0, 3, 32, 32)


@pytest.mark.parametrize("name", NOISES)
def test_difficulties_differ_and_the_others_have_one(name: str) -> None:
    spreads = []
    for difficulty in (1, 2, 3):
        made = sequence(name, difficulty=difficulty)
        assert torch.equal(made[:, 0], IMAGES)
        spreads.append((made[:, 1:].float() - IMAGES[:, None].float()).std().item())
    assert spreads[0] < 0.9 * spreads[1] < 0.81 * spreads[2]
    with pytest.raises(ValueError, match="difficulty is 4, but must be 1, 2 or 3"):
        perturbations.frames(IMAGES, name, ids=IDS, difficulty=4)
    with pytest.raises(ValueError, match="tilt has difficulty 1 only, not 2; the noises have"):
        perturbations.frames(IMAGES, "tilt", ids=IDS, difficulty=2)


def test_errors_are_raised_at_once_and_name_the_fault() -> None:
    for call in (lambda name: perturbations.frame_count(name, 32), perturbations.is_noise):
        with pytest.raises(ValueError, match="no perturbation 'fog'"):
            call("fog")
    with pytest.raises(ValueError, match="no perturbations of 299 px; valid sizes are 224, 64, 32"):
        perturbations.frame_count("tilt", 299)
    with pytest.raises(ValueError, match="no perturbation 'sheer'; did you mean 'shear'"):
        perturbations.frames(IMAGES, "sheer", ids=IDS)
    with pytest.raises(ValueError, match="uint8 images, not torch.float32"):
        perturbations.frames(IMAGES.float(), "tilt", ids=IDS)
    for wrong in (IMAGES[0], IMAGES[:, :1], IMAGES.permute(0, 2, 3, 1)):
        with pytest.raises(ValueError, match=r"shape \(B, 3, H, W\), not"):
            perturbations.frames(wrong, "tilt", ids=IDS)
    with pytest.raises(ValueError, match="4 ids for 5 images"):
        perturbations.frames(IMAGES, "tilt", ids=IDS[1:])
    with pytest.raises(ValueError, match="sizes 224, 64, 32 px, not 299"):
        perturbations.frames(IMAGES, "tilt", ids=IDS, size=299)
    with pytest.raises(ValueError, match="64 px need images of at least 64 x 64 px, not 32 x 32"):
        perturbations.frames(IMAGES, "tilt", ids=IDS, size=64)
    with pytest.raises(ValueError, match="32 px need images of at least 32 x 32 px, not 28 x 32"):
        perturbations.frames(IMAGES[..., :28], "tilt", ids=IDS)
