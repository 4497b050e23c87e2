"""The recipes: a file each, which defines ``RECIPE``. Adding a recipe is adding a file."""

import importlib
import pkgutil
from functools import cache

from odeclaims.trained.specification import Recipe, Specification


@cache
def find_recipes() -> dict[str, Recipe]:
    """All recipes by their names."""
    modules = (
        importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)
    )
    return {module.RECIPE.name: module.RECIPE for module in modules}


def find_specifications() -> dict[str, Specification]:
    """All networks that are published or are to be, by their names, seed by seed."""
    every = [s for recipe in find_recipes().values() for s in recipe.specifications()]
    return {s.name: s for s in sorted(every, key=lambda s: s.seed)}


def recipe_of(specification: Specification) -> Recipe:
    """The recipe by which a network is built and trained."""
    return find_recipes()[specification.recipe]
