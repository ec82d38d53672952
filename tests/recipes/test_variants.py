"""Variants as data; how recipes take them is tested with the recipes."""

import pytest

from nsbench.recipes.variants import Variant, chosen, take_variants, varied
from nsbench.util.errors import NsbenchError


def test_all_or_some_in_the_order_of_the_recipe() -> None:
    known = ["b", "a", "c"]
    assert chosen(["all"], known, "r.toml") == known
    assert chosen(["c", "b", "c"], known, "r.toml") == ["b", "c"]
    with pytest.raises(NsbenchError, match=r"r\.toml has no variant 'd'; valid are a, b, c"):
        chosen(["a", "d"], known, "r.toml")
    with pytest.raises(NsbenchError, match=r"r\.toml has no variants: add a table"):
        chosen(["all"], [], "r.toml")


def test_a_table_is_left_as_it_was() -> None:
    table = {"name": "r", "generations": [{"arch": "x", "model_args": {}}, {"arch": "y"}]}
    variant = Variant(name="v", set=["generations.0.model_args.wide=2", "seed=1"], generations=1)
    assert varied(table, variant, "r.toml") == {
        "name": "r-v", "seed": 1, "generations": [{"arch": "x", "model_args": {"wide": 2}}],
    }  # fmt: skip
    assert table == {"name": "r", "generations": [{"arch": "x", "model_args": {}}, {"arch": "y"}]}


def test_they_are_taken_out_of_the_table() -> None:
    table = {"seed": 1, "variants": [{"name": "v", "set": ["seed=2"]}]}
    assert take_variants(table, "r.toml") == [Variant(name="v", set=["seed=2"])]
    assert table == {"seed": 1}
    assert take_variants(table, "r.toml") == []
