"""RandAugment as the official Noisy Student code applies it, in batches, on the images' device.

Source: randaugment.py in google-research/noisystudent. Each layer draws one of 16 operations with
replacement and always applies it. The magnitude M is the same for all; it is a part of 10 and not
limited to 10: with the paper's M = 27, rotations are by 81 degrees, and Posterize, Solarize and
SolarizeAdd do what uint8 arithmetic makes of them.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.augment import color, geometry
from nsbench.augment.crops import on_device
from nsbench.augment.geometry import Affine
from nsbench.augment.keys import Keys, Purpose, integers
from nsbench.names import PAPER_POLICY
from nsbench.pixels.convert import Shape
from nsbench.pixels.threads import run_in_threads
from nsbench.util.errors import NsbenchError

# The official list in its order, which decides what a draw means.
OPERATIONS = (
    "AutoContrast",
    "Equalize",
    "Invert",
    "Rotate",
    "Posterize",
    "Solarize",
    "Color",
    "Contrast",
    "Brightness",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "SolarizeAdd",
    "Cutout",
)
# By whole pixels, and so by padding; the other operations of geometry are maps of pixels.
TRANSLATIONS = {"TranslateX": geometry.translate_x, "TranslateY": geometry.translate_y}
_SIGNED = np.isin(OPERATIONS, ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY"))
CPU_SHARE = 2**24
"""Values that are worth a thread (5,461 images at 32 px, 111 at 224): small operations are not,
because threads hand the interpreter over at each."""
DEVICE_CHUNK = 2**26
"""Values that are worked on at once on other devices (445 images at 224 px), to limit memory."""

# Settings in any order; their numbers have bounds only so that a slip is refused.
_FORM = re.compile(PAPER_POLICY)

Operation = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class RandAugment:
    """The official RandAugment.

    Attributes:
        magnitude: M of the paper, on the official scale of 10, not limited.
        layers: N of the paper, the operations per image.
        translate: pixels of a translation at magnitude 10.
        cutout: half the side of Cutout's square at magnitude 10, in pixels.

    """

    magnitude: float
    layers: int
    translate: float
    cutout: float

    def __call__(self, images: torch.Tensor, keys: Keys) -> torch.Tensor:
        """Augment uint8 (B, 3, H, W), as the keys, uint64 (B,), and nothing else decide.

        Returns new memory on the images' device. The draws are made on the host, so that nothing
        waits for the device.
        """
        out = torch.empty(images.shape, dtype=torch.uint8, device=images.device)

        def work(rows: slice) -> None:
            out[rows] = self._augmented(images[rows], keys[rows])

        run_in_threads(work, _slices(images), images.device)
        return out

    def _augmented(self, images: torch.Tensor, keys: Keys) -> torch.Tensor:
        # Images are sorted by their operations, so that each operation runs once, on a batch of its
        # own. They stay sorted until the last layer is done, and are put back then.
        positions = np.arange(len(images))  # which image stands where
        for layer in range(self.layers):
            kinds = self._kinds(keys[positions], layer)
            order = np.argsort(kinds, kind="stable")
            positions = positions[order]
            images = self._applied(images, order, kinds[order], keys[positions], layer)
        return images.index_select(0, on_device(np.argsort(positions), images.device))

    def drawn(self, keys: Keys, layer: int) -> NDArray[np.int64]:
        """The operation of a layer for each key, as its index in OPERATIONS: int64 (B,)."""
        # 4 because a layer draws four numbers: operation, sign, and row and column of a Cutout.
        return integers(keys, Purpose.LAYER_OPERATION + 4 * layer, len(OPERATIONS))

    def _kinds(self, keys: Keys, layer: int) -> NDArray[np.int64]:
        drawn = self.drawn(keys, layer)
        return 2 * drawn + _SIGNED[drawn] * integers(keys, Purpose.LAYER_SIGN + 4 * layer, 2)

    def _applied(
        self,
        images: torch.Tensor,
        order: NDArray[np.int64],
        kinds: NDArray[np.int64],
        keys: Keys,
        layer: int,
    ) -> torch.Tensor:
        """The images in this order, in which the kinds are sorted, each after its operation."""
        rows = on_device(order, images.device)
        results = [images[:0]]  # an empty batch has no runs, and cat needs one part
        for run in _runs(kinds):
            # contiguous, since some operations view a batch as one line.
            batch = images.index_select(0, rows[run]).contiguous()
            results.append(self._operation(int(kinds[run.start]), batch, keys[run], layer)(batch))
        return torch.cat(results)

    def _operation(self, kind: int, batch: torch.Tensor, keys: Keys, layer: int) -> Operation:
        shape = (batch.shape[2], batch.shape[3])
        if OPERATIONS[kind // 2] != "Cutout":
            return _prepared(self, shape, batch.device)[kind]
        rows = integers(keys, Purpose.LAYER_ROW + 4 * layer, shape[0])
        columns = integers(keys, Purpose.LAYER_COLUMN + 4 * layer, shape[1])
        pad = int(self.magnitude / 10 * self.cutout)
        return partial(color.cut_out, rows=rows, columns=columns, pad=pad)


def _slices(images: torch.Tensor) -> list[slice]:
    """What to work on at once: parts for all threads of a CPU, if they are worth their while."""
    values = max(1, images.shape[1:].numel())
    if images.device.type == "cpu":
        size = max(-(-len(images) // torch.get_num_threads()), CPU_SHARE // values, 1)
    else:
        size = max(1, DEVICE_CHUNK // values)
    return [slice(start, start + size) for start in range(0, len(images), size)]


def _runs(kinds: NDArray[np.int64]) -> Iterator[slice]:
    """The slices of sorted values that are equal."""
    edges = np.flatnonzero(np.diff(kinds)) + 1
    runs = (slice(start, end) for start, end in pairwise([0, *edges.tolist(), len(kinds)]))
    return (run for run in runs if run.start < run.stop)


# A run has a few: the sizes of training and of fine-tuning, teacher and student. A map takes ten
# bytes a pixel, and there are six.
@lru_cache(maxsize=4)
def _prepared(noise: RandAugment, shape: Shape, device: torch.device) -> dict[int, Operation]:
    """What each kind (twice the index in OPERATIONS, plus 1 if negative) does.

    Cutout is left out: it depends on the image's key.
    """
    level = noise.magnitude / 10  # _MAX_LEVEL of the official code, which does not limit it
    enhance = level * 1.8 + 0.1  # in the order of the official code, here and below
    single: dict[str, Operation] = {
        "AutoContrast": color.autocontrast,
        "Equalize": color.equalize,
        "Invert": color.invert,
        "Posterize": partial(color.posterize, bits=int(level * 4)),
        "Solarize": partial(color.solarize, threshold=int(level * 256)),
        "Color": partial(color.color, factor=enhance),
        "Contrast": partial(color.contrast, factor=enhance),
        "Brightness": partial(color.brightness, factor=enhance),
        "Sharpness": partial(color.sharpness, factor=enhance),
        "SolarizeAdd": partial(color.solarize_add, addition=int(level * 110)),
    }
    prepared = {2 * OPERATIONS.index(name): operation for name, operation in single.items()}
    for sign, signed in enumerate((level, -level)):
        for name, affine in _affines(signed, shape).items():
            mapping = geometry.map_of(affine, shape, device)
            prepared[2 * OPERATIONS.index(name) + sign] = partial(geometry.move, mapping=mapping)
        for name, translate in TRANSLATIONS.items():
            shift = signed * noise.translate
            prepared[2 * OPERATIONS.index(name) + sign] = partial(translate, shift=shift)
    return prepared


def _affines(level: float, shape: Shape) -> dict[str, Affine]:
    return {
        "Rotate": geometry.rotation(30 * level, shape),
        "ShearX": geometry.shear_x(0.3 * level),
        "ShearY": geometry.shear_y(0.3 * level),
    }


def is_paper(text: str) -> bool:
    """Whether a recipe's `randaugment` means this RandAugment, and not timm's."""
    return text.split("-")[0] == "paper"


def parse_randaugment(text: str, image_size: int) -> RandAugment:
    """Read `paper` or, with any of its settings, `paper-m27-n2-t100-c40`.

    m is the magnitude (27) and n the operations per image (2). t and c are the pixels of a
    translation and of half of Cutout's side at magnitude 10. Without them they are the constants
    of the official ImageNet code, 100 and 40, from 224 px on, and an eighth of the side below,
    which at 32 px is the official SVHN recipe's 4 and 4. Magnitude 27 is the paper's for 475 and
    600 px: with the constant 100 it moves an image of up to 270 px out of view.

    Raises NsbenchError for any other text.
    """
    if not _FORM.fullmatch(text):
        raise _wrong(text, "is not of the form paper-mMAGNITUDE-nOPERATIONS-tPIXELS-cPIXELS")
    given = text.split("-")[1:]
    settings = {part[0]: float(part[1:]) for part in given}
    if len(settings) < len(given):
        raise _wrong(text, "has a setting twice")
    small = image_size / 8
    return RandAugment(
        magnitude=settings.get("m", 27.0),
        layers=int(settings.get("n", 2)),
        translate=settings.get("t", 100.0 if image_size >= 224 else small),
        cutout=settings.get("c", 40.0 if image_size >= 224 else small),
    )


def _wrong(text: str, problem: str) -> NsbenchError:
    return NsbenchError(
        f"the key 'randaugment' is '{text}', which {problem}: write for example paper-m27-n2"
    )
