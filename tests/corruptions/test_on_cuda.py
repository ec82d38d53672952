"""A GPU makes the CPU's corrupted images: by the same draws, whatever the batch."""

from typing import Any

import pytest
import torch

from nsbench.bench.doctor_steps.difference import LEVELS, SHARE, beside, difference
from nsbench.bench.doctor_steps.draws import content_of
from nsbench.bench.photographs import photographs
from nsbench.corruptions import corrupt, draw, jpeg
from nsbench.names import CORRUPTIONS, EXTRA_CORRUPTIONS, SEVERITIES
from nsbench.pixels.draws import Draws

pytestmark = pytest.mark.cuda

IDS: list[Any] = ["a", "image/b.JPEG", 7, 2**40]


@pytest.fixture(params=CORRUPTIONS + EXTRA_CORRUPTIONS)
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "spatter":
        pytest.importorskip("cv2")
    if request.param == "frost":
        pytest.importorskip("imagecorruptions")
    return str(request.param)


@pytest.mark.parametrize("size", [32, 64, 224, 299])
def test_the_pixels_are_the_cpu_s(name: str, size: int, device: torch.device) -> None:
    images = photographs(size, 4 if size < 100 else 2)
    ids = IDS[: len(images)]
    for severity in SEVERITIES:
        here = corrupt(images, name, severity, ids=ids, seed=3)
        there = corrupt(images.to(device), name, severity, ids=ids, seed=3)
        assert there.device.type == device.type
        found = beside(here, there)
        assert found["right"], f"{name}/{severity}: {found}, where {LEVELS} and {SHARE} are allowed"


@pytest.mark.parametrize("shape", [(32, 32), (224, 224), (299, 299), (33, 47)])
def test_the_draws_are_the_cpu_s(name: str, shape: tuple[int, int], device: torch.device) -> None:
    for severity in (1, 5):
        here, there = (
            draw(name, severity, IDS, seed=9, shape=shape, device=where)
            for where in (torch.device("cpu"), device)
        )
        assert content_of(here) == content_of(there)


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 224, 224), (1, 1, 65537)])
def test_numbers_of_all_kinds_are_the_cpu_s(shape: tuple[int, ...], device: torch.device) -> None:
    here, there = (Draws(IDS, 5, "test", where) for where in (torch.device("cpu"), device))
    for _ in range(2):  # the second field goes on where the first ended
        assert content_of(here.normal(*shape)) == content_of(there.normal(*shape))
        assert content_of(here.uniform(*shape)) == content_of(there.uniform(*shape))
        assert content_of(here.words(*shape)) == content_of(there.words(*shape))
        assert content_of(here.integers(-2, 5, *shape)) == content_of(there.integers(-2, 5, *shape))


def test_neither_batch_nor_layout_nor_call_changes_a_byte(name: str, device: torch.device) -> None:
    images = photographs(64, 4).to(device)
    whole = corrupt(images, name, 3, ids=IDS)
    assert torch.equal(whole, corrupt(images, name, 3, ids=IDS))
    alone = [corrupt(images[n : n + 1], name, 3, ids=IDS[n : n + 1]) for n in range(4)]
    assert torch.equal(whole, torch.cat(alone))
    last = images.to(memory_format=torch.channels_last)
    assert torch.equal(whole, corrupt(last, name, 3, ids=IDS))


@pytest.mark.parametrize("quality", [7, 50, 85, 100])
def test_jpeg_is_the_cpu_s(quality: int, device: torch.device) -> None:
    for size in (32, 224, 299):
        images = photographs(size, 2)
        assert difference(jpeg(images, quality), jpeg(images.to(device), quality))["largest"] == 0
