"""What a recipe would take, estimated from its models, its images and a short measurement."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from nsbench.models import build, count_parameters, resolve_device
from nsbench.pseudo_labels.shards import MAX_TOP_K
from nsbench.recipes.generation import Generation
from nsbench.recipes.recipe import Recipe
from nsbench.training.checks import check
from nsbench.training.cost import bytes_of, flops_of, memory_of, meta_model
from nsbench.training.data import TrainingData, open_data
from nsbench.training.fine_tune import fine_tuning
from nsbench.training.resolve import shares_teacher
from nsbench.training.schedule import steps_of
from nsbench.training.seeds import resolve_runs
from nsbench.util.device import autocast, enough_memory, float32_products
from nsbench.util.progress import stage
from nsbench.util.timing import timed

MEASURED_FLOPS = 2e10
"""A forward pass of an image that takes more operations than this is measured on smaller images and
scaled, since a CPU would take minutes for it."""

SMALL = 128
"""Side of those smaller images in pixels."""

LABEL_BYTES = 14
"""Bytes of a label beside its classes: index (8), confidence (4), remaining mass (2). A class takes
4 more: its number and its probability."""


def estimate(
    recipe: str | Recipe | None,
    settings: list[str] | None = None,
    *,
    devices: int = 1,
    device: str | None = None,
    resume: Path | None = None,
    variants: Sequence[str] | None = None,
    controls: Sequence[str] | None = None,
    seeds: int | None = None,
) -> list[dict[str, Any]]:
    """For each generation, and each fine-tuning: what it would take. Nothing is written.

    Returns generation, arch, image_size, parameters, gflops (10^9 floating-point operations of one
    image's forward pass), steps, images (of all steps, and those that the teacher labels before),
    memory_bytes (of one of `devices`, in a step), label_bytes and model_bytes (on disk) and seconds
    (of all passes on so many devices, by a measurement on this one).
    variants, controls, seeds: they are counted too, as if each made labels of its own.
    Raises NsbenchError as `train` does before it begins.
    """
    about: dict[str, Any] = {"variants": variants, "controls": controls, "settings": settings}
    plan, target = resolve_runs(recipe, seeds, resume=resume, **about), resolve_device(device)
    wanted = []
    for base, folder, beside in plan.runs:
        of = f"{folder.name} " if plan.home else ""
        wanted += [(of, base, False)]
        wanted += [(f"{of}{v.name} ", v.recipe, shares_teacher(v.recipe, base)) for v in beside]
    clocks: dict[int, _Clock] = {}
    return [row for entry in wanted for row in _rows(*entry, devices, target, clocks)]


def _rows(
    title: str,
    recipe: Recipe,
    has_teacher: bool,
    devices: int,
    device: torch.device,
    clocks: "dict[int, _Clock]",
) -> list[dict[str, Any]]:
    """The rows of a recipe, without those of its first generation where it takes the base's.

    clocks: by number of classes, so that no model is measured twice.
    """
    data = open_data(recipe.data, recipe.seed)
    check(recipe, len(data.classes), len(data.train), device, devices)
    stages = list(_stages(recipe, len(data.train)))
    if has_teacher:
        # "0" and "0 fine-tuned" are trained in the base and counted there.
        stages = [entry for entry in stages if entry[0].partition(" ")[0] != "0"]
    clock = clocks.setdefault(len(data.classes), _Clock(device, len(data.classes)))
    rows = []
    with stage("dry run", len(stages), "generations") as advance:
        for name, generation, teacher in stages:
            row = _row(f"{title}{name}", generation, teacher, recipe, data, devices, clock)
            rows.append(row)
            advance()
    return rows


def _stages(
    recipe: Recipe, labeled_images: int
) -> Iterator[tuple[str, Generation, Generation | None]]:
    """Name, settings and teacher of everything that is trained."""
    teacher = None
    for index, generation in enumerate(recipe.generations):
        yield f"{index}", generation, None if generation.ensemble else teacher
        teacher = generation
        if generation.fine_tune:
            # The next student learns from the fine-tuned model, at its larger size.
            teacher = fine_tuning(generation, labeled_images)
            yield f"{index} fine-tuned", teacher, None


def _row(
    name: str,
    generation: Generation,
    teacher: Generation | None,
    recipe: Recipe,
    data: TrainingData,
    devices: int,
    clock: "_Clock",
) -> dict[str, Any]:
    steps = steps_of(generation, len(data.train))
    step_images = generation.batch_size + (generation.unlabeled_batch if teacher else 0)
    labeled = data.train if recipe.pseudo_labels.distill else data.unlabeled_indices
    to_label = len(labeled) if teacher else 0
    classes = len(data.classes)
    module = meta_model(generation, classes)
    flops = flops_of(module, generation.image_size)
    seconds = steps * step_images * clock.seconds(generation, flops, backward=True)
    if teacher:
        cost = flops_of(meta_model(teacher, classes), teacher.image_size)
        seconds += to_label * clock.seconds(teacher, cost, backward=False)
    # The number of classes that a shard keeps is known only once it is made: this is the most.
    kept = recipe.pseudo_labels.top_k or min(MAX_TOP_K, classes)
    return {
        "generation": name,
        "arch": generation.arch,
        "image_size": generation.image_size,
        "parameters": count_parameters(module),
        "gflops": flops / 1e9,
        "steps": steps,
        "images": steps * step_images + to_label,
        "memory_bytes": memory_of(
            # Rounded up: the device with the most images decides.
            generation,
            classes,
            -(-step_images // (devices * generation.accumulate)),
        ),
        "label_bytes": to_label * (LABEL_BYTES + 4 * kept),
        "model_bytes": bytes_of(module),
        # As if nothing were lost to the exchange of gradients: one device cannot measure it.
        "seconds": seconds / devices,
    }


class _Clock:
    """Measures passes on this device, each kind once."""

    def __init__(self, device: torch.device, classes: int) -> None:
        self._device, self._classes = device, classes
        self._known: dict[str, float] = {}

    def seconds(self, generation: Generation, flops: int, *, backward: bool) -> float:
        """Seconds of an image's forward pass, and of its backward pass if wanted."""
        shape = (generation.arch, generation.model_args, generation.image_size, backward)
        key = repr((*shape, generation.precision))  # text, since model_args cannot be hashed
        if key not in self._known:
            what = f"what the dry run measures of {generation.arch}"
            with enough_memory(what, "free some, or use --device cpu"):
                self._known[key] = self._measure(generation, flops, backward)
        return self._known[key]

    def _measure(self, generation: Generation, flops: int, backward: bool) -> float:
        """Seconds an image, by the second of two runs."""
        size, share, device = generation.image_size, 1.0, self._device
        if flops > MEASURED_FLOPS and size > SMALL and device.type == "cpu":
            size = SMALL
            share = flops / flops_of(meta_model(generation, self._classes), size)
        # A GPU needs a batch to be filled; a CPU is filled by large images one at a time.
        count = 2 if device.type == "cpu" and flops > 1e9 else 32
        model = build(generation.arch, self._classes, generation.model_args).to(device)
        # In training mode for training only: batch norm's statistics and the noise take time.
        model = model.to(memory_format=torch.channels_last).train(backward)
        images = torch.zeros(count, 3, size, size, device=device)
        images = images.contiguous(memory_format=torch.channels_last)

        def passes() -> None:
            with torch.set_grad_enabled(backward), autocast(device, generation.precision):
                logits = model(images)
            if backward:
                model.zero_grad(set_to_none=True)
                # The part of a cross-entropy that needs no labels.
                logits.float().logsumexp(1).sum().backward()

        with float32_products(generation.precision):
            # The first run allocates memory and chooses kernels.
            timed(passes, device)
            return share * timed(passes, device) / count
