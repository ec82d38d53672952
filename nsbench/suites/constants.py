"""The constants of a reference model on one suite, as a reference file holds them."""

from typing import Annotated

from pydantic import AfterValidator, Field

from nsbench.util.config import Config

WORST_DISTANCE = 15.0
"""The top-5 distance of two rankings without a common class: 5 + 4 + 3 + 2 + 1."""


def _fraction(value: float) -> float:
    # Percent would make an mCE a hundred times smaller, and nothing else would show it.
    if not 0 <= value <= 1:
        raise ValueError("a reference holds fractions from 0 to 1, not percent")
    return value


def _distance(value: float) -> float:
    if not 0 <= value <= WORST_DISTANCE:
        raise ValueError(f"top-5 distances are from 0 to {WORST_DISTANCE:g}")
    return value


Fraction = Annotated[float, AfterValidator(_fraction)]
Distance = Annotated[float, AfterValidator(_distance)]


class ReferenceEntry(Config):
    """A reference model's constants on one suite, as fractions (distances are plain numbers).

    protocol: of the suite they were made for; or `published` for constants from the literature,
    which serve every suite of that image_size and those classes whose corruptions or perturbations
    they have. classes: how many the images are of; classes_hash: of their sorted names, where they
    have names. generator: what made the images of corruptions and perturbations, and its version.
    clean, errors: by corruption and severity. flip_probability, top5_distance: by
    perturbation. misclassified: ids of images. source: where published ones come from.
    """

    protocol: str
    source: str | None = None
    image_size: int | None = None
    classes: int | None = Field(default=None, ge=1)
    classes_hash: str | None = None
    generator: str | None = None
    clean: Fraction | None = None
    errors: dict[str, list[Fraction]] | None = None
    flip_probability: dict[str, Fraction] | None = None
    top5_distance: dict[str, Distance] | None = None
    misclassified: list[str] | None = None
