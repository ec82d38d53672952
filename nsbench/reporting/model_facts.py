"""What a model is by its record: its weights, and how many images it was trained on."""

from collections.abc import Mapping
from typing import Any

from nsbench.recipes.generation import Generation


def images_seen(info: Mapping[str, Any]) -> int | None:
    """How many images a generation was trained on, each as often as it came; None if not known."""
    identity, steps = info.get("identity"), info.get("steps")
    if not identity or not steps:
        return None
    own = Generation.model_validate(identity["generation"])
    # The first generation has a ratio too, but no images to use it on.
    unlabeled = own.unlabeled_batch if identity["pseudo_labels"] else 0
    return int(steps) * (own.batch_size + unlabeled)


def unequal(info: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    """What makes two models no equals: their weights, or the images that they were trained on.

    `1,650,234 weights against 414,306`; empty where they are equal, or nothing is known.
    """
    figures = {
        "weights": (info.get("parameters"), base.get("parameters")),
        "images seen": (images_seen(info), images_seen(base)),
    }
    return ", ".join(
        f"{one:,} {what} against {other:,}"
        for what, (one, other) in figures.items()
        if one and other and one != other
    )
