"""Results end to end: task, model, techniques and the number to expect. A recipe is a function."""

from shoestring.recipes.digits import digits_lenet

__all__ = ["digits_lenet"]
