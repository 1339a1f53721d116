"""Channels that are constant whatever the input is, found by running a model on inputs of NaN.

What depends on an input is NaN then, and any number is a constant: `Linear` gives its bias for a
row of zeros.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from shoestring.artifact import tree
from shoestring.core import seeded
from shoestring.kit.surgery.layer_calls import ESCAPES, LAYERS, given_to
from shoestring.kit.tracing.example import Example, tensors
from shoestring.kit.tracing.exporter import quiet
from shoestring.kit.weights.parameters import parameters_of


@dataclass(frozen=True, eq=False)
class LayerInput:
    """What a layer takes in, over all its calls.

    `values`: the constant that each input channel holds, NaN where it holds none, (channels,).
    `bias`: the index, among the model's parameters, of the bias that can absorb the constants; None
        where the layer has no bias, or pads with zeros.
    """

    values: Tensor
    bias: int | None


def constants(model: nn.Module, examples: Sequence[Example]) -> dict[int, LayerInput]:
    """What the layers of a plain model in evaluation mode take in, by the indices of their weights.

    Each entry is run twice or more, with different random numbers. Empty where the model's control
    flow depends on the values of its inputs, or a run fails.
    """
    mode = _Constants(model)
    with contextlib.suppress(Exception), quiet(), torch.no_grad():
        runs = Counter(example.entry for example in examples)
        for seed, example in enumerate([*examples] * (2 if min(runs.values()) < 2 else 1)):
            with seeded(seed), mode:
                mode.unknown(example).run(model)
        return mode.inputs
    return {}


_OF_VALUES = (
    "nonzero", "argwhere", "masked_select", "unique", "unique_consecutive", "is_nonzero", "equal",
    "allclose", "bincount", "histc", "__contains__", "__repr__", "__format__",
)  # fmt: skip
"""Functions whose result has a shape, or is a number or text, that the values decide."""


def _selects(name: str, args: tuple) -> bool:
    """Whether a call chooses elements by a mask: how many come out depends on values."""
    if name == "where":
        return len(args) == 1
    if name != "__getitem__":
        return False
    masks = [one for one in tensors(args[1:]) if one.dtype in (torch.bool, torch.uint8)]
    return bool(masks)


class _Constants(TorchFunctionMode):
    """A context in which floating-point tensors that depend on an input are NaN.

    Integer tensors, which have no NaN, are remembered as unknown instead.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inputs: dict[int, LayerInput] = {}
        self._parameters = parameters_of(model)
        self._unknown: dict[int, Tensor] = {}  # with the tensors, so that no id is used twice

    def unknown(self, example: Example) -> Example:
        """The example, of which nothing but the shapes is known."""

        def spoiled(leaf: Any) -> Any:
            return self._spoil(leaf.clone(), True) if isinstance(leaf, Tensor) else leaf

        return Example(
            tree.map(spoiled, example.args), tree.map(spoiled, example.kwargs), {}, example.entry
        )

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        given = tensors((args, kwargs))
        unknown = any(id(one) in self._unknown for one in given)
        if not unknown and not any(_has_nan(one) for one in given):
            self._note(name, args, kwargs)
            return func(*args, **kwargs)
        if name in ESCAPES or name in _OF_VALUES or _selects(name, args):
            raise ValueError("what the model does depends on the values of its inputs")
        if not unknown and self._note(name, args, kwargs):
            return self._layer(func, given_to(name, args, kwargs))
        answer = func(*args, **kwargs)
        results = [args[0]] if answer is None and name == "__setitem__" else answer
        # Some functions lose NaN: torch.sign() makes 0 of it.
        lost = unknown or not any(_has_nan(one) for one in tensors(results))
        own = {id(one) for one in given}
        spoiled = tree.map(lambda one: self._spoil(one, lost, in_place=id(one) in own), results)
        return answer if answer is None else spoiled

    def _spoil(self, result: Any, lost: bool, *, in_place: bool = True) -> Any:
        """A result that depends on an input, as NaN where NaN was lost on the way."""
        if not isinstance(result, Tensor):
            return result
        if not result.is_floating_point():
            self._unknown[id(result)] = result
        elif lost:
            return result.fill_(math.nan) if in_place else torch.full_like(result, math.nan)
        return result

    def _layer(self, func: Callable, given: dict[str, Any]) -> Tensor:
        """The result of a layer, with NaN only where a nonzero weight meets NaN."""
        x, weight = given["input"], given["weight"]
        answer = func(**given | {"input": x.nan_to_num(nan=0.0)})
        met = func(
            **given | {"input": x.isnan().to(x), "weight": (weight != 0).to(x), "bias": None}
        )
        return answer.masked_fill(met > 0, math.nan)

    def _note(self, name: str, args: tuple, kwargs: dict) -> bool:
        """Note what a layer takes in; False for a function that is no layer of the model."""
        given = given_to(name, args, kwargs) if name in LAYERS else {}
        if (index := self._parameters.index(given.get("weight"))) is None:
            return False
        rows = given["input"].movedim(-1 - LAYERS[name], -1)[None].flatten(0, -2)
        seen = self.inputs.get(index)
        first = rows[0] if seen is None else seen.values
        if given.get("groups", 1) > 1:
            rows = first = rows.new_full((1, given["weight"].shape[1]), math.nan)
        # A number that differs between rows depends on the position, such as the distance from the
        # border, and is no constant of the channel.
        same = ((rows - first).abs() <= 8 * torch.finfo(rows.dtype).eps * first.abs()).all(0)
        padding, bias = given.get("padding", 0), self._parameters.index(given.get("bias"))
        pads = padding != "valid" if isinstance(padding, str) else bool(torch.tensor(padding).any())
        if pads or "transpose" in name or (seen is not None and seen.bias != bias):
            bias = None
        self.inputs[index] = LayerInput(first.flatten().where(same, math.nan), bias)
        return True


def _has_nan(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and bool(tensor.isnan().any())
