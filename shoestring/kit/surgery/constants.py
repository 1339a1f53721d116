"""Channels that hold the same number whatever the input is, found by running a model on inputs that
are NaN.

What depends on an input is NaN then, and what is a number is a constant: `Linear` of a row of zeros
gives its bias.
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
from torch.utils._pytree import tree_leaves, tree_map

from shoestring.artifact import tree
from shoestring.core import seeded
from shoestring.kit.surgery.dependency import ESCAPES, LAYERS, given_to
from shoestring.kit.tracing.example import Example
from shoestring.kit.tracing.exporter import quiet
from shoestring.kit.weights.parameters import parameters_of


@dataclass(frozen=True, eq=False)
class Taken:
    """What a layer takes in, over all its calls.

    `values`: the constant that each input channel holds, NaN where it holds none (channels,).
    `bias`: the place among the members of the bias that can take constants up; None where the layer
        has none, or pads with zeros.
    """

    values: Tensor
    bias: int | None


def constants(model: nn.Module, examples: Sequence[Example]) -> dict[int, Taken]:
    """What the layers of a plain model in evaluation mode take in, by the places of their weights
    among the members.

    Each entry is run twice at least, by different random numbers. Empty where the model decides by the
    values of its inputs.
    """
    found = _Constants(model)
    with contextlib.suppress(Exception), quiet(), torch.no_grad():
        runs = Counter(one.entry for one in examples)
        for seed, example in enumerate([*examples] * (2 if min(runs.values()) < 2 else 1)):
            with seeded(seed), found:
                found.unknown(example).run(model)
        return found.taken
    return {}


class _Constants(TorchFunctionMode):
    """Within, whatever depends on an unknown tensor is NaN, or unknown where it has no NaN, being
    of integers.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.taken: dict[int, Taken] = {}
        self._members = parameters_of(model)
        self._unknown: dict[int, Tensor] = {}  # with the tensors, so that no id is used twice

    def unknown(self, example: Example) -> Example:
        """The example with nothing known of it but its shapes."""

        def spoiled(leaf: Any) -> Any:
            return self._spoil(leaf.clone(), True) if isinstance(leaf, Tensor) else leaf

        return Example(
            tree.map(spoiled, example.args), tree.map(spoiled, example.kwargs), {}, example.entry
        )

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        unknown = any(id(one) in self._unknown for one in given)
        if not unknown and not any(_has_nan(one) for one in given):
            self._read(name, args, kwargs)
            return func(*args, **kwargs)
        if name in ESCAPES:
            raise ValueError("what the model does depends on the values of its inputs")
        if not unknown and self._read(name, args, kwargs):
            return self._layer(func, given_to(name, args, kwargs))
        answer = func(*args, **kwargs)
        results = [args[0]] if answer is None and name == "__setitem__" else answer
        # Some functions lose NaN: torch.sign() makes 0 of it.
        lost = unknown or not any(
            _has_nan(one) for one in tree_leaves(results) if isinstance(one, Tensor)
        )
        mine = {id(one) for one in given}
        spoiled = tree_map(lambda one: self._spoil(one, lost, in_place=id(one) in mine), results)
        return answer if answer is None else spoiled

    def _spoil(self, one: Any, lost: bool, *, in_place: bool = True) -> Any:
        """A result of what is unknown: NaN where that got lost."""
        if not isinstance(one, Tensor):
            return one
        if not one.is_floating_point():
            self._unknown[id(one)] = one
        elif lost:
            return one.fill_(math.nan) if in_place else torch.full_like(one, math.nan)
        return one

    def _layer(self, func: Callable, given: dict[str, Any]) -> Tensor:
        """What a layer gives: NaN where a weight that is not zero meets one, and only there."""
        x, weight = given["input"], given["weight"]
        answer = func(**given | {"input": x.nan_to_num(nan=0.0)})
        met = func(
            **given | {"input": x.isnan().to(x), "weight": (weight != 0).to(x), "bias": None}
        )
        return answer.masked_fill(met > 0, math.nan)

    def _read(self, name: str, args: tuple, kwargs: dict) -> bool:
        """Note what a layer takes in.

        False for a function that is no layer with a weight of the model.
        """
        given = given_to(name, args, kwargs) if name in LAYERS else {}
        if (place := self._members.index(given.get("weight"))) is None:
            return False
        rows = given["input"].movedim(-1 - LAYERS[name], -1)[None].flatten(0, -2)
        first = self.taken[place].values if place in self.taken else rows[0]
        if given.get("groups", 1) > 1:
            rows = first = rows.new_full((1, given["weight"].shape[1]), math.nan)
        # A constant that is not the same in every row depends on the position: on how near the
        # border is, say.
        same = ((rows - first).abs() <= 8 * torch.finfo(rows.dtype).eps * first.abs()).all(0)
        padding, bias = given.get("padding", 0), self._members.index(given.get("bias"))
        pads = padding != "valid" if isinstance(padding, str) else bool(torch.tensor(padding).any())
        if pads or "transpose" in name or (place in self.taken and self.taken[place].bias != bias):
            bias = None
        self.taken[place] = Taken(first.flatten().where(same, math.nan), bias)
        return True


def _has_nan(one: Tensor) -> bool:
    return one.is_floating_point() and bool(one.isnan().any())
