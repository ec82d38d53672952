"""Devices without float64, as Apple's: their pixels are those of the CPU."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from nsbench import corruptions, perturbations
from nsbench.pixels.places import maker_of

MPS = torch.device("mps", 0)
IDS = ["a", "b"]
IMAGES = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)


class OnMps(torch.Tensor):
    """A tensor that says that it is on Apple's GPU."""

    device = MPS


class WithoutFloat64(TorchFunctionMode):
    """Lets tensors move to the pretended device and back, and refuses float64 there."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        wanted = [*args, *given.values()]
        target = next((value for value in wanted if isinstance(value, torch.device)), None)
        here = target == MPS or (target is None and any(isinstance(v, OnMps) for v in wanted))
        if "device" in given:
            given["device"] = "cpu"
        plain = [torch.device("cpu") if value == MPS else _plain(value) for value in args]
        result = func(*plain, **{key: _plain(value) for key, value in given.items()})
        if not here or not isinstance(result, torch.Tensor):
            return result
        if result.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return result.as_subclass(OnMps)


def _plain(value: Any) -> Any:
    return value.as_subclass(torch.Tensor) if isinstance(value, OnMps) else value


@pytest.fixture
def on_mps() -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    maker_of.cache_clear()
    with WithoutFloat64():
        yield lambda images: images.to(MPS)
    maker_of.cache_clear()


def assert_equal(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.device == MPS
    assert torch.equal(found.to(torch.device("cpu")), expected)


def test_pixels_are_made_on_the_cpu_where_there_is_no_float64(
    on_mps: Callable[[torch.Tensor], torch.Tensor], capfd: pytest.CaptureFixture[str]
) -> None:
    there = on_mps(IMAGES)
    with pytest.raises(TypeError, match="float64"):
        there.to(torch.float64)
    for name in ("elastic_transform", "contrast", "gaussian_noise"):
        made = corruptions.corrupt(there, name, 3, ids=IDS)
        assert_equal(made, corruptions.corrupt(IMAGES, name, 3, ids=IDS))
    assert_equal(corruptions.jpeg(there, 85), corruptions.jpeg(IMAGES, 85))
    for name in ("rotate", "zoom_blur", "brightness", "gaussian_blur"):
        clips = (perturbations.frames(images, name, ids=IDS) for images in (there, IMAGES))
        for frame, expected in zip(*clips, strict=True):
            assert_equal(frame, expected)
    assert capfd.readouterr().err == (
        "mps has no float64: corruptions and sequences are made on the CPU\n"
    )


def test_the_cpu_makes_its_own() -> None:
    assert maker_of(torch.device("cpu")) == torch.device("cpu")


def test_a_device_with_float64_makes_its_own() -> None:
    device = torch.device("meta")
    assert maker_of(device) == device
