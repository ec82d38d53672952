"""`nsbench.evaluate`: one or several models on one or several suites, for programs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nsbench.data.catalog import looking_in
from nsbench.evaluation.options import BATCH, Options, make_options
from nsbench.evaluation.runner import evaluate_with
from nsbench.models import Classifier, ModelOptions, load_models
from nsbench.models.given import lent
from nsbench.results import Results
from nsbench.suites.given import suites_of
from nsbench.suites.scores import score
from nsbench.util.arguments import checked
from nsbench.util.errors import NsbenchError

Model = str | Path | nn.Module | Classifier


@checked
def evaluate(
    models: Model | Sequence[Model],
    suites: Any,
    *,
    device: str | torch.device | None = None,
    batch_size: int = BATCH,
    precision: str = "float32",
    channels_last: bool = True,
    compile: bool = False,  # as torch.compile and the command's option are called
    cache: str | Path | None = None,
    quick: bool = False,
    limit: int | None = None,
    redo: bool = False,
    data: str | Path | Sequence[str | Path] | None = None,
    name: str | None = None,
    classes: str | Path | Sequence[str] | None = None,
    image_size: int | None = None,
    crop_pct: float | None = None,
    interpolation: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    arch: str | None = None,
    weights: str | Path | None = None,
    entry: str | None = None,
) -> Results:
    """Evaluate one or several models on one or several suites.

    models: names as on the command line (run folders, generations, `timm:NAME`, checkpoint files),
    paths, torch modules, or Classifiers. suites: names of shipped suites, TOML files, Suite
    objects, or images: a torch or Hugging Face `Dataset`, or a tuple of images and labels, whose
    accuracy is measured; `nsbench.suite_of` makes other suites of images. Lists are several.

    device: by default the GPU if there is one. batch_size: images a forward pass, halved for a
    model that memory is short for. precision: `float32`, `tf32`, `bfloat16` or `float16`.
    channels_last: memory order of images, for models that nsbench loads. compile: by
    torch.compile. cache: a folder that keeps decoded images. quick, limit: at most 5,000 images, or
    at most that many. redo: whether what is finished is evaluated again. data: folders of data
    sets, by default those in NSBENCH_DATA.

    About models that do not say it themselves: name; classes, the names of the outputs or a file of
    them; image_size in pixels, crop_pct, interpolation, mean and std in units of [0, 1]; and of
    checkpoint files arch, weights and entry, as `nsbench eval` has them.

    Modules keep their mode, device, memory order and compilation. What was finished before is not
    done again; predictions are kept in `results/`, or in the folder of a generation. Under torchrun
    the processes share the images. Raises NsbenchError for bad input, before anything is computed
    wherever that can be known, and TypeError for what is no model, suite or option at all.
    """
    options = make_options(
        device=device, batch_size=batch_size, precision=precision, channels_last=channels_last,
        compile=compile, cache=cache, quick=quick, limit=limit, redo=redo,
    )  # fmt: skip
    about = ModelOptions(
        arch, weights, classes, image_size, crop_pct, interpolation, mean, std, entry, name
    )
    with looking_in(data):
        chosen = suites_of(suites)
        with _lent(_listed(models), options) as ours:
            folders = evaluate_with(load_models(ours, options.device, about), chosen, options)
    return Results(map(score, folders))


def _listed(models: Model | Sequence[Model]) -> list[Model]:
    """The models of an argument that is one or several. Raises NsbenchError for none."""
    listed = [models] if isinstance(models, str | Path | nn.Module | Classifier) else list(models)
    if not listed:
        raise NsbenchError("models are none: name at least one")
    return listed


@contextmanager
def _lent(models: Sequence[Model], options: Options) -> Iterator[list[Model]]:
    """The models, those in memory for use on the device until the caller has them back."""
    owners = {i: model for i, model in enumerate(models) if not isinstance(model, str | Path)}
    modules = [owner if isinstance(owner, nn.Module) else owner.module for owner in owners.values()]
    with lent(modules, options.device) as ready:
        ours = dict(zip(owners, ready, strict=True))
        yield [_with_module(model, ours.get(i), options) for i, model in enumerate(models)]


def _with_module(model: Model, module: nn.Module | None, options: Options) -> Model:
    if module is None or not isinstance(model, Classifier):
        return module or model
    # Whose memory order the options change, and the caller's stays as it is.
    if model.channels_last and not options.channels_last and module is model.module:
        module = deepcopy(module)
    return replace(model, module=module)
