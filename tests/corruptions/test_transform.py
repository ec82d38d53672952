"""A random corruption in the pipelines of others."""

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.transforms_factory import create_transform
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from nsbench.corruptions import EXTRA_NAMES, RandomCorruption, corrupt
from tests.corruptions.test_corrupt import images

PHOTO = Image.fromarray(images(64)[0].permute(1, 2, 0).numpy())


def test_every_name_and_severity_is_drawn() -> None:
    torch.manual_seed(0)
    change = RandomCorruption(["brightness", "contrast"], [1, 5])
    batch = images()[:1]
    made = {corrupt(batch, n, s).numpy().tobytes() for n in change.names for s in (1, 5)}
    assert {change(batch).numpy().tobytes() for _ in range(60)} == made


def test_draws_follow_torchs_seed() -> None:
    change = RandomCorruption()
    torch.manual_seed(1)
    first = [np.asarray(change(PHOTO)) for _ in range(6)]
    torch.manual_seed(1)
    again = [np.asarray(change(PHOTO)) for _ in range(6)]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert len({image.tobytes() for image in first}) == 6


def test_p_is_a_probability() -> None:
    torch.manual_seed(0)
    change = RandomCorruption("brightness", [5], p=0.5)
    same = sum(change(PHOTO) is PHOTO for _ in range(200))
    assert 70 < same < 130
    assert RandomCorruption(p=0.0)(PHOTO) is PHOTO


def test_in_pipelines_of_torchvision_and_timm() -> None:
    change = RandomCorruption(EXTRA_NAMES)
    both = v2.Compose([change, v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    assert both(PHOTO).shape == (3, 64, 64)
    of_timm = create_transform(32, is_training=False)
    of_timm.transforms.insert(0, change)
    assert of_timm(PHOTO).shape == (3, 32, 32)


class Photos(Dataset[torch.Tensor]):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        return RandomCorruption("gaussian_noise")(images()[0])


def test_workers_of_a_loader_draw_apart() -> None:
    torch.manual_seed(0)
    batches = list(DataLoader(Photos(), batch_size=4, num_workers=2))
    assert len({image.numpy().tobytes() for batch in batches for image in batch}) == 8


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"names": ["frogs"]}, "no corruption 'frogs'; did you mean 'frost'"),
        ({"severities": [6]}, "severity is 6"),
        ({"names": []}, "a name and a severity at least"),
        ({"p": 1.5}, "p is 1.5, but must be from 0 to 1"),
    ],
)
def test_wrong_options_are_told_when_it_is_made(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        RandomCorruption(**options)  # type: ignore[arg-type]


def test_it_reads_well() -> None:
    assert repr(RandomCorruption("fog", [3])) == (
        "RandomCorruption(names=['fog'], severities=[3], p=1.0)"
    )
