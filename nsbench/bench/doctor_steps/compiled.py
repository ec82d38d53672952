"""Whether a compiled model is the faster one, and what its odd last batch costs."""

import torch

from nsbench.bench.doctor_steps.machine import Finding, Machine, Skipped
from nsbench.bench.doctor_steps.out_of_memory import run_of
from nsbench.bench.models import untrained
from nsbench.bench.photographs import photographs
from nsbench.evaluation.forward import logits_of
from nsbench.evaluation.options import Options
from nsbench.evaluation.runner import ready
from nsbench.util.device import compiling
from nsbench.util.errors import NsbenchError
from nsbench.util.timing import timed

APART = 0.1
"""Of the largest output that a compiled model in bfloat16 may be away from the plain one: both
round to 8 bits, at other places."""


def compiled(machine: Machine) -> Finding:
    """Time ResNet-50 as it is and compiled, and the odd last batch that an evaluation has."""
    plain, eager = _forward(machine, compile=False)
    try:
        with compiling():
            other, after = _forward(machine, compile=True)
    except NsbenchError as error:
        raise Skipped(str(error)) from error
    apart = float((plain - other).abs().max() / plain.abs().max())
    figures = {"eager": eager, "compiled": after, "largest_difference": apart}
    times = after["images_per_second"] / eager["images_per_second"]
    verdict = f"{times:.2f} times the plain speed, first batch {after['first_batch_seconds']:.0f} s"
    if not apart <= APART:
        return Finding("wrong", f"compiled outputs are {apart:.2g} away", figures)
    return Finding("right", verdict, figures)


def _forward(machine: Machine, *, compile: bool) -> tuple[torch.Tensor, dict[str, float]]:
    """The outputs of the odd batch, and what was timed."""
    size, arch = machine.pick((224, "resnet50"), (224, "resnet10t"), (32, "test_resnet"))
    batch_size, odd = machine.pick((250, 77), (8, 3), (3, 1))
    options = Options(machine.device, batch_size, "bfloat16", compile=compile)
    run = run_of(ready(untrained(arch, size, machine.device), options))
    images = photographs(size, options.batch_size).to(machine.device)
    first = timed(lambda: logits_of(run, images, options), machine.device)
    usual = machine.seconds(lambda: logits_of(run, images, options), machine.pick(5, 2, 1))
    made: list[torch.Tensor] = []
    last = timed(lambda: made.append(logits_of(run, images[:odd], options)), machine.device)
    return made[0].float(), {
        "images_per_second": len(images) / usual,
        "first_batch_seconds": first,
        "odd_batch_seconds": last,
    }
