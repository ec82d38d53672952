"""What a shell offers after the Tab key: names of suites, recipes, data sets, models, and paths."""

from collections.abc import Iterable
from glob import escape
from pathlib import Path

LEAST = 2
"""Letters of a name of timm's before its models are offered: of fewer there are hundreds."""


def complete_suite(incomplete: str) -> list[str]:
    """Shipped suites, TOML files and folders."""
    from nsbench.suites.load import shipped

    return _beginning(shipped(), incomplete) + _paths(incomplete, (".toml",))


def complete_recipe(incomplete: str) -> list[str]:
    """Shipped recipes, and TOML files."""
    from nsbench.recipes.files import shipped

    return _beginning(shipped(), incomplete) + _paths(incomplete, (".toml",))


def complete_data_set(incomplete: str) -> list[str]:
    """The data sets that nsbench knows."""
    from nsbench.data.catalog import data_sets

    return _beginning(data_sets(), incomplete)


def complete_published(incomplete: str) -> list[str]:
    """The models of which there are published results."""
    from nsbench.published.rows import models

    return _beginning(models(), incomplete)


def complete_published_suite(incomplete: str) -> list[str]:
    """The suites on which there are published results."""
    from nsbench.published.rows import rows, suites_of

    return _beginning(suites_of(rows()), incomplete)


def complete_report(incomplete: str) -> list[str]:
    """The reports that are kept in the usual place."""
    found = sorted(path.parent.name for path in Path("reports").glob("*/about.json"))
    return _beginning(found, incomplete)


def complete_model(incomplete: str) -> list[str]:
    """Folders, files of models, and timm's models, once their names are kept."""
    from nsbench.models.names import SUFFIXES

    prefix = "timm:" if incomplete.startswith("timm:") else ""
    begun = incomplete.removeprefix(prefix)
    names = [prefix + name for name in _of_timm(begun)]
    return names + _paths(incomplete, (*SUFFIXES, ".onnx"))


def complete_arch(incomplete: str) -> list[str]:
    """Timm's architectures."""
    from nsbench.models.timm_index import kept_index

    index = kept_index()
    return _beginning(index.architectures, incomplete) if index else []


def _of_timm(begun: str) -> list[str]:
    from nsbench.models.timm_index import kept_index

    index = kept_index() if len(begun) >= LEAST else None
    return _beginning([*index.architectures, *index.pretrained], begun) if index else []


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _paths(incomplete: str, endings: tuple[str, ...]) -> list[str]:
    """Folders, with their slash, and files of some endings."""
    home, _, begun = incomplete.rpartition("/")
    inside = Path(f"{home}/" if home or incomplete.startswith("/") else ".")
    found = sorted(inside.glob(f"{escape(begun)}*")) if inside.is_dir() else []
    # Hidden ones only where the dot is typed.
    shown = [path for path in found if begun.startswith(".") or not path.name.startswith(".")]
    before = incomplete.removesuffix(begun) if begun else incomplete
    return [
        f"{before}{path.name}{'/' if path.is_dir() else ''}"
        for path in shown
        if path.is_dir() or path.name.endswith(endings)
    ]
