import pytest
import torch

from nsbench.util.device import AdaptiveBatchSize
from nsbench.util.errors import NsbenchError


def test_short_of_memory_it_goes_on_with_half(capfd: pytest.CaptureFixture[str]) -> None:
    memory, tried = AdaptiveBatchSize(), []

    def work(some: slice) -> torch.Tensor:
        tried.append(some.stop - some.start)
        if tried[-1] > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if tried[-1] > 3:
            raise MemoryError("NumPy says so")
        return torch.arange(some.start, some.stop)

    assert memory.in_parts(work, 10).tolist() == list(range(10))
    assert tried == [10, 5, 2, 2, 2, 2, 2]
    assert memory.in_parts(work, 2).tolist() == [0, 1]
    assert "going on with 2 images at once" in capfd.readouterr().err
    with pytest.raises(ValueError, match="another"):
        memory.in_parts(lambda _: (_ for _ in ()).throw(ValueError("another")), 3)

    def never(some: slice) -> torch.Tensor:
        raise torch.OutOfMemoryError

    with pytest.raises(NsbenchError, match="too little memory for one image"):
        memory.in_parts(never, 3)
