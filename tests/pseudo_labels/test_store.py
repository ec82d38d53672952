import os
from pathlib import Path

import numpy as np
import pytest
import torch

from nsbench.pseudo_labels.job import LabelingJob
from nsbench.pseudo_labels.shards import (
    is_whole,
    make_shard,
    write_shard,
)
from nsbench.pseudo_labels.store import (
    DECIDING_KEYS,
    LabelStore,
    check_manifest,
    prepare_store,
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
    assert is_whole(path, 100)
    assert not is_whole(path, 99)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if 0 < keep < 1 else int(keep)])
    assert not is_whole(path, 100)
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
        with pytest.raises(NsbenchError, match="delete the folder to label again"):
            check_manifest(folder, manifest | {key: ["other"]})
    other = store_manifest(LabelingJob(source, np.arange(4), CPU), linear_teacher(seed=1))
    with pytest.raises(NsbenchError, match=r"another teacher \(weights 00000000… not 11111111…\)"):
        prepare_store(folder, other)
    size = manifest | {"preprocessing": {**manifest["preprocessing"], "image_size": 16}}
    with pytest.raises(NsbenchError, match=r"sees its images otherwise \(image size 8 not 16\)"):
        prepare_store(folder, size)
    with pytest.raises(NsbenchError, match=r"other images \(indices"):
        prepare_store(
            folder,
            store_manifest(LabelingJob(source, np.array([0, 1, 3, 2]), CPU), linear_teacher()),
        )
    renamed = manifest | {"classes": [*manifest["classes"][:-1], "new"]}
    with pytest.raises(NsbenchError, match=r"other classes \(classes class 4 not new\)"):
        prepare_store(folder, renamed)


def test_a_folder_of_unknown_labels_is_refused_and_leftovers_removed(tmp_path: Path) -> None:
    source = noise_source(tmp_path / "images", 4)
    manifest = store_manifest(LabelingJob(source, np.arange(4), CPU), linear_teacher())
    shard = make_shard(np.arange(2), np.array([[0], [1]]), np.ones((2, 1), np.float32), 5)
    write_shard(tmp_path / "a" / "shard-00000.arrow", shard)
    with pytest.raises(NsbenchError, match="without a manifest.json"):
        prepare_store(tmp_path / "a", manifest)
    left = tmp_path / "b" / ".nsbench-shard-00000.arrow.abcd1234"
    left.parent.mkdir()
    left.write_bytes(b"half")
    prepare_store(tmp_path / "b", manifest)
    assert [path.name for path in left.parent.iterdir()] == ["manifest.json"]
