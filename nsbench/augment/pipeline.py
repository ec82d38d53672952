"""A generation's input noise: what is done as images are read, and what on the device."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from nsbench.augment.crops import cutout, flip, pad_crop
from nsbench.augment.randaugment import is_paper, parse_randaugment
from nsbench.augment.timm_transforms import training_transform
from nsbench.data.preprocessing import Preprocessing
from nsbench.data.transforms import center_crop
from nsbench.recipes.generation import Generation
from nsbench.util.errors import NsbenchError


class Augmentation:
    """Crop, mirror, RandAugment and cutout, in the order of the official code.

    ImageNet: `random-resized` (scale 0.08-1, aspect 3/4-4/3) or `pad` (resize, pad by an eighth
    with black, random crop), mirror, RandAugment, cutout. SVHN: RandAugment, cutout, `reflect-pad`
    (pad by an eighth with the mirrored border, random crop). `center` cuts out the centre.

    Operations on single images run as they are read: random-resized crops, timm's RandAugment and
    random erasing. All others run on the device in batches. Every draw depends on the image's key.

    unlabeled: the same for pseudo-labeled images, with the noise that the generation gives them.

    Raises NsbenchError for a randaugment of no known name, or one that does not go with
    random_erasing.
    """

    def __init__(self, generation: Generation, preprocessing: Preprocessing) -> None:
        self._preprocessing, self._generation = preprocessing, generation
        text = generation.randaugment
        self._paper = parse_randaugment(text, preprocessing.image_size) if is_paper(text) else None
        if self._paper and generation.random_erasing:
            raise NsbenchError(
                "the key 'random_erasing' stands in for the Cutout that timm's RandAugment lacks, "
                f"and '{text}' has it: set random_erasing = 0"
            )
        strings = "" if self._paper else text
        # reflect-pad is a step on the device, after the others: reading needs the whole image.
        crop = "center" if generation.crop == "reflect-pad" else generation.crop
        transform = training_transform(
            preprocessing, crop, generation.flip, strings, generation.random_erasing
        )
        # One step that needs single images takes crop, mirror and RandAugment with it, so that they
        # stay in their order.
        single = strings or generation.random_erasing or generation.crop == "random-resized"
        self._transform = transform if single else None
        self.unlabeled: Augmentation = self
        if generation.unlabeled_noise:
            self.unlabeled = Augmentation(generation.for_unlabeled, preprocessing)

    @property
    def settings(self) -> dict[str, Any]:
        """The keys of a recipe that decide what is done to an image, JSON-like."""
        names = ("crop", "flip", "randaugment", "cutout", "random_erasing")
        return {name: getattr(self._generation, name) for name in names}

    @property
    def image_size(self) -> int:
        """Side of the images in pixels."""
        return self._preprocessing.image_size

    @property
    def fixed(self) -> bool:
        """Whether any image is read the same each time, so that it need not be read again."""
        # Of both streams: where one has to be read anew for each step, workers read all images.
        return self._read_once and self.unlabeled._read_once

    @property
    def _read_once(self) -> bool:
        return self._transform is None

    def read(self, image: Image.Image, seed: int) -> NDArray[np.uint8]:
        """What is done as an image is read: RGB image to uint8 (3, S, S)."""
        if self._transform:
            return self._transform(image, seed)
        return center_crop(image, self._preprocessing)

    def batch(self, images: torch.Tensor, keys: NDArray[np.uint64], labeled: int) -> torch.Tensor:
        """The rest, on uint8 images (B, 3, S, S), of which the first ones are labeled, and keys."""
        if self.unlabeled is self:
            return self.on_device(images, keys)
        first = self.on_device(images[:labeled], keys[:labeled])
        return torch.cat([first, self.unlabeled.on_device(images[labeled:], keys[labeled:])])

    def on_device(self, images: torch.Tensor, keys: NDArray[np.uint64]) -> torch.Tensor:
        """The rest for images of one stream, uint8 (B, 3, S, S), with a key each."""
        # An eighth is 4 px at 32 px, as in the official SVHN recipe and the usual one of CIFAR.
        generation, pad = self._generation, self.image_size // 8
        # Crop and mirror come first, but are done already where images were read one by one.
        if self._read_once and generation.crop == "pad":
            images = pad_crop(images, keys, pad, "zero")
        if self._read_once and generation.flip:
            images = flip(images, keys, generation.flip)
        if self._paper:
            images = self._paper(images, keys)
        if generation.cutout:
            images = cutout(images, keys, generation.cutout)
        if generation.crop == "reflect-pad":
            images = pad_crop(images, keys, pad, "reflect")
        return images

    def whole(self, image: Image.Image, seed: int) -> NDArray[np.uint8]:
        """Both parts for a single RGB image, uint8 (3, S, S)."""
        read = torch.from_numpy(self.read(image, seed))[None]
        key = np.array([seed % 2**64], np.uint64)  # seeds may be hashes of 128 bits
        return self.on_device(read, key)[0].numpy()
