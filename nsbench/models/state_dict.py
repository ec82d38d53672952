"""Checkpoint files of others: state dicts by safetensors or PyTorch. No code in them runs."""

import argparse
import pickle
import re
import sys
import warnings
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors.torch
import timm
import torch
from torch import nn

from nsbench.models.classifier import Classifier, count_parameters, serialize
from nsbench.models.entries import State, by_first_name, choose
from nsbench.models.options import ModelOptions
from nsbench.models.timm_hub import sized, timm_preprocessing
from nsbench.models.wrap import short_name, wrap_module
from nsbench.util.device import is_short_of_memory, to_device
from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.files import plain, sha256, why_unread

_SCALAR = np.float64(0).__reduce__()[0]
# What pickled numbers of NumPy are made of, by both names that its module has had.
_NUMBERS: list[Any] = [
    np.dtype,
    *{type(np.dtype(kind)) for kind in ("?", "u1", "i4", "i8", "f2", "f4", "f8")},
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]


def load_file(path: Path, arch: str, device: torch.device, options: ModelOptions) -> Classifier:
    """A state dict in a timm architecture, whose tag (`NAME.TAG`) decides the preprocessing.

    The number of classes is that of the file's classifier. Averaged weights are preferred where
    the file holds both, unless the options name an entry; info["entry"] says which one was read.
    Raises NsbenchError for a file that is broken, holds code, or does not fit the architecture.
    """
    state, entry = read_state(path, options.entry)
    module = to_device(_filled(state, path, arch, options, entry), device).eval()
    return wrap_module(
        short_name(path),
        module,
        device,
        options,
        label=f"{path.stem}-{arch}",
        # two architectures can share all names and shapes (efficientnet_b0, tf_efficientnet_b0)
        weights_hash=sha256(arch.encode() + serialize(module)),
        preprocessing=timm_preprocessing(module, arch),
        info={"arch": arch, "parameters": count_parameters(module), "entry": entry},
    )


def read_state(path: Path, entry: str | None = None) -> tuple[State, str | None]:
    """The weights of a file by name, and the entry that held them, as `entries.choose` has them.

    entry: the one to read. Raises NsbenchError for a file that is broken, holds code or no weights.
    """
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    try:
        state, name = choose(content, path, entry)
    except RecursionError as error:
        raise NsbenchError(f"{path} holds itself: save the model's state_dict() alone") from error
    for key, value in state.items():
        if kind := _unusable(value):
            raise NsbenchError(
                f"{path}: the tensor {key} is {kind}, of which nsbench cannot make weights: save "
                "it as a dense tensor of floats"
            )
    return state, name


def _unusable(value: torch.Tensor) -> str | None:
    """What kind of tensor it is, if none that weights can be copied from as they are."""
    kinds = {
        "quantized": value.is_quantized,
        "nested": value.is_nested,
        "sparse": value.layout != torch.strided,
        "without values, on the device meta": value.is_meta,
        "complex": value.is_complex(),  # the copy would lose its imaginary part
    }
    return next((kind for kind, holds in kinds.items() if holds), None)


def _read_safetensors(path: Path) -> State:
    try:
        return safetensors.torch.load_file(plain(path))
    except OSError as error:
        raise NsbenchError(f"cannot read {path}: {why_unread(error, path)}") from error
    except Exception as error:  # safetensors has errors of its own for each kind of damage
        raise NsbenchError(
            f"{path} is incomplete or no safetensors file ({first_line(error)}): get it again"
        ) from error


def _read_torch(path: Path) -> Any:
    allowed = torch.serialization.get_safe_globals()
    try:
        # The options of a training script, as timm stores them: a class that only holds values.
        # Accuracies beside the weights are often NumPy's numbers.
        torch.serialization.add_safe_globals([argparse.Namespace, *_NUMBERS])
        # Torch warns of what is old, slow or odd about a file; what does not work is an error.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(plain(path), map_location="cpu", weights_only=True)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise NsbenchError(f"cannot read {path}: {why_unread(error, path)}") from error
    except Exception as error:  # a broken pickle fails in any way
        raise NsbenchError(_explain(path, error)) from error
    finally:  # what a program's own files may hold is not for nsbench to say
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(allowed)


def _explain(path: Path, error: Exception) -> str:
    # torch names what it refused to import only in the text of the error.
    code = re.search(r"GLOBAL ([\w.]+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and code:
        return (
            f"{path} asks for the code {code[1]}, and nsbench runs none from a checkpoint: if you "
            "trust it, load it yourself and save its state_dict() as safetensors"
        )
    return (
        f"{path} is incomplete or no state dict saved by torch.save: get it again, or save the "
        "model's state_dict()"
    )


def _filled(
    state: State, path: Path, arch: str, options: ModelOptions, entry: str | None
) -> nn.Module:
    """The architecture with the weights; where their names are the authors', timm renames them."""
    module = _with_head_of(state, _create(arch, options), arch, options)
    state = _without_counters(state, module)
    misfit = _misfit(state, module)
    if misfit:
        # Compared before and after: timm's rules would also resize embeddings of another image
        # size, which makes another model than the one in the file.
        renamed = _renamed(state, module)
        module = _with_head_of(renamed, module, arch, options)
        if _misfit(renamed, module):
            instead = f"name the architecture that it was trained as instead of {arch}"
            # A model kept in one attribute, beside weights of a loss or the like.
            for first, part in by_first_name(state).items():
                if not _misfit(part, _with_head_of(part, module, arch, options)):
                    name = f"{entry}.{first}" if entry else first
                    instead = f"what it has in {name} does: name that by --entry {name}"
            raise NsbenchError(f"{path} does not fit the architecture {arch}: {misfit}; {instead}")
        if options.image_size is None:
            _refuse_resampled(state, renamed, path, arch)
        state = renamed
    own = module.state_dict()
    for key in state.keys() & own.keys():
        if own[key].is_floating_point() and not state[key].is_floating_point():
            raise NsbenchError(
                f"{path}: {key} holds {str(state[key].dtype).removeprefix('torch.')} where {arch} "
                "has floats, and nothing says by what to scale it: save the weights as floats"
            )
    # Not strict, because of the counters that old files lack; all else was compared above.
    module.load_state_dict(state, strict=False)
    return module


def _create(arch: str, options: ModelOptions, **arguments: int) -> nn.Module:
    try:
        module: nn.Module = timm.create_model(arch, **sized(options), **arguments)
    except Exception as error:  # an unknown tag, a size that the architecture cannot take
        if is_short_of_memory(error):
            raise
        raise NsbenchError(f"timm cannot build '{arch}': {first_line(error)}") from error
    return module


def _with_head_of(state: State, module: Any, arch: str, options: ModelOptions) -> nn.Module:
    """The module, built again if the file's classifier has another number of classes."""
    # One name, or several where an architecture has two heads of equal size.
    names = module.pretrained_cfg.get("classifier") or ()
    first = names if isinstance(names, str) else next(iter(names), "")
    head = state.get(f"{first}.weight")
    if head is None or not head.ndim or len(head) == module.num_classes:
        return cast(nn.Module, module)
    return _create(arch, options, num_classes=len(head))


def _without_counters(state: State, module: nn.Module) -> State:
    """The state but for whole numbers that the architecture has no place for.

    Those count batches, steps or epochs, and are no weights: they tell nothing of the architecture.
    """
    own = module.state_dict()
    return {
        key: value
        for key, value in state.items()
        if value.numel() != 1
        or value.is_floating_point()
        or value.is_complex()
        or (key in own and own[key].shape == value.shape)
    }


def _misfit(state: State, module: nn.Module) -> str | None:
    """The first tensor that is missing, misshaped or too many, as a clause."""
    own = module.state_dict()
    for key, value in own.items():
        if key not in state and not key.endswith("num_batches_tracked"):  # old files lack those
            stray = next((other for other in state if other not in own), None)
            return f"it lacks {key}" + (f" and has {stray} instead" if stray else "")
        if key in state and state[key].shape != value.shape:
            return f"{key} has shape {tuple(state[key].shape)}, not {tuple(value.shape)}"
    return next((f"{key} has no place there" for key in state if key not in own), None)


def _renamed(state: State, module: nn.Module) -> State:
    """The state with timm's names, by the rules that timm keeps beside the architecture."""
    rules = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
    try:
        return dict(rules(dict(state), module)) if rules else state
    except Exception:  # rules for another architecture's tensors fail in any way
        return state


def _refuse_resampled(state: State, renamed: State, path: Path, arch: str) -> None:
    # Renaming and reshaping keep the number of values; resizing an embedding does not.
    for key in state.keys() & renamed.keys():
        if state[key].numel() != renamed[key].numel():
            raise NsbenchError(
                f"{path} was trained at another image size than {arch}: {key} has shape "
                f"{tuple(state[key].shape)}, not {tuple(renamed[key].shape)}; name its size with "
                "--image-size"
            )
