"""The code for devices makes the pixels that the code for CPUs makes.

On a pretended GPU, whose operations are the CPU's: what is compared are the ways that the code
takes, such as one gather for all images where a CPU takes slices. tests marked `cuda` compare what
a real one computes.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, cast

import numpy as np
import pytest
import torch

from nsbench.augment.keys import image_keys
from nsbench.augment.randaugment import parse_randaugment
from nsbench.bench.photographs import photographs
from nsbench.corruptions import EXTRA_NAMES, NAMES, corrupt, jpeg
from nsbench.perturbations import EXTRA_NAMES as EXTRA_SEQUENCES
from nsbench.perturbations import NAMES as SEQUENCES
from nsbench.perturbations import frames

Pixels = Sequence[torch.Tensor]


def differing(name: str) -> list[str]:
    """What is not the same on both devices; run in a process of its own."""
    from tests.fake_cuda import GPU
    from tests.pretended_cuda import Pretended, pretended

    work = cast(Callable[[torch.device], Iterator[tuple[str, Pixels]]], globals()[name])
    torch.set_num_threads(1)
    here = {what: [image.clone() for image in images] for what, images in work(torch.device("cpu"))}
    wrong = []
    with pretended():
        for what, images in work(GPU):
            assert all(isinstance(image, Pretended) for image in images), what
            values = [cast(Pretended, image).held for image in images]
            same = len(values) == len(here[what])
            if not same or not all(map(torch.equal, values, here[what])):
                wrong.append(what)
    return wrong


def corruptions(device: torch.device) -> Iterator[tuple[str, Pixels]]:
    for size, count in ((64, 3), (33, 2)):
        images = photographs(size, count).to(device)
        for name, severity in product(NAMES + EXTRA_NAMES, (1, 5)):
            changed = corrupt(images, name, severity, ids=list("abc"[:count]))
            yield f"{name}/{severity} at {size} px", [changed]
    for height, width in ((33, 48), (8, 17)):
        images = photographs(48, 2)[..., :height, :width].contiguous().to(device)
        yield f"JPEG of {width} x {height} px", [jpeg(images, quality) for quality in (7, 85)]


def sequences(device: torch.device) -> Iterator[tuple[str, Pixels]]:
    images = photographs(41, 2)[..., :36, :].contiguous().to(device)
    for name in SEQUENCES + EXTRA_SEQUENCES:
        yield name, list(frames(images, name, ids=["a", "b"], size=32))


def randaugment(device: torch.device) -> Iterator[tuple[str, Pixels]]:
    keys = image_keys(0, "labeled", np.arange(64))
    for noise in ("paper-m9-n2", "paper-m27-n2"):
        yield noise, [parse_randaugment(noise, 32)(photographs(32, 64).to(device), keys)]


def in_a_process(function: Callable[[str], Any], name: str) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, (name,))


def made_at_224(_: str) -> dict[str, torch.Tensor]:
    """All corruptions of photographs, and of ones with even areas, which rounding shows in."""
    torch.set_num_threads(1)
    even = photographs(224, 1)
    even[..., :150] = 255
    even[..., :150, 50:100] = 100
    images = torch.cat((photographs(224, 2), even))
    return {name: corrupt(images, name, 3, ids=list("abc")) for name in NAMES + EXTRA_NAMES}


def test_processors_make_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    # Kernels of torch for processors without vectors round differently, as another device does.
    usual = in_a_process(made_at_224, "")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    for name, images in in_a_process(made_at_224, "").items():
        apart = (images.int() - usual[name].int()).abs()
        assert apart.max() <= 1, name
        assert (apart > 0).double().mean((1, 2, 3)).max() <= 0.001, name


def test_corruptions_are_those_of_a_cpu() -> None:
    assert in_a_process(differing, "corruptions") == []


def test_sequences_are_those_of_a_cpu() -> None:
    assert in_a_process(differing, "sequences") == []


def test_randaugment_is_that_of_a_cpu() -> None:
    assert in_a_process(differing, "randaugment") == []
