"""The words of `splitmix` as one kernel for a batch. Needs Triton, and a compiler that it finds."""

import torch
import triton
import triton.language as tl

BLOCK = 1024
"""Words of a program: enough to hide what starting one costs, and few enough to fill a GPU."""


@triton.jit(do_not_specialize=["first", "count"])  # type: ignore[untyped-decorator]
def _fill(out, streams, first, count, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Each program makes BLOCK words of one stream."""
    stream = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    start = tl.load(streams + 2 * stream).to(tl.uint64, bitcast=True)
    step = tl.load(streams + 2 * stream + 1).to(tl.uint64, bitcast=True)
    state = start + step * (place + first + 1).to(tl.uint64)
    # Unsigned, so that shifts bring in zeros.
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB
    state = state ^ (state >> 31)
    tl.store(out + stream * count + place, state.to(tl.int64, bitcast=True), mask=place < count)


def words_by_triton(streams: torch.Tensor, first: int, count: int) -> torch.Tensor:
    """As `splitmix.words_in_steps`, on a device that Triton compiles for."""
    out = torch.empty(len(streams), count, dtype=torch.int64, device=streams.device)
    if out.numel():  # Triton refuses a grid of no programs
        _fill[(len(out), triton.cdiv(count, BLOCK))](out, streams, first, count, BLOCK=BLOCK)
    return out
