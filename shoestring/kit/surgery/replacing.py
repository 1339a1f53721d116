"""Another layer in the place of one, under all names that it has, and whether the model runs so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from shoestring.kit.surgery.cutting import answers, differs
from shoestring.kit.tracing.example import Example
from shoestring.kit.weights.copying import clone
from shoestring.kit.weights.parameters import bake


def put_in_place(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a layer in the place of another, under every name that the model has for it."""
    paths = [path for path, module in model.named_modules(remove_duplicate=False) if module is old]
    for path in paths:
        parent, _, last = path.rpartition(".")
        setattr(model.get_submodule(parent), last, new)


def replaced(model: nn.Module, new: Mapping[str, nn.Module]) -> nn.Module:
    """A copy of the model with copies of `new` in the places of the layers of these names.

    A layer is replaced under all names that it has.
    """
    model = clone(model)
    for name, layer in new.items():
        put_in_place(model, model.get_submodule(name), clone(layer))
    return model


def failure(model: nn.Module, examples: Sequence[Example]) -> str:
    """How a model fails on examples, as it would be in a file; "" where it does not fail."""
    return _failure(bake(clone(model)).eval().cpu(), examples)


def those_needed(
    model: nn.Module, names: Iterable[str], examples: Sequence[Example]
) -> dict[str, str]:
    """The layers that the model does more with than to call them, each with what shows it.

    In the place of a layer comes an nn.Sequential of the layer, which computes the same: a model
    that then fails reads an attribute of the layer, and one that answers otherwise asks what the
    layer is. Tried in evaluation and in training mode; a model that does not repeat its own
    answers is only seen to fail.
    """
    plain = bake(clone(model)).cpu()
    modes = [
        mode for mode in (plain.eval(), clone(plain).train()) if not _failure(clone(mode), examples)
    ]
    expected = [(mode, _repeated(mode, examples)) for mode in modes]
    names = list(names)
    if not _why_needed(expected, names, examples):  # one run for all of them, in most models
        return {}
    return {name: why for name in names if (why := _why_needed(expected, [name], examples))}


def _why_needed(
    expected: Sequence[tuple[nn.Module, list[Tensor] | None]],
    names: Sequence[str],
    examples: Sequence[Example],
) -> str:
    """What shows that models do more with some of their layers than to call them; "" for nothing.

    `expected`: models in their modes, each with its answers or None where it does not repeat them.
    """
    for plain, wanted in expected:
        wrapped = clone(plain)
        for name in names:
            layer = wrapped.get_submodule(name)
            put_in_place(wrapped, layer, nn.Sequential(layer).train(layer.training))
        if why := _failure(clone(wrapped), examples):
            return f"the model fails with other layers in its place ({why})"
        with torch.no_grad():
            if wanted is not None and differs(wrapped, examples, wanted):
                return (
                    "the model answers otherwise with an nn.Sequential of the same layer in its "
                    "place: its forward() asks what the layer is"
                )
    return ""


def _repeated(model: nn.Module, examples: Sequence[Example]) -> list[Tensor] | None:
    """What a model answers; None where it does not answer the same a second time."""
    with torch.no_grad():
        got = answers(clone(model), examples)
        return None if differs(clone(model), examples, got) else got


def _failure(model: nn.Module, examples: Sequence[Example]) -> str:
    """How a model fails on examples in the mode that it is in; "" where it does not fail."""
    try:
        with torch.no_grad():
            answers(model, examples)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
