"""The interface of the sequences: names, counts, errors, draws that ignore the batch."""

import numpy as np
import pytest
import torch

from nsbench import perturbations

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8))
IDS = [f"test/{number}" for number in range(5)]
NOISES = ("gaussian_noise", "shot_noise")
RANDOM = (*NOISES, "snow")


def sequence(
    name: str, images: torch.Tensor = IMAGES, ids: list[str] = IDS, seed: int = 0
) -> torch.Tensor:
    return torch.stack(list(perturbations.frames(images, name, ids=ids, seed=seed)), 1)


def test_there_are_the_ten_test_sequences() -> None:
    assert (
        *("gaussian_noise", "shot_noise", "motion_blur", "zoom_blur", "snow"),
        *("brightness", "translate", "rotate", "tilt", "scale"),
    ) == perturbations.NAMES
    assert tuple(filter(perturbations.is_noise, perturbations.NAMES)) == NOISES


@pytest.mark.parametrize("name", perturbations.NAMES)
def test_counts_shapes_and_types(name: str) -> None:
    expected = {"motion_blur": 21, "translate": 16}.get(name, 31)
    made = sequence(name)
    assert perturbations.frame_count(name) == expected
    assert made.shape == (5, expected, 3, 32, 32)
    assert made.dtype == torch.uint8
    # Turning snow's narrow blur by 4 degrees need not change any 8-bit pixel.
    changes = sum(bool((made[:, i] != made[:, i + 1]).any()) for i in range(expected - 1))
    assert changes >= (20 if name == "snow" else expected - 1)


@pytest.mark.parametrize("name", perturbations.NAMES)
def test_bytes_do_not_depend_on_the_batch(name: str) -> None:
    whole = sequence(name)
    order = [3, 0, 4, 2, 1]
    mixed = sequence(name, IMAGES[order], [IDS[i] for i in order])
    split = torch.cat([sequence(name, IMAGES[:1], IDS[:1]), sequence(name, IMAGES[1:], IDS[1:])])
    assert torch.equal(mixed, whole[order])
    assert torch.equal(split, whole)


@pytest.mark.parametrize("name", perturbations.NAMES)
def test_draws_follow_seed_and_id_only_where_there_are_draws(name: str) -> None:
    whole = sequence(name)
    assert torch.equal(sequence(name), whole)
    other_seed, other_ids = sequence(name, seed=1), sequence(name, ids=IDS[::-1])
    assert torch.equal(other_seed, whole) == (name not in RANDOM)
    assert torch.equal(other_ids, whole) == (name not in RANDOM)


@pytest.mark.parametrize("name", (*NOISES, "zoom_blur"))
def test_the_first_frame_is_a_copy_of_the_clean_image(name: str) -> None:
    first = next(perturbations.frames(IMAGES, name, ids=IDS))
    assert torch.equal(first, IMAGES)
    assert first.data_ptr() != IMAGES.data_ptr()


@pytest.mark.parametrize("name", perturbations.NAMES)
def test_the_input_is_left_alone_and_its_layout_is_free(name: str) -> None:
    before = IMAGES.clone()
    strided = IMAGES.contiguous(memory_format=torch.channels_last)
    assert torch.equal(sequence(name, strided), sequence(name))
    assert torch.equal(before, IMAGES)
    assert sequence(name, IMAGES[:1], IDS[:1]).shape[0] == 1
    assert len(next(perturbations.frames(IMAGES[:0], name, ids=[]))) == 0


@pytest.mark.parametrize(
    ("name", "scale"), [("gaussian_noise", 0.02), ("shot_noise", (128 / 255 / 700) ** 0.5)]
)
def test_noise_has_the_documented_spread_and_is_fresh(name: str, scale: float) -> None:
    grey = torch.full((8, 3, 32, 32), 128, dtype=torch.uint8)
    made = sequence(name, grey, [str(i) for i in range(8)])[:, 1:].double()
    # Truncation lowers the mean by half a step and adds the variance of a uniform step.
    assert made.mean().item() == pytest.approx(127.5, abs=0.05)
    assert made.std().item() == pytest.approx(((255 * scale) ** 2 + 1 / 12) ** 0.5, rel=0.01)
    noise = (made - made.mean()).reshape(8 * 30, -1)
    overlap = (noise @ noise.T) / (noise.shape[1] * made.var())
    assert (overlap - torch.eye(8 * 30)).abs().max().item() < 0.12


def test_errors_are_raised_at_once_and_name_the_fault() -> None:
    for call in (perturbations.frame_count, perturbations.is_noise):
        with pytest.raises(ValueError, match="no perturbation 'fog'"):
            call("fog")
    with pytest.raises(ValueError, match="no perturbation 'fog'"):
        perturbations.frames(IMAGES, "fog", ids=IDS)
    with pytest.raises(ValueError, match="uint8 images, not torch.float32"):
        perturbations.frames(IMAGES.float(), "tilt", ids=IDS)
    for wrong in (IMAGES[0], IMAGES[:, :1], IMAGES[..., :28, :28]):
        with pytest.raises(ValueError, match="shape"):
            perturbations.frames(wrong, "tilt", ids=IDS)
    with pytest.raises(ValueError, match="4 ids for 5 images"):
        perturbations.frames(IMAGES, "tilt", ids=IDS[1:])
