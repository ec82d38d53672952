"""`nsbench recipes`."""

from typing import Annotated

import typer

from nsbench.commands.completion import complete_recipe
from nsbench.commands.options import JsonFile

RECIPES_EXAMPLES = (
    "Examples:\n\n`nsbench recipes`\n\n`nsbench recipes cifar10-4k > my-recipe.toml`\n\n"
    "`nsbench recipes --keys`"
)


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A shipped recipe, to print its TOML file.", autocompletion=complete_recipe
        ),
    ] = None,
    keys: Annotated[bool, typer.Option("--keys", help="Explain every key of a recipe.")] = False,
    json: JsonFile = None,
) -> None:
    """List the shipped recipes, or print one to edit."""
    from nsbench.recipes.files import recipe_file
    from nsbench.reporting.key_tables import recipe_key_tables
    from nsbench.reporting.run_tables import recipes_table
    from nsbench.reporting.tables import print_table, print_tables

    if keys:
        print_tables(recipe_key_tables(), json)
    elif name:
        print(recipe_file(name).read_text(encoding="utf-8"), end="")
    else:
        print_table(recipes_table(), json)
