"""The interface: shapes, errors, and bytes that depend on seed, image and cell alone."""

import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from nsbench import corruptions, perturbations
from nsbench.corruptions import EXTRA_NAMES, NAMES, corrupt, draw
from nsbench.corruptions._tables import SIZES, TABLES
from nsbench.pixels.draws import Draws

ALL = NAMES + EXTRA_NAMES
IDS = [f"class/{number}.png" for number in range(5)]
DETERMINISTIC = {
    "defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression",
    "gaussian_blur", "saturate",
}  # fmt: skip


def images(size: int = 32, count: int = 5) -> torch.Tensor:
    y, x = np.mgrid[:size, :size] * (255 / size)
    rng = np.random.default_rng(size)
    noise = rng.integers(0, 256, (count, 3, size, size))
    smooth = np.stack([x, y, (x + y) / 2])
    return torch.from_numpy((0.7 * smooth + 0.3 * noise).astype(np.uint8))


def test_the_names_are_in_the_published_order() -> None:
    assert NAMES[0] == "gaussian_noise"
    assert NAMES[-1] == "jpeg_compression"
    assert len(NAMES) == 15
    assert EXTRA_NAMES == ("speckle_noise", "gaussian_blur", "spatter", "saturate")
    assert set(TABLES) == set(ALL)
    assert all(tuple(table) == SIZES for table in TABLES.values())
    assert all(len(levels) == 5 for table in TABLES.values() for levels in table.values())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ALL)
def test_every_severity_changes_the_images(name: str, size: int) -> None:
    batch = images(size, 2)
    before = batch.clone()
    for severity in range(1, 6):
        changed = corrupt(batch, name, severity, ids=[1, 2])
        assert changed.shape == batch.shape
        assert changed.dtype == torch.uint8
        assert changed.is_contiguous()
        unblurred = size == 32 and name in ("defocus_blur", "glass_blur") and severity < 3
        assert (changed != batch).any() or unblurred
    assert torch.equal(batch, before)


@pytest.mark.parametrize("severity", (1, 2, 4))
@pytest.mark.parametrize("name", ALL)
def test_bytes_do_not_depend_on_batch_order_or_layout(name: str, severity: int) -> None:
    batch = images()
    whole = corrupt(batch, name, severity, ids=IDS)
    order = [3, 0, 4, 2, 1]
    mixed = corrupt(batch[order], name, severity, ids=[IDS[i] for i in order])
    parts = [corrupt(batch[[i]], name, severity, ids=[IDS[i]]) for i in range(5)]
    strided = corrupt(batch.contiguous(memory_format=torch.channels_last), name, severity, ids=IDS)
    assert torch.equal(mixed, whole[order])
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(strided, whole)


@pytest.mark.parametrize(("size", "severity"), [(224, 2), (299, 5), (40, 3)])
@pytest.mark.parametrize("name", ALL)
@pytest.mark.filterwarnings("ignore:images of 40")
def test_bytes_do_not_depend_on_threads(name: str, size: int, severity: int) -> None:
    batch = images(size, 5)
    torch.set_num_threads(1)
    alone = torch.cat([corrupt(batch[[i]], name, severity, ids=[IDS[i]]) for i in (0, 4)])
    torch.set_num_threads(2)
    whole = corrupt(batch, name, severity, ids=IDS)
    assert torch.get_num_threads() == 2
    assert torch.equal(whole[[0, 4]], alone)


@pytest.mark.parametrize("name", ALL)
def test_draws_follow_seed_and_id(name: str) -> None:
    batch = images(64, 1).expand(5, -1, -1, -1)
    first = corrupt(batch, name, 3, ids=IDS)
    assert torch.equal(corrupt(batch, name, 3, ids=IDS), first)
    random = name not in DETERMINISTIC
    assert (corrupt(batch, name, 3, ids=IDS, seed=1) != first).any() == random
    assert (first[0] != first[1]).any() == random
    assert (corrupt(batch, name, 3, ids=IDS[::-1]) != first).any() == random


def test_each_corruption_severity_seed_and_image_has_a_stream_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is made of draws differs by the constants anyway: so the streams are compared."""
    seen: list[bytes] = []

    class Kept(Draws):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            seen.extend(row.tobytes() for row in self._streams)

    monkeypatch.setattr(corruptions, "Draws", Kept)
    random = [name for name in ALL if name not in DETERMINISTIC]
    for name, severity, seed in product(random, range(1, 6), (0, 1)):
        device = torch.device("cpu")
        draw(name, severity, ["a", "b"], seed=seed, shape=(32, 32), device=device)
    assert len(seen) == len(set(seen)) == len(random) * 5 * 2 * 2


def test_ids_are_strings_numbers_or_a_tensor() -> None:
    batch = images()
    as_numbers = corrupt(batch, "fog", 3, ids=list(range(5)))
    assert torch.equal(corrupt(batch, "fog", 3, ids=torch.arange(5)), as_numbers)
    assert torch.equal(corrupt(batch, "fog", 3, ids=list(np.arange(5))), as_numbers)
    assert not torch.equal(corrupt(batch, "fog", 3, ids=IDS), as_numbers)


def test_an_empty_batch_stays_empty() -> None:
    assert corrupt(images()[:0], "snow", 1, ids=[]).shape == (0, 3, 32, 32)


@pytest.mark.filterwarnings("ignore:images of 33")
@pytest.mark.parametrize("name", ALL)
def test_images_may_be_oblong(name: str) -> None:
    batch = images(64)[..., :33]
    assert corrupt(batch, name, 5, ids=IDS).shape == batch.shape


def test_other_sizes_say_whose_constants_they_get() -> None:
    batch = images()
    with pytest.warns(UserWarning, match="images of 40 x 40 px get the constants of 32 px"):
        corrupt(images(40), "contrast", 1, ids=IDS)
    with pytest.warns(UserWarning, match="images of 300 x 250 px get the constants of 224 px"):
        corrupt(torch.zeros(1, 3, 250, 300, dtype=torch.uint8), "contrast", 1, ids=[0])
    assert corrupt(batch, "contrast", 1, ids=IDS).shape == batch.shape


def test_drawing_and_applying_apart_is_the_same() -> None:
    batch = images(64)
    for name in ALL:
        drawn = corruptions.draw(name, 4, IDS, shape=(64, 64), device=torch.device("cpu"))
        assert (drawn is None) == (name in DETERMINISTIC)
        assert torch.equal(
            corruptions.apply(batch, name, 4, drawn), corrupt(batch, name, 4, ids=IDS)
        )


def test_errors_name_the_fault() -> None:
    batch = images()
    with pytest.raises(ValueError, match="no corruption 'frogs'; did you mean 'frost'"):
        corrupt(batch, "frogs", 1, ids=IDS)
    for severity in (0, 6, 2.5, True):
        with pytest.raises(ValueError, match=f"severity is {severity}"):
            corrupt(batch, "fog", severity, ids=IDS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"uint8 images, or floats in \[0, 1\], not torch\.int32"):
        corrupt(batch.int(), "fog", 1, ids=IDS)
    with pytest.raises(ValueError, match=r"reach from 0 to \d+: corrupt images before"):
        corrupt(batch.float(), "fog", 1, ids=IDS)
    for wrong in (batch[0, 0], batch[:, :1], batch.permute(0, 2, 3, 1)):
        with pytest.raises(ValueError, match=r"or \(B, 3, H, W\), not"):
            corrupt(wrong, "fog", 1, ids=IDS)
    with pytest.raises(ValueError, match=r"before the severity here: corrupt\(image, 'fog', 3\)"):
        corrupt(batch, 3, "fog", ids=IDS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 32 x 32 px, not 32 x 31"):
        corrupt(batch[..., :31, :], "fog", 1, ids=IDS)
    with pytest.raises(ValueError, match="4 ids for 5 images"):
        corrupt(batch, "fog", 1, ids=IDS[1:])


@pytest.mark.parametrize("severity", [0, 6, -1, 2.0, 2.5, True, np.True_, "3", None])
def test_severities_are_whole_numbers_from_1_to_5(severity: Any) -> None:
    some = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    calls: list[Callable[[], object]] = [
        lambda: corrupt(some, "fog", severity, ids=["a"]),
        lambda: corruptions.apply(some, "brightness", severity, None),
        lambda: corruptions.draw("fog", severity, ["a"], shape=(32, 32), device=some.device),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=f"severity is {severity!r}, but must be a whole"):
            call()


@pytest.mark.parametrize(
    ("ids", "sentence"),
    [
        (torch.tensor([0.0, 1.0]), "ids are strings or whole numbers, not 0.0"),
        ([None, None], "not None"),
        (torch.tensor([[0], [1]]), r"not \[0\]"),
        ([True, False], "not True"),
        ("ab", "give a list, not one string"),
        (["a"], "there is 1 id for 2 images"),
    ],
)
def test_ids_are_strings_or_whole_numbers(ids: Any, sentence: str) -> None:
    some = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    with pytest.raises(ValueError, match=sentence):
        corrupt(some, "fog", 1, ids=ids)
    with pytest.raises(ValueError, match=sentence):
        list(perturbations.frames(some, "tilt", ids=ids))


def test_whole_numbers_of_any_kind_are_the_same_ids() -> None:
    some = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    made = corrupt(some, "shot_noise", 1, ids=[3, 4])
    kinds: list[Any] = [torch.tensor([3, 4]), np.array([3, 4]), [np.int64(3), np.int32(4)]]
    for ids in kinds:
        assert (corrupt(some, "shot_noise", int(np.int64(1)), ids=ids) == made).all()
    for wrong in (some.tolist(), None, "cat.png", Path("cat.png")):
        with pytest.raises(ValueError, match="need a torch tensor, a NumPy array or a PIL image"):
            corrupt(wrong, "fog", 1, ids=[3, 4])


def kinds_of(batch: torch.Tensor) -> dict[str, Any]:
    """A batch of one image as everything that an image can be."""
    array = batch[0].permute(1, 2, 0).numpy()
    return {
        "tensor": batch[0],
        "batch": batch,
        "array": array,
        "arrays": array[None],
        "pil": Image.fromarray(array),
        "floats": batch[0].float() / 255,
        "halves": (batch.float() / 255).half(),
        "float arrays": array.astype(np.float64) / 255,
    }


def bytes_of(image: Any) -> NDArray[np.uint8]:
    """The pixels of an image of any kind, (H, W, 3)."""
    if isinstance(image, torch.Tensor):
        image = image.reshape(image.shape[-3:]).permute(1, 2, 0).numpy()
    pixels = np.asarray(image).reshape(np.shape(image)[-3:])
    scaled = pixels if pixels.dtype == np.uint8 else np.rint(255 * pixels.astype(np.float64))
    return np.asarray(scaled, dtype=np.uint8)


@pytest.mark.parametrize("kind", kinds_of(images()[:1]))
def test_an_image_stays_of_its_kind(kind: str) -> None:
    batch = images()[:1]
    image = kinds_of(batch)[kind]
    made = corrupt(image, "shot_noise", 3, ids=["a"], seed=2)
    assert type(made) is type(image)
    if kind == "pil":
        assert (made.mode, made.size) == (image.mode, image.size)
    else:
        assert (made.dtype, made.shape) == (image.dtype, image.shape)
    wanted = corrupt(batch, "shot_noise", 3, ids=["a"], seed=2)
    # Half precision has fewer values near 1 than bytes have.
    assert np.abs(bytes_of(made).astype(int) - bytes_of(wanted)).max() <= (kind == "halves")
    if kind != "halves":
        assert (bytes_of(image) == bytes_of(batch)).all()  # which is left as it is


def test_a_gray_pil_image_stays_gray() -> None:
    gray = Image.fromarray(images()[0, 0].numpy())
    made = corrupt(gray, "fog", 3, seed=0)
    assert (gray.mode, made.mode, made.size) == ("L", "L", gray.size)


def test_ids_may_be_left_out() -> None:
    batch = images()
    assert torch.equal(
        corrupt(batch, "fog", 3, seed=7), corrupt(batch, "fog", 3, ids=range(5), seed=7)
    )
    torch.manual_seed(0)
    first, second = corrupt(batch, "fog", 3), corrupt(batch, "fog", 3)
    assert not torch.equal(first, second)  # fresh each time
    torch.manual_seed(0)
    assert torch.equal(corrupt(batch, "fog", 3), first)


def test_arrays_that_may_not_be_written_are_taken_in_silence() -> None:
    array = images()[0].permute(1, 2, 0).numpy().copy()
    array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = corrupt(array, "fog", 3, ids=["a"])
    assert np.array_equal(made, corrupt(array.copy(), "fog", 3, ids=["a"]))
