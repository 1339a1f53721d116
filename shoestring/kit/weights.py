"""The weight state: all that is known of a weight beyond its value, one for each parameter however many modules share it.

A technique reads the state that others left, extends it, and never needs to know who they were. Weights are chosen by
parameter, not by class of module.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrize

_OURS = ".parametrizations."


class State(nn.Module):
    """What is known of one weight, applied in this order: value, then mask.

    `codebook` (levels) and `indices` (the weight's shape) replace the value; `mask` (the weight's shape, bool) zeroes it.
    The codebook is a parameter: training it gives each level the sum of its weights' gradients.
    """

    codebook: nn.Parameter | None
    indices: Tensor | None
    mask: Tensor | None

    def __init__(self, trainable: bool) -> None:
        """`trainable`: whether the weight took part in training before it had a state."""
        super().__init__()
        self.trainable = trainable
        self.register_parameter("codebook", None)
        self.register_buffer("indices", None)
        self.register_buffer("mask", None)

    def forward(self, value: Tensor) -> Tensor:
        """The weight that the module computes with."""
        if self.codebook is not None and self.indices is not None:
            value = self.codebook[self.indices.int()]
        return value if self.mask is None else value * self.mask


@dataclass(frozen=True, eq=False)
class Weight:
    """A parameter or buffer of a model: its first name, every (module, attribute) that owns it, and its raw tensor."""

    name: str
    owners: tuple[tuple[nn.Module, str], ...]
    raw: Tensor
    is_parameter: bool

    @property
    def state(self) -> State | None:
        """Its state, None where nothing is known."""
        module, attribute = self.owners[0]
        if not parametrize.is_parametrized(module, attribute):
            return None
        first = module.parametrizations[attribute][0]  # type: ignore[index, operator]
        return first if isinstance(first, State) else None

    @property
    def mask(self) -> Tensor | None:
        """Its mask, None where nothing is pruned."""
        return self.state.mask if self.state is not None else None

    def value(self) -> Tensor:
        """The tensor that the module computes with, apart from any graph of gradients."""
        module, attribute = self.owners[0]
        with torch.no_grad():
            return getattr(module, attribute).detach()

    def attach(self) -> State:
        """Its state, made now where there is none."""
        if (state := self.state) is not None:
            return state
        state = State(self.raw.requires_grad)
        for module, attribute in self.owners:
            if parametrize.is_parametrized(module, attribute):
                raise TypeError(f"{self.name} is parametrized by something else: remove that first")
            # The same parameter and the same state for every owner: what is tied stays tied.
            parametrize.register_parametrization(module, attribute, state, unsafe=True)
        return state

    def prune(self, keep: Tensor) -> None:
        """Zero what `keep` (bool, the weight's shape) leaves out, for good."""
        state = self.attach()
        state.mask = keep if state.mask is None else state.mask & keep

    def share(self, codebook: Tensor, indices: Tensor) -> None:
        """Replace the value by `codebook[indices]`."""
        state = self.attach()
        state.codebook = nn.Parameter(codebook.detach().to(self.raw.dtype))
        if indices.numel() and int(indices.max()) < 256:
            indices = indices.to(torch.uint8)
        state.indices = indices
        self.raw.requires_grad_(False)


def members(model: nn.Module) -> list[Weight]:
    """Every distinct parameter and buffer, in the module's order; a tied one once, under its first name."""
    owners: dict[int, list[tuple[nn.Module, str]]] = {}
    names: dict[int, tuple[str, Tensor, bool]] = {}
    for prefix, module in model.named_modules(remove_duplicate=True):
        if isinstance(module, State | parametrize.ParametrizationList) or prefix.endswith(".parametrizations"):
            continue
        for attribute, raw, is_parameter in _direct(module):
            owners.setdefault(id(raw), []).append((module, attribute))
            names.setdefault(id(raw), (f"{prefix}.{attribute}".lstrip("."), raw, is_parameter))
    return [Weight(name, tuple(owners[key]), raw, is_parameter) for key, (name, raw, is_parameter) in names.items()]


def _direct(module: nn.Module) -> list[tuple[str, Tensor, bool]]:
    """A module's own (name, tensor, whether it is a parameter), parametrized ones under their plain names.

    In the order of the alphabet: that of registration changes when a parametrization comes or goes.
    """
    own: dict[str, tuple[Tensor, bool]] = {n: (p, True) for n, p in module._parameters.items() if p is not None}
    own |= {n: (b, False) for n, b in module._buffers.items() if b is not None}
    parametrized: Any = getattr(module, "parametrizations", {})
    for name, one in parametrized.items():
        if isinstance(original := getattr(one, "original", None), Tensor):
            own[name] = (original, isinstance(original, nn.Parameter))
    return [(name, *own[name]) for name in sorted(own)]


class SkippedWarning(UserWarning):
    """A technique left weights alone; the message names them and says why."""


def compressible(model: nn.Module, who: str, least: int = 0) -> list[Weight]:
    """The distinct floating-point parameters with two axes or more and `least` elements or more.

    Those that something else parametrizes are left alone, by name, with a SkippedWarning from `who`.
    """
    matrices = [w for w in members(model) if w.is_parameter and w.raw.is_floating_point() and w.raw.ndim >= 2]
    for module in model.modules():
        if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params()  # type: ignore[operator]:
            raise ValueError("the model has lazy modules that have not seen an input yet: call it once on an example first")
    foreign = [w for w in matrices if any(parametrize.is_parametrized(*owner) for owner in w.owners) and w.state is None]
    if foreign:
        names = ", ".join(w.name for w in foreign)
        warnings.warn(f"{who} skipped {names}: parametrized by something else", SkippedWarning, stacklevel=3)
    return [w for w in matrices if w not in foreign and w.raw.numel() >= least]


def bake(model: nn.Module) -> nn.Module:
    """Make every weight the plain parameter that its state amounts to, in place; returns the model."""
    for weight in members(model):
        if (state := weight.state) is None:
            continue
        value = weight.value().clone()
        first: nn.Parameter | None = None
        for module, attribute in weight.owners:
            parametrize.remove_parametrizations(module, attribute, leave_parametrized=False)
            if first is None:
                first = getattr(module, attribute)
                assert isinstance(first, nn.Parameter)
                first.data = value
                first.requires_grad_(state.trainable)
            else:
                setattr(module, attribute, first)
    return model


def clone(model: nn.Module) -> nn.Module:
    """A copy that shares nothing with the model, states included."""
    with _flattened(model):
        copied = copy.deepcopy(model)
    for module in copied.modules():
        if isinstance(module, nn.RNNBase):
            module._init_flat_weights()
    return copied


@contextmanager
def _flattened(model: nn.Module) -> Iterator[None]:
    """A recurrent network keeps a list of its weights that, after a forward with gradients, cannot be copied."""
    recurrent = [module for module in model.modules() if isinstance(module, nn.RNNBase)]
    kept = [(module, module._flat_weights, module._flat_weight_refs) for module in recurrent]
    for module in recurrent:
        module._flat_weights, module._flat_weight_refs = [], []
    try:
        yield
    finally:
        for module, flat, refs in kept:
            module._flat_weights, module._flat_weight_refs = flat, refs


@dataclass(frozen=True)
class ModelState:
    """A model's values and weight states as plain tensors, which pickle; made by `state_of`."""

    values: dict[str, Tensor]
    states: dict[str, dict[str, Tensor]]


def state_of(model: nn.Module) -> ModelState:
    """Values and states of a model, detached copies, by the plain names of its weights."""
    values: dict[str, Tensor] = {}
    states: dict[str, dict[str, Tensor]] = {}
    for weight in members(model):
        values[weight.name] = weight.raw.detach().clone()
        if weight.state is not None:
            known = {n: getattr(weight.state, n) for n in ("codebook", "indices", "mask")}
            states[weight.name] = {n: t.detach().clone() for n, t in known.items() if t is not None}
    return ModelState(values, states)


def with_state(model: nn.Module, state: ModelState) -> nn.Module:
    """A copy of `model` (of the same class, built alike) that has the state; raises ValueError where the two do not fit."""
    copied = bake(clone(model))
    found = {weight.name: weight for weight in members(copied)}
    if found.keys() != state.values.keys():
        raise ValueError(
            f"the state is of another model: {sorted(found.keys() ^ state.values.keys())} are in one of them only"
        )
    for name, value in state.values.items():
        weight = found[name]
        if weight.raw.shape != value.shape:
            raise ValueError(f"the state is of another model: {name} is {tuple(weight.raw.shape)}, not {tuple(value.shape)}")
        with torch.no_grad():
            weight.raw.copy_(value)
        known = state.states.get(name, {})
        if "codebook" in known:
            weight.share(known["codebook"].clone(), known["indices"].clone())
        if "mask" in known:
            weight.prune(known["mask"].clone())
    return copied


def check_finite(model: nn.Module) -> None:
    """Raises ValueError naming the first weight that holds NaN or infinity."""
    for weight in members(model):
        value = weight.value()
        if value.is_floating_point() and not torch.isfinite(value).all():
            bad = int((~torch.isfinite(value)).sum())
            raise ValueError(
                f"{weight.name} holds {bad} values that are NaN or infinite: the model has diverged; "
                "train it again with a smaller learning rate, or load an earlier checkpoint"
            )
