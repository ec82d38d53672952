"""Training transforms of single images by timm, every draw decided by a seed."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from timm.data.auto_augment import rand_augment_transform
from timm.data.random_erasing import RandomErasing
from timm.data.transforms import RandomResizedCropAndInterpolation

from nsbench.augment.crops import crop_padded
from nsbench.data.preprocessing import Preprocessing
from nsbench.data.transforms import center_crop, to_array
from nsbench.util.errors import NsbenchError

Pixels = NDArray[np.uint8]
Transform = Callable[[Image.Image], Image.Image]
TrainingTransform = Callable[[Image.Image, int], Pixels]


def training_transform(
    preprocessing: Preprocessing,
    crop: str,
    flip: float,
    randaugment: str,
    random_erasing: float = 0.0,
) -> TrainingTransform:
    """RGB image and seed to uint8 (3, S, S), augmented; the seed alone decides every draw.

    crop: `random-resized` (scale 0.08-1, aspect 3/4-4/3), `pad` (resize, pad by an eighth, random
    crop) or `center`. flip: probability of a mirror image. randaugment: a timm string such as
    `rand-m9-n2-p1.0`, or empty for none. random_erasing: probability of a rectangle of noise, by
    timm's RandomErasing; it stands in for Cutout, which timm's RandAugment lacks.
    Raises NsbenchError for a string timm does not know.
    """
    cropped = _crop(preprocessing, crop)
    augment = _randaugment(randaugment, preprocessing) if randaugment else None
    erase = RandomErasing(random_erasing, mode="const", device="cpu")  # const: with zeros

    def transform(image: Image.Image, seed: int) -> Pixels:
        # timm draws from these two global generators, the second of which takes 32 bits.
        random.seed(seed)
        np.random.seed(seed % 2**32)
        pixels = cropped(image)
        if random.random() < flip:
            pixels = pixels[..., ::-1]
        if augment:
            pixels = to_array(augment(Image.fromarray(pixels.transpose(1, 2, 0))))
        pixels = np.ascontiguousarray(pixels)  # a mirrored view is not, and torch refuses it
        return _erase(pixels, erase, preprocessing) if random_erasing else pixels

    return transform


def _erase(array: Pixels, erase: RandomErasing, preprocessing: Preprocessing) -> Pixels:
    # timm chooses the rectangle, seen as the zeros in an image of ones; its noise would draw from
    # the generator of the model's own noise.
    erased = erase(torch.ones(1, *array.shape[1:]))[0].numpy() == 0
    mean, std = (np.array(values)[:, None] for values in (preprocessing.mean, preprocessing.std))
    # timm's noise is standard normal in normalised values; these are the same before normalisation.
    noise = np.random.standard_normal((3, np.count_nonzero(erased))) * std + mean
    array[:, erased] = (255 * noise).clip(0, 255)
    return array


def _crop(preprocessing: Preprocessing, crop: str) -> Callable[[Image.Image], Pixels]:
    if crop == "random-resized":
        resized = RandomResizedCropAndInterpolation(
            preprocessing.image_size, interpolation=preprocessing.interpolation
        )
        return lambda image: to_array(resized(image))
    if crop == "pad":
        return lambda image: _pad_and_crop(image, preprocessing)
    return lambda image: center_crop(image, preprocessing)


def _pad_and_crop(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    pad = preprocessing.image_size // 8
    # Padding takes the place of the margin that crop_pct leaves for evaluation.
    square = center_crop(image, preprocessing.model_copy(update={"crop_pct": 1.0}))
    left, top = random.randint(0, 2 * pad), random.randint(0, 2 * pad)
    corner = np.array([top]), np.array([left])
    return crop_padded(torch.from_numpy(square)[None], *corner, pad, "zero")[0].numpy()


def _randaugment(config: str, preprocessing: Preprocessing) -> Transform:
    # timm's own choice in training: the mean colour, which is about 0 after normalisation.
    fill = tuple(round(255 * value) for value in preprocessing.mean)
    hparams = {"img_mean": fill}
    try:
        augment: Any = rand_augment_transform(config, hparams)
    except (AssertionError, ValueError, KeyError) as error:
        raise NsbenchError(
            f"the key 'randaugment' is '{config}', which timm does not know: write for example "
            "rand-m9-n2-p1.0, or an empty string for none"
        ) from error
    for op in augment.ops:
        if op.name.startswith("Posterize"):
            op.aug_fn = _posterize
    made: Transform = augment
    return made


def _posterize(image: Image.Image, bits: int, **_: Any) -> Image.Image:
    # timm asks for 0 bits and fewer at some magnitudes; Pillow 13 refuses those.
    return image if bits >= 8 else ImageOps.posterize(image, max(bits, 1))
