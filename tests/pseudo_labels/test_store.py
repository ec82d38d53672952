import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nsbench.data.readers.npy import ArraySource
from nsbench.pseudo_labels.job import LabelingJob
from nsbench.pseudo_labels.shards import (
    make_shard,
    shard_flaw,
    write_shard,
)
from nsbench.pseudo_labels.store import (
    DECIDING_KEYS,
    LabelStore,
    check_manifest,
    is_store_of,
    prepare_store,
    shard_identity,
    store_manifest,
)
from nsbench.pseudo_labels.targets import SparseTargets, dense
from nsbench.util.errors import NsbenchError
from tests.pseudo_labels.label_stores import (
    distributions,
    linear_teacher,
    noise_source,
    small_shards,
    written_store,
)

CPU = torch.device("cpu")


def test_rows_come_back_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_shards(monkeypatch, 7)
    probabilities = distributions(40, 12)
    probabilities[14:21] = np.eye(12, dtype=np.float32)[:7]  # its shard keeps one class
    images = np.random.default_rng(1).permutation(1000)[:40]
    store = written_store(tmp_path, probabilities, images)
    assert len(store) == 40
    assert [shard.ids.shape[1] for shard in store.shards()][2] == 1
    positions = np.array([39, 0, 16, 15, 0, 38, 7])
    targets = store.rows(positions)
    assert targets.ids.dtype == torch.int64
    assert targets.probabilities.dtype == targets.rest.dtype == torch.float32
    assert (store.indices(positions) == images[positions]).all()
    assert store.index(38) == images[38]
    full = dense(targets, 12).numpy()
    # half precision has 11 bits; 0.1% of the mass was not kept
    np.testing.assert_allclose(full, probabilities[positions], atol=2e-3)
    assert (full.argmax(1) == probabilities[positions].argmax(1)).all()
    confidence = np.concatenate([shard.confidence for shard in store.shards()])
    assert (confidence == probabilities.max(1)).all()


@pytest.mark.parametrize("keep", [0, 100, 0.5, -1])
def test_a_broken_shard_is_found(tmp_path: Path, keep: float) -> None:
    store = written_store(tmp_path, distributions(100, 10))
    path = store.path(0)
    assert shard_flaw(path, {}) is None
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if 0 < keep < 1 else int(keep)])
    assert shard_flaw(path, {})
    with pytest.raises(NsbenchError, match=r"shard-00000\.arrow is missing or broken"):
        store.rows(np.array([3]))
    with pytest.raises(NsbenchError, match=r"shard-00000\.arrow is missing or broken"):
        list(store.shards())
    path.unlink()
    with pytest.raises(NsbenchError, match=r"lacks shard-00000\.arrow"):
        LabelStore(tmp_path)


def test_a_renewed_shard_is_read_anew(tmp_path: Path) -> None:
    first, second = distributions(10, 3, 0), distributions(10, 3, 1)
    store = written_store(tmp_path, first)
    store.rows(np.arange(10))
    written_store(tmp_path, second)
    os.utime(store.path(0), ns=(1, 1))
    np.testing.assert_allclose(dense(store.rows(np.arange(10)), 3), second, atol=2e-3)


def test_a_forked_process_reads_what_its_parent_has_open(tmp_path: Path) -> None:
    store = written_store(tmp_path, distributions(50, 4))
    here = store.rows(np.arange(50)).probabilities
    loader = torch.utils.data.DataLoader(
        _Items(store), batch_size=None, num_workers=2, multiprocessing_context="fork"
    )
    there = torch.cat([targets.probabilities for targets in loader])
    assert torch.equal(there, here)


class _Items(torch.utils.data.Dataset[SparseTargets]):
    def __init__(self, store: LabelStore) -> None:
        self.store = store

    def __len__(self) -> int:
        return 5

    def __getitem__(self, step: int) -> SparseTargets:
        return self.store.rows(np.arange(10 * step, 10 * step + 10))


def test_labels_that_differ_in_what_matters_are_refused(tmp_path: Path) -> None:
    source = noise_source(tmp_path / "images", 4)
    manifest = store_manifest(LabelingJob(source, np.arange(4), CPU), linear_teacher())
    folder = tmp_path / "labels"
    prepare_store(folder, manifest)
    prepare_store(folder, manifest | {"teacher": "renamed", "source": "moved"})
    for key in DECIDING_KEYS:
        with pytest.raises(NsbenchError, match="move the folder away to label again"):
            check_manifest(folder, manifest | {key: ["other"]})
    other = store_manifest(LabelingJob(source, np.arange(4), CPU), linear_teacher(seed=1))
    with pytest.raises(NsbenchError, match=r"another teacher \(weights 00000000… not 11111111…\)"):
        prepare_store(folder, other)
    size = manifest | {"preprocessing": {**manifest["preprocessing"], "image_size": 16}}
    with pytest.raises(NsbenchError, match=r"sees its images otherwise \(image size 8 not 16\)"):
        prepare_store(folder, size)
    renamed = manifest | {"classes": [*manifest["classes"][:-1], "new"]}
    with pytest.raises(NsbenchError, match=r"other classes \(classes class 4 not new\)"):
        prepare_store(folder, renamed)


def test_a_folder_is_the_store_of_its_own_images_and_settings_only(tmp_path: Path) -> None:
    source = noise_source(tmp_path / "images", 4)
    manifest = store_manifest(LabelingJob(source, np.arange(4), CPU), linear_teacher())
    folder = tmp_path / "labels"
    assert not is_store_of(folder, manifest)
    prepare_store(folder, manifest)
    assert is_store_of(folder, manifest)
    assert is_store_of(folder, manifest | {"teacher": "renamed"})
    assert not any(is_store_of(folder, manifest | {key: ["other"]}) for key in DECIDING_KEYS)


def test_a_shard_says_what_it_is_of(tmp_path: Path) -> None:
    source, _ = (noise_source(tmp_path / name, 4) for name in ("images", "others"))
    np.save(tmp_path / "others" / "images.npy", np.zeros((4, 8, 8, 3), np.uint8))
    other = ArraySource(tmp_path / "others" / "images.npy")
    job, rows = LabelingJob(source, np.arange(4), CPU), slice(0, 4)
    own = shard_identity(job, store_manifest(job, linear_teacher()), 0, rows)
    shard = make_shard(np.arange(4), np.zeros((4, 1), np.int64), np.ones((4, 1), np.float32), 5)
    path = tmp_path / "shard-00000.arrow"
    write_shard(path, shard, {**own, "unreadable": {}})
    assert shard_flaw(path, own) is None
    taught = shard_identity(job, store_manifest(job, linear_teacher(seed=1)), 0, rows)
    assert shard_flaw(path, taught) == "is of another labeling"
    for images in (replace(job, source=other), replace(job, indices=np.array([0, 1, 3, 2]))):
        manifest = store_manifest(images, linear_teacher())
        assert shard_flaw(path, shard_identity(images, manifest, 0, rows)) == "is of other images"


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    source = noise_source(tmp_path / "images", 4)
    manifest = store_manifest(LabelingJob(source, np.arange(4), CPU), linear_teacher())
    left = tmp_path / "b" / ".nsbench-shard-00000.arrow.abcd1234"
    left.parent.mkdir()
    left.write_bytes(b"half")
    prepare_store(tmp_path / "b", manifest)
    assert [path.name for path in left.parent.iterdir()] == ["manifest.json"]
