"""Speed of an evaluation, plain and compiled, and what happens when a batch does not fit."""

from typing import Any

import numpy as np
import torch

from nsbench.bench.doctor_steps.machine import Machine, Skipped
from nsbench.bench.evaluation import bench_eval
from nsbench.bench.models import untrained
from nsbench.bench.photographs import photographs
from nsbench.evaluation.forward import logits_of
from nsbench.evaluation.model_run import ModelRun
from nsbench.evaluation.options import Options
from nsbench.evaluation.runner import ready
from nsbench.models import Classifier
from nsbench.predictions import Store
from nsbench.util.timing import timed

TOO_MANY = 512
"""Images of 224 px whose activations in ResNet-50 need more than ROOM in float32."""

ROOM = 2.5e9
"""Bytes left to a batch that is meant not to fit: a half or a quarter of it does."""


def run_of(model: Classifier) -> ModelRun:
    """A model on a suite that has no cells, as `logits_of` wants it."""
    store = Store(model.results, "doctor", {})
    return ModelRun(model, store, np.arange(model.num_classes), None, [])


def evaluation_speed(machine: Machine) -> dict[str, Any]:
    """Do `nsbench bench eval` with ResNet-50 in bfloat16: how near it is to bare forward passes."""
    return bench_eval(
        machine.pick("resnet50", "test_resnet"),
        images=machine.pick(500, 2),
        batch_size=machine.pick(250, 2),
        precision="bfloat16",
        device=str(machine.device),
    )


def compiled(machine: Machine) -> dict[str, Any]:
    """Time ResNet-50 as it is and compiled, and the odd last batch that an evaluation has."""
    return {
        "eager": _forward(machine, compile=False),
        "compiled": _forward(machine, compile=True),
    }


def _forward(machine: Machine, *, compile: bool) -> dict[str, float]:
    size = machine.pick(224, 32)
    options = Options(machine.device, machine.pick(250, 3), "bfloat16", compile=compile)
    model = untrained(machine.pick("resnet50", "test_resnet"), size, machine.device)
    run = run_of(ready(model, options))
    images = photographs(size, options.batch_size).to(machine.device)
    odd = images[: machine.pick(77, 1)]
    first = timed(lambda: logits_of(run, images, options), machine.device)
    usual = machine.seconds(lambda: logits_of(run, images, options), 5)
    last = timed(lambda: logits_of(run, odd, options), machine.device)
    return {
        "images_per_second": len(images) / usual,
        "first_batch_seconds": first,
        "odd_batch_seconds": last,
    }


def out_of_memory(machine: Machine) -> dict[str, Any]:
    """Give a model more images than fit: the batch is halved, and the predictions stay the same.

    Returns the batch that fits, and the share of images whose top class is another.
    """
    if not machine.on_gpu:
        raise Skipped("only the memory of a GPU can be limited")
    run = run_of(untrained("resnet50", 224, machine.device))
    images = photographs(224, TOO_MANY).to(machine.device)
    options = Options(machine.device, TOO_MANY)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(machine.device).total_memory
    share = (torch.cuda.memory_reserved(machine.device) + ROOM) / total
    torch.cuda.set_per_process_memory_fraction(min(1.0, share), machine.device)
    try:
        halved = logits_of(run, images, options)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, machine.device)
    whole = logits_of(run, images, Options(machine.device, TOO_MANY))
    moved = (halved.argmax(1) != whole.argmax(1)).double().mean()
    return {"images_at_once": options.batches.size, "top_classes_moved": float(moved)}
