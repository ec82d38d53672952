"""Which images of a source are taken."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nsbench.data.open import open_source
from nsbench.data.subset import sample, select_per_class
from nsbench.util.errors import NsbenchError
from nsbench.util.randomness import stable_hash
from tests.data.readers.kinds import spec


def test_a_choice_per_class_is_stable_and_balanced(image_folder: Path) -> None:
    source = open_source(spec(str(image_folder)))
    chosen = select_per_class(source, 2, "the suite")
    assert source.labels is not None
    assert source.labels[chosen].tolist() == [0, 0, 1, 1]
    assert set(select_per_class(source, 1, "x")) < set(chosen)
    # the choice of a suite, which no seed may change
    ranked = sorted(source.ids, key=stable_hash)
    assert {source.ids[index] for index in chosen} == {
        name for label in ("cat", "dog") for name in [n for n in ranked if label in n][:2]
    }
    with pytest.raises(NsbenchError, match="asks for 4 images a class, but class 'cat' .* has 3"):
        select_per_class(source, 4, "the suite")


class Numbered:
    """Labeled images that have only names: 3 of class 0, 40 of each of the others."""

    def __init__(self, ending: str = "") -> None:
        self.labels = np.repeat(np.arange(5), [3, 40, 40, 40, 40])
        self.ids = [f"{label}/{row}{ending}" for row, label in enumerate(self.labels)]


def test_a_sample_is_of_all_classes_and_the_same_wherever_images_lie() -> None:
    folder: Any = Numbered(".JPEG")
    everything = np.arange(163)
    chosen = sample(folder, everything, 50, by_class=True)
    assert np.bincount(folder.labels[chosen]).tolist() == [3, 10, 10, 10, 10]
    assert (np.diff(chosen) > 0).all()
    table: Any = Numbered()
    table.ids = [name.split("/")[1] for name in table.ids]
    assert (sample(table, everything, 50, by_class=True) == chosen).all()
    few = sample(folder, everything, 20, by_class=False)
    assert len(few) == 20
    assert set(few) <= set(sample(folder, everything, 30, by_class=False))
    assert (sample(folder, everything, 200, by_class=True) == everything).all()
