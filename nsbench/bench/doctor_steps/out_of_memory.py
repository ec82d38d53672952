"""What happens when a batch does not fit into the device's memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from nsbench.bench.doctor_steps.machine import Finding, Machine
from nsbench.bench.models import untrained
from nsbench.bench.photographs import photographs
from nsbench.evaluation.forward import logits_of
from nsbench.evaluation.model_run import ModelRun
from nsbench.evaluation.options import Options
from nsbench.models import Classifier
from nsbench.predictions import Store
from nsbench.util.device import AdaptiveBatchSize, float32_products

TOO_MANY = 512
"""Images of 224 px whose activations in ResNet-50 need more than ROOM in float32."""

ROOM = 2.5e9
"""Bytes left to a batch that is meant not to fit: a half or a quarter of it does."""

APART = 1e-3
"""Of the largest output that one of a smaller batch may be away: other kernels add in another
order, which is far less than another image would be."""


def run_of(model: Classifier) -> ModelRun:
    """A model on a suite that has no cells, as `logits_of` wants it."""
    store = Store(model.results, "doctor", {})
    return ModelRun(model, store, np.arange(model.num_classes), None, [])


def out_of_memory(machine: Machine) -> Finding:
    """Give a model more images than fit: the batch is halved, and the outputs stay the same.

    Where there is no GPU whose memory could be limited, the model refuses large batches itself.
    """
    arch, size = machine.pick(("resnet50", 224), ("resnet18", 64), ("test_resnet", 32))
    count = machine.pick(TOO_MANY, 16, 4)
    run = run_of(untrained(arch, size, machine.device))
    images = photographs(size, count).to(machine.device)
    options = Options(machine.device, count)
    with float32_products("float32"):
        with _limit(machine, run.model.module, count // 2):
            halved = logits_of(run, images, options)
        at_once = run.model.batches.size
        run.model.batches = AdaptiveBatchSize()  # that of the whole batch
        whole = logits_of(run, images, options)
    apart = float((halved - whole).abs().max() / whole.abs().max())
    figures = {
        "images": count,
        "images_at_once": min(count, at_once),
        "largest_difference": apart,
    }
    if at_once >= count:
        return Finding("wrong", f"{count} images fit, though they should not", figures)
    if not apart <= APART:
        return Finding("wrong", f"outputs of smaller batches are {apart:.2g} away", figures)
    return Finding("right", f"{count} images go on as {at_once} at once", figures)


@contextmanager
def _limit(machine: Machine, module: torch.nn.Module, most: int) -> Iterator[None]:
    """Within it, memory on a GPU ends soon; elsewhere a model fails at more than `most` images."""
    if machine.on_gpu:
        device = machine.device
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(device).total_memory
        share = (torch.cuda.memory_reserved(device) + ROOM) / total
        torch.cuda.set_per_process_memory_fraction(min(1.0, share), device)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, device)
        return

    def refuse(_: object, arguments: tuple[Any, ...]) -> None:
        if len(arguments[0]) > most:
            raise torch.OutOfMemoryError("more images than are meant to fit")

    hook = module.register_forward_pre_hook(refuse)
    try:
        yield
    finally:
        hook.remove()
