"""The recipes inside the package, by name."""

from importlib import resources
from pathlib import Path

from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError
from nsbench.util.files import refuse_unreadable


def shipped() -> dict[str, Path]:
    """The recipes inside the package, by name."""
    folder = Path(str(resources.files("nsbench.recipes")))
    return {file.stem: file for file in sorted(folder.glob("*.toml"), key=lambda file: file.stem)}


def recipe_file(name: str) -> Path:
    """The file of a shipped recipe. Raises NsbenchError for an unknown one, with the nearest."""
    if name not in shipped():
        refuse_unreadable(Path(name))
        raise NsbenchError(f"there is no recipe {name}{nearest(name, shipped())}")
    return shipped()[name]
