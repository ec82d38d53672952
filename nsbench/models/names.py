"""What the name of a model means, before anything is loaded: its kind, and its one spelling.

Imports no torch, so that a wrong name is told at once.
"""

import os
import re
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NamedTuple

from nsbench.models.options import USUAL, ModelOptions
from nsbench.models.timm_index import (
    check_architecture,
    check_pretrained,
    is_architecture,
    nearest_model,
    with_usual_tag,
)
from nsbench.run_folder import (
    RESULTS,
    folders_at,
    is_run,
    is_seeds,
    place_in_seeds,
    trained_folders,
)
from nsbench.util.errors import NsbenchError
from nsbench.util.files import no_file, refuse_unreadable
from nsbench.util.likeness import most_alike
from nsbench.util.nearby import nearest_path

# Of checkpoint files as safetensors, torch.save, timm (`.pth.tar`) and Lightning name them.
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".pth.tar", ".ckpt")

HUB, LOCAL = "hf-hub:", "local-dir:"
"""What timm puts before a repository of the Hugging Face hub, and before a folder that holds a
config.json and weights."""

LINEAR = "linear:digits"
"""The one model that nsbench makes itself."""

FORMS = (
    "name a run folder, one of its generations, a checkpoint file, FILE.onnx, timm:NAME, "
    f"{HUB}USER/MODEL, {LOCAL}FOLDER or python:MODULE:FUNCTION"
)


class ModelName(NamedTuple):
    """A name that was understood.

    kind: `folder`, `checkpoint`, `onnx`, `timm`, `linear` or `python`. name: as reports and folders
    of results have it, whichever way it was spelled. arch: of timm's, as its create_model takes it
    and without a tag that was not given; else empty.
    """

    kind: str
    name: str
    arch: str = ""


def understood(name: str) -> ModelName:
    """What a name means: by its prefix, else a path that exists, else a name of timm's.

    `resnet50`, `timm/resnet50`, `hf-hub:timm/resnet50.a1_in1k` and `timm:resnet50` are one model.
    A name of no known kind counts as a folder, whose error lists all kinds.
    """
    prefix, colon, _ = name.partition(":")
    if colon and prefix in ("linear", "python"):
        return ModelName(prefix, name)
    of_timm = _of_timm(name)
    explicit = colon and prefix.lower().replace("_", "-") in ("timm", "hf-hub", "local-dir")
    if explicit and of_timm:
        return of_timm
    path = Path(name).expanduser()
    refuse_unreadable(path)
    if path.is_dir():  # also one that ends in .pt
        return ModelName("folder", name)
    if path.is_file() or name.endswith((*SUFFIXES, ".onnx")):
        return ModelName("onnx" if name.endswith(".onnx") else "checkpoint", name)
    known = of_timm and (name.startswith("timm/") or is_architecture(of_timm.arch))
    return of_timm if of_timm and known else ModelName("folder", name)


def _of_timm(name: str) -> ModelName | None:
    """A name in one of timm's spellings, None if it is none."""
    if name.startswith(("timm:", "timm/")):
        return _of_timm(name[5:])
    source, colon, rest = name.partition(":")
    source = f"{source.lower().replace('_', '-')}:"
    if colon and source == HUB:
        # The weights of timm's own repositories are those that it takes by the plain name.
        own = rest.removeprefix("timm/") if "@" not in rest else rest
        if own != rest and is_architecture(own):
            return _of_timm(own)
        return ModelName("timm", HUB + rest, HUB + rest)
    if colon and source == LOCAL:
        path = Path(rest).expanduser()
        whole = path.resolve()
        return ModelName("timm", f"{LOCAL}{whole.parent.name}/{whole.name}", f"{LOCAL}{path}")
    if colon or "/" in name or os.sep in name:
        return None
    return ModelName("timm", f"timm:{with_usual_tag(name)}", name)


def is_from_registry(arch: str) -> bool:
    """Whether timm has it by name, rather than from the hub or a folder."""
    return not arch.startswith((HUB, LOCAL))


def results_of_timm(name: str) -> Path:
    """The folder of results of a model of timm's, or of the linear one, by its one name."""
    return RESULTS / re.sub(r"[:/@]", "-", name)


def plain_architecture(arch: str) -> str:
    """A timm architecture without what users may put before it."""
    return arch.removeprefix("timm:").removeprefix("timm/")


def folders_of(name: str) -> list[Path]:
    """The generations that a run folder, a generation or a folder of seeds stands for.

    Raises NsbenchError where there is none.
    """
    path = Path(name).expanduser()
    if (path / "model.json").is_file():
        return [path]
    if (seeds := place_in_seeds(path)) and not is_seeds(path):
        return list(folders_at(*seeds).values())
    if not (is_run(path) or is_seeds(path)):
        raise NsbenchError(_unknown(name))
    generations = trained_folders(path)
    if not generations:
        raise NsbenchError(f"{path} has no finished generation: run nsbench train again")
    return generations


def _unknown(name: str) -> str:
    path = Path(name).expanduser()
    if path.is_dir():
        inside = "is no run folder and no generation"
        if (path / "config.json").is_file():
            return f"the folder {name} {inside}: write {LOCAL}{name} for a model in timm's form"
        if is_architecture(name):
            return f"the folder {name} {inside}: write timm:{name} for the model of timm's"
        return f"there is no model {name}: that folder {inside}; {FORMS}"
    return f"there is no model {name}{_nearest(name, path) or f'; {FORMS}'}"


def _nearest(name: str, path: Path) -> str:
    """A clause that offers a run folder, what lies beside where a path leads, or timm's nearest."""
    if (Path("runs") / name).is_dir():
        return f"; did you mean 'runs/{name}'?"
    if path.parent.is_dir():
        beside = sorted(entry.name for entry in path.parent.iterdir() if entry.is_dir())
        if meant := most_alike(path.name, beside):
            return f"; did you mean '{path.parent / meant}'?"
    return nearest_model(name) if "/" not in name else ""


def check_models(names: Sequence[str], options: ModelOptions, *, others: int = 0) -> None:
    """Raise NsbenchError for what can be told to be wrong with models before they are loaded.

    That covers names that lead nowhere, files that are missing, and options that cannot be. others:
    how many more models there are, in memory, which may need their classes named.
    """
    if not all(name.strip() for name in names):
        raise NsbenchError(f"no model was named: {FORMS}")
    known = [understood(name) for name in names]
    _check_options([model.kind for model in known], options, others)
    if options.arch:
        check_architecture(plain_architecture(options.arch))
    for file in (options.weights_file, options.classes):
        if isinstance(file, str | Path) and not Path(file).is_file():
            raise NsbenchError(_no_file(file))
    for model in known:
        _check(model, options)
    # Spelled in two ways perhaps; what else may be one model shows when it is loaded.
    by_name = [model for model in known if model.kind == "timm"]
    for number, model in enumerate(by_name):
        if any(one.name == model.name and _is_one(one, model) for one in by_name[:number]):
            raise NsbenchError(f"the model {model.name} is named twice")


def _is_one(one: ModelName, other: ModelName) -> bool:
    """Whether two models of one name are the same: folders are called by their last two parts."""
    return is_from_registry(one.arch) or one.arch == other.arch


def _check(model: ModelName, options: ModelOptions) -> None:
    if model.kind == "folder":
        folders_of(model.name)
    elif model.kind in ("checkpoint", "onnx"):
        if not Path(model.name).expanduser().is_file():
            raise NsbenchError(_no_file(model.name))
        if model.kind == "checkpoint" and not options.arch:
            # With an architecture any file may be one, as some caches call them by their hash.
            if not model.name.endswith(SUFFIXES):
                raise NsbenchError(f"{model.name} is not the file of a model: {FORMS}")
            raise NsbenchError(
                f"{model.name} needs its architecture: give a name of timm's by --arch or arch="
            )
    elif model.kind == "linear":
        if model.name != LINEAR:
            raise NsbenchError(f"there is no model {model.name}: the only linear one is {LINEAR}")
    elif model.kind == "python":
        if len([part for part in model.name.split(":") if part]) != 3:
            raise NsbenchError(f"the model {model.name} must be python:MODULE:FUNCTION")
        _check_module(model.name.split(":")[1].partition(".")[0])
    else:
        _check_timm(model.arch, weights=options.weights_file is not None)


def _check_module(home: str) -> None:
    """Raise NsbenchError for a module, or the package that it is in, that is nowhere."""
    # Nothing is imported for it: the path is that of the command, with its working directory.
    places = [os.getcwd(), *sys.path]
    known = home in sys.modules or home in sys.builtin_module_names
    if home and not known and PathFinder.find_spec(home, places) is None:
        raise NsbenchError(
            f"there is no Python module {home} here or among the installed packages: run nsbench "
            "in the folder that holds it"
        )


def _no_file(file: str | Path) -> str:
    path = Path(file).expanduser()
    return no_file(path, nearest_path(path, Path.is_file))


def _check_timm(arch: str, *, weights: bool) -> None:
    """Raise NsbenchError for a model that timm cannot give.

    weights: whether they come from a file, so that the architecture alone has to be known.
    """
    if arch.startswith(LOCAL):
        path = Path(arch.removeprefix(LOCAL))
        if not (path / "config.json").is_file():
            near = nearest_path(path, lambda one: (one / "config.json").is_file())
            raise NsbenchError(
                f"{path} holds no model in timm's form, which has a config.json beside its "
                f"weights{near}"
            )
    elif arch.startswith(HUB):
        if arch.removeprefix(HUB).count("/") != 1:
            raise NsbenchError(f"the model {arch} must be {HUB}USER/MODEL")
    elif weights:
        check_architecture(arch)
    else:
        check_pretrained(arch)


def _check_options(kinds: Sequence[str], options: ModelOptions, others: int) -> None:
    """Refuse options that cannot be, concern none of the models, or leave open which one."""
    options.preprocessing(USUAL)  # refuses values that no model could have
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
