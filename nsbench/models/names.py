"""How models are named, by nsbench and by others, without loading any: torch-free.

A wrong name is told at once, and two ways to write one name lead to the same folder of results.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

from nsbench.data.cache import cache_folder, only_one
from nsbench.models.options import USUAL, ModelOptions
from nsbench.run_folder import place_in_seeds
from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError
from nsbench.util.files import write_json

RESULTS = Path("results")
"""Where predictions of models go that have no folder of their own, below the working directory."""

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".pth.tar", ".ckpt")
"""Of checkpoint files."""

PREFIXES = ("timm", "linear", "python")
"""What a name may begin with, before a colon."""

OF_TIMM = ("hf-hub:", "hf_hub:", "local-dir:")
"""What timm's own names may begin with, for models that are not in its registry."""


@cache
def timm_names() -> tuple[str, ...]:
    """The architectures of the installed timm.

    From an index that is kept for its version; only the first time timm itself is asked, which
    takes seconds to import.
    """
    version, folder = metadata.version("timm"), cache_folder("timm")
    path = folder / f"{version}.json" if folder else None
    if path is None:
        return _asked()
    with only_one(path, "making a list of timm's models"):
        try:
            names = json.loads(path.read_text(encoding="utf-8"))
            texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
            if not names or not texts:
                raise ValueError("it is no list of names")
            return tuple(names)
        except (OSError, ValueError):  # not there yet, or damaged
            names = _asked()
            with suppress(NsbenchError):  # a folder that is read only: then timm is asked each time
                write_json(path, list(names))
            return names


def _asked() -> tuple[str, ...]:
    import timm

    return tuple(timm.list_models())


def canonical(name: str) -> str:
    """A name as nsbench writes it: `timm:resnet50` for `resnet50`, `timm/resnet50` and the like.

    What exists as a file or folder goes first, and stays as it is; so do names of no known kind.
    """
    if Path(name).exists():
        return name
    plain = name.removeprefix("timm:")
    for prefix in ("hf-hub:timm/", "hf_hub:timm/", "timm/"):
        # The hub's home of timm's own models, under the names that timm has for them.
        if plain.startswith(prefix) and is_timm(plain.removeprefix(prefix)):
            return f"timm:{plain.removeprefix(prefix)}"
    if plain.startswith(OF_TIMM):
        return f"timm:{plain.replace('hf_hub:', 'hf-hub:', 1)}"
    looks_bare = "/" not in name and ":" not in name and not name.endswith((*SUFFIXES, ".onnx"))
    return f"timm:{name}" if looks_bare and is_timm(name) else name


def is_timm(name: str) -> bool:
    """Whether timm has the architecture of a name with or without a tag."""
    return name.split(".")[0] in timm_names()


def kind_of(name: str) -> str:
    """`timm`, `linear`, `python`, `checkpoint`, `onnx` or `folder`, of a canonical name."""
    prefix = name.partition(":")[0]
    if prefix in PREFIXES:
        return prefix
    # A folder may end in .pt too. A name of no known kind counts as a folder, whose error
    # lists all kinds.
    if Path(name).is_dir():
        return "folder"
    if name.endswith(SUFFIXES):
        return "checkpoint"
    return "onnx" if name.endswith(".onnx") else "folder"


def check_named(names: Sequence[str], options: ModelOptions, *, others: int = 0) -> None:
    """Raise NsbenchError for models that are not there, as far as that shows without loading any.

    Also for options that cannot be, concern none of them, or leave open which one. others: how many
    more there are, which are in memory and may need their classes named.
    """
    options.preprocessing(USUAL)  # refuses values that no model could have
    kinds = [kind_of(canonical(name)) for name in names]
    if options.arch and "checkpoint" not in kinds:
        raise NsbenchError(
            f"--arch {options.arch} is the architecture of a checkpoint file, but no such file is "
            "named as a model"
        )
    if options.weights_file and kinds.count("timm") != 1:
        raise NsbenchError(
            f"--weights {options.weights_file} is loaded into one model timm:NAME, but "
            f"{kinds.count('timm') or 'none'} of the models named are such"
        )
    if options.entry is not None and "checkpoint" not in kinds and not options.weights_file:
        raise NsbenchError(
            f"--entry {options.entry} names weights in a checkpoint file, but no such file is named"
        )
    if options.classes and not others and set(kinds) <= {"folder", "linear"}:
        raise NsbenchError(
            f"--classes {options.classes} names the outputs of a foreign model, but the models "
            "named know their classes"
        )
    for name in names:
        _check_name(canonical(name))
    if options.arch:
        check_arch(options.arch)


def _check_name(name: str) -> None:
    path = Path(name)
    kind = kind_of(name)
    if kind == "timm":
        check_arch(name.removeprefix("timm:"))
    elif kind == "python" and len(name.split(":")) != 3:
        raise NsbenchError(f"the model {name} must be python:MODULE:FUNCTION")
    elif kind in ("checkpoint", "onnx") and not path.is_file():
        raise NsbenchError(f"cannot read {name}: No such file or directory")
    elif kind == "folder" and not path.is_dir() and not place_in_seeds(path):
        offered = nearest(name, timm_names()) if "/" not in name else ""
        raise NsbenchError(
            f"there is no model {name}: name a run folder, one of its generations, a checkpoint "
            "file, FILE.onnx, timm:NAME or python:MODULE:FUNCTION" + offered
        )


def check_arch(arch: str) -> None:
    """Raise NsbenchError for an architecture that timm does not know, with the nearest name."""
    if arch.startswith(OF_TIMM):
        where = arch.removeprefix("local-dir:")
        if where != arch and not Path(where).is_dir():
            raise NsbenchError(f"there is no folder {where}, which local-dir: names")
    elif not is_timm(arch):  # the tag, behind a dot, is checked by timm itself
        raise NsbenchError(f"timm has no model '{arch}'{nearest(arch.split('.')[0], timm_names())}")
