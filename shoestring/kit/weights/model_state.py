"""The values and weight states of a model as plain tensors, which can be pickled."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shoestring.kit.weights.copying import clone
from shoestring.kit.weights.parameters import bake, parameters_of

_PARTS = ("codebook", "indices", "scale", "reach", "mask")


@dataclass(frozen=True)
class ModelState:
    """A model's values and weight states as plain tensors, which pickle; `state_of` makes it.

    `values`: the raw tensor of each parameter and buffer, by its first name.
    `states`: the tensors of each weight's state (`codebook`, `indices`, `scale`, `reach`, `mask`).
    """

    values: dict[str, Tensor]
    states: dict[str, dict[str, Tensor]]


def state_of(model: nn.Module) -> ModelState:
    """Detached copies of a model's values and states, by the names of its weights."""
    values: dict[str, Tensor] = {}
    states: dict[str, dict[str, Tensor]] = {}
    for weight in parameters_of(model):
        values[weight.name] = weight.raw.detach().clone()
        if weight.state is not None:
            tensors = {name: getattr(weight.state, name) for name in _PARTS}
            states[weight.name] = {
                name: tensor.detach().clone()
                for name, tensor in tensors.items()
                if tensor is not None
            }
    return ModelState(values, states)


def with_state(model: nn.Module, state: ModelState) -> nn.Module:
    """A copy of a model with the state of a model of the same class and sizes.

    Raises ValueError where names or shapes of weights differ.
    """
    copied = bake(clone(model))
    weights = {weight.name: weight for weight in parameters_of(copied)}
    if weights.keys() != state.values.keys():
        raise ValueError(
            f"the state is of another model: {sorted(weights.keys() ^ state.values.keys())} are in "
            "one of them only"
        )
    for name, value in state.values.items():
        weight = weights[name]
        if weight.raw.shape != value.shape:
            raise ValueError(
                f"the state is of another model: {name} is {tuple(weight.raw.shape)}, not "
                f"{tuple(value.shape)}"
            )
        with torch.no_grad():
            weight.raw.copy_(value)
        known = state.states.get(name, {})
        if "codebook" in known:
            weight.share(known["codebook"].clone(), known["indices"].clone())
        if "scale" in known:
            weight.round(known["scale"].clone(), int(known["reach"]) if "reach" in known else None)
        if "mask" in known:
            weight.prune(known["mask"].clone())
    return copied
