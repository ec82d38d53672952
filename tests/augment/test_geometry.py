import numpy as np
import pytest
import torch

from nsbench.augment import geometry
from tests.augment.images import HEIGHT, WIDTH, kinds
from tests.augment.official import moved

SHAPE = (HEIGHT, WIDTH)
CPU = torch.device("cpu")
AFFINES = {
    "Rotate": lambda level: geometry.rotation(30 * level, SHAPE),
    "ShearX": lambda level: geometry.shear_x(0.3 * level),
    "ShearY": lambda level: geometry.shear_y(0.3 * level),
}
LEVELS = (0.5, 1.0, 2.7, -0.5, -1.0, -2.7)


def _check(name: str, level: float, results: torch.Tensor) -> None:
    for ours, image in zip(results.numpy(), kinds(), strict=True):
        expected, sure = moved(name, image, level)
        assert sure.mean() > 0.7
        assert np.array_equal(ours[:, sure], expected[:, sure])


@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("level", LEVELS)
def test_maps_follow_the_inverse_mapping(name: str, level: float) -> None:
    mapping = geometry.map_of(AFFINES[name](level), SHAPE, CPU)
    _check(name, level, geometry.move(torch.from_numpy(kinds()), mapping))


@pytest.mark.parametrize("level", (*LEVELS, 0.03))
def test_translations_follow_the_inverse_mapping(level: float) -> None:
    images = torch.from_numpy(kinds())
    _check("TranslateX", level, geometry.translate_x(images, 4 * level))
    _check("TranslateY", level, geometry.translate_y(images, 4 * level))


def test_ties_go_away_from_zero() -> None:
    image = torch.tensor([[[[10, 20, 30, 40]]]], dtype=torch.uint8).expand(1, 3, 1, 4)
    for shift, expected in ((0.5, [20, 30, 40, 128]), (-0.5, [128, 20, 30, 40])):
        mapping = geometry.map_of((1.0, 0.0, shift, 0.0, 1.0, 0.0), (1, 4), CPU)
        assert geometry.move(image, mapping)[0, 0, 0].tolist() == expected


def test_a_translation_beyond_the_image_leaves_grey() -> None:
    images = torch.from_numpy(kinds())
    for shift in (270.0, -270.0):
        assert (geometry.translate_x(images, shift) == 128).all()
        assert (geometry.translate_y(images, shift) == 128).all()


def test_a_quarter_turn() -> None:
    images = torch.from_numpy(kinds()[..., :HEIGHT])
    mapping = geometry.map_of(geometry.rotation(90.0, (HEIGHT, HEIGHT)), (HEIGHT, HEIGHT), CPU)
    # the source of (x, y) is (S - 1 - y, x): what was at the right is at the top
    assert torch.equal(geometry.move(images, mapping), images.rot90(1, (2, 3)))
