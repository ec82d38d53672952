"""What lies where in a run folder."""

import re
from pathlib import Path

from nsbench.util.files import read_json


def generation_folders(run: Path) -> list[Path]:
    """The finished generations of a run folder, in order, each before its fine-tuned form."""
    folders = [path.parent for path in run.glob("generation-*/model.json")]
    numbered = [(re.fullmatch(r"generation-(\d+)(-fine-tuned)?", f.name), f) for f in folders]
    return [
        folder
        for _, folder in sorted(
            ((int(match[1]), match[2] or ""), folder) for match, folder in numbered if match
        )
    ]


VARIANT = "variant.json"
"""Of a variant's run folder: its name and number, what it changes, and where its teacher lies."""


def variant_folders(run: Path) -> list[Path]:
    """The run folders of a run's variants, in the order of the recipe."""
    folders = [path.parent for path in run.glob(f"variants/*/{VARIANT}") if is_run(path.parent)]
    return sorted(folders, key=lambda folder: (read_json(folder / VARIANT)["number"], folder.name))


def run_name(run: Path) -> str:
    """The name of a run folder; of a variant's, the name of its run before its own."""
    whole = run.resolve()
    return f"{whole.parents[1].name}/{whole.name}" if (run / VARIANT).is_file() else whole.name


def is_run(path: Path) -> bool:
    """Whether a folder was made by `nsbench train`."""
    return (path / "recipe.toml").is_file()
