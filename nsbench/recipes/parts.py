"""Tables of a recipe beside its generations: data, pseudo-labels, noise, fine-tuning."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter

from nsbench.data.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from nsbench.data.spec import SourceSpec
from nsbench.names import PAPER_POLICY
from nsbench.util.config import Config

Crop = Literal["random-resized", "pad", "reflect-pad", "center"]

# What `augment` takes, which needs torch: a mistake is told before that is imported.
_POLICY = re.compile(rf"|{PAPER_POLICY}|rand(-(m|n|p|mstd|mmax|inc)\d+(\.\d+)?|-t\w+)*")


def _policy(value: str) -> str:
    if not _POLICY.fullmatch(value):
        raise ValueError(
            "it must be of the form paper-mMAGNITUDE-nOPERATIONS-tPIXELS-cPIXELS, a RandAugment of "
            "timm's such as rand-m9-n2-p1.0, or an empty string for none"
        )
    return value


Policy = Annotated[str, AfterValidator(_policy)]


def _one_or_more(value: Any) -> Any:
    """Sources validated by hand, so that an error names the key and not a member of the union."""
    # None passes, as `unlabeled` may be left out.
    if not isinstance(value, list):
        return value if value is None else SourceSpec.model_validate(value)
    if not value:
        raise ValueError("it must name a source")
    return _SOURCES.validate_python(value)


# A union tried by pydantic would name both members in an error: the type is chosen by hand.
_SOURCES = TypeAdapter(list[SourceSpec])
Sources = Annotated[SourceSpec | list[SourceSpec], BeforeValidator(_one_or_more)]


class Data(Config):
    """The images to train on, in the table [data]."""

    labeled: Sources
    """Images with labels, a source or a list of sources to join; their classes become the model's,
    and must be the same in all."""
    unlabeled: Sources | None = None
    """Images for the students, a source or a list; labels that they may have are never read. Beside
    `labels_per_class` they are added to the images whose labels are not kept."""
    labels_per_class: int | None = Field(default=None, ge=1)
    """Keep the labels of that many images a class, chosen by hash of the seed and their ids, and
    train on the rest as unlabeled images."""
    unlabeled_imbalance: float | None = Field(default=None, ge=1)
    """Leave out images whose labels are not kept, so that the first class has so many times as many
    as the last, and each class in between a constant factor fewer than the one before it (Cui et
    al. 2019). For a study of `balance`."""
    validation_per_class: int = Field(default=0, ge=0)
    """Labeled images a class held out of training, chosen likewise, on which the training log
    reports the accuracy."""
    mean: list[float] = Field(default=IMAGENET_MEAN, min_length=3, max_length=3)
    """Mean of red, green and blue in units of [0, 1]; by default ImageNet's."""
    std: list[Annotated[float, Field(gt=0)]] = Field(
        default=IMAGENET_STD, min_length=3, max_length=3
    )
    """Standard deviation of red, green and blue in units of [0, 1]; by default ImageNet's."""


class PseudoLabels(Config):
    """How a teacher's predictions become targets (sections 2 and 3.1 of Xie et al. 2020)."""

    labels: Literal["soft", "hard", "true"] = "soft"
    """`soft` (the teacher's distribution, which section 4.3 finds better for out-of-domain images)
    or `hard` (its top class); or `true`, the labels that the images have, as in the control
    `oracle`, for which no key below counts."""
    temperature: float = Field(default=1.0, gt=0)
    """Of soft labels, which become p^(1/T) over its sum; 1, that of all shipped scripts of the
    official code, leaves them unchanged."""
    min_confidence: float = Field(default=0.3, ge=0, lt=1)
    """Images whose top probability is lower are dropped (0.3 in section 3.1)."""
    balance: bool = True
    """Give every class the same number of images, its most confident ones, repeated where there are
    too few."""
    per_class: int | None = Field(default=None, ge=1)
    """That number, 130,000 in the paper; by default the number of unlabeled images over the number
    of classes."""
    quota: Literal["paper", "exact"] = "paper"
    """`paper` draws as filter_unlabel.py of the official code does: the threshold of a class is a
    multiple of 0.01, and extra copies are drawn image by image, so that a class has `per_class`
    images on average; `exact` gives it exactly that many."""
    top_k: int | None = Field(default=None, ge=1, le=1000)
    """Probabilities kept for an image; by default as few as hold 99.9% of the mass of 99% of the
    images, at most 20."""
    rest: Literal["uniform", "labeled"] = "uniform"
    """How the mass of the other classes is spread over them in a soft label: evenly (`uniform`) or
    by their frequencies among the labeled images (`labeled`)."""
    filter: str | None = None
    """A model, named as for `nsbench eval`, whose confidences and classes choose the images instead
    of the teacher's; the paper has an EfficientNet-B0 do it once for all generations."""
    teacher_noise: bool = False
    """Label augmented images, with dropout and stochastic depth on, as table 6 does to show that it
    harms; images as the student's pseudo-labeled ones are, rates the teacher's own."""
    distill: bool = False
    """Plain knowledge distillation instead, from which the paper distinguishes its method: the
    teacher labels the labeled images, none is dropped whatever the keys above say, and the
    student's outputs are softened by the temperature too (Hinton et al. 2015). The noise is that of
    the generation; a `top_k` of all classes keeps the whole distribution."""


class UnlabeledNoise(Config):
    """Noise of a student's pseudo-labeled images alone, in [generations.unlabeled_noise].

    Each key replaces the generation's key of that name for these images; those that are left out
    are the generation's. Table 6 of the paper removes noise from the unlabeled images only.
    """

    crop: Crop | None = None
    """As `crop` of a generation."""
    flip: float | None = Field(default=None, ge=0, le=1)
    """As `flip` of a generation, a probability."""
    randaugment: Policy | None = None
    """As `randaugment` of a generation; empty for none."""
    cutout: int | None = Field(default=None, ge=0)
    """As `cutout` of a generation, in pixels."""
    random_erasing: float | None = Field(default=None, ge=0, le=1)
    """As `random_erasing` of a generation, a probability."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """As `dropout` of a generation, a rate."""
    drop_path: float | None = Field(default=None, ge=0, lt=1)
    """As `drop_path` of a generation, a rate."""


class FineTune(Config):
    """A short fine-tuning at a larger size, on unaugmented labeled images (FixRes).

    It trains a copy, in the table [generations.fine_tune].
    """

    image_size: int = Field(ge=16, le=4096)
    """Height and width of training and evaluation alike, in pixels; 800 in the paper."""
    crop_pct: float | None = Field(default=None, gt=0, le=1)
    """Share of the short side that is kept, of training and evaluation alike."""
    epochs: float = Field(default=1.5, gt=0)
    """Passes over the labeled images; 1.5 in the paper."""
    frozen_blocks: int = Field(default=0, ge=0)
    """The stem and so many blocks of the model are left as they are, in evaluation mode, without
    noise ("shallow layers fixed"; how many is not published)."""
    batch_size: int | None = Field(default=None, ge=2)
    """Images a step; by default the generation's batch size."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate, which stays constant; by default the last one of the generation's schedule,
    with which the official code goes on."""
