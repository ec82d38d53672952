"""Whether the sequences of ImageNet-P are right on this device, and how fast they are."""

from itertools import islice
from typing import Any

import torch

from nsbench.bench.doctor_steps.difference import FAR, difference, ids_of
from nsbench.bench.doctor_steps.machine import Machine, attempt, checked
from nsbench.bench.photographs import photographs
from nsbench.names import EXTRA_PERTURBATIONS, PERTURBATIONS
from nsbench.perturbations import frames
from nsbench.util.timing import timed

RANDOM = ("gaussian_noise", "shot_noise", "speckle_noise", "snow", "spatter")
"""Sequences whose draws are others on a GPU than on the CPU, which leaves nothing to compare."""

TIMED = ("rotate", "gaussian_noise", "gaussian_blur", "brightness")
"""One sequence of each kind of work: a map, draws, a filter, a change of values."""

COMPARED = 2
"""Images that the CPU makes the frames of too: it is slow."""

FRAMES = 6
"""Frames that are timed: later ones take as long."""


def perturbations_right(machine: Machine) -> dict[str, Any]:
    """Compare the sequences without draws with the CPU's, and all with those of an image alone.

    Fails where a pixel is more than FAR levels away or another batch gives other bytes.
    """
    side, size = machine.pick(256, 40), machine.pick(224, 32)
    images = photographs(side, machine.pick(4, 2))
    sequences = {
        name: attempt(lambda n=name: _sequence(machine, n, images, size))  # type: ignore[misc]
        for name in PERTURBATIONS + EXTRA_PERTURBATIONS
    }
    batch = photographs(side, machine.pick(250, 2)).to(machine.device)
    speeds = {name: _speed(machine, name, batch, size) for name in machine.pick(TIMED, TIMED[:1])}
    return checked(sequences, {"sequences": sequences, "frames_per_second": speeds})


def _sequence(machine: Machine, name: str, images: torch.Tensor, size: int) -> dict[str, Any]:
    ids, there = ids_of(images), images.to(machine.device)
    made: list[torch.Tensor] = []
    seconds = timed(lambda: made.extend(frames(there, name, ids=ids, size=size)), machine.device)
    whole = torch.stack(made).cpu()
    one = torch.stack(list(frames(there[1:2], name, ids=ids[1:2], size=size))).cpu()
    alone = torch.equal(whole[:, 1:2], one)
    figures = {"first_frames_per_second": len(made) * len(images) / seconds, "same_alone": alone}
    if name in RANDOM:
        return {**figures, "right": alone}
    few = frames(images[:COMPARED], name, ids=ids[:COMPARED], size=size)
    apart = difference(torch.stack(list(few)), whole[:, :COMPARED])
    return {**figures, **apart, "right": alone and apart["largest"] <= FAR}


def _speed(machine: Machine, name: str, images: torch.Tensor, size: int) -> float:
    ids = ids_of(images)

    def first_frames() -> None:
        for _ in islice(frames(images, name, ids=ids, size=size), FRAMES):
            pass

    return FRAMES * len(images) / machine.seconds(first_frames, 2)
