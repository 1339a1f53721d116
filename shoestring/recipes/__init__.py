"""Recipes: published results from end to end, each with the numbers to expect.

A recipe is a function with a record beside it: see `Recipe`. `recipes()` lists the records without
importing torch. `shoestring.recipes.NAME` is the function of a recipe, whose file is imported when
it is first used. A new recipe is a file in this folder and a test; there is no list to extend.
"""

from importlib import import_module
from typing import Any

from shoestring.artifact.errors import missing
from shoestring.recipes.listing import recipe, recipes
from shoestring.recipes.record import Line, Measure, Published, Recipe, Results

__all__ = ["Line", "Measure", "Published", "Recipe", "Results", "recipe", "recipes"]


def __getattr__(name: str) -> Any:
    if name not in recipes():
        raise AttributeError(
            f"module 'shoestring.recipes' has no attribute {name!r}: no recipe is called so"
        )
    try:
        return getattr(import_module(recipes()[name].module), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise missing(
            "torch", "onnx", "onnxscript", extra="train", what=f"the recipe {name} trains"
        ) from None


def __dir__() -> list[str]:
    return sorted({*globals(), *recipes()})
