"""The benchmark of training: its ratios are those of its figures."""

import pytest

from nsbench.bench.training import bench_train
from nsbench.util.errors import NsbenchError


def test_a_step_is_timed_beside_a_bare_one() -> None:
    found = bench_train("test_resnet", batch_size=8, steps=1, rounds=1, device="cpu")
    rates = {
        name.removesuffix("_images_per_second"): value
        for name, value in found.items()
        if name.endswith("_images_per_second")
    }
    assert all(rate > 0 for rate in rates.values())
    assert found["images_a_step"] == 32
    assert found["fraction_of_peak"] == rates["train"] / rates["bare"]
    assert found["labeling_fraction_of_peak"] == rates["labeling"] / rates["forward"]
    assert found["randaugment_speedup"] == rates["randaugment"] / rates["timm_randaugment"]


def test_a_wrong_precision_is_named() -> None:
    with pytest.raises(NsbenchError, match="'precision' is 'float8'"):
        bench_train("test_resnet", precision="float8", device="cpu")
