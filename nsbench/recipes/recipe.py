"""Recipes: what to train, one TOML file each."""

from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tomli_w
from pydantic import BeforeValidator, Field, TypeAdapter

from nsbench.data.open import SourceSpec
from nsbench.data.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Interpolation, Preprocessing
from nsbench.recipes.controls import Control, controlled, take_controls
from nsbench.recipes.files import recipe_file
from nsbench.recipes.parts import Crop, FineTune, UnlabeledNoise
from nsbench.recipes.variants import Variant, take_variants, varied
from nsbench.util.config import Config, apply_settings, nearest, parse, read_toml
from nsbench.util.errors import NsbenchError

Precision = Literal["float32", "tf32", "bfloat16", "float16"]


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
    """The images to train on.

    labeled: images with labels; their classes become the model's. unlabeled: images for the
    students; labels they may have are never read. Both are a source, or a list of sources to join;
    labeled ones must be of the same classes. labels_per_class: keep the labels of that many
    images a class, chosen by hash of the seed and their ids, and train on the rest as unlabeled
    images. validation_per_class: labeled images a class held out of training, chosen likewise, on
    which the training log reports the accuracy. mean, std: of the pixels in units of [0, 1].
    """

    labeled: Sources
    unlabeled: Sources | None = None
    labels_per_class: int | None = Field(default=None, ge=1)
    validation_per_class: int = Field(default=0, ge=0)
    mean: list[float] = Field(default=IMAGENET_MEAN, min_length=3, max_length=3)
    std: list[Annotated[float, Field(gt=0)]] = Field(
        default=IMAGENET_STD, min_length=3, max_length=3
    )


class PseudoLabels(Config):
    """How a teacher's predictions become targets (sections 2 and 3.1 of Xie et al. 2020).

    labels: `soft` (the teacher's distribution) or `hard` (its top class); or `true`, the labels
    that the images have, as in the control `oracle`, for which no key below counts.
    temperature: of soft labels, which become p^(1/T) over its sum (official code, main.py); 1
    leaves them unchanged.
    min_confidence: images whose top probability is lower are dropped (0.3 in section 3.1).
    balance: give every class the same number of images, its most confident ones, repeated where
    there are too few. per_class: that number (130,000 in the paper); by default the number of
    unlabeled images over the number of classes.
    quota: `paper` draws as the official code does (filter_unlabel.py): the threshold of a class is
    a multiple of 0.01, and extra copies are drawn image by image, so that a class has `per_class`
    images on average; `exact` gives it exactly that many.
    top_k: probabilities kept for an image; by default as few as hold 99.9% of the mass of 99% of
    the images, at most 20. rest: how the mass of the other classes is spread over them in a soft
    label, evenly (`uniform`) or by their frequencies among the labeled images (`labeled`).
    filter: a model, named as for `nsbench eval`, whose confidences and classes choose the images
    instead of the teacher's; the paper has an EfficientNet-B0 do it once for all generations.
    teacher_noise: label augmented images, with dropout and stochastic depth on, as table 6 does to
    show that it harms; images as the student's pseudo-labeled ones are, rates the teacher's own.
    distill: plain knowledge distillation instead, from which the paper distinguishes its method:
    the teacher labels the labeled images, none is dropped whatever the keys above say, and the
    student's outputs are softened by the temperature too (Hinton et al. 2015). The noise is that of
    the generation; a top_k of all classes keeps the whole distribution.
    """

    # Soft by default: section 4.3 finds them better than hard ones for out-of-domain images.
    labels: Literal["soft", "hard", "true"] = "soft"
    temperature: float = Field(default=1.0, gt=0)  # teacher_softmax_temp of all shipped scripts
    min_confidence: float = Field(default=0.3, ge=0, lt=1)
    balance: bool = True
    per_class: int | None = Field(default=None, ge=1)
    quota: Literal["paper", "exact"] = "paper"
    top_k: int | None = Field(default=None, ge=1, le=1000)
    rest: Literal["uniform", "labeled"] = "uniform"
    filter: str | None = None
    teacher_noise: bool = False
    distill: bool = False


class Generation(Config):
    """One model of the chain. Every key may also be set in [defaults], for all generations.

    arch, model_args: the timm architecture and its arguments, and for small images the stages of an
    EfficientNet that do not downsample, `unit_stride_stages`, and a ResNet's `stem_stride` (1) and
    `stem_pool` (false). image_size, crop_pct,
    interpolation: its evaluation crop (crop_pct is 0.875 for random-resized crops and 1 otherwise).
    warm_start: start from the teacher's weights; the architecture must be the same.

    epochs: passes over the labeled images; steps: instead of epochs. batch_size: labeled images a
    step, of all processes together. unlabeled_ratio: pseudo-labeled images a step for each labeled
    one (0 for generation 0).
    loss: `concat` is the mean over all images (section 3.1 of the paper), whose gradient is of the
    size of a teacher's, so that one learning rate serves both; `sum` is L_labeled + ratio *
    L_unlabeled, as in the official code, which trained the published models with RMSProp, for which
    the size does not matter; `mean` is L_labeled + L_unlabeled (Algorithm 1).

    crop, flip, randaugment, cutout, random_erasing, dropout, drop_path: the noise. crop: see
    `nsbench.augment.pipeline`. randaugment: `paper` (16 operations, batched on the device; see
    `nsbench.augment.randaugment`), timm's strings (in the workers), or empty. cutout: half the side
    of a grey square at a random position, always applied. random_erasing: the probability of a
    rectangle of noise (timm's RandomErasing, in place of the Cutout that timm's RandAugment lacks).
    drop_path: the stochastic-depth drop rate of the last block. unlabeled_noise: a table of these
    keys for the pseudo-labeled images alone, as in table 6; one in a generation replaces that of
    [defaults] as a whole, and the first generation, which has no such images, takes none.

    optimizer, optimizer_args: timm's names, e.g. `rmsproptf`, TensorFlow's form of RMSProp.
    weight_decay spares norm layers, and biases too unless decay_biases is set (as in the official
    code). schedule: `staircase` (times decay_rate every decay_epochs; the clock starts at step 0,
    warm-up or not), `constant`, `linear` (to zero), or timm's `cosine`, `poly`, `tanh`, `step`.
    lr: peak learning rate.
    warmup: share of the steps; warmup_epochs: instead of warmup. ema_decay: of the averaged
    weights, which are the ones kept.

    precision: of the forward pass, by autocast; `tf32` is float32 whose products GPUs round to ten
    bits, faster. channels_last: the order of values in memory.
    accumulate: parts a step is computed in, one after the other, to save memory; batch norm sees
    one part at a time, and its statistics forget as much a step as without parts.
    checkpoint_activations: compute activations twice to save memory. sync_batch_norm: batch-norm
    statistics over all processes. compile: torch.compile.
    """

    arch: str
    model_args: dict[str, Any] = Field(default_factory=dict)
    image_size: int = Field(default=224, ge=16, le=4096)
    crop_pct: float | None = Field(default=None, gt=0, le=1)
    interpolation: Interpolation = "bicubic"
    # From scratch by default: section 4.3 finds that a student that starts from its teacher still
    # needs many epochs, and is sometimes worse.
    warm_start: bool = False
    # 350 epochs at a ratio of 3 are what train.sh has for B5 to B7; smaller models take 700.
    epochs: float = Field(default=350.0, gt=0)
    steps: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=128, ge=2)
    unlabeled_ratio: float = Field(default=3.0, ge=0)
    loss: Literal["sum", "mean", "concat"] = "concat"
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)  # main.py
    crop: Crop = "random-resized"
    flip: float = Field(default=0.5, ge=0, le=1)
    # The paper's magnitude 27, read on the scale to 30 of the RandAugment paper: timm's goes to 10.
    # In the official code 27 is on a scale to 10, and three times as strong: `paper-m27-n2`.
    randaugment: str = "rand-m9-n2-p1.0"
    cutout: int = Field(default=0, ge=0)
    random_erasing: float = Field(default=0.0, ge=0, le=1)
    # EfficientNet-B0's in the official code, where dropout grows with the model up to 0.5 and
    # stochastic depth is the same for all ("survival probability 0.8").
    dropout: float = Field(default=0.2, ge=0, lt=1)
    drop_path: float = Field(default=0.2, ge=0, lt=1)
    unlabeled_noise: UnlabeledNoise | None = None
    optimizer: str = "sgd"
    optimizer_args: dict[str, Any] = Field(default_factory=dict)
    lr: float = Field(default=0.1, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    decay_biases: bool = False
    schedule: str = "cosine"
    # The staircase of the official code (utils.py).
    decay_rate: float = Field(default=0.97, gt=0, le=1)
    decay_epochs: float = Field(default=2.4, gt=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    warmup_epochs: float | None = Field(default=None, ge=0)
    clip_norm: float | None = Field(default=None, gt=0)
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    precision: Precision = "float32"
    channels_last: bool = True
    accumulate: int = Field(default=1, ge=1)
    checkpoint_activations: bool = False
    sync_batch_norm: bool = False
    compile: bool = False
    fine_tune: FineTune | None = None

    @property
    def unlabeled_batch(self) -> int:
        """Pseudo-labeled images a step, of all processes together."""
        return round(self.batch_size * self.unlabeled_ratio)

    @property
    def for_unlabeled(self) -> "Generation":
        """The generation with the noise of its pseudo-labeled images for all."""
        changed = self.unlabeled_noise or UnlabeledNoise()
        own = changed.model_dump(exclude_none=True)
        return self.model_copy(update={**own, "unlabeled_noise": None})

    def preprocessing(self, data: Data) -> Preprocessing:
        """The evaluation preprocessing of this generation's model."""
        # The usual 224 of 256 px: random-resized crops show objects larger than a centre crop of
        # the whole image does (Touvron et al. 2019). Padded crops do not.
        default = 0.875 if self.crop == "random-resized" else 1.0
        return Preprocessing(
            image_size=self.image_size,
            crop_pct=self.crop_pct or default,
            interpolation=self.interpolation,
            mean=data.mean,
            std=data.std,
        )


class Recipe(Config):
    """What to train. allow_smaller: accept a student smaller than its teacher.

    The keys in RUNNING do not change the result. workers: processes that load images; 0 does it
    between the steps. checkpoint_minutes, checkpoint_steps: how often the training state is
    written; the earlier counts. tensorboard, wandb: log there too.
    """

    RUNNING: ClassVar = (
        "workers",
        "checkpoint_minutes",
        "checkpoint_steps",
        "tensorboard",
        "wandb",
    )

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    seed: int = Field(default=0, ge=0)
    workers: int = Field(default=2, ge=0)
    checkpoint_minutes: float = Field(default=10.0, gt=0)
    checkpoint_steps: int | None = Field(default=None, ge=1)
    tensorboard: bool = False
    wandb: bool = False
    allow_smaller: bool = False
    data: Data
    pseudo_labels: PseudoLabels = PseudoLabels()
    generations: list[Generation] = Field(min_length=1)

    def to_toml(self) -> str:
        """The recipe with every default spelled out."""
        # So that a run stays the same when a default changes. TOML has no null.
        return tomli_w.dumps(self.model_dump(exclude_none=True))


def load_recipe(name: str, settings: list[str] | None = None) -> Recipe:
    """A recipe from a TOML file or by the name of a shipped one, with `key=value` settings.

    Raises NsbenchError naming the file and the first key that is unknown or wrong, also of its
    variants.
    """
    return _load(name, settings)[0]


def load_variants(
    name: str, settings: list[str] | None = None
) -> dict[str, tuple[Variant, Recipe]]:
    """The variants of a recipe by name, in the order of its file, and the recipe of each.

    Raises NsbenchError as `load_recipe` does.
    """
    return _load(name, settings)[1]


def load_controls(
    name: str, settings: list[str] | None = None
) -> dict[str, tuple[Control, Recipe]]:
    """The controls of a recipe by name, in the order of its file, and the recipe of each.

    Raises NsbenchError as `load_recipe` does.
    """
    return _load(name, settings)[2]


def _load(
    name: str, settings: list[str] | None
) -> tuple[Recipe, dict[str, tuple[Variant, Recipe]], dict[str, tuple[Control, Recipe]]]:
    # A file comes before a shipped recipe of its name. Its stem is the name of the run, unless it
    # says otherwise.
    path = Path(name)
    if not path.is_file():
        path = recipe_file(name)
    table = {"name": path.stem, **apply_settings(read_toml(path), settings or [])}
    listed, wanted = take_variants(table, str(path)), take_controls(table, str(path))
    recipe, variants = _resolved(deepcopy(table), str(path)), {}
    for variant in listed:
        where = f"{path}, variant '{variant.name}'"
        # Each from the untouched table, as the defaults must reach what a variant sets too.
        variants[variant.name] = variant, _resolved(varied(table, variant, where), where)
    controls = {one.folder: (one, controlled(recipe, one, str(path))) for one in wanted}
    return recipe, variants, controls


OTHER_NAMES = {
    "learning_rate": "lr",
    "wd": "weight_decay",
    "bs": "batch_size",
    "model": "arch",
    "resolution": "image_size",
    "img_size": "image_size",
    "num_epochs": "epochs",
    "opt": "optimizer",
    "scheduler": "schedule",
    "momentum": "optimizer_args.momentum",
    "amp": "precision",
    "ema": "ema_decay",
    "smoothing": "label_smoothing",
}
"""What keys of a generation are called elsewhere."""


def _refuse_misplaced(table: dict[str, Any], where: str) -> None:
    """Raise NsbenchError for a key at the top that belongs to the generations."""
    for key in table:
        plain = key.lower().replace("-", "_")
        meant = OTHER_NAMES.get(plain, plain)
        misplaced = meant.split(".")[0] in Generation.model_fields
        if key not in {*Recipe.model_fields, "defaults"} and misplaced:
            raise NsbenchError(
                f"{where}: unknown key '{key}'; did you mean 'defaults.{meant}', which holds for "
                f"all generations, or 'generations.0.{meant}'?"
            )


def _resolved(table: dict[str, Any], where: str) -> Recipe:
    _refuse_misplaced(table, where)
    recipe = parse(Recipe, _with_defaults(table, where), where)
    _check(recipe, where)
    return recipe


def _with_defaults(table: dict[str, Any], where: str) -> dict[str, Any]:
    defaults = table.pop("defaults", {})
    if not isinstance(defaults, dict):
        raise NsbenchError(f"{where}: the key 'defaults' is {defaults!r}, but it must be a table")
    # Checked here: merged into the generations, a wrong key would be reported as one of theirs.
    unknown = [key for key in defaults if key not in Generation.model_fields]
    if unknown:
        meant = OTHER_NAMES.get(unknown[0].lower().replace("-", "_"))
        near = nearest(unknown[0], Generation.model_fields)
        near = f"; did you mean 'defaults.{meant}'?" if meant else near
        raise NsbenchError(f"{where}: unknown key 'defaults.{unknown[0]}'{near}")
    # Anything but a list of tables is left to the validation, which names the key.
    generations = table.get("generations")
    if isinstance(generations, list) and all(isinstance(entry, dict) for entry in generations):
        table["generations"] = [{**defaults, **entry} for entry in generations]
        # The first teacher has no unlabeled images, and is the same whatever a student's are given.
        if generations and "unlabeled_noise" not in generations[0]:
            table["generations"][0].pop("unlabeled_noise", None)
    return table


def _check(recipe: Recipe, where: str) -> None:
    data, distill = recipe.data, recipe.pseudo_labels.distill
    if len(recipe.generations) > 1 and not (data.unlabeled or data.labels_per_class or distill):
        raise NsbenchError(
            f"{where}: the students have no unlabeled images: set data.unlabeled, or "
            "data.labels_per_class to keep only some labels"
        )
    if recipe.generations[0].unlabeled_noise:
        raise NsbenchError(
            f"{where}: generation 0 has no pseudo-labeled images: move the key "
            "'generations.0.unlabeled_noise' to a student, or to [defaults]"
        )
    # A small ratio of a small batch rounds to 0 images.
    for index, generation in enumerate(recipe.generations[1:], start=1):
        if generation.unlabeled_batch < 1:
            raise NsbenchError(
                f"{where}: the key 'generations.{index}.unlabeled_ratio' leaves the student no "
                "pseudo-labeled image a step: raise it"
            )
