"""A GPU makes the CPU's sequences, frame by frame."""

import pytest
import torch

from nsbench.bench.doctor_steps.difference import LEVELS, SHARE, beside
from nsbench.bench.photographs import photographs
from nsbench.perturbations import EXTRA_NAMES, NAMES, frames, is_noise

pytestmark = pytest.mark.cuda

IDS: list[int | str] = ["a", 7]


@pytest.fixture(params=NAMES + EXTRA_NAMES)
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "spatter":
        pytest.importorskip("cv2")
    return str(request.param)


@pytest.mark.parametrize(("side", "size"), [(36, 32), (72, 64), (256, 224)])
def test_the_frames_are_the_cpu_s(name: str, side: int, size: int, device: torch.device) -> None:
    count = 1 if size == 224 else 2
    images = photographs(side, count)
    for difficulty in (1, 3) if is_noise(name) else (1,):
        here, there = (
            torch.stack(
                list(frames(where, name, ids=IDS[:count], size=size, difficulty=difficulty))
            )
            for where in (images, images.to(device))
        )
        assert there.device.type == device.type
        found = beside(here, there)
        assert found["right"], f"{name}: {found}, where {LEVELS} and {SHARE} are allowed"


def test_an_image_alone_has_the_same_frames(name: str, device: torch.device) -> None:
    images = photographs(40, 2).to(device)
    whole, alone = (
        torch.stack(list(frames(images[rows], name, ids=IDS[rows], size=32)))
        for rows in (slice(None), slice(1, 2))
    )
    assert torch.equal(whole[:, 1:], alone)
