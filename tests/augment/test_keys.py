import numpy as np

from nsbench.augment.keys import image_keys, integers, uniform
from nsbench.util.randomness import stable_hash

SPLITMIX64_FROM_0 = (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F)


def test_draws_are_published_values_of_splitmix64() -> None:
    key = np.zeros(1, np.uint64)
    for purpose, expected in enumerate(SPLITMIX64_FROM_0):
        assert uniform(key, purpose)[0] == (expected >> 11) / 2**53
        assert integers(key, purpose, 1000)[0] == (expected >> 32) * 1000 >> 32


def test_keys_are_those_of_a_plain_implementation() -> None:
    keys = image_keys(3, "labeled", np.array([0, 1, 2**40]))
    for position, key in zip((0, 1, 2**40), keys.tolist(), strict=True):
        bits = (stable_hash(3, "labeled") + (position + 1) * 0x9E3779B97F4A7C15) % 2**64
        bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB % 2**64
        assert key == bits ^ (bits >> 31)


def test_a_key_depends_on_seed_stream_and_position_alone() -> None:
    positions = np.arange(1000)
    keys = image_keys(0, "labeled", positions)
    shuffled = np.random.default_rng(0).permutation(1000)
    assert np.array_equal(image_keys(0, "labeled", positions[shuffled]), keys[shuffled])
    others = (image_keys(1, "labeled", positions), image_keys(0, "unlabeled", positions))
    assert len(np.unique(np.concatenate((keys, *others)))) == 3000


def test_numbers_are_uniform() -> None:
    keys = image_keys(0, "labeled", np.arange(100_000))
    for purpose in (0, 1, 17):
        values = uniform(keys, purpose)
        assert values.min() >= 0
        assert values.max() < 1
        counts = np.bincount((values * 100).astype(int), minlength=100)
        assert ((counts - 1000) ** 2 / 1000).sum() < 160  # chi squared, 99 degrees of freedom
        counts = np.bincount(integers(keys, purpose, 7), minlength=7)
        assert len(counts) == 7
        assert ((counts - 1e5 / 7) ** 2 / (1e5 / 7)).sum() < 30


def test_purposes_and_neighbours_are_independent() -> None:
    keys = image_keys(0, "labeled", np.arange(100_001))
    first, second = uniform(keys, 8), uniform(keys, 9)
    for left, right in ((first, second), (first[1:], first[:-1]), (first[1:], second[:-1])):
        assert abs(np.corrcoef(left, right)[0, 1]) < 5 / np.sqrt(len(left))
        pairs = (left * 10).astype(int) * 10 + (right * 10).astype(int)
        counts = np.bincount(pairs, minlength=100)
        assert ((counts - len(left) / 100) ** 2 / (len(left) / 100)).sum() < 160
