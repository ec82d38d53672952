"""The list of recipes."""

import tomllib

import pytest
from typer.testing import CliRunner

from nsbench.commands.app import app
from nsbench.recipes.files import shipped
from nsbench.reporting.run_tables import recipes_table

PROMISED = ["quickstart", "cifar10-4k", "svhn", "stl10", "imagenet-l2", "imagenet-1k-modern"]
PROMISED += [f"imagenet-b{size}" for size in range(8)]


def test_every_promised_recipe_is_listed_with_its_chain() -> None:
    facts = {fact["name"]: fact for fact in recipes_table().data}
    assert set(PROMISED) <= set(facts)
    assert facts["cifar10-4k"]["about"] == (
        "CIFAR-10 with 4,000 labels: a teacher, a student as large, and one twice as wide."
    )
    chain = facts["imagenet-l2"]["chain"].split(" → ")
    assert [link.split()[0] for link in chain] == ["tf_efficientnet_b7"] + 3 * [
        "tf_efficientnet_l2"
    ]


@pytest.mark.parametrize("name", shipped())
def test_every_head_tells_command_hardware_result_and_whether_it_was_run(name: str) -> None:
    text = shipped()[name].read_text()
    head = text[: text.index("name =")]
    assert all(line.startswith("#") or not line for line in head.splitlines())
    assert f"nsbench train {name}" in head
    for word in ("# Command: ", "# Hardware: ", "# Expected result: "):
        assert word in head
    assert ("# Run by us" in head) != ("# Not run" in head)


def test_a_recipe_is_printed_to_copy() -> None:
    done = CliRunner().invoke(app, ["recipes", "svhn"])
    assert done.exit_code == 0
    assert done.stdout == shipped()["svhn"].read_text()
    assert tomllib.loads(done.stdout)["defaults"]["steps"] == 109474
