import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nsbench.data.open import Source
from nsbench.data.readers.npy import ArraySource
from nsbench.data.transforms import center_crop, to_array
from nsbench.models import Classifier
from nsbench.pseudo_labels import predict as predict_module
from nsbench.pseudo_labels.job import LabelingJob
from nsbench.pseudo_labels.predict import predict
from nsbench.pseudo_labels.select import select
from nsbench.pseudo_labels.shards import write_shard
from nsbench.pseudo_labels.store import LabelStore
from nsbench.pseudo_labels.targets import dense
from nsbench.recipes.parts import PseudoLabels
from nsbench.util.errors import NsbenchError
from tests.pseudo_labels.label_stores import linear_teacher, noise_source, small_shards

CPU = torch.device("cpu")


def plain(teacher: Classifier, source: Source, indices: np.ndarray) -> np.ndarray:
    """Probabilities (N, C), image by image."""
    size = teacher.preprocessing
    rows = []
    for index in indices:
        image = torch.from_numpy(center_crop(source.image(int(index)), size))[None] / 255
        with torch.inference_mode():
            rows.append(teacher.logits(image).softmax(1)[0].numpy())
    return np.stack(rows)


def shard_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_confidences_of_half_precision_are_computed_in_float32(tmp_path: Path) -> None:
    source, teacher = noise_source(tmp_path / "images", 40), linear_teacher()
    indices = np.arange(40)

    class Half(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = teacher.module(images)
            return logits.half()

    halved = replace(teacher, module=Half())
    store = predict(LabelingJob(source, indices, CPU), halved, tmp_path / "labels")
    confidence = np.concatenate([shard.confidence for shard in store.shards()])
    wanted = []
    for index in indices:
        image = torch.from_numpy(center_crop(source.image(int(index)), teacher.preprocessing))
        with torch.inference_mode():
            wanted.append(float(halved.logits(image[None] / 255).double().softmax(1).max()))
    np.testing.assert_allclose(confidence, wanted, rtol=1e-5)
    assert (confidence != confidence.astype(np.float16)).any()


def test_labels_are_the_teachers_probabilities_on_clean_crops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_shards(monkeypatch, 50)
    source, teacher = noise_source(tmp_path / "images", 300), linear_teacher()
    indices = np.random.default_rng(0).permutation(300)[:130]
    store = predict(LabelingJob(source, indices, CPU, batch_size=48), teacher, tmp_path / "labels")
    expected = plain(teacher, source, indices)
    assert (store.indices(np.arange(130)) == indices).all()
    confidence = np.concatenate([shard.confidence for shard in store.shards()])
    np.testing.assert_allclose(confidence, expected.max(1), rtol=1e-5)
    full = dense(store.rows(np.arange(130)), 5).numpy()
    np.testing.assert_allclose(full, expected, atol=1e-3)  # half precision
    assert store.manifest["teacher_weights"] == teacher.weights_hash
    assert store.manifest["noise_seed"] is None


def test_so_many_classes_are_kept_as_asked_for(tmp_path: Path) -> None:
    source, teacher = noise_source(tmp_path / "images", 10), linear_teacher(30)
    for top_k, kept in [(1, 1), (25, 25), (40, 30)]:
        folder = tmp_path / str(top_k)
        store = predict(
            LabelingJob(source, np.arange(10), CPU, settings=PseudoLabels(top_k=top_k)),
            teacher,
            folder,
        )
        assert next(store.shards()).ids.shape == (10, kept)
    with pytest.raises(NsbenchError, match=r"another pseudo_labels\.top_k \(top k 40 not 3\)"):
        predict(
            LabelingJob(source, np.arange(10), CPU, settings=PseudoLabels(top_k=3)), teacher, folder
        )


class Stopped(Exception):
    """As if by Ctrl-C."""


class Watched:
    """A source that notes which images are asked for, and stops at one."""

    def __init__(self, source: Source, stop_at: int = -1) -> None:
        self._source, self._stop_at, self.asked = source, stop_at, list[int]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def image(self, index: int) -> Image.Image:
        if index == self._stop_at:
            raise Stopped
        self.asked.append(index)
        return self._source.image(index)


def test_finished_shards_are_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_shards(monkeypatch, 40)
    source, teacher = noise_source(tmp_path / "images", 200), linear_teacher()
    undisturbed, folder = tmp_path / "undisturbed", tmp_path / "labels"
    predict(LabelingJob(source, np.arange(200), CPU), teacher, undisturbed)
    with pytest.raises(Stopped):
        predict(LabelingJob(Watched(source, 170), np.arange(200), CPU), teacher, folder)
    times = {path: path.stat().st_mtime_ns for path in folder.glob("shard-*")}
    assert [path.name for path in sorted(times)] == [f"shard-0000{n}.arrow" for n in range(3)]
    broken = folder / "shard-00001.arrow"
    broken.write_bytes(broken.read_bytes()[:-9])
    watched = Watched(source)
    predict(LabelingJob(watched, np.arange(200), CPU), teacher, folder)
    assert sorted(watched.asked) == [*range(40, 80), *range(120, 200)]
    # the broken one is kept, under another name
    (aside,) = folder.glob("*.set-aside-*")
    assert aside.name == "shard-00001.arrow.set-aside-1"
    aside.unlink()
    assert shard_bytes(folder) == shard_bytes(undisturbed)
    assert all(path.stat().st_mtime_ns == times[path] for path in times if path != broken)


SCRIPT = """
import sys
from pathlib import Path
import numpy as np, torch
from nsbench.util import distributed
from nsbench.pseudo_labels import store
from nsbench.pseudo_labels.job import LabelingJob
from nsbench.pseudo_labels.predict import predict
from tests.pseudo_labels.label_stores import linear_teacher, noise_source

store.SHARD_SIZE = 40
device = distributed.start(torch.device("cpu"))
source = noise_source(Path(sys.argv[1]) / f"images-{distributed.rank()}", 180)
source.version = "the same"
job = LabelingJob(source, np.arange(180), device, batch_size=16)
store = predict(job, linear_teacher(), Path(sys.argv[1]) / "labels")
assert len(store.rows(np.arange(180)).ids) == 180
distributed.stop()
"""


def test_two_processes_write_the_same_files_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_shards(monkeypatch, 40)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = Path(__file__).parents[2]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *launch, str(script), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    source = noise_source(tmp_path / "images", 180)
    source.version = "the same"
    # their source has another path
    monkeypatch.setattr(source, "name", str(tmp_path / "images-0" / "images.npy"))
    predict(
        LabelingJob(source, np.arange(180), CPU, batch_size=16), linear_teacher(), tmp_path / "one"
    )
    assert shard_bytes(tmp_path / "labels") == shard_bytes(tmp_path / "one")


def test_short_of_memory_it_goes_on_with_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, teacher = noise_source(tmp_path / "images", 70), linear_teacher()
    expected = predict(LabelingJob(source, np.arange(70), CPU), teacher, tmp_path / "a")
    answer = teacher.module.forward

    def short(images: torch.Tensor) -> torch.Tensor:
        if len(images) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        found: torch.Tensor = answer(images)
        return found

    monkeypatch.setattr(teacher.module, "forward", short)
    found = predict(LabelingJob(source, np.arange(70), CPU), teacher, tmp_path / "b")
    one, other = (store.rows(np.arange(70)) for store in (found, expected))
    torch.testing.assert_close(dense(one, 5), dense(other, 5), atol=1e-3, rtol=0)


def test_with_noise_it_does_not_go_on_with_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, teacher = noise_source(tmp_path / "images", 30), linear_teacher()
    size = teacher.preprocessing

    def short(images: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(teacher.module, "forward", short)
    noisy = LabelingJob(source, np.arange(30), CPU, noise=lambda x, _: center_crop(x, size))
    with pytest.raises(NsbenchError, match=r"memory for 30 images at once.*teacher_noise = false"):
        predict(noisy, teacher, tmp_path / "labels")
    assert not list((tmp_path / "labels").glob("shard-*"))


def test_each_batch_of_a_noised_teacher_has_draws_of_its_own(tmp_path: Path) -> None:
    source, teacher = noise_source(tmp_path / "images", 32), linear_teacher(dropout=0.5)
    size = teacher.preprocessing
    job = LabelingJob(
        source, np.arange(32), CPU, batch_size=4, noise=lambda x, _: 0 * center_crop(x, size)
    )
    # The same image 32 times: what differs is what dropout drew.
    batches = dense(predict(job, teacher, tmp_path / "labels").rows(np.arange(32)), 5)
    assert len(np.unique(batches.reshape(8, -1), axis=0)) == 8


def test_answers_that_are_no_numbers_name_the_image(tmp_path: Path) -> None:
    source, teacher = noise_source(tmp_path / "images", 40), linear_teacher()
    answer = teacher.module.forward
    teacher.module.forward = lambda x: torch.where(
        (torch.arange(len(x)) == 7)[:, None], torch.inf, answer(x)
    )
    with pytest.raises(NsbenchError, match=r"linear 0 gives the image images-00000017 of"):
        predict(LabelingJob(source, np.arange(10, 40), CPU), teacher, tmp_path / "labels")
    assert not list((tmp_path / "labels").glob("shard-*"))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        # softmax makes 0 of it, which no probability would show
        (lambda x: x - torch.where(torch.arange(5) == 4, torch.inf, 0), "image .* are not finite"),
        (lambda x: x.repeat(2, 1), r"linear 0 returns a torch.float32 tensor of shape \(60, 5\)"),
        (lambda x: x[1:], r"linear 0 returns a torch.float32 tensor of shape \(29, 5\) for 30"),
        (lambda x: None, "linear 0 returns None: wrap it"),
        (lambda x: 1 / 0, "linear 0 cannot take 30 images of 8 px: ZeroDivisionError"),
    ],
)
def test_a_teachers_wrong_answers_are_no_labels(
    spoil: Callable[[torch.Tensor], Any], sentence: str, tmp_path: Path
) -> None:
    source, teacher = noise_source(tmp_path / "images", 40), linear_teacher()
    answer = teacher.module.forward
    teacher.module.forward = lambda x: spoil(answer(x))
    with pytest.raises(NsbenchError, match=sentence):
        predict(LabelingJob(source, np.arange(10, 40), CPU), teacher, tmp_path / "labels")
    assert not list((tmp_path / "labels").glob("shard-*"))


def test_a_few_broken_images_get_no_label_and_are_listed(
    tmp_path: Path, small_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from nsbench.data.open import FolderSource

    whole, teacher = FolderSource(small_folder), linear_teacher()
    job = LabelingJob(whole, np.arange(len(whole)), CPU)
    expected = next(predict(job, teacher, tmp_path / "whole").shards())
    (small_folder / "dog" / "3.png").write_bytes(b"no image")
    source = FolderSource(small_folder)
    lost = source.ids.index("dog/3.png")
    store = predict(replace(job, source=source), teacher, tmp_path / "labels")
    assert list(store.unreadable) == ["dog/3.png"]
    assert "1 image of" in (told := capfd.readouterr().err)
    assert "dog/3.png cannot be read" in told
    shard = next(store.shards())
    assert shard.confidence[lost] == -1
    others = np.arange(len(source)) != lost
    assert (shard.confidence[others] == expected.confidence[others]).all()
    settings = PseudoLabels(min_confidence=0.0, balance=False)
    summary = select(store, settings, teacher.classes or (), 0, tmp_path / "labels")
    assert summary["selected"] == len(source) - 1
    assert list(summary["unreadable"]) == ["dog/3.png"]


def test_too_many_broken_images_stop_the_labeling(tmp_path: Path, small_folder: Path) -> None:
    from nsbench.data.open import FolderSource

    for file in small_folder.rglob("*.png"):
        file.write_bytes(b"no image")
    source = FolderSource(small_folder)
    with pytest.raises(NsbenchError, match=r"cannot be read, such as: the image .*\.png"):
        predict(LabelingJob(source, np.arange(len(source)), CPU), linear_teacher(), tmp_path / "l")


def test_broken_images_count_over_all_that_was_labeled_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six of a first run and six of a second, neither of which is too many by itself."""
    small_shards(monkeypatch, 40)
    source = noise_source(tmp_path / "images", 80)
    names = [*range(34, 40), *range(40, 46)]

    class Broken(Watched):
        def image(self, index: int) -> Image.Image:
            if index in names:
                raise NsbenchError(f"the image {index} cannot be read")
            return super().image(index)

    job = LabelingJob(Broken(source), np.arange(80), CPU, batch_size=40)
    written: list[Path] = []

    def stops(path: Path, *rest: Any) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write_shard(path, *rest)

    monkeypatch.setattr(predict_module, "refuse_many", lambda *_: None)
    monkeypatch.setattr(predict_module, "write_shard", stops)
    with pytest.raises(KeyboardInterrupt):
        predict(job, linear_teacher(), tmp_path / "l")
    monkeypatch.undo()
    small_shards(monkeypatch, 40)
    with pytest.raises(NsbenchError, match="^12 of 80 images of .* cannot be read"):
        predict(job, linear_teacher(), tmp_path / "l")


def test_a_replaced_image_costs_its_own_shard_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    small_shards(monkeypatch, 40)
    teacher, folder = linear_teacher(), tmp_path / "labels"
    source = noise_source(tmp_path / "images", 200)
    predict(LabelingJob(source, np.arange(200), CPU), teacher, folder)
    pixels = np.load(tmp_path / "images" / "images.npy")
    pixels[50] = 0
    np.save(tmp_path / "images" / "images.npy", pixels)
    watched = Watched(ArraySource(tmp_path / "images" / "images.npy"))
    predict(LabelingJob(watched, np.arange(200), CPU), teacher, folder)
    assert sorted(watched.asked) == [*range(40, 80)]
    assert "shard-00001.arrow is of other images" in capfd.readouterr().err


def test_a_noised_teacher_draws_by_image_and_keeps_its_batch_norm(tmp_path: Path) -> None:
    source, teacher = noise_source(tmp_path / "images", 60), linear_teacher(dropout=0.5)
    seeds: dict[tuple[int, ...], int] = {}

    def noise(image: Image.Image, seed: int) -> np.ndarray:
        pixels = to_array(image)
        seeds[tuple(pixels[0, 0])] = seed
        return 255 - pixels

    state = {key: value.clone() for key, value in teacher.module.state_dict().items()}
    folders = [tmp_path / name for name in "abc"]
    for folder, some, seed in zip(
        folders, (slice(60), slice(60), slice(60)), (0, 0, 1), strict=True
    ):
        images = np.arange(60)[some]
        predict(LabelingJob(source, images, CPU, noise=noise, seed=seed), teacher, folder)
    one, same, other = (LabelStore(folder).rows(np.arange(60)) for folder in folders)
    assert torch.equal(one.probabilities, same.probabilities)
    assert not torch.equal(one.probabilities, other.probabilities)
    assert len(set(seeds.values())) == 60
    assert not any(module.training for module in teacher.module.modules())
    assert all(torch.equal(state[k], v) for k, v in teacher.module.state_dict().items())
    with pytest.raises(NsbenchError, match=r"a teacher with other noise \(noise seed 0 not None\)"):
        predict(LabelingJob(source, np.arange(60), CPU), teacher, folders[0])


def test_without_dropout_a_noised_teacher_answers_the_noised_images(tmp_path: Path) -> None:
    source, teacher = noise_source(tmp_path / "images", 40), linear_teacher()
    job = LabelingJob(source, np.arange(40), CPU, noise=lambda image, _: 255 - to_array(image))
    store = predict(job, teacher, tmp_path / "labels")
    inverted = noise_source(tmp_path / "inverted", 40)
    image = inverted.image
    inverted.image = lambda index: Image.fromarray(255 - np.asarray(image(index)))  # type: ignore[method-assign]
    expected = plain(teacher, inverted, np.arange(40))
    np.testing.assert_allclose(dense(store.rows(np.arange(40)), 5), expected, atol=1e-3)
