"""Work that is shared among threads."""

import threading

import pytest
import torch

from nsbench.pixels.threads import run_in_threads

CPU = torch.device("cpu")


@pytest.mark.parametrize("threads", [1, 2])
def test_all_slices_are_worked_on_with_one_thread_each(threads: int) -> None:
    seen: list[tuple[int, int, int]] = []
    torch.set_num_threads(threads)  # set back after each test

    def work(rows: slice) -> None:
        seen.append((rows.start, threading.get_ident(), torch.get_num_threads()))

    run_in_threads(work, [slice(n, n + 2) for n in range(0, 8, 2)], CPU)
    assert sorted(start for start, _, _ in seen) == [0, 2, 4, 6]
    assert {count for _, _, count in seen} == {1}
    # With one thread there is none but the caller's; else the caller waits.
    assert ({threading.get_ident()} == {name for _, name, _ in seen}) == (threads == 1)
    assert torch.get_num_threads() == threads


def test_what_a_thread_raises_is_raised() -> None:
    torch.set_num_threads(2)

    def work(rows: slice) -> None:
        raise ValueError(f"row {rows.start}")

    with pytest.raises(ValueError, match="row 3"):
        run_in_threads(work, [slice(3, 4)], CPU)
    assert torch.get_num_threads() == 2
