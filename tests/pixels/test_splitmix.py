"""One definition of the random bits, in NumPy, in torch, and as a kernel."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from nsbench.pixels import splitmix

CPU = torch.device("cpu")
STREAMS = np.array([[1234567, 0x9E3779B97F4A7C15], [2**64 - 1, 1], [0, 2**63 + 1]], np.uint64)
PUBLISHED = (  # of the seed 1234567, by splitmix64.c of Sebastiano Vigna (prng.di.unimi.it)
    *(6457827717110365317, 3203168211198807973, 9817491932198370423),
    *(4593380528125082431, 16408922859458223821),
)
TRITON = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")


def plain(first: int, count: int) -> list[list[int]]:
    """The definition, by whole numbers of Python."""
    rows = []
    for start, step in STREAMS.tolist():
        row = []
        for place in range(first, first + count):
            state = (start + (place + 1) * step) % 2**64
            state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
            state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
            row.append(state ^ (state >> 31))
        rows.append(row)
    return rows


def unsigned(words: torch.Tensor) -> list[list[int]]:
    found: list[list[int]] = words.numpy().view(np.uint64).tolist()
    return found


def test_words_are_published_ones() -> None:
    assert tuple(unsigned(splitmix.words(STREAMS, 0, 5, CPU))[0]) == PUBLISHED


@pytest.mark.parametrize(("first", "count"), [(0, 1), (7, 300), (0, 0)])
def test_words_are_the_definition_in_numpy_and_torch(first: int, count: int) -> None:
    wanted = plain(first, count)
    assert unsigned(splitmix.words(STREAMS, first, count, CPU)) == wanted
    streams = torch.from_numpy(STREAMS.view(np.int64))
    assert unsigned(splitmix.words_in_steps(streams, first, count)) == wanted


@TRITON
def test_words_are_the_definition_by_the_kernel() -> None:
    # In Triton's interpreter, which is chosen before the kernel is imported; more than one block.
    code = (
        "import torch; from nsbench.pixels import splitmix, _splitmix_triton as kernel\n"
        f"streams = torch.tensor({STREAMS.view(np.int64).tolist()})\n"
        "for first, count in ((0, 0), (7, 2 * kernel.BLOCK + 5)):\n"
        "    found = kernel.words_by_triton(streams, first, count)\n"
        "    assert torch.equal(found, splitmix.words_in_steps(streams, first, count))\n"
        "assert not kernel.words_by_triton(streams[:0], 0, 5).numel()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"TRITON_INTERPRET": "1"})


@TRITON
@pytest.mark.parametrize("capability", [75, 90])
def test_the_kernel_compiles_for_gpus(capability: int, tmp_path: pytest.TempPathFactory) -> None:
    code = (
        "import triton\n"
        "from triton.backends.compiler import GPUTarget\n"
        "from triton.compiler import ASTSource\n"
        "from nsbench.pixels._splitmix_triton import BLOCK, _fill\n"
        "types = {'out': '*i64', 'streams': '*i64', 'first': 'i32', 'count': 'i32'}\n"
        "source = ASTSource(_fill, {**types, 'BLOCK': 'constexpr'}, {'BLOCK': BLOCK})\n"
        f"made = triton.compile(source, target=GPUTarget('cuda', {capability}, 32))\n"
        "assert made.asm['cubin']\n"
    )
    # A cache of its own, so that nothing compiled earlier is found.
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={"TRITON_CACHE_DIR": str(tmp_path)}
    )


def test_without_triton_a_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "nsbench.pixels._splitmix_triton", None)
    splitmix.triton_kernel.cache_clear()
    try:
        assert splitmix.triton_kernel(torch.device("cuda", 7)) is None
        assert splitmix.triton_kernel(torch.device("cuda", 7)) is None
    finally:
        splitmix.triton_kernel.cache_clear()
    said = capsys.readouterr().err
    assert said.count("random numbers are drawn in more steps, as Triton fails here:") == 1


def test_other_devices_need_no_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    assert splitmix.triton_kernel(torch.device("mps")) is None
    assert not capsys.readouterr().err
