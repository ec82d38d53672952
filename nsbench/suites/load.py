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
from nsbench.util.config import nearest, parse, read_named
from nsbench.util.errors import NsbenchError
from nsbench.util.files import is_there, no_file, refuse_unreadable
from nsbench.util.likeness import most_alike
from nsbench.util.nearby import beside
from nsbench.util.text import LONG, shortened

DATA = (".parquet", ".tar", ".tgz", ".npy", ".mat")
"""Endings of files that hold images and labels."""

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

    A folder of class folders, or a file of data such as `x.parquet`, is an accuracy suite of its
    name, and `PATH:SPLIT` is one of a split of it; `NAME/` is a folder where a shipped suite has
    the name too. A reference named in a file is looked up beside it, then among the
    shipped ones. Raises NsbenchError naming the file and the first key that is unknown or wrong.
    """
    if not str(name).strip():
        raise NsbenchError("no suite was named: name a shipped one, a TOML file or a folder")
    name, path = str(name), Path(name).expanduser()
    if name not in shipped():
        whole, _, split = name.rpartition(":")
        if is_images(path):
            return _of_images(path)
        # What is there goes first: the name of a folder may hold a colon.
        if whole and split and not is_there(path) and is_images(Path(whole).expanduser()):
            return _of_images(Path(whole).expanduser(), split)
    refuse_unreadable(path)
    if path.suffix != ".toml" or not is_there(path):
        if name not in shipped():
            if path.suffix == ".toml":
                raise NsbenchError(no_file(path, _meant(name)))
            raise NsbenchError(f"there is no suite {shortened(name)}{_meant(name)}")
        path = shipped()[name]
    suite = parse_suite(read_named(path), str(path))
    return with_reference(suite, path.parent, str(path))


def is_images(path: Path) -> bool:
    """Whether a path is a folder, or a file that a source can be of."""
    return is_there(path) and (path.is_dir() or path.suffix in DATA)


def _of_images(path: Path, split: str | None = None) -> Suite:
    """The accuracy on the images in a folder or a file of data."""
    if holds_models(path):
        raise NsbenchError(f"{path} is a model and no suite: models are named before --suite")
    whole = path.resolve()
    name = whole.name if whole.is_dir() else whole.name.split(".")[0]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{name}-{split or ''}").strip("-._") or "images"
    # With its dot, so that a folder `digits` is not the source of that name.
    source: dict[str, str] = {"source": str(path if path.is_absolute() else f".{os.sep}{path}")}
    source |= {"split": split} if split else {}
    return parse_suite({"kind": "accuracy", "name": name, "source": source}, str(path))


def _meant(name: str) -> str:
    """A clause that says what a name is, or offers what was meant: a shipped suite, a path."""
    path = Path(name).expanduser()
    if is_there(path):
        return ", which is a file: name a TOML file or a folder, and models before --suite"
    here = beside(Path(name), lambda one: one.suffix == ".toml" or is_images(one))
    own = {Path(one).name: one for one in here}
    # The TOML file of that name is what was meant, whatever else is alike.
    if meant := own.get(f"{Path(name).name}.toml"):
        return f"; did you mean '{meant}'?"
    # A name with a slash is a path, and never a shipped suite.
    known = {**own, **({} if os.sep in name else dict.fromkeys(shipped(), ""))}
    meant = most_alike(Path(name).name, known)
    if meant:
        return f"; did you mean '{known[meant] or meant}'?"
    return "" if os.sep in name or len(name) > LONG else nearest(name, shipped())


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
