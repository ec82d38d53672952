"""What torchrun says of a process; anything else is one sentence."""

import pytest

from nsbench.util.errors import NsbenchError
from nsbench.util.launched import check_complete, is_first, local_rank, process_count


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert (process_count(), local_rank(), is_first()) == (1, 0, True)


@pytest.mark.parametrize("text", ["", "abc", "0", "-1", "1.5", "²", "9" * 5000])
def test_a_number_that_is_none_is_told(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", text)
    with pytest.raises(NsbenchError, match="WORLD_SIZE is '.*', which is no number of processes"):
        process_count()


def test_a_process_that_cannot_find_the_others_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(NsbenchError, match="WORLD_SIZE is 2, but RANK is not set: start several"):
        check_complete()
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    check_complete()
    assert not is_first()
