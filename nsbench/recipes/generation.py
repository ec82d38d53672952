"""One model of the chain: its architecture, its noise, its training, key by key."""

from typing import Any, Literal

from pydantic import Field

from nsbench.data.preprocessing import Interpolation, Preprocessing
from nsbench.recipes.parts import Crop, Data, FineTune, Policy, UnlabeledNoise
from nsbench.util.config import Config

Precision = Literal["float32", "tf32", "bfloat16", "float16"]
# `plateau` of timm's is left out, as it depends on measurements.
Schedule = Literal["cosine", "poly", "tanh", "step", "linear", "staircase", "constant"]


class Generation(Config):
    """One model of the chain. Every key may also be set in [defaults], for all generations."""

    arch: str
    """The timm architecture, such as `resnet18` or `tf_efficientnet_b0`."""
    model_args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of `timm.create_model`; and for small images the stages of an EfficientNet that do
    not downsample, `unit_stride_stages`, and a ResNet's `stem_stride` (1) and `stem_pool` (false).
    A table in a generation replaces that of [defaults] as a whole."""
    image_size: int = Field(default=224, ge=16, le=4096)
    """Height and width that the model trains on and is evaluated at, in pixels."""
    crop_pct: float | None = Field(default=None, gt=0, le=1)
    """Share of the short side that the evaluation crop keeps; by default 0.875 where `crop` is
    `random-resized`, whose crops show objects larger (Touvron et al. 2019), else 1."""
    interpolation: Interpolation = "bicubic"
    """How images are resized: `nearest`, `bilinear`, `bicubic` or `lanczos`."""
    warm_start: bool = False
    """Start from the teacher's weights; the architecture must be the same. Off, as section 4.3 of
    the paper finds that such a student still needs many epochs, and is sometimes worse."""

    ensemble: bool = False
    """Train this model as the first teacher, on labeled images alone, and keep the average of its
    probabilities and its teacher's: an ensemble of two. For the last generation, to compare a
    student with."""

    epochs: float = Field(default=350.0, gt=0)
    """Passes over the labeled images; 350 at a ratio of 3 are what train.sh of the official code
    has for B5 to B7, and smaller models take 700."""
    steps: int | None = Field(default=None, ge=1)
    """Updates, instead of `epochs`."""
    batch_size: int = Field(default=128, ge=2)
    """Labeled images a step, of all processes together."""
    unlabeled_ratio: float = Field(default=3.0, ge=0)
    """Pseudo-labeled images a step for each labeled one; generation 0 has none."""
    loss: Literal["sum", "mean", "concat"] = "concat"
    """How labeled and pseudo-labeled images are weighed. `concat`: the mean over all images
    (section 3.1 of the paper), whose gradient is of the size of a teacher's, so that one learning
    rate serves both. `sum`: L_labeled + ratio * L_unlabeled, as in the official code, which trained
    the published models with RMSProp, for which the size does not matter. `mean`: L_labeled +
    L_unlabeled (Algorithm 1)."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Of true labels, from 0 to below 1; 0.1 in main.py of the official code."""

    crop: Crop = "random-resized"
    """`random-resized`; `pad` or `reflect-pad` (pad by an eighth with black, or mirrored, and crop
    at random); or `center`."""
    flip: float = Field(default=0.5, ge=0, le=1)
    """Probability of a mirrored image."""
    randaugment: Policy = "rand-m9-n2-p1.0"
    """`paper-m9-n2` and the like: the official code's 16 operations and scale, batched on the
    device; or a string of timm's, in the workers; or empty. The paper's magnitude 27 is read by
    default on the scale to 30 of the RandAugment paper, timm's 9; in the official code it is on a
    scale to 10, and three times as strong: `paper-m27-n2`."""
    cutout: int = Field(default=0, ge=0)
    """Half the side of a grey square at a random position, in pixels, always applied; 0 for
    none."""
    random_erasing: float = Field(default=0.0, ge=0, le=1)
    """Probability of a rectangle of noise (timm's RandomErasing, in place of the Cutout that timm's
    RandAugment lacks)."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout rate before the classifier; 0.2 is EfficientNet-B0's in the official code, where it
    grows with the model up to 0.5."""
    drop_path: float = Field(default=0.2, ge=0, lt=1)
    """Stochastic-depth drop rate of the last block, rising linearly to it; 0.2 for all models in
    the official code ("survival probability 0.8")."""
    unlabeled_noise: UnlabeledNoise | None = None
    """Noise of the pseudo-labeled images alone, a table of the keys above, as in table 6. One in a
    generation replaces that of [defaults] as a whole; the first generation takes none."""

    optimizer: str = "sgd"
    """A name of timm's, such as `adamw` or `rmsproptf`, TensorFlow's form of RMSProp."""
    optimizer_args: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the optimiser, such as `momentum` or `eps`."""
    lr: float = Field(default=0.1, gt=0)
    """Peak learning rate; it is not scaled by the batch size."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Weight decay; it spares norm layers, and biases unless `decay_biases` is set."""
    decay_biases: bool = False
    """Let biases decay too, as the official code does (main.py)."""
    schedule: Schedule = "cosine"
    """`staircase` (times `decay_rate` every `decay_epochs`, from step 0 on), `constant`, `linear`
    (to zero), or timm's `cosine`, `poly`, `tanh` or `step`."""
    decay_rate: float = Field(default=0.97, gt=0, le=1)
    """Factor of the staircase (utils.py of the official code)."""
    decay_epochs: float = Field(default=2.4, gt=0)
    """Epochs of labeled images between two steps of the staircase (utils.py)."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate rises from zero."""
    warmup_epochs: float | None = Field(default=None, ge=0)
    """Epochs of the warm-up, instead of `warmup`."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Largest norm of all gradients together; by default none is clipped."""
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the averaged weights, which are the ones that are kept; it ramps up as TensorFlow's
    does."""

    precision: Precision = "float32"
    """Of the forward pass, by autocast; `tf32` is float32 whose products GPUs round to ten bits,
    faster."""
    channels_last: bool = True
    """Order of values in memory; channels last is the faster one for convolutions."""
    accumulate: int = Field(default=1, ge=1)
    """Parts that a step is computed in, one after the other, to save memory. Batch norm sees one
    part at a time, and its statistics forget as much a step as without parts."""
    checkpoint_activations: bool = False
    """Compute activations twice, to save memory."""
    sync_batch_norm: bool = False
    """Batch-norm statistics over all processes."""
    compile: bool = False
    """Compile the model with torch.compile."""
    fine_tune: FineTune | None = None
    """A table for a short fine-tuning at a larger size; see its own keys."""

    @property
    def unlabeled_batch(self) -> int:
        """Pseudo-labeled images a step, of all processes together."""
        return 0 if self.ensemble else round(self.batch_size * self.unlabeled_ratio)

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
