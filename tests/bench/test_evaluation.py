"""The benchmark of evaluations: its ratios are those of its figures, for one model and several."""

import pytest

from nsbench.bench.evaluation import bench_eval


@pytest.mark.parametrize("models", [1, 2])
def test_the_evaluation_is_timed_beside_its_parts(models: int) -> None:
    found = bench_eval("test_resnet", models=models, images=2, batch_size=2, device="cpu")
    evaluation, forward = (
        1 / found[f"{side}_images_per_second"] for side in ("evaluation", "forward")
    )
    assert found["fraction_of_peak"] == pytest.approx(forward / evaluation)
    corruption = 1 / found["corruption_images_per_second"] / models
    assert found["overhead"] == pytest.approx(evaluation / (forward + corruption))
    assert 0 < found["fraction_of_peak"] < 1.5
    assert found["decoding_share_of_cores"] > 0
    assert found["environment"]["device"].startswith("cpu")
