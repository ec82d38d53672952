"""What is drawn, against plain implementations and the distributions that it claims."""

import math

import numpy as np
import pytest
import torch

from nsbench.pixels.draws import Draws, normal_quantiles
from nsbench.util.files import sha256
from nsbench.util.randomness import stable_hash

CPU = torch.device("cpu")


def draws(*ids: int | str, seed: int = 3) -> Draws:
    return Draws(ids, seed, "fog/3", CPU)


def word(image_id: str, place: int) -> int:
    """A word of an image's stream, by whole numbers of Python."""
    value = stable_hash(3, image_id, "fog/3")
    state = ((value >> 64) + (place + 1) * (value % 2**64 | 1)) % 2**64
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
    return state ^ (state >> 31)


def bits(image_id: str, place: int, width: int) -> int:
    """Number `place` of so many bits, the lower ones of a word first."""
    each = 64 // width
    return word(image_id, place // each) >> width * (place % each) & (1 << width) - 1


def test_fields_are_those_of_a_plain_implementation() -> None:
    words = draws("a", "b").words(3, 5)
    assert words.shape == (2, 3, 5)
    assert words.dtype == torch.int32
    seen = words[1].flatten().numpy().view(np.uint32).tolist()
    assert seen == [bits("b", i, 32) for i in range(15)]
    uniform = draws("b").uniform(15)[0].tolist()
    assert uniform == [(bits("b", i, 32) >> 8) / 2**24 for i in range(15)]
    halves = draws("b").halves(7)
    assert halves[0].numpy().view(np.uint16).tolist() == [bits("b", i, 16) for i in range(7)]
    numbers = draws("a", "b").numbers(2)[1].tolist()
    assert numbers == [(word("b", i) >> 11) / 2**53 for i in range(2)]
    whole = draws("b").integers(-3, 3, 9)
    assert whole.dtype == torch.int8
    assert whole[0].tolist() == [(bits("b", i, 16) * 6 >> 16) - 3 for i in range(9)]
    table = normal_quantiles()
    normal = draws("b").normal(9)[0].tolist()
    low, high = ([bits("b", i, 32) >> shift & 0xFFFF for i in range(9)] for shift in (0, 16))
    assert normal == [table[i] + table[j] for i, j in zip(low, high, strict=True)]


def test_a_draw_goes_on_where_the_last_one_ended() -> None:
    some = draws("a")
    some.words(3)  # two words of 64 bits, half of the second unused
    some.numbers(1)
    assert some.words(2)[0].numpy().view(np.uint32).tolist() == [
        bits("a", place, 32) for place in (6, 7)
    ]


def test_an_image_draws_the_same_in_any_batch() -> None:
    whole = draws(*range(5)).normal(3, 4)
    for index in range(5):
        assert torch.equal(draws(index).normal(3, 4)[0], whole[index])
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(draws(0, seed=4).normal(3, 4)[0], whole[0])
    assert draws().normal(3, 4).shape == (0, 3, 4)


def test_what_is_drawn_stays_as_it_is() -> None:
    # Hashes of fields as they are by this version of the generators. Where one changes, so do the
    # pixels of earlier results: raise VERSION of corruptions and perturbations.
    made = {
        "words": draws("a", 7).words(3, 20, 20),
        "uniform": draws("a", 7).uniform(20, 20),
        "normal": draws("a", 7).normal(3, 20, 20),
        "integers": draws("a", 7).integers(-4, 4, 20, 20),
    }
    found = {name: sha256(field.numpy().tobytes())[:16] for name, field in made.items()}
    assert found == {
        "words": "88c4905616ac5ceb",
        "uniform": "0ac4a4c6e358e691",
        "normal": "051985c81aba18a8",
        "integers": "b22b8663a64bdfec",
    }


def test_sums_of_two_quantiles_are_normal() -> None:
    table = np.sort(normal_quantiles())
    assert abs(2 * np.mean(table**2) - 1) < 1e-7
    assert table.sum() == 0
    assert 2 * np.abs(table).max() == pytest.approx(6.1, abs=0.05)
    # The exact shares of all 2^32 sums below a threshold, beside the normal distribution's.
    for threshold in np.arange(-4.5, 4.6, 0.5):
        share = np.searchsorted(table, threshold - table, side="right").mean() / len(table)
        wanted = 0.5 * math.erfc(-threshold / math.sqrt(2))
        assert abs(share - wanted) < 1e-5, threshold
        assert abs(share / wanted - 1) < 0.06, threshold
    # A float32 holds each of them, and each sum of two.
    scaled = table * 2**20
    assert (scaled == np.round(scaled)).all()
    assert 2 * np.abs(scaled).max() < 2**24


def test_the_table_is_that_of_another_library() -> None:
    from statistics import NormalDist

    shares = (np.arange(2**16) + 0.5) / 2**16
    exact = np.array([NormalDist().inv_cdf(share) for share in shares.tolist()])
    exact *= 2**20 / math.sqrt(2 * np.mean(exact**2))
    assert (np.round(exact) == normal_quantiles() * 2**20).all()
    # None is so near to the middle of two multiples that a last bit could decide.
    assert np.abs(np.abs(exact - np.floor(exact)) - 0.5).min() > 1e-5


@pytest.mark.parametrize("high", [2, 3, 5, 10])
def test_whole_numbers_are_equally_likely(high: int) -> None:
    found = draws(*range(4)).integers(0, high, 30_000).flatten().long()
    counts = torch.bincount(found, minlength=high).double()
    assert len(counts) == high
    # Five standard deviations of a count.
    assert ((counts - 120_000 / high).abs() < 5 * (120_000 / high) ** 0.5).all()


def test_normal_numbers_are_independent() -> None:
    field = draws("a", "b").normal(200, 200)
    for shifted in (field.roll(1, -1), field.roll(1, -2), field.flip(0), field.roll(7, -1)):
        assert abs(float((field * shifted).mean())) < 4 / 80_000**0.5
    assert abs(float(field.mean())) < 4 / 80_000**0.5
    assert abs(float(field.var()) - 1) < 4 * (2 / 80_000) ** 0.5
