import pytest
import torch
from torch import nn

from nsbench.errors import NsbenchError
from nsbench.recipe import Generation
from nsbench.training.schedule import WeightAverage, optimizer_for, schedule_for


def test_the_average_follows_tensorflows_ramp() -> None:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.0)
    average = WeightAverage(model, 0.5)
    with torch.no_grad():
        model.weight.fill_(1.0)
    kept = average.model.get_parameter("weight")
    expected = 0.0
    for update in range(1, 20):
        average.update(model)
        decay = min(0.5, (1 + update) / (10 + update))  # 2/11, 3/12, 4/13, … up to 0.5
        expected = decay * expected + (1 - decay)
        assert kept.item() == pytest.approx(expected, rel=1e-5)


def test_the_average_covers_batch_norm_and_counts() -> None:
    model = nn.BatchNorm1d(2)
    average = WeightAverage(model, 0.0)
    model.train()(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    average.update(model)
    for name, value in model.state_dict().items():
        assert torch.equal(average.model.state_dict()[name], value)
    assert not average.model.training


def test_cosine_with_warm_up() -> None:
    generation = Generation(arch="x", lr=1.0, warmup=0.1)
    optimizer = optimizer_for(nn.Linear(1, 1), generation)
    scheduler = schedule_for(optimizer, generation, 100, 100)
    rates = []
    for step in range(1, 101):
        scheduler.step_update(step)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert max(rates) == pytest.approx(1.0, abs=0.03)
    assert rates[49] == pytest.approx(0.5, abs=0.01)  # cos(pi / 2) at half way
    assert rates[-1] == pytest.approx(0.0, abs=1e-9)


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(NsbenchError, match="no optimizer 'adamv'; did you mean 'adam"):
        optimizer_for(nn.Linear(1, 1), Generation(arch="x", optimizer="adamv"))
    optimizer = optimizer_for(nn.Linear(1, 1), Generation(arch="x"))
    with pytest.raises(NsbenchError, match="no schedule 'cosin'; did you mean 'cosine'"):
        schedule_for(optimizer, Generation(arch="x", schedule="cosin"), 10, 10)
