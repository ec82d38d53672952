"""The names that timm knows, without its import, which takes seconds: kept for each version."""

import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from nsbench.data.cache import cache_folder
from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError
from nsbench.util.likeness import most_alike
from nsbench.util.progress import say
from nsbench.util.sealed import flaw, read_record, write_record

USUAL = (
    "resnet50", "vit_base_patch16_224", "resnet18", "convnext_base", "efficientnet_b0",
    "swin_tiny_patch4_window7_224", "deit_base_patch16_224", "mobilenetv3_large_100",
    "tf_efficientnetv2_s", "convnextv2_base", "densenet121", "regnety_032", "vgg16",
    "resnext50_32x4d", "wide_resnet50_2", "inception_v3", "mixer_b16_224", "beit_base_patch16_224",
    "eva02_base_patch14_448", "maxvit_tiny_tf_224", "mobilenetv2_100", "resnetv2_50",
)  # fmt: skip
"""What most people mean who misspell a name or give its beginning, the most usual first."""


class TimmIndex(NamedTuple):
    """What timm knows: architectures, NAME.TAG of each with weights, and of each its usual tag.

    former: earlier names that timm still takes, and what they are called now. optimizers: names for
    recipes.
    """

    architectures: tuple[str, ...]
    pretrained: tuple[str, ...]
    usual_tags: dict[str, str]
    former: dict[str, str]
    optimizers: tuple[str, ...]


@cache
def timm_index() -> TimmIndex:
    """The names of the installed timm.

    From a file in the cache, which the first call makes: that takes the seconds of timm's import.
    """
    path = _file()
    if path and flaw(path) is None:
        # A copy of another one, or of a version with other fields, is made anew.
        with suppress(NsbenchError, TypeError):
            return TimmIndex(**read_record(path, "remove it"))
    if "timm" not in sys.modules:
        say("timm's names are read once, which takes some seconds")
    index = _of_timm()
    if path:
        try:
            write_record(path, index._asdict())
        except (NsbenchError, OSError) as error:
            say(f"timm's names cannot be kept, so that they are read each time ({error})")
    return index


def kept_index() -> TimmIndex | None:
    """The index if it was made before: for what must not wait, as the completion of a shell."""
    path = _file()
    return timm_index() if path and flaw(path) is None else None


def _file() -> Path | None:
    folder = cache_folder("timm")
    try:
        return folder / f"{version('timm')}.json" if folder else None
    except PackageNotFoundError:  # on the path, but not installed
        return None


def _of_timm() -> TimmIndex:
    import timm
    from timm.models import get_deprecated_models, get_pretrained_cfg
    from timm.optim import list_optimizers

    pretrained = timm.list_models(pretrained=True)
    usual = {}
    for arch in dict.fromkeys(name.partition(".")[0] for name in pretrained):
        config: Any = get_pretrained_cfg(arch)
        usual[arch] = config.tag if config else ""
    return TimmIndex(
        tuple(timm.list_models()),
        tuple(pretrained),
        usual,
        dict(get_deprecated_models()),
        tuple(list_optimizers()),
    )


def is_architecture(name: str) -> bool:
    """Whether timm has an architecture, whatever tag follows it."""
    arch = name.partition(".")[0]
    if arch in timm_index().architectures or arch in timm_index().former:
        return True
    # A program may have registered its own.
    timm: Any = sys.modules.get("timm")
    return bool(timm and arch and timm.is_model(arch))


def check_architecture(arch: str) -> None:
    """Raise NsbenchError for an architecture that timm does not have, with the nearest name."""
    if not is_architecture(arch):
        raise NsbenchError(f"timm has no architecture '{arch}'{nearest_model(arch)}")


def check_pretrained(name: str) -> None:
    """Raise NsbenchError for a model that timm has no weights of, with the nearest name."""
    if not is_architecture(name):
        raise NsbenchError(f"timm has no model '{name}'{nearest_model(name)}")
    arch, _, tag = name.partition(".")
    if arch not in timm_index().architectures or with_usual_tag(name) in timm_index().pretrained:
        return
    tags = [one for one in timm_index().pretrained if one.partition(".")[0] == arch]
    if tags:
        raise NsbenchError(f"timm has no weights '{tag}' of {arch}{nearest(name, tags)}")
    raise NsbenchError(
        f"timm has no pretrained weights of {arch}: name a file with them by --weights, or "
        "another model"
    )


def check_optimizer(name: str) -> None:
    """Raise NsbenchError for an optimizer that timm does not have, with the nearest name."""
    # timm takes `lookahead_` before any name, but does not list such pairs.
    if name.removeprefix("lookahead_") not in timm_index().optimizers:
        raise NsbenchError(f"timm has no optimizer '{name}'{nearest(name, _optimizers())}")


def _optimizers() -> list[str]:
    usual = ("sgd", "adamw", "adam", "rmsproptf", "lamb", "lion")
    return list(dict.fromkeys([*usual, *timm_index().optimizers]))


def with_usual_tag(name: str) -> str:
    """`resnet50` as `resnet50.a1_in1k`: the weights that timm takes where none are named."""
    name = timm_index().former.get(name, name)
    tag = timm_index().usual_tags.get(name)
    return f"{name}.{tag}" if tag else name


def nearest_model(name: str) -> str:
    """A clause that offers the model that was probably meant; empty where none is near."""
    meant = most_alike(name, _usual_first([*timm_index().architectures, *timm_index().pretrained]))
    return f"; did you mean '{meant}'?" if meant else ""


def _usual_first(names: Iterable[str]) -> list[str]:
    # A short name is more usual than a long one, and of equals the first goes.
    rank = {name: number for number, name in enumerate(USUAL)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), len(name), name))
