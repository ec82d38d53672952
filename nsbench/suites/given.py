"""Suites of images that a program gives, and what else stands for a suite in Python."""

from pathlib import Path
from typing import Any, Literal

from nsbench.data.readers.given import GivenSource
from nsbench.data.spec import SourceSpec
from nsbench.suites.base import SizedSuite, Suite
from nsbench.suites.load import kinds, load_suite, parse_suite, with_reference
from nsbench.util.arguments import checked
from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError
from nsbench.util.text import a_type


@checked
def suite_of(
    kind: str,
    data: Any,
    *,
    name: str | None = None,
    label_space: Literal["names", "indices"] | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    **keys: Any,
) -> Suite:
    """A suite of images in memory or on a disk, for `nsbench.evaluate`.

    kind: `accuracy`, `corruption`, `perturbation` or `attack`. data: a pair of images and labels, a
    map-style torch `Dataset` of such pairs, or a Hugging Face `Dataset`, see `GivenSource`; or what
    a suite file names as its source, such as a folder of class folders or Parquet files. name:
    of the suite, by default its kind. label_space: `indices` takes labels as the model's own class
    numbers, `names` matches classes by the names that the data set has; by default names where both
    have some, and numbers where either has none. image_column, label_column: of a Hugging Face
    `Dataset` or Parquet files. keys: those of a suite file, such as `severities=[1, 3, 5]`,
    `reference="alexnet.json"` or `images_per_class=10`; of images in memory `image_size` is by
    default that of the first.

    Raises NsbenchError for an unknown kind or key, or images that cannot be evaluated, and
    TypeError for what holds no images.
    """
    if kind not in kinds():
        raise NsbenchError(f"there is no kind of suite '{kind}'{nearest(str(kind), kinds())}")
    if "source" in keys:
        raise TypeError("suite_of has no argument source: the images are its data")
    columns = {"image_column": image_column, "label_column": label_column}
    if isinstance(data, str | Path):
        named = {"source": str(data), "label_space": label_space, **columns}
        source: Any = {key: value for key, value in named.items() if value is not None}
    else:
        given = GivenSource(data, image_column, label_column)
        if label_space == "names" and given.classes is None:
            raise NsbenchError(f"{given.name} has no names of classes: leave out label_space")
        if label_space == "indices":
            given.classes = None
        if issubclass(kinds()[kind], SizedSuite) and "image_size" not in keys:
            keys["image_size"] = min(given.image(0).size)
        source = SourceSpec.of(given)
    table = {"kind": kind, "name": name or kind, "source": source, **keys}
    suite = parse_suite(table, "suite_of")
    return with_reference(suite, Path(), "suite_of")


def suites_of(given: Any) -> list[Suite]:
    """One or several suites as `nsbench.evaluate` takes them.

    A name, a path, a Suite, a data set or a tuple of images and labels is one; a list of these is
    several. Raises TypeError for anything else.
    """
    several = isinstance(given, list) or (
        isinstance(given, tuple) and isinstance(next(iter(given), ""), str | Path | Suite)
    )
    suites = [_suite(one) for one in given] if several else [_suite(given)]
    if not suites:
        raise NsbenchError("no suite was named: name a shipped one, a TOML file or a folder")
    # Two data sets of one class are no two definitions of one suite.
    for number, suite in enumerate(suites):
        earlier = [other.name for other in suites[:number]]
        if suite.source.given and suite.name in earlier:
            again = earlier.count(suite.name) + 1
            suites[number] = suite.model_copy(update={"name": f"{suite.name}-{again}"})
    return suites


def _suite(given: Any) -> Suite:
    if isinstance(given, Suite):
        return given
    if isinstance(given, str | Path):
        return load_suite(str(given))
    try:
        return suite_of("accuracy", given, name=_name_of(given))
    except TypeError as error:
        raise TypeError(
            f"suites has {a_type(given)}, but must be names, paths, Suite objects, data "
            f"sets, or tuples of images and labels ({error})"
        ) from error


def _name_of(data: Any) -> str:
    """What the folder of results on a data set is called: by its class, if that is its own."""
    name = type(data).__name__.strip("_").lower()
    return name if name not in ("", "tuple", "list", "dataset") else "images"
