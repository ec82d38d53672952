"""The doctor's steps tell right from wrong, and say so in a line that fits."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch

from nsbench.bench.doctor_steps import (
    corruption_speed,
    difference,
    draws,
    evaluation_speed,
    foolbox,
    out_of_memory,
    pixels,
    precision,
    repeatability,
    training_speed,
)
from nsbench.bench.doctor_steps.machine import Machine, Skipped, checked
from nsbench.corruptions import corrupt, draw
from nsbench.evaluation.fgsm import fgsm_images
from nsbench.evaluation.forward import logits_of
from nsbench.perturbations import frames
from nsbench.util.errors import NsbenchError

TINY = Machine(torch.device("cpu"), tiny=True)


class OnGpu(Machine):
    """A machine that takes its CPU for a GPU's."""

    @property
    def on_gpu(self) -> bool:
        return True


def changed(images: torch.Tensor, levels: int, count: int) -> torch.Tensor:
    """Some values moved by some levels, up or down as there is room."""
    flat = images.clone().flatten()
    flat[:count] = torch.where(flat[:count] > 127, flat[:count] - levels, flat[:count] + levels)
    return flat.view(images.shape)


@pytest.mark.parametrize(
    ("levels", "share", "right"), [(1, 0.001, True), (2, 0.001, False), (1, 0.0011, False)]
)
def test_pixels_may_be_a_level_away_in_a_thousandth(levels: int, share: float, right: bool) -> None:
    images = torch.randint(0, 256, (1, 1, 100, 200), dtype=torch.uint8)
    other = changed(images, levels, round(share * images.numel()))
    found = difference.beside(images, other)
    assert found["right"] == right
    assert (found["largest"], found["share"]) == (levels, share)


@pytest.mark.parametrize(("levels", "outcome"), [(1, "right"), (2, "wrong")])
def test_wrong_pixels_of_a_cell_are_told(
    levels: int, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def elsewhere(images: torch.Tensor, name: str, *arguments: Any, **ids: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if name == "frost":
            raise NsbenchError("frost needs a package")
        right = corrupt(images, name, *arguments, **ids)
        return right if calls % 2 or name != "fog" else changed(right, levels, 3)

    monkeypatch.setattr(pixels, "corrupt", elsewhere)
    monkeypatch.setattr(pixels, "ALL_NAMES", ("contrast", "fog"))
    found = pixels.pixels(TINY)
    assert found.outcome == outcome
    cells = found.figures["cells"]
    assert list(cells) == [f"fog/{severity}" for severity in range(1, 6)]
    if outcome == "wrong":
        assert found.verdict == "5 of 10: fog/1, fog/2, fog/3, …"
        assert found.figures["wrong"] == list(cells)
    else:
        assert found.verdict == "10 of 10 cells within 1 level of the CPU's"
    monkeypatch.setattr(pixels, "ALL_NAMES", ("contrast", "frost"))
    found = pixels.pixels(TINY)
    assert found.outcome == "right"
    assert found.verdict == "5 of 10 cells within 1 level of the CPU's, 5 skipped"


def test_wrong_jpeg_and_sequences_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "ALL_NAMES", ("contrast",))
    calls = iter(range(100))
    monkeypatch.setattr(pixels, "jpeg", lambda images, _: changed(images, next(calls) % 2, 1))
    assert pixels.pixels(TINY).figures["wrong"] == ["JPEG/7", "JPEG/85"]
    second = iter(range(100))

    def elsewhere(images: torch.Tensor, name: str, **others: Any) -> Iterator[torch.Tensor]:
        levels = 2 * (next(second) % 2) if name == "tilt" else 0
        return (changed(frame, levels, 1) for frame in frames(images, name, **others))

    monkeypatch.setattr(pixels, "frames", elsewhere)
    monkeypatch.setattr(pixels, "PERTURBATIONS", ("brightness", "tilt"))
    monkeypatch.setattr(pixels, "EXTRA_PERTURBATIONS", ())
    found = pixels.sequences(TINY)
    assert (found.outcome, found.figures["wrong"]) == ("wrong", ["tilt"])


def test_a_single_other_bit_of_a_draw_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(1000))

    def elsewhere(name: str, severity: int, ids: Sequence[Any], **others: Any) -> Any:
        drawn = draw(name, severity, ids, **others)
        if name == "elastic_transform" and next(calls) % 2:
            drawn.corners.view(torch.int64)[-1, -1, -1] ^= 1
        return drawn

    monkeypatch.setattr(draws, "draw", elsewhere)
    found = draws.draws(TINY)
    assert found.outcome == "wrong"
    assert found.figures["wrong"] == [f"elastic_transform/{severity}" for severity in range(1, 6)]
    assert "fog/3" in found.figures["sha256"]
    assert "contrast/3" not in found.figures["sha256"]  # it draws nothing


def test_kinds_and_shapes_of_draws_count() -> None:
    contents = [
        draws.content_of(drawn)
        for drawn in (None, [], [None], [1, 2], [12], [1.0, 2.0], torch.zeros(2),
                      torch.zeros(1, 2), torch.zeros(2, dtype=torch.int32), [torch.zeros(2)])
    ]  # fmt: skip
    assert len(set(contents)) == len(contents)
    assert draws.content_of((1, torch.ones(2))) == draws.content_of([1, torch.ones(2)])


@pytest.mark.parametrize("call", [1, 2])  # the second one, and that of an image alone
def test_what_does_not_repeat_is_told(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: dict[tuple[Any, ...], int] = {}

    def unsteady(images: torch.Tensor, name: str, severity: int, **ids: Any) -> torch.Tensor:
        number = calls.setdefault((name, severity), 0)
        calls[name, severity] += 1
        made = corrupt(images, name, severity, **ids)
        return made ^ 1 if (name, severity, number) == ("snow", 2, call) else made

    monkeypatch.setattr(repeatability, "corrupt", unsteady)
    found = repeatability.repeatability(TINY)
    assert (found.outcome, found.figures["wrong"]) == ("wrong", ["snow/2"])
    cell = found.figures["differing"]["snow/2"]
    assert (cell["repeats"], cell["same_alone"]) == (call != 1, call != 2)


def test_an_attack_that_is_not_foolbox_s_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = {"nsbench_images_per_second": 60.0, "foolbox_images_per_second": 30.0,
             "fraction_of_peak": 0.5, "speedup": 2.0, "environment": {}}  # fmt: skip
    monkeypatch.setattr(foolbox, "bench_attack", lambda *_, **__: timed)
    found = foolbox.foolbox(OnGpu(torch.device("cpu"), tiny=True))
    assert (found.outcome, found.figures["values_that_differ"]) == ("right", 0)
    (speed,) = found.speeds.values()
    assert (speed.images_per_second, speed.limit, speed.share) == (60, 120, 0.5)
    (goal,) = found.goals
    assert goal.line == "goal missed: FGSM curve, 2.00 times foolbox, the goal is 3.00"

    def elsewhere(*arguments: Any) -> Iterator[torch.Tensor]:
        return (changed(attacked, 1, 2) for attacked in fgsm_images(*arguments))

    monkeypatch.setattr(foolbox, "fgsm_images", elsewhere)
    found = foolbox.foolbox(TINY)
    assert found.outcome == "wrong"
    assert found.verdict == "16 values of FGSM's images are not foolbox's"


def test_goals_stand_beside_what_a_gpu_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = {"evaluation_images_per_second": 80.0, "forward_images_per_second": 100.0,
                "corruption_images_per_second": 1000.0}  # fmt: skip
    monkeypatch.setattr(evaluation_speed, "bench_eval", lambda *_, **__: measured)
    found = evaluation_speed.evaluation_speed(OnGpu(torch.device("cpu"), tiny=True))
    assert found.verdict == "80 images/s, 80% of forwards, model binds"
    (goal,) = found.goals
    assert goal.line == "goal reached: ImageNet-C, 80 % of bare forwards, the goal is 75 %"
    assert evaluation_speed.evaluation_speed(TINY).goals == []


def test_corruptions_are_timed_beside_their_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corruption_speed, "CORRUPTIONS", ("contrast", "fog"))
    monkeypatch.setattr(corruption_speed, "EXTRA_CORRUPTIONS", ("saturate",))
    found = corruption_speed.corruption_speed(TINY)
    assert found.outcome == "measured"
    assert list(found.speeds) == ["JPEG/85", "contrast/3", "fog/3", "saturate/3"]
    rates = [found.speeds[name].images_per_second for name in ("contrast/3", "fog/3")]
    assert found.figures["images_per_second"] == pytest.approx(2 / sum(1 / rate for rate in rates))
    assert all(found.figures["operations"].values())

    def broken(*_: Any, **__: Any) -> torch.Tensor:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(corruption_speed, "corrupt", broken)
    found = corruption_speed.corruption_speed(TINY)
    assert found.outcome == "error"
    assert found.verdict == "3 cells fail: contrast/3"
    late = Machine(torch.device("cpu"), tiny=True, end=0.0)
    assert corruption_speed.corruption_speed(late).outcome == "no time"


def test_a_batch_that_fits_and_outputs_that_move_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert out_of_memory.out_of_memory(TINY).outcome == "right"
    calls = iter(range(9))
    monkeypatch.setattr(
        out_of_memory, "logits_of", lambda *all: logits_of(*all) + next(calls) * torch.ones(())
    )
    found = out_of_memory.out_of_memory(TINY)
    assert found.outcome == "wrong"
    assert found.verdict.startswith("outputs of smaller batches are ")
    monkeypatch.setattr(out_of_memory, "logits_of", lambda run, images, _: images.sum((1, 2, 3)))
    assert out_of_memory.out_of_memory(TINY).verdict == "4 images fit, though they should not"


def test_outputs_far_from_float32_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = precision.precision(TINY)
    assert found.outcome == "right"
    assert len(f"precision: right, {found.verdict}") <= 80
    monkeypatch.setitem(precision.LIMITS, "bfloat16", 1e-9)
    found = precision.precision(TINY)
    assert found.outcome == "wrong"
    assert found.verdict.startswith("bfloat16 too far from float32: cpu ")


def test_losses_and_noise_that_are_wrong_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    step = {"arch": "a", "losses": [1.0, float("nan")], "steps_images_per_second": 80.0,
            "bare_steps_images_per_second": 100.0}  # fmt: skip
    noise = {"images_per_second": 1e4, "beside_the_cpu": {"share": 0.0}}
    monkeypatch.setattr(training_speed, "_step_speed", lambda *_: step)
    monkeypatch.setattr(training_speed, "_randaugment", lambda _: noise)
    found = training_speed.training_speed(TINY)
    assert (found.outcome, found.verdict) == ("wrong", "losses in bfloat16 are not finite")
    monkeypatch.setitem(step, "losses", [1.0])
    found = training_speed.training_speed(OnGpu(torch.device("cpu"), tiny=True))
    assert found.outcome == "right"
    assert found.verdict == "80 images/s, 80% of bare steps, model binds"
    (goal,) = found.goals
    assert goal.line == "goal missed: step of a, bfloat16, 80 % of bare steps, the goal is 85 %"
    monkeypatch.setitem(noise["beside_the_cpu"], "share", 0.01)  # type: ignore[arg-type]
    found = training_speed.training_speed(TINY)
    assert found.verdict == "the pixels of RandAugment are not the CPU's"


def test_parts_that_all_were_skipped_skip_the_step() -> None:
    with pytest.raises(Skipped, match="no package"):
        checked({"a": {"skipped": "no package"}}, 1, "cells", {})
    late = checked({"a": {"right": True}}, 2, "cells", {})
    assert (late.outcome, late.verdict) == ("no time", "1 of 2 cells, 1 not tried")
    assert checked({"a": {"error": "E"}}, 2, "cells", {}).outcome == "wrong"
