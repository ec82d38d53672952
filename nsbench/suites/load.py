"""From the name of a suite, or a TOML file, to the suite."""

import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module, resources
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, get_args

from nsbench import suites
from nsbench.run_folder import holds_models
from nsbench.suites.base import Suite
from nsbench.util.arguments import checked
from nsbench.util.config import nearest, parse, read_toml
from nsbench.util.errors import NsbenchError

_added: dict[str, type[Suite]] = {}


def kinds() -> dict[str, type[Suite]]:
    """Every kind of suite by name, in the order of reports: this package's and `add_kind`'s."""
    known = {**_own_kinds(), **_added}
    return dict(sorted(known.items(), key=lambda item: item[1].ORDER))


def add_kind(kind: str, suite_class: type[Suite]) -> None:
    """Read suites of a kind as this class. Raises ValueError if another class has the kind."""
    # The same class again is fine, as `nsbench.evaluation` registers this package's own kinds.
    if kinds().get(kind, suite_class) is not suite_class:
        raise ValueError(f"the kind '{kind}' is {kinds()[kind].__name__} already")
    _added[kind] = suite_class


@cache
def _own_kinds() -> dict[str, type[Suite]]:
    # Found by looking, so that a new file is all that a new kind needs here.
    modules = [import_module(f"{suites.__name__}.{m.name}") for m in iter_modules(suites.__path__)]
    # Base classes drop out below: their `kind` is a plain str, which has no arguments.
    classes = [value for module in modules for value in vars(module).values()]
    return {
        kind: value
        for value in classes
        if isinstance(value, type) and issubclass(value, Suite)
        for kind in get_args(value.model_fields["kind"].annotation)
    }


def folder() -> Path:
    """The folder of the shipped suites and references: the package's, or the checkout's."""
    if find_spec(f"{suites.__name__}.shipped"):
        return Path(str(resources.files(f"{suites.__name__}.shipped")))
    # A bare checkout on sys.path has them at its top, from where pyproject.toml installs them.
    return Path(__file__).parents[2] / "suites"


def shipped() -> dict[str, Path]:
    """The shipped suites by name."""
    return {file.stem: file for file in sorted(folder().glob("*.toml"), key=lambda file: file.stem)}


@checked
def load_suite(name: str | Path) -> Suite:
    """A suite from a TOML file, or by the name of a shipped one; or of the images in a folder.

    A folder of class folders is an accuracy suite of its name; `NAME/` is a folder where a shipped
    suite has the name too. A reference named in a file is looked up beside it, then among the
    shipped ones. Raises NsbenchError naming the file and the first key that is unknown or wrong.
    """
    name, path = str(name), Path(name).expanduser()
    if name not in shipped() and path.is_dir():
        return _of_folder(path)
    if path.suffix != ".toml":
        if name not in shipped():
            hint = "; models are named before --suite" if path.exists() else _beside(path)
            raise NsbenchError(f"there is no suite {name}{hint or nearest(name, shipped())}")
        path = shipped()[name]
    # The file's name, unless the file says otherwise.
    suite = parse_suite({"name": path.stem, **read_toml(path)}, str(path))
    return with_reference(suite, path.parent, str(path))


def _of_folder(path: Path) -> Suite:
    """The accuracy on the images in a folder, by the names of the folders in it."""
    if holds_models(path):
        raise NsbenchError(f"{path} is a model and no suite: models are named before --suite")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.resolve().name).strip("-._") or "images"
    # With its dot, so that a folder `digits` is not the source of that name.
    source = str(path) if path.is_absolute() else os.path.join(".", path)
    return parse_suite({"kind": "accuracy", "name": name, "source": source}, str(path))


def _beside(path: Path) -> str:
    """A clause that offers the TOML file of that name."""
    file = path.with_name(f"{path.name}.toml")
    return f"; did you mean '{file}'?" if file.is_file() else ""


def with_reference(suite: Suite, beside: Path, where: str) -> Suite:
    """The suite with the path of its reference, which lies in a folder or is a shipped one.

    where: of what defines the suite, for errors. Raises NsbenchError if it needs one and names
    none.
    """
    if suite.reference:
        candidates = [beside / suite.reference, folder() / suite.reference]
        # The first candidate where neither exists: the error then names the file beside the suite.
        reference = next(filter(Path.exists, candidates), candidates[0])
        return suite.model_copy(update={"reference": str(reference)})
    if suite.reference_needed_by:
        raise NsbenchError(f"{where}: {suite.reference_needed_by} needs the key 'reference'")
    return suite


def take_reference(suites: Sequence[Suite]) -> None:
    """Raise NsbenchError for a suite that `nsbench reference` makes nothing for."""
    for suite in suites:
        if not suite.takes_reference:
            raise NsbenchError(f"the suite {suite.name} takes no reference: its metrics need none")


def parse_suite(table: Mapping[str, Any], where: str) -> Suite:
    """Validate a suite's table; `where` names its file in errors. Raises NsbenchError."""
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in kinds():
        near = nearest(str(kind), kinds())
        raise NsbenchError(
            f"{where}: the key 'kind' is {kind!r}, which is not a kind of suite{near}"
        )
    return parse(kinds()[kind], table, where)
