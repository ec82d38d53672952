"""Suites: what to measure, one TOML file each."""

import re
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from nsbench.data.open import SourceSpec
from nsbench.names import (
    CORRUPTIONS,
    EXTRA_CORRUPTIONS,
    EXTRA_PERTURBATIONS,
    PERTURBATIONS,
    SEVERITIES,
    is_noise,
)
from nsbench.util.config import Config, nearest, parse, read_toml
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint

_NOT_PROTOCOL = ("description", "reference", "files", "clean")
_LATER = ("steps", "relative_step", "random_start")
"""Keys that came later: a suite without them keeps the hash, and the results, that it had."""


class BaseSuite(Config):
    """What every suite says; each kind adds `cells`, the smallest parts that are resumed.

    name, description: for people. source: the images. images_per_class: only that many a class,
    chosen by hash of their ids. mask: only the logits of the source's classes count, as on
    ImageNet-A. reference: a file made by `nsbench reference`, beside the suite's, or a shipped one.
    seed: of the random draws.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    source: SourceSpec
    images_per_class: int | None = Field(default=None, ge=1)
    mask: bool = False
    reference: str | None = None
    seed: int = Field(default=0, ge=0)

    def protocol(self) -> str:
        """Hash of all that defines the numbers, but for the model and the images themselves."""
        unused = {key for key in _LATER if getattr(self, key, None) is None}
        return fingerprint(self.model_dump(exclude={*_NOT_PROTOCOL, *unused}))


class AccuracySuite(BaseSuite):
    """Top-1 and top-5 accuracy.

    misclassified: only the images that the model of the reference gets wrong (adversarial
    filtration, as ImageNet-A was made); then the cell `clean` holds all images, for comparison.
    clean: a source whose images of the same classes, by name, are the cell `clean`; if it is a
    `data:NAME` that is not found, that cell is left out.
    """

    kind: Literal["accuracy"]
    misclassified: bool = False
    clean: SourceSpec | None = None

    @model_validator(mode="after")
    def _one_clean(self) -> Self:
        if self.misclassified and self.clean:
            raise ValueError("misclassified = true has all images as clean ones: leave out 'clean'")
        return self

    def cells(self) -> list[str]:
        """`images`, and `clean` where only misclassified images count, or `clean` is named."""
        return ["images", "clean"] if self.misclassified or self.clean else ["images"]


class DetectionSuite(BaseSuite):
    """Telling images of unknown classes by low confidence: AUPR, AUROC and FPR95, as ImageNet-O.

    source: the images of unknown classes, in folders named by the classes that they are taken for.
    clean: a source whose images of these classes, by name, are the known ones. Confidence is the
    largest softmax over these classes only.
    """

    kind: Literal["detection"]
    mask: Literal[True] = True
    clean: SourceSpec

    def cells(self) -> list[str]:
        """`images`, those of unknown classes, and `clean`."""
        return ["images", "clean"]


class SizedSuite(BaseSuite):
    """A suite that changes pixels, and so fixes the crop that it changes.

    image_size: of the centre crop; resize_size: of the short side before it. A model of another
    input size gets the changed crop resized (bicubic, antialiased). files: a folder in the layout
    of the released set, made by `nsbench make` or downloaded, whose pixels are used as they are;
    then nothing is generated. Its path counts from the working directory. A `data:NAME` that is
    not found is generated instead.
    """

    image_size: int = Field(ge=32, le=4096)
    resize_size: int | None = Field(default=None, le=8192)
    files: str | None = None

    @property
    def short_side(self) -> int:
        """Length of the short side before the crop, in pixels."""
        return self.resize_size or self.image_size

    @model_validator(mode="after")
    def _crop_inside(self) -> Self:
        if self.resize_size is not None and self.resize_size < self.image_size:
            raise ValueError("resize_size must be at least image_size")
        return self


class CorruptionSuite(SizedSuite):
    """Errors under corruption: mCE and relative mCE.

    generator: what makes the pixels: `nsbench`, as the original code did and on any device, the
    package `imagecorruptions`, or `none`: only files, whose corruptions may have any name.
    jpeg_quality: every corrupted image goes through JPEG of that quality, as the released
    ImageNet-C did (85); 0 for no JPEG, as CIFAR-10-C. Files are used as they are, but for those
    that `nsbench make` stored losslessly, which still go through JPEG.
    """

    kind: Literal["corruption"]
    corruptions: list[str] = Field(default=list(CORRUPTIONS), min_length=1)
    severities: list[int] = Field(default=list(SEVERITIES), min_length=1)
    generator: Literal["nsbench", "imagecorruptions", "none"] = "nsbench"
    jpeg_quality: int = Field(default=85, ge=0, le=100)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.generator != "none":
            _all_known(self.corruptions, CORRUPTIONS + EXTRA_CORRUPTIONS, "corruption")
            return self
        if not self.files:
            raise ValueError("generator = \"none\" makes no images: name the key 'files'")
        _all_plain(self.corruptions)
        return self

    @field_validator("severities")
    @classmethod
    def _in_range(cls, severities: list[int]) -> list[int]:
        if not set(severities) <= set(SEVERITIES) or len(set(severities)) < len(severities):
            raise ValueError("severities are different whole numbers from 1 to 5")
        return severities

    def cells(self) -> list[str]:
        """`clean`, then `fog/3` and so on."""
        return ["clean", *(f"{name}/{s}" for name in self.corruptions for s in self.severities)]


class PerturbationSuite(SizedSuite):
    """Stability under perturbation sequences: mFR and mT5D.

    image_size: 224, 64 or 32 px. resize_size: sequences that move the image see what lies between
    the resized image's edge and the crop. difficulty: 1 to 3, of the noises.
    """

    kind: Literal["perturbation"]
    image_size: Literal[224, 64, 32]
    difficulty: int = Field(default=1, ge=1, le=3)
    perturbations: list[str] = Field(default=list(PERTURBATIONS), min_length=1)

    @field_validator("perturbations")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        return _all_known(names, PERTURBATIONS + EXTRA_PERTURBATIONS, "perturbation")

    def cells(self) -> list[str]:
        """The perturbations' names."""
        return list(self.perturbations)

    def difficulty_of(self, name: str) -> int:
        """A sequence's difficulty: only noises have more than one."""
        return self.difficulty if is_noise(name) else 1


class AttackSuite(BaseSuite):
    """Accuracy under attack, at the model's own input size.

    attack: `fgsm`, the fast gradient sign method, or `pgd`, projected gradient descent in the
    largest change of a pixel. epsilons: in units of 1/255, applied before normalisation. headline:
    the one in summaries. Of PGD only: steps; relative_step: their size as a share of epsilon;
    random_start: always false, so that an attacked image depends on nothing but image and model.
    """

    kind: Literal["attack"]
    attack: Literal["fgsm", "pgd"] = "fgsm"
    epsilons: list[float] = Field(min_length=1)
    headline: float
    steps: int | None = Field(default=None, ge=1)
    relative_step: float | None = Field(default=None, gt=0)
    random_start: Literal[False] | None = None

    @field_validator("epsilons")
    @classmethod
    def _positive(cls, epsilons: list[float]) -> list[float]:
        if min(epsilons) < 0 or sorted(set(epsilons)) != epsilons:
            raise ValueError("epsilons are different, rise, and are not negative")
        return epsilons

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.headline not in self.epsilons:
            raise ValueError(f"headline is {self.headline:g}, which is not among the epsilons")
        given = [key for key in _LATER if getattr(self, key) is not None]
        if self.attack == "pgd" and len(given) < len(_LATER):
            raise ValueError(f'attack = "pgd" needs the keys {", ".join(_LATER)}')
        if self.attack == "fgsm" and given:
            raise ValueError(f"the key '{given[0]}' is of PGD: leave it out")
        return self

    def cells(self) -> list[str]:
        """`eps=8` and so on."""
        return [epsilon_cell(epsilon) for epsilon in self.epsilons]


Suite = AccuracySuite | DetectionSuite | CorruptionSuite | PerturbationSuite | AttackSuite
KINDS: dict[str, type[Suite]] = {
    "accuracy": AccuracySuite,
    "detection": DetectionSuite,
    "corruption": CorruptionSuite,
    "perturbation": PerturbationSuite,
    "attack": AttackSuite,
}


def epsilon_cell(epsilon: float) -> str:
    """The cell of an attack strength in units of 1/255."""
    return f"eps={epsilon:g}"


def _all_known(names: list[str], valid: tuple[str, ...], what: str) -> list[str]:
    for name in names:
        if name not in valid:
            raise ValueError(f"there is no {what} '{name}'{nearest(name, valid)}")
    if len(set(names)) < len(names):
        raise ValueError(f"a {what} is named twice")
    return names


def _all_plain(names: list[str]) -> None:
    """Refuse names that are no plain names of folders."""
    wrong = [name for name in names if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name)]
    if wrong or len(set(names)) < len(names):
        raise ValueError(f"corruptions are different names of folders, unlike '{wrong or names}'")


def folder() -> Path:
    """Where the shipped suites and references lie: `nsbench.suites.shipped`, or the checkout's."""
    if find_spec("nsbench.suites.shipped"):
        return Path(str(resources.files("nsbench.suites.shipped")))
    # a bare checkout on sys.path has them at its top, where pyproject.toml takes them from
    return Path(__file__).parents[2] / "suites"


def shipped() -> dict[str, Path]:
    """The shipped suites by name."""
    return {file.stem: file for file in sorted(folder().glob("*.toml"))}


def load_suite(name: str) -> Suite:
    """A suite from a TOML file, or by the name of a shipped one.

    A reference named in it is sought beside the file, then among the shipped ones. Raises
    NsbenchError naming the file and the first key that is unknown or wrong.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if name not in shipped():
            hint = "; models are named before --suite" if path.exists() else ""
            raise NsbenchError(f"there is no suite {name}{nearest(name, shipped())}{hint}")
        path = shipped()[name]
    table = {"name": path.stem, **read_toml(path)}
    suite = parse_suite(table, str(path))
    if suite.reference:
        beside = path.parent / suite.reference
        reference = beside if beside.exists() else folder() / suite.reference
        reference = reference if reference.exists() else beside
        suite = suite.model_copy(update={"reference": str(reference)})
    if isinstance(suite, AccuracySuite) and suite.misclassified and not suite.reference:
        raise NsbenchError(f"{path}: misclassified = true needs the key 'reference'")
    return suite


def parse_suite(table: dict[str, Any], where: str) -> Suite:
    """Validate a suite's table; `where` names its file in errors. Raises NsbenchError."""
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        near = nearest(str(kind), KINDS)
        raise NsbenchError(f"{where}: the key 'kind' is {kind!r}, which is no kind of suite{near}")
    return parse(KINDS[kind], table, where)
