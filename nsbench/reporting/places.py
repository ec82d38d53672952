"""Where models lie whose results are read: run folders, generations, folders of results."""

from collections.abc import Sequence
from pathlib import Path

from nsbench.predictions import MANIFEST
from nsbench.run_folder import holds_models, place_in_seeds
from nsbench.util.errors import NsbenchError
from nsbench.util.likeness import most_alike


def model_places(paths: Sequence[Path]) -> list[Path]:
    """The paths, and in place of a folder of several models, such as `results`, those inside.

    Raises NsbenchError for a path that holds no model.
    """
    return [place for path in paths for place in _places(path)]


def _places(path: Path) -> list[Path]:
    if _is_place(path):
        return [path]
    inside = _inside(path)
    if not inside:
        raise NsbenchError(
            f"{path} is neither a run folder nor a folder of results{_nearest(path)}"
        )
    return inside


def _inside(path: Path) -> list[Path]:
    return [one for one in sorted(path.iterdir()) if _is_place(one)] if path.is_dir() else []


def _is_place(path: Path) -> bool:
    if holds_models(path) or place_in_seeds(path):
        return True
    return any(path.glob(f"*/*/{MANIFEST}"))


def _nearest(path: Path) -> str:
    """A clause that offers a model's results, a run of that name, or what lies beside."""
    named = [Path(home) / path for home in ("results", "runs")]
    named += [Path("results") / str(path).replace(":", "-").replace("/", "-")]
    parent = path.parent if path.parent.is_dir() else Path()
    names = sorted(one.name for one in parent.iterdir() if _is_place(one) or _inside(one))
    meant = next((one for one in named if one.is_dir() and _is_place(one)), None)
    if meant is None and (beside := most_alike(path.name, names)):
        meant = parent / beside
    return f"; did you mean '{meant}'?" if meant else ""
