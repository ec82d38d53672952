"""The shipped recipes, and what training one would take, as tables."""

from collections.abc import Sequence
from typing import Any

from nsbench.recipes.recipe import Recipe, load_recipe, shipped
from nsbench.reporting.tables import Table, count_text, duration, size_text
from nsbench.util.progress import counted


def recipes_table() -> Table:
    """A row for each shipped recipe."""
    data = [_facts(name) for name in shipped()]
    rows = [[fact["name"], fact["chain"], fact["about"]] for fact in data]
    notes = [
        "nsbench recipes NAME > my.toml copies one to edit; its head says what to expect of it."
    ]
    columns = ["recipe", "generations", "about"]
    return Table("recipes", columns, rows, data, notes, prose=True, names=True)


def _facts(name: str) -> dict[str, Any]:
    first = shipped()[name].read_text(encoding="utf-8").splitlines()[0]
    return {
        "name": name,
        "about": first.removeprefix("#").strip(),
        "chain": _chain(load_recipe(name)),
    }


def _chain(recipe: Recipe) -> str:
    return " → ".join(f"{g.arch} ({g.image_size} px)" for g in recipe.generations)


def training_estimate_table(rows: Sequence[dict[str, Any]], devices: int) -> Table:
    """What training would take, a row for each generation, and the sum."""
    columns = ["", "weights", "GFLOPs", "steps", "images", "memory", "time"]
    cells = [
        [
            f"{row['generation']}: {row['arch']} {row['image_size']} px",
            count_text(row["parameters"]),
            f"{row['gflops']:,.3g}",
            f"{row['steps']:,}",
            count_text(row["images"]),
            size_text(row["memory_bytes"]),
            duration(row["seconds"]),
        ]
        for row in rows
    ]
    images, labels, models, seconds = (
        sum(row[key] for row in rows) for key in ("images", "label_bytes", "model_bytes", "seconds")
    )
    cells.append(["all", "", "", "", count_text(images), "", duration(seconds)])
    notes = [
        "GFLOPs: of an image's forward pass, a multiply-add counting as two. images: that steps "
        "see and teachers label. memory: of one device in a step, without the images.",
        "time: of forward and backward passes as measured here, divided by the devices; reading "
        "images comes on top where it is slower. On disk, labels take "
        f"{size_text(labels)} and models {size_text(models)}.",
    ]
    title = f"dry run for {counted(devices, 'device')}"
    return Table(title, columns, cells, list(rows), notes, names=True)
