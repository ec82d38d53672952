from collections import Counter

import numpy as np
import pytest

from nsbench.util.randomness import feistel_permutation, generator, stable_hash


def test_hashes_are_the_same_on_every_machine() -> None:
    assert stable_hash("digits", 7) == 86251032987204265304340427801091898431
    assert stable_hash("ab", "c") != stable_hash("a", "bc")


def test_streams_depend_on_every_key() -> None:
    first = generator(0, "image", "fog/3").random(3).tolist()
    assert generator(0, "image", "fog/3").random(3).tolist() == first
    for other in (generator(1, "image", "fog/3"), generator(0, "image", "fog/4")):
        assert other.random(3).tolist() != first


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16, 17, 1000])
def test_permuted_is_a_permutation(count: int) -> None:
    found = feistel_permutation(np.arange(count), count, "some", "keys")
    assert sorted(found.tolist()) == list(range(count))
    assert feistel_permutation(np.array([count - 1]), count, "some", "keys")[0] == found[-1]


def test_permutations_are_uniform() -> None:
    # over many keys each of the 6 orders of 3 comes up about equally often
    orders = Counter(
        tuple(feistel_permutation(np.arange(3), 3, key).tolist()) for key in range(6000)
    )
    assert len(orders) == 6
    assert all(880 < count < 1120 for count in orders.values())  # 4 standard deviations
    # a random permutation has one fixed point on average, whatever its size
    fixed = [
        int((feistel_permutation(np.arange(500), 500, key) == np.arange(500)).sum())
        for key in range(400)
    ]
    assert 0.8 < np.mean(fixed) < 1.2


def finished(value: int) -> int:
    """SplitMix64's finisher, by whole numbers of Python."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
    return value ^ (value >> 31)


@pytest.mark.parametrize("count", [1, 2, 7, 64, 1000])
def test_permutations_are_those_of_eight_plain_rounds(count: int) -> None:
    """Other rounds would shuffle as well, but no earlier run could be repeated."""
    half = max(1, -(-max(count - 1, 1).bit_length() // 2))
    start = stable_hash(3, "labeled", 1) % 2**64
    rounds = [finished((start + n * 0x9E3779B97F4A7C15) % 2**64) for n in range(1, 9)]

    def place(value: int) -> int:
        left, right = value >> half, value % 2**half
        for key in rounds:
            mixed = finished((finished(right) + key) % 2**64) % 2**half
            left, right = right, left ^ mixed
        value = (left << half) | right
        return value if value < count else place(value)

    found = feistel_permutation(np.arange(count), count, 3, "labeled", 1)
    assert found.tolist() == [place(value) for value in range(count)]
    assert sorted(found.tolist()) == list(range(count))
