"""Suites whose changed images come from files, and sequences of whole photographs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nsbench import perturbations
from nsbench.data.open import SourceSpec, open_source
from nsbench.data.transforms import resized
from nsbench.models import load_model
from nsbench.predictions import read_cell
from nsbench.released import mp4
from nsbench.released.make import make_imagenet_c, make_imagenet_p
from nsbench.suites.scores import score
from nsbench.util.errors import NsbenchError
from tests.conftest import write_suite
from tests.evaluating import evaluate

NAMES = ["gaussian_noise", "glass_blur", "fog"]


@pytest.fixture
def digits_folder(tmp_path: Path) -> Path:
    """Five test digits of each class as files of different sizes."""
    source = open_source(SourceSpec(source="digits"))
    assert source.labels is not None
    for label in range(10):
        for number, index in enumerate(np.flatnonzero(source.labels == label)[:5]):
            path = tmp_path / "photos" / str(label) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            size = (32 + 3 * (number % 2), 36 + number % 3)
            source.image(int(index)).resize(size, Image.Resampling.BICUBIC).save(path)
    return tmp_path / "photos"


def corruption_suite(photos: Path, more: str, size: int = 32) -> str:
    text = f'kind = "corruption"\nsource = "{photos}"\nimage_size = {size}\nseverities = [1, 4]\n'
    return write_suite(photos.parent / "c.toml", f"{text}corruptions = {NAMES}\nseed = 5\n{more}")


def same_predictions(one: Path, other: Path, cells: list[str]) -> bool:
    pairs = [(read_cell(one, cell), read_cell(other, cell)) for cell in cells]
    return all((a.top == b.top).all() and a.ids == b.ids for a, b in pairs)


@pytest.mark.parametrize(
    ("layout", "lossless", "quality"),
    [
        ("folder", True, 0),
        ("folder", True, 85),
        ("folder", False, 85),
        ("npy", True, 0),
        ("npy", True, 85),
    ],
)
def test_files_and_the_fly_give_the_same_predictions(
    tiny_run: Path, digits_folder: Path, layout: str, lossless: bool, quality: int
) -> None:
    model, target = str(tiny_run / "generation-1"), digits_folder.parent / "made"
    severities = [1, 2, 3, 4, 5] if layout == "npy" else [1, 4]
    make_imagenet_c(
        str(digits_folder), target, corruptions=NAMES, severities=severities, image_size=32,
        seed=5, lossless=lossless, layout=layout, workers=1,
    )  # fmt: skip
    quality_line = f"jpeg_quality = {quality}\n"
    (fly,) = evaluate([model], [corruption_suite(digits_folder, quality_line)], device="cpu")
    from_files = corruption_suite(digits_folder, quality_line + f'files = "{target}"\n')
    (files,) = evaluate([model], [from_files], device="cpu", batch_size=7)
    assert files != fly
    assert same_predictions(fly, files, [f"{name}/{s}" for name in NAMES for s in (1, 4)])
    assert score(fly).metrics["error"].value == score(files).metrics["error"].value
    assert score(files).manifest["identity"]["generator"].startswith("the files ")
    assert not score(files).manifest["released_files"]  # but ours
    assert not score(fly).manifest["released_files"]


@pytest.mark.parametrize("layout", ["folder", "npy"])
def test_clips_and_the_fly_give_the_same_predictions(
    tiny_run: Path, digits_folder: Path, layout: str
) -> None:
    model, target = str(tiny_run / "generation-1"), digits_folder.parent / "made"
    names = ["shot_noise", "rotate", "shear"]
    make_imagenet_p(
        str(digits_folder), target, perturbations=names, difficulty=2, image_size=32,
        resize_size=34, lossless=True, layout=layout, workers=1,
    )  # fmt: skip
    text = f'kind = "perturbation"\nsource = "{digits_folder}"\nimage_size = 32\nresize_size = 34\n'
    text += f"perturbations = {names}\ndifficulty = 2\n"
    (fly,) = evaluate([model], [write_suite(target.parent / "p.toml", text)], device="cpu")
    suite = write_suite(target.parent / "p.toml", text + f'files = "{target}"\n')
    (files,) = evaluate([model], [suite], device="cpu", batch_size=7)
    assert same_predictions(fly, files, names)


def test_sequences_see_the_photograph_around_the_crop(tiny_run: Path, digits_folder: Path) -> None:
    model = str(tiny_run / "generation-1")
    text = f'kind = "perturbation"\nsource = "{digits_folder}"\nimage_size = 32\nresize_size = 33\n'
    suite = write_suite(digits_folder.parent / "p.toml", text + 'perturbations = ["translate"]\n')
    (folder,) = evaluate([model], [suite], device="cpu", batch_size=20)
    rows = read_cell(folder, "translate").top[:, 0].reshape(50, -1)
    source, classifier = (
        open_source(SourceSpec(source=str(digits_folder))),
        load_model(model, "cpu"),
    )
    shapes = set()
    for index in range(50):
        image = torch.from_numpy(resized(source.image(index), 33))[None]
        shapes.add(tuple(image.shape))
        clip = perturbations.frames(image, "translate", ids=[source.ids[index]], size=32)
        with torch.inference_mode():
            alone = [int(classifier.logits(frame / 255).argmax()) for frame in clip]
        assert rows[index].tolist() == alone
    assert len(shapes) > 3


@pytest.mark.parametrize("change", [slice(None, -1), slice(1, None)])
def test_a_clip_that_is_a_frame_short(
    tiny_run: Path, digits_folder: Path, monkeypatch: pytest.MonkeyPatch, change: slice
) -> None:
    target = digits_folder.parent / "made"
    make_imagenet_p(
        str(digits_folder), target, perturbations=["translate"], image_size=32, resize_size=34,
        lossless=True, layout="folder", workers=1,
    )  # fmt: skip
    text = f'kind = "perturbation"\nsource = "{digits_folder}"\nimage_size = 32\nresize_size = 34\n'
    suite = f'{text}perturbations = ["translate"]\nfiles = "{target}"\n'
    whole = mp4.decode_clip
    monkeypatch.setattr("nsbench.released.reader.decode_clip", lambda path: whole(path)[change])
    sentence = r"of translate in .*made has \d+ frames, but p needs \d+: remove that clip"
    with pytest.raises(NsbenchError, match=sentence):
        evaluate(
            [str(tiny_run / "generation-0")],
            [write_suite(target.parent / "p.toml", suite)],
            device="cpu",
        )


def test_sequences_of_224_px(tiny_run: Path, image_folder: Path) -> None:
    for number, folder in enumerate(sorted(image_folder.iterdir())):
        folder.rename(image_folder / str(number))
    text = (
        f'kind = "perturbation"\nsource = "{image_folder}"\nimage_size = 224\nresize_size = 256\n'
    )
    suite = write_suite(image_folder.parent / "p.toml", text + 'perturbations = ["translate"]\n')
    (folder,) = evaluate([str(tiny_run / "generation-0")], [suite], device="cpu")
    assert len(read_cell(folder, "translate").top) == 6 * 41
    assert 0 <= score(folder).metrics["flip_probability"].value <= 100


@pytest.mark.filterwarnings("ignore:images of")
def test_files_that_cannot_serve_a_suite(tiny_run: Path, digits_folder: Path) -> None:
    target, model = digits_folder.parent / "made", str(tiny_run / "generation-0")

    def fails(sentence: str, size: int = 32) -> None:
        suite = corruption_suite(digits_folder, f'files = "{target}"\n', size)
        with pytest.raises(NsbenchError, match=sentence):
            evaluate([model], [suite], device="cpu")

    fails("there is no folder .*made: nsbench make imagenet-c")
    make_imagenet_c(
        str(digits_folder), target, corruptions=NAMES[:2], severities=[1, 4], image_size=40,
        workers=1, layout="folder",
    )  # fmt: skip
    fails("has no folder or file for 'fog'; it has gaussian_noise, glass_blur")
    make_imagenet_c(
        str(digits_folder), target, corruptions=NAMES, severities=[1, 4], image_size=40,
        workers=1, layout="folder",
    )  # fmt: skip
    fails("was made with image_size 40, but c says 32: set it in the suite")
    (target / "nsbench.json").rename(target.parent / "hidden.json")
    fails("has the shape 3 x 40 x 40, but c needs 3 x 32 x 32: set its image_size")
    (target.parent / "hidden.json").rename(target / "nsbench.json")
    (target / "fog" / "4" / "3" / "2.JPEG").unlink()
    fails("there is no .*fog/4/3/2.JPEG: repeat the nsbench make", 40)
    (target / "fog" / "4" / "3" / "2.JPEG").write_bytes(b"no image")
    fails(r"of the image 3/2\.png in fog/4 is not as nsbench make wrote it", 40)


def test_files_of_another_crop_or_compression_are_refused(
    tiny_run: Path, digits_folder: Path
) -> None:
    target, model = digits_folder.parent / "made", str(tiny_run / "generation-0")
    make_imagenet_c(
        str(digits_folder), target, corruptions=NAMES, severities=[1, 4], image_size=32,
        resize_size=34, workers=1, layout="folder",
    )  # fmt: skip

    def fails(sentence: str, more: str) -> None:
        suite = corruption_suite(digits_folder, f'files = "{target}"\n{more}')
        with pytest.raises(NsbenchError, match=sentence):
            evaluate([model], [suite], device="cpu")

    fails("was made with resize_size 34, but c says 32", "")
    fails("with storage jpeg-85, but c says jpeg-0", "resize_size = 34\njpeg_quality = 0\n")


def test_other_files_are_another_result(tiny_run: Path, digits_folder: Path) -> None:
    target, model = digits_folder.parent / "made", str(tiny_run / "generation-0")
    make_imagenet_c(
        str(digits_folder), target, corruptions=NAMES, severities=[1, 4], image_size=32,
        workers=1, layout="folder",
    )  # fmt: skip
    (target / "nsbench.json").unlink()  # as if it was downloaded
    suite = corruption_suite(digits_folder, f'files = "{target}"\n')
    (before,) = evaluate([model], [suite], device="cpu")
    assert score(before).manifest["released_files"]
    assert evaluate([model], [suite], device="cpu") == [before]
    fog = target / "fog" / "4"
    fog.rename(target / "other")
    (target / "glass_blur" / "4").rename(fog)
    (target / "other").rename(target / "glass_blur" / "4")
    assert evaluate([model], [suite], device="cpu") != [before]
