"""Another layer in the place of one, under all names that it has, and whether the model runs so."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from shoestring.kit.surgery.cutting import answers
from shoestring.kit.tracing.example import Example
from shoestring.kit.weights.copying import clone
from shoestring.kit.weights.parameters import bake


def put_in_place(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a layer in the place of another, under every name that the model has for it."""
    paths = [path for path, module in model.named_modules(remove_duplicate=False) if module is old]
    for path in paths:
        parent, _, last = path.rpartition(".")
        setattr(model.get_submodule(parent), last, new)


def replaced(model: nn.Module, name: str, new: nn.Module) -> nn.Module:
    """A copy of the model with a copy of `new` in the place of a layer, under all its names."""
    model, copied = clone(model), clone(new)
    put_in_place(model, model.get_submodule(name), copied)
    return model


def failure(model: nn.Module, examples: Sequence[Example]) -> str:
    """How a model fails on examples, as it would be in a file; "" where it does not fail."""
    try:
        with torch.no_grad():
            answers(bake(clone(model)).eval().cpu(), examples)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
