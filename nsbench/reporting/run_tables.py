"""What was or would be run: trained generations, dry runs and the shipped recipes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nsbench.recipes.files import shipped
from nsbench.recipes.recipe import Recipe, load_recipe
from nsbench.reporting.tables import Table, count_text, duration, size_text
from nsbench.run_folder import architecture, model_name, read_info, trained_folders
from nsbench.util.progress import counted


def training_table(run: Path) -> Table:
    """The generations of a run, of its controls and of its variants; or those of all seeds."""
    folders = trained_folders(run)
    infos = [read_info(folder) for folder in folders]
    columns = ["model", "architecture", "parameters", "steps", "seconds", "validation top-1"]
    rows = [
        [
            model_name(folder),
            architecture(info),
            f"{info['parameters']:,}",
            f"{info['steps']:,}",
            f"{info['seconds']:.0f}",
            ""
            if info["validation_accuracy"] is None
            else f"{100 * info['validation_accuracy']:.1f}",
        ]
        for folder, info in zip(folders, infos, strict=True)
    ]
    return Table(f"{run}", columns, rows, infos, models=True)


def estimate_table(rows: Sequence[dict[str, Any]]) -> Table:
    """What an evaluation would take, a row for each suite and model, and the sum."""
    columns = ["suite", "model", "cells", "images", "forward passes", "time", "disk"]
    cells = [
        [
            row["suite"],
            row["model"],
            f"{row['cells']} of {row['of_cells']}",
            f"{row['images']:,}",
            f"{row['forward_passes']:,}",
            duration(row["seconds"]),
            size_text(row["bytes"]),
        ]
        for row in rows
    ]
    passes, seconds, size = (
        sum(row[key] for row in rows) for key in ("forward_passes", "seconds", "bytes")
    )
    cells.append(["all", "", "", "", f"{passes:,}", duration(seconds), size_text(size)])
    # Images are decoded once for all models, and suites come one after the other.
    decoded = max((row["decoded_bytes"] for row in rows), default=0)
    note = f"Decoded images take about {size_text(decoded)} meanwhile; the time is an estimate."
    return Table("dry run", columns, cells, list(rows), notes=[note])


def recipes_table() -> Table:
    """A row for each shipped recipe."""
    data = [_facts(name) for name in shipped()]
    rows = [[fact["name"], fact["chain"], fact["about"]] for fact in data]
    notes = [
        "nsbench recipes NAME > my.toml copies one to edit; its head says what to expect of it."
    ]
    columns = ["recipe", "generations", "about"]
    return Table("recipes", columns, rows, data, notes, prose=True)


def _facts(name: str) -> dict[str, Any]:
    # The first line of a recipe is the comment that describes it.
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
    columns = ["", "parameters", "GFLOPs", "steps", "images", "memory", "time"]
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
    return Table(title, columns, cells, list(rows), notes)
