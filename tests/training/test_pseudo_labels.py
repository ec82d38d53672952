import numpy as np
import pytest

from nsbench.errors import NsbenchError
from nsbench.recipe import PseudoLabels
from nsbench.training.pseudo_labels import select

CLASSES = ("a", "b")


def probabilities(*of_a: float) -> np.ndarray:
    return np.array([[p, 1 - p] for p in of_a], dtype=np.float32)


def test_unconfident_images_are_dropped() -> None:
    settings = PseudoLabels(min_confidence=0.8, balance=False)
    chosen = select(probabilities(0.9, 0.7, 0.1, 0.5), settings, CLASSES, 0)
    assert chosen.rows.tolist() == [0, 2]
    assert chosen.summary["confident"] == 2


def test_large_classes_keep_their_most_confident_images() -> None:
    settings = PseudoLabels(per_class=2)
    rows = select(probabilities(0.6, 0.9, 0.8, 0.7, 0.1, 0.2), settings, CLASSES, 0).rows
    assert rows.tolist() == [1, 2, 4, 5]


def test_small_classes_are_repeated_evenly() -> None:
    settings = PseudoLabels(per_class=7)
    chosen = select(probabilities(0.9, 0.8, 0.7, 0.1), settings, CLASSES, 0)
    counts = np.bincount(chosen.rows)
    assert sorted(counts[:3]) == [2, 2, 3]
    assert counts[3] == 7
    assert chosen.summary["selected"] == 14
    assert chosen.summary["unique"] == 4
    assert chosen.summary["most_copies"] == 7
    assert chosen.summary["confident_per_class"] == {"a": 3, "b": 1}


def test_the_extra_copies_follow_the_seed() -> None:
    settings = PseudoLabels(per_class=50)
    many = probabilities(*np.linspace(0.55, 0.95, 40), 0.1)
    rows = [select(many, settings, CLASSES, seed).rows.tolist() for seed in (0, 0, 1)]
    assert rows[0] == rows[1]
    assert rows[0] != rows[2]


def test_the_quota_is_an_even_share_by_default() -> None:
    chosen = select(probabilities(0.9, 0.8, 0.7, 0.1), PseudoLabels(), CLASSES, 0)
    assert chosen.summary["selected"] == 4


def test_nothing_left_names_the_key() -> None:
    with pytest.raises(NsbenchError, match=r"pseudo_labels\.min_confidence = 0\.99"):
        select(probabilities(0.6), PseudoLabels(min_confidence=0.99), CLASSES, 0)
    with pytest.raises(NsbenchError, match="as class 'b'"):
        select(probabilities(0.6, 0.7), PseudoLabels(), CLASSES, 0)
