"""The recipes: a file each, which defines ``RECIPE``. Adding a recipe is adding a file."""

import importlib
import pkgutil
from functools import cache

from odeclaims.trained.specification import Recipe, Specification


@cache
def find_recipes() -> dict[str, Recipe]:
    """All recipes by their names.

    Raises:
        ValueError: for a file without a recipe, or two with one name.
    """
    found: dict[str, Recipe] = {}
    for each in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{each.name}")
        recipe = getattr(module, "RECIPE", None)
        if not isinstance(recipe, Recipe):
            raise ValueError(f"the file {each.name}.py of recipes defines no RECIPE, a Recipe")
        if recipe.name != each.name:
            raise ValueError(
                f"the recipe in {each.name}.py is named {recipe.name!r}, expected {each.name!r}"
            )
        found[recipe.name] = recipe
    return found


def find_specifications() -> dict[str, Specification]:
    """All networks that are published or are to be, by their names, seed by seed."""
    every = [s for recipe in find_recipes().values() for s in recipe.specifications()]
    return {s.name: s for s in sorted(every, key=lambda s: s.seed)}


def recipe_of(specification: Specification) -> Recipe:
    """The recipe by which a network is built and trained."""
    return find_recipes()[specification.recipe]
