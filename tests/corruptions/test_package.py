"""The package as a generator: seeded per image, whatever else was drawn before."""

import sys
from itertools import product

import imagecorruptions
import numpy as np
import pytest

from nsbench.corruptions import package
from nsbench.names import CORRUPTIONS, EXTRA_CORRUPTIONS
from nsbench.util.errors import NsbenchError

IMAGE = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
RANDOM = {
    "gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "motion_blur", "snow", "frost",
    "fog", "elastic_transform", "speckle_noise", "spatter",
}  # fmt: skip


def test_the_names_are_those_of_the_package() -> None:
    assert tuple(imagecorruptions.get_corruption_names()) == CORRUPTIONS
    assert tuple(imagecorruptions.get_corruption_names("validation")) == EXTRA_CORRUPTIONS


@pytest.mark.parametrize("name", CORRUPTIONS + EXTRA_CORRUPTIONS)
def test_draws_depend_on_seed_image_and_cell_alone(name: str) -> None:
    first = package.corrupt(IMAGE, name, 3, "a")
    package.corrupt(IMAGE, "gaussian_noise", 1, "z")
    assert (package.corrupt(IMAGE, name, 3, "a") == first).all()
    assert first.shape == IMAGE.shape
    assert first.dtype == np.uint8
    assert (first != IMAGE).any()
    others = [package.corrupt(IMAGE, name, 3, "b"), package.corrupt(IMAGE, name, 3, "a", seed=1)]
    assert all((other == first).all() != (name in RANDOM) for other in others)


def test_each_cell_and_image_is_seeded_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(np.random, "seed", seeds.append)
    cells = [("fog", 3), ("fog", 4), ("frost", 3)]
    for (name, severity), image_id, seed in product(cells, "ab", (0, 1)):
        package.corrupt(IMAGE, name, severity, image_id, seed)
    assert len(seeds) == len(set(seeds)) == 12


@pytest.mark.parametrize("name", ["defocus_blur", "contrast", "pixelate"])
def test_fixed_corruptions_are_the_packages_own(name: str) -> None:
    direct = imagecorruptions.corrupt(IMAGE.transpose(1, 2, 0), corruption_name=name, severity=2)
    assert (package.corrupt(IMAGE, name, 2, "a") == direct.transpose(2, 0, 1)).all()


def test_a_missing_package_and_a_missing_library_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "imagecorruptions", None)
    with pytest.raises(NsbenchError, match="run pip install imagecorruptions-imaug"):
        package.load()

    def no_library(name: str) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr("importlib.import_module", no_library)
    with pytest.raises(NsbenchError, match=r"libGL\.so\.1.*opencv-python-headless"):
        package.load()
