"""What lies where in a run folder."""

import re
from pathlib import Path
from typing import Any

from nsbench.util.errors import NsbenchError
from nsbench.util.files import read_plain
from nsbench.util.sealed import is_sealed_text, read_record

RESULTS = Path("results")
"""Where predictions of models go that have no folder of their own, below the working directory."""

FINE_TUNED = "-fine-tuned"
"""The ending of the folder of a generation's fine-tuned form."""

_NAME = re.compile(rf"generation-(\d+)({FINE_TUNED})?")


def generation_folders(run: Path) -> list[Path]:
    """The finished generations of a run folder, in order, each before its fine-tuned form."""
    folders = [path.parent for path in run.glob("generation-*/model.json")]
    numbered = [(_NAME.fullmatch(f.name), f) for f in folders]
    return [
        folder
        for _, folder in sorted(
            ((int(match[1]), match[2] or ""), folder) for match, folder in numbered if match
        )
    ]


def read_info(generation: Path) -> dict[str, Any]:
    """The model.json of a generation.

    Raises NsbenchError if it is missing, was changed, or is another generation's.
    """
    path, way_out = (
        generation / "model.json",
        "restore it, or move the folder away to train it again",
    )
    info = read_record(path, way_out)
    named = _NAME.fullmatch(generation.resolve().name)
    own = f"generation-{info.get('generation')}{FINE_TUNED if info.get('fine_tuned') else ''}"
    # A folder of another name may hold any generation: somebody has copied it there.
    if named and named[0] != own:
        raise NsbenchError(f"{path} is that of {own}: {way_out}")
    return info


HOMES = ("controls", "variants")
"""Folders of a run folder that hold the runs beside it."""

VARIANT = "variant.json"
"""Of the run folder of a variant or a control: its name and number, what it is, and where its
teacher lies."""


def variant_folders(run: Path) -> list[Path]:
    """The run folders of a run's variants, in the order of the recipe."""
    return _beside(run, "variants")


def control_folders(run: Path) -> list[Path]:
    """The run folders of a run's controls, in the order of the recipe."""
    return _beside(run, "controls")


def _beside(run: Path, kind: str) -> list[Path]:
    folders = [path.parent for path in run.glob(f"{kind}/*/{VARIANT}") if is_run(path.parent)]
    return sorted(folders, key=lambda folder: (read_variant(folder)["number"], folder.name))


def read_variant(folder: Path) -> dict[str, Any]:
    """The variant.json of a variant or a control.

    Raises NsbenchError if it is missing or was changed.
    """
    return read_record(folder / VARIANT, "repeat the nsbench train that made it")


def run_name(run: Path) -> str:
    """The name of a run folder: `quickstart`, `quickstart/labeled-only`, `many/seed-1`.

    That of what it lies in comes first: of the run of a control or variant, of all seeds of one.
    """
    whole = run.resolve()
    if (whole / VARIANT).is_file():
        return f"{run_name(whole.parents[1])}/{whole.name}"
    return f"{whole.parent.name}/{whole.name}" if is_seeds(whole.parent) else whole.name


def model_name(generation: Path) -> str:
    """What a generation is called everywhere: `quickstart/generation-2`."""
    whole = generation.resolve()
    return f"{run_name(whole.parent)}/{whole.name}"


def architecture(info: dict[str, Any]) -> str:
    """The architecture of a model by its info, and how many there are of it in an ensemble."""
    name = f"{info.get('arch', 'unknown')}"
    return f"{info['members']} × {name}" if info.get("members") else name


def name_over_seeds(home: Path, generation: Path) -> str:
    """What a generation of every seed is called: `many/generation-2`, `many/oracle/generation-1`.

    generation: its place in the run folder of each seed.
    """
    return "/".join([home.resolve().name, *(p for p in generation.parts if p not in HOMES)])


def recipe_text(run: Path) -> str:
    """The recipe of a run folder, as TOML. Raises NsbenchError if it was changed."""
    path = run / "recipe.toml"
    again = "repeat the nsbench train that made it, with the recipe and settings of then"
    try:
        text = read_plain(path).decode()
    except (OSError, ValueError) as error:
        raise NsbenchError(f"cannot read {path} ({error}): {again}") from error
    if not is_sealed_text(text):
        raise NsbenchError(f"{path} is not as nsbench wrote it: {again}")
    return text


def is_run(path: Path) -> bool:
    """Whether a folder was made by `nsbench train`."""
    return (path / "recipe.toml").is_file()


SEEDS = "seeds.json"
"""Of a folder with the runs of several seeds: their recipe but for its seed, and the seeds."""

SEED_FOLDER = re.compile(r"seed-(0|[1-9]\d*)")
"""The names of the run folders in it."""

DIVERGED = "diverged.json"
"""Of the run folder of a seed, or of a control or variant in it, whose training diverged."""


def is_seeds(path: Path) -> bool:
    """Whether a folder was made by `nsbench train --seeds`."""
    return (path / SEEDS).is_file()


def seed_folder(home: Path, seed: int) -> Path:
    """The run folder of a seed."""
    return home / f"seed-{seed}"


def read_seeds(home: Path) -> dict[str, Any]:
    """The seeds.json of a folder of seeds: `name`, `recipe`, and `seeds`, ascending.

    Raises NsbenchError if it is missing or was changed.
    """
    return read_record(home / SEEDS, "repeat the nsbench train --seeds that made it")


def seed_runs(home: Path) -> list[Path]:
    """The run folders of all seeds, those of them that are there."""
    folders = [seed_folder(home, seed) for seed in read_seeds(home)["seeds"]]
    return [folder for folder in folders if is_run(folder)]


def place_in_seeds(path: Path) -> tuple[Path, Path] | None:
    """The folder of seeds that a path stands in, and its place in the run of each seed.

    None for a path outside of such folders, or in the run of one seed.
    """
    for home in (path, *path.parents):
        if is_seeds(home):
            place = path.relative_to(home)
            one_seed = place.parts and SEED_FOLDER.fullmatch(place.parts[0])
            return None if one_seed else (home, place)
    return None


def holds_models(path: Path) -> bool:
    """Whether a folder is a run, one of several seeds' runs, or a generation."""
    return is_run(path) or is_seeds(path) or (path / "model.json").is_file()


def folders_at(home: Path, place: Path) -> dict[int, Path]:
    """The generation that stands at a place in the run of each seed, by seed.

    place: of a generation, or of a run or control with a single one. Raises NsbenchError if there
    are several, or none in any seed.
    """
    found = {}
    for run in seed_runs(home):
        folder = run / place
        inside = generation_folders(folder) if is_run(folder) else [folder]
        if len(inside) > 1:
            first = home / inside[-1].relative_to(run)
            raise NsbenchError(
                f"{home / place} holds {len(inside)} generations of each seed: name one, such as "
                f"{first}"
            )
        if inside and (inside[0] / "model.json").is_file():
            found[int(run.name.removeprefix("seed-"))] = inside[0]
    if not found:
        raise NsbenchError(f"no seed of {home} has a finished {place}: name a generation of theirs")
    return found


def divergence(run: Path) -> str | None:
    """How the training of a run diverged, as a sentence without its end; None if it did not.

    Raises NsbenchError if the record was changed.
    """
    path = run / DIVERGED
    if not path.is_file():
        return None
    sentence: str = read_record(path, "move the folder away to train it again")["sentence"]
    return sentence


def trained_folders(path: Path) -> list[Path]:
    """All finished generations of a run, its controls and its variants; of seeds, those of each."""
    runs = seed_runs(path) if is_seeds(path) else [path]
    every = [one for run in runs for one in (run, *control_folders(run), *variant_folders(run))]
    return [folder for run in every for folder in generation_folders(run)]
