from typing import Any

import numpy as np
import pytest
import torch

from nsbench.augment import randaugment
from nsbench.augment.keys import image_keys, integers
from nsbench.augment.randaugment import OPERATIONS, RandAugment, is_paper, parse_randaugment
from nsbench.util.errors import NsbenchError
from tests.augment import official
from tests.augment.images import HEIGHT, WIDTH, Pixels, kinds, many

KEYS = image_keys(0, "labeled", np.arange(4000))
# the arguments that the official code computes at each magnitude
ENHANCE = {5: 1.0, 10: 1.9, 27: 4.96}
BITS = {5: 2, 10: 4, 27: 1}
THRESHOLD = {5: 128, 10: 0, 27: 179}
ADDITION = {5: 55, 10: 110, 27: 297}
PAD = {5: 2, 10: 4, 27: 10}
MOVING = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")
STILL = tuple(name for name in OPERATIONS if name not in (*MOVING, "Cutout"))


def _expected(name: str, image: Pixels, magnitude: int) -> Pixels:
    factor = ENHANCE[magnitude]
    return {
        "AutoContrast": lambda: official.autocontrast(image),
        "Equalize": lambda: official.equalize(image),
        "Invert": lambda: np.asarray(255 - image, np.uint8),
        "Posterize": lambda: official.posterize(image, BITS[magnitude]),
        "Solarize": lambda: official.solarize(image, THRESHOLD[magnitude]),
        "SolarizeAdd": lambda: official.solarize_add(image, ADDITION[magnitude]),
        "Color": lambda: official.color(image, factor),
        "Contrast": lambda: official.contrast(image, factor),
        "Brightness": lambda: official.brightness(image, factor),
        "Sharpness": lambda: official.sharpness(image, factor),
    }[name]()


def _one(name: str, magnitude: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose only operation is this one, before and after."""
    noise = parse_randaugment(f"paper-m{magnitude}-n1", 32)
    keys = KEYS[noise.drawn(KEYS, 0) == OPERATIONS.index(name)][:36]
    return many(36), noise(many(36), keys)


@pytest.mark.parametrize("name", STILL)
@pytest.mark.parametrize("magnitude", (5, 10, 27))
def test_operations_of_colour(name: str, magnitude: int) -> None:
    _, after = _one(name, magnitude)
    expected = np.stack([_expected(name, image, magnitude) for image in kinds()])
    for index, result in enumerate(after.numpy()):
        assert np.abs(result.astype(int) - expected[index % 6]).max() <= 1


@pytest.mark.parametrize("name", MOVING)
@pytest.mark.parametrize("magnitude", (5, 10, 27))
def test_operations_of_geometry_with_either_sign(name: str, magnitude: int) -> None:
    _, after = _one(name, magnitude)
    signs = []
    expected = [official.moved(name, kinds()[0], sign * magnitude / 10) for sign in (1, -1)]
    for result in after[::6].numpy():
        equal = [np.array_equal(result[:, sure], image[:, sure]) for image, sure in expected]
        assert sum(equal) == 1
        signs.append(equal[0])
    assert set(signs) == {True, False}


@pytest.mark.parametrize("magnitude", (5, 10, 27))
def test_cutout(magnitude: int) -> None:
    before, after = _one("Cutout", magnitude)
    pad = PAD[magnitude]
    for old, new in zip(before[::6].numpy(), after[::6].numpy(), strict=True):
        rows, columns = ((old != new).any((0, axis)).nonzero()[0] for axis in (2, 1))
        square = new[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (square == 128).all()
        assert pad <= square.shape[1] <= min(2 * pad, HEIGHT)
        assert pad <= square.shape[2] <= min(2 * pad, WIDTH)


def test_operations_are_drawn_evenly_and_with_replacement() -> None:
    noise = parse_randaugment("paper", 32)
    keys = image_keys(1, "labeled", np.arange(64_000))
    first, second = noise.drawn(keys, 0), noise.drawn(keys, 1)
    pairs = np.bincount(first * 16 + second, minlength=256)
    assert len(pairs) == 256
    assert pairs.min() > 0
    assert ((pairs - 250) ** 2 / 250).sum() < 370  # chi squared, 255 degrees of freedom
    for drawn in (first, second):
        assert ((np.bincount(drawn) - 4000) ** 2 / 4000).sum() < 45


def test_two_layers_are_one_after_the_other() -> None:
    noise = parse_randaugment("paper", 32)
    names = [(OPERATIONS.index("Invert"), OPERATIONS.index("Color"))]
    names.append((OPERATIONS.index("Color"), OPERATIONS.index("Invert")))
    for first, second in names:
        chosen = (noise.drawn(KEYS, 0) == first) & (noise.drawn(KEYS, 1) == second)
        result = noise(many(1), KEYS[chosen][:1])[0].numpy()
        expected = kinds()[0]
        for place in (first, second):
            expected = _expected(OPERATIONS[place], expected, 27)
        assert np.abs(result.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("threads", (1, 3))
def test_an_image_depends_on_its_own_key(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(randaugment, "CPU_SHARE", 1)  # else one thread does so small a batch
    noise, images, keys = parse_randaugment("paper-n3", 32), many(300), KEYS[:300]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        whole = noise(images, keys)
        parts = [noise(images[i : i + 7], keys[i : i + 7]) for i in range(0, 300, 7)]
        order = np.random.default_rng(0).permutation(300)
        shuffled = noise(images[order], keys[order])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(whole, torch.cat(parts))
    assert torch.equal(whole[order], shuffled)
    assert torch.equal(images, many(300))
    assert noise(images[:0], keys[:0]).shape == (0, 3, HEIGHT, WIDTH)


def test_memory_layout_does_not_matter() -> None:
    noise = parse_randaugment("paper", 32)
    images = many(200)
    last = images.to(memory_format=torch.channels_last)
    assert torch.equal(noise(last, KEYS[:200]), noise(images, KEYS[:200]))


def test_settings() -> None:
    assert parse_randaugment("paper", 224) == RandAugment(27.0, 2, 100.0, 40.0)
    assert parse_randaugment("paper-m27-n2", 600) == RandAugment(27.0, 2, 100.0, 40.0)
    assert parse_randaugment("paper-m5", 32) == RandAugment(5.0, 2, 4.0, 4.0)
    assert parse_randaugment("paper-c6-t10.5-n1-m0", 64) == RandAugment(0.0, 1, 10.5, 6.0)
    assert is_paper("paper")
    assert is_paper("paper-n3")
    assert not is_paper("rand-m9-n2-p1.0")
    assert not is_paper("")


@pytest.mark.parametrize(
    ("text", "problem"),
    (
        ("paper-m", "is not of the form"),
        ("paper-n0", "is not of the form"),
        ("paper-m27-p1.0", "is not of the form"),
        ("paper-m-5", "is not of the form"),
        ("paper-m5-n2-m6", "has a setting twice"),
    ),
)
def test_wrong_settings(text: str, problem: str) -> None:
    with pytest.raises(
        NsbenchError, match=f"'randaugment' is '{text}', which {problem}.*paper-m27"
    ):
        parse_randaugment(text, 32)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_layer_draws_four_numbers_of_its_own(layer: int) -> None:
    """Operation, sign, row and column, by their places in a key's stream."""
    noise = parse_randaugment("paper-m10-n3", 32)
    drawn = integers(KEYS, 8 + 4 * layer, len(OPERATIONS))
    assert (noise.drawn(KEYS, layer) == drawn).all()
    moving = np.isin(drawn, [OPERATIONS.index(name) for name in MOVING])
    sign = integers(KEYS, 9 + 4 * layer, 2)
    assert (noise._kinds(KEYS, layer) == 2 * drawn + moving * sign).all()
    images, cutout = many(6), 2 * OPERATIONS.index("Cutout")
    cut: Any = noise._operation(cutout, images, KEYS[:6], layer)
    assert (cut.keywords["rows"] == integers(KEYS[:6], 10 + 4 * layer, images.shape[2])).all()
    assert (cut.keywords["columns"] == integers(KEYS[:6], 11 + 4 * layer, images.shape[3])).all()
