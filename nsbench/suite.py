"""Suites: what to measure, one TOML file each."""

from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from nsbench.config import Config, nearest, parse, read_toml
from nsbench.data.sources import SourceSpec
from nsbench.errors import NsbenchError
from nsbench.names import (
    CORRUPTIONS,
    EXTRA_CORRUPTIONS,
    EXTRA_PERTURBATIONS,
    PERTURBATIONS,
    SEVERITIES,
    is_noise,
)
from nsbench.run import fingerprint, read_json


class BaseSuite(Config):
    """What every suite says; each kind adds `cells`, the smallest parts that are resumed.

    name, description: for people. source: the images. images_per_class: only that many a class,
    chosen by hash of their ids. mask: only the logits of the source's classes count, as on
    ImageNet-A. reference: a file made by `nsbench reference`, beside the suite's.
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
        return fingerprint(self.model_dump(exclude={"description", "reference", "files"}))


class AccuracySuite(BaseSuite):
    """Top-1 and top-5 accuracy.

    misclassified: only the images that the model of the reference gets wrong (adversarial
    filtration, as ImageNet-A was made); then the cell `clean` holds all images, for comparison.
    """

    kind: Literal["accuracy"]
    misclassified: bool = False

    def cells(self) -> list[str]:
        """`images`, and `clean` where only misclassified images count."""
        return ["images", "clean"] if self.misclassified else ["images"]


class SizedSuite(BaseSuite):
    """A suite that changes pixels, and so fixes the crop that it changes.

    image_size: of the centre crop; resize_size: of the short side before it. A model of another
    input size gets the changed crop resized (bicubic, antialiased). files: a folder in the layout
    of the released set, made by `nsbench make` or downloaded, whose pixels are used as they are;
    then nothing is generated. Its path counts from the working directory.
    """

    image_size: int = Field(ge=32, le=4096)
    resize_size: int | None = Field(default=None, le=8192)
    files: str | None = None

    @model_validator(mode="after")
    def _crop_inside(self) -> Self:
        if self.resize_size is not None and self.resize_size < self.image_size:
            raise ValueError("resize_size must be at least image_size")
        return self


class CorruptionSuite(SizedSuite):
    """Errors under corruption: mCE and relative mCE.

    generator: what makes the pixels: `nsbench`, as the original code did and on any device, or the
    package `imagecorruptions`. jpeg_quality: every corrupted image goes through JPEG of that
    quality, as the released ImageNet-C did (85); 0 for no JPEG, as CIFAR-10-C. Files are used as
    they are, but for those that `nsbench make` stored losslessly, which still go through JPEG.
    """

    kind: Literal["corruption"]
    corruptions: list[str] = Field(default=list(CORRUPTIONS), min_length=1)
    severities: list[int] = Field(default=list(SEVERITIES), min_length=1)
    generator: Literal["nsbench", "imagecorruptions"] = "nsbench"
    jpeg_quality: int = Field(default=85, ge=0, le=100)

    @field_validator("corruptions")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        return _all_known(names, CORRUPTIONS + EXTRA_CORRUPTIONS, "corruption")

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
    """Accuracy under the fast gradient sign method, at the model's own input size.

    epsilons: in units of 1/255, applied before normalisation. headline: the one in summaries.
    """

    kind: Literal["attack"]
    attack: Literal["fgsm"] = "fgsm"
    epsilons: list[float] = Field(min_length=1)
    headline: float

    @field_validator("epsilons")
    @classmethod
    def _positive(cls, epsilons: list[float]) -> list[float]:
        if min(epsilons) < 0 or sorted(set(epsilons)) != epsilons:
            raise ValueError("epsilons are different, rise, and are not negative")
        return epsilons

    def model_post_init(self, _: Any) -> None:
        """Refuse a headline that is not measured."""
        if self.headline not in self.epsilons:
            raise ValueError(f"headline is {self.headline:g}, which is not among the epsilons")

    def cells(self) -> list[str]:
        """`eps=8` and so on."""
        return [epsilon_cell(epsilon) for epsilon in self.epsilons]


Suite = AccuracySuite | CorruptionSuite | PerturbationSuite | AttackSuite
KINDS: dict[str, type[Suite]] = {
    "accuracy": AccuracySuite,
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


def folder() -> Path:
    """Where the shipped suites and references lie."""
    return Path(str(resources.files("nsbench.suites")))


def shipped() -> dict[str, Path]:
    """The shipped suites by name."""
    return {file.stem: file for file in sorted(folder().glob("*.toml"))}


def load_suite(name: str) -> Suite:
    """A suite from a TOML file, or by the name of a shipped one.

    A reference named in it is sought beside the file. Raises NsbenchError naming the file and the
    first key that is unknown or wrong.
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
        reference = path.parent / suite.reference
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


class ReferenceEntry(Config):
    """A reference model's constants on one suite, in fractions (distances are plain numbers).

    protocol: of the suite they were made for. clean, errors: by corruption and severity.
    flip_probability, top5_distance: by perturbation. misclassified: ids of images.
    """

    protocol: str
    clean: float | None = None
    errors: dict[str, list[float]] | None = None
    flip_probability: dict[str, float] | None = None
    top5_distance: dict[str, float] | None = None
    misclassified: list[str] | None = None


class Reference(Config):
    """A reference file: the model, the command that made it, and an entry for each suite."""

    model: str
    command: str = ""
    suites: dict[str, ReferenceEntry]


def load_reference(suite: Suite) -> dict[str, Any] | None:
    """What the suite's reference says of it: errors, flip rates or misclassified ids.

    Raises NsbenchError if the file does not cover the suite or was made for another definition.
    """
    if not suite.reference:
        return None
    reference = parse(Reference, _table(Path(suite.reference)), suite.reference)
    entry = reference.suites.get(suite.name)
    if entry is None:
        raise NsbenchError(
            f"{suite.reference} holds no reference for {suite.name}: run nsbench reference"
        )
    if entry.protocol != suite.protocol():
        raise NsbenchError(
            f"{suite.reference} was made for another definition of {suite.name}: run nsbench "
            "reference again"
        )
    _check_constants(entry, suite)
    return {**entry.model_dump(exclude_none=True), "model": reference.model}


def _table(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise NsbenchError(f"{path} is no reference: run nsbench reference")
    return content


def _check_constants(entry: ReferenceEntry, suite: Suite) -> None:
    """Refuse a reference that lacks a constant of the suite, or whose constant is zero."""
    constants: dict[str, float] = {}
    wanted: list[str] = []
    if isinstance(suite, CorruptionSuite):
        wanted = suite.corruptions
        constants = {name: sum(errors) for name, errors in (entry.errors or {}).items()}
    if isinstance(suite, PerturbationSuite):
        wanted = [*suite.perturbations, *(f"T5D of {name}" for name in suite.perturbations)]
        distances = entry.top5_distance or {}
        constants = {f"T5D of {name}": value for name, value in distances.items()}
        constants |= entry.flip_probability or {}
    if isinstance(suite, AccuracySuite):
        wanted, constants = ["misclassified"], {"misclassified": len(entry.misclassified or [])}
    unusable = [name for name in wanted if not constants.get(name, 0) > 0]
    if unusable:
        raise NsbenchError(
            f"{suite.reference} cannot serve {suite.name}: its constant of '{unusable[0]}' is "
            "missing or zero; make it with more images or a weaker model"
        )
