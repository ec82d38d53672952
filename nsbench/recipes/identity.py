"""What makes two recipes the same recipe."""

from typing import Any

from nsbench.recipes.recipe import Recipe


def recipe_identity(recipe: Recipe, *, with_seed: bool = True) -> dict[str, Any]:
    """The recipe as JSON-like data, without the keys that do not change the result.

    with_seed: without its seed otherwise, which is all that runs of several seeds differ in.
    """
    # Nor does where its images lie: their content is compared once they are opened.
    left_out: dict[str, Any] = dict.fromkeys(Recipe.RUNNING, True)
    left_out |= {"data": {"labeled": True, "unlabeled": True}}
    if not with_seed:
        left_out["seed"] = True
    return recipe.model_dump(mode="json", exclude=left_out)
