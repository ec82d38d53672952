"""The training log of a generation: a file of JSON lines, and the loggers of the recipe."""

import importlib.util
from pathlib import Path
from typing import Any

from nsbench.recipes.recipe import Recipe
from nsbench.util import distributed
from nsbench.util.errors import NsbenchError
from nsbench.util.files import write_text
from nsbench.util.progress import say
from nsbench.util.sealed import sealed_line, sealed_lines


class TrainingLog:
    """Rows of a generation's training, each written as soon as it is there.

    They go to a file of JSON lines, and to TensorBoard and Weights & Biases if the recipe says so.
    Where several processes train, the main one writes.
    """

    def __init__(self, path: Path, generation: int, recipe: Recipe) -> None:
        self.rows: list[dict[str, Any]] = []
        self._path, self._generation = path, generation
        self._writers = _writers(path.parent, generation, recipe) if distributed.is_main() else []

    def begin(self, step: int) -> None:
        """Keep the rows up to the step from which training continues, and drop later ones."""
        own = {"generation": self._generation}
        rows, damaged = sealed_lines(self._path, own) if self._path.exists() else ([], 0)
        # Later rows are of steps that will be made again. So is a line that a kill cut short, since
        # a checkpoint is written after the rows before it: one such line is nothing to tell.
        kept = [row for row in rows if row["step"] <= step]
        if damaged > 1:
            say(f"{self._path}: {damaged} lines cannot be trusted, and are left out")
        # The number of the generation is for readers of the file; rows in memory are all of one.
        self.rows = [{k: v for k, v in row.items() if k != "generation"} for row in kept]
        if distributed.is_main():
            write_text(self._path, "".join(map(sealed_line, kept)))

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row and write it."""
        self.rows.append(row)
        if not distributed.is_main():
            return
        # Opened for each row, so that a killed run has all that were added.
        with self._path.open("a", encoding="utf-8") as file:
            file.write(sealed_line({"generation": self._generation, **row}))
        for writer in self._writers:
            writer.add(row)

    def close(self) -> None:
        """Flush what other writers have not written yet."""
        for writer in self._writers:
            writer.close()


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        # Optional packages, and slow to import.
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def add(self, row: dict[str, Any]) -> None:
        for name, value in _figures(row):
            self._writer.add_scalar(name, value, row["step"])

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    def __init__(self, folder: Path, generation: int, recipe: Recipe) -> None:
        import wandb  # optional and slow, as above

        self._run = wandb.init(
            project="nsbench",
            group=recipe.name,
            name=f"{recipe.name}, generation {generation}",
            dir=str(folder),
            config=recipe.model_dump(),
            reinit=True,  # one process logs several generations, a run each
        )

    def add(self, row: dict[str, Any]) -> None:
        self._run.log(dict(_figures(row)), step=row["step"])

    def close(self) -> None:
        self._run.finish()


def _figures(row: dict[str, Any]) -> list[tuple[str, float]]:
    # The step is the axis of a plot, and None, a loss without unlabeled images, has no point in it.
    return [(name, value) for name, value in row.items() if name != "step" and value is not None]


def _writers(folder: Path, generation: int, recipe: Recipe) -> list[_TensorBoard | _Wandb]:
    writers: list[_TensorBoard | _Wandb] = []
    if recipe.tensorboard:
        writers.append(_TensorBoard(folder))
    if recipe.wandb:
        writers.append(_Wandb(folder, generation, recipe))
    return writers


def check_writers(recipe: Recipe) -> None:
    """Raise NsbenchError if the recipe asks for a package that is not installed."""
    for key in ("tensorboard", "wandb"):
        if getattr(recipe, key) and importlib.util.find_spec(key) is None:
            raise NsbenchError(
                f"the key '{key}' is true, but the package {key} is not installed: pip install "
                f"{key}, or set {key} = false"
            )
