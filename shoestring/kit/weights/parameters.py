"""The weights of a model and their states: one for each parameter, however many modules share it.

A technique reads the state that other techniques left and extends it. It chooses weights by
parameter, not by class of module.
"""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrize

from shoestring.core import unwrapped
from shoestring.kit.weights.copying import clone as clone
from shoestring.kit.weights.copying import flatten_again
from shoestring.kit.weights.parametrizations import PARAMETRIZED, is_masked, removal
from shoestring.kit.weights.state import State, state_in

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Weight:
    """A parameter or buffer of a model.

    `names`: its names in the model, several where it is tied.
    `owners`: the (module, attribute) that owns it, for each name.
    `raw`: its tensor, before its state changes it.
    `is_parameter`: False for a buffer.
    """

    names: tuple[str, ...]
    owners: tuple[tuple[nn.Module, str], ...]
    raw: Tensor
    is_parameter: bool

    @property
    def name(self) -> str:
        """The first name."""
        return self.names[0]

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers that own the weight, several where it is tied."""
        return tuple(dict.fromkeys(name.rpartition(".")[0] for name in self.names))

    @property
    def state(self) -> State | None:
        """The state; None where there is none."""
        return state_in(*self.owners[0])

    @property
    def is_foreign(self) -> bool:
        """Whether a parametrization other than State, or a hook, computes a weight from it.

        The older `torch.nn.utils.weight_norm` is such a hook.
        """
        return PARAMETRIZED in f".{self.name}" or any(_is_hooked(*owner) for owner in self.owners)

    @property
    def why_foreign(self) -> str:
        """What computes a weight from it, and the call that makes it a plain parameter."""
        name = _plain_name(self).rpartition(".")[2]
        calls = (
            removal(owner, name if PARAMETRIZED in f".{self.name}" else attribute)
            for owner, attribute in self.owners
        )
        call = next(filter(None, calls), "")
        return (
            "parametrized by something "
            f"else{f' ({call} makes a plain parameter of it)' if call else ''}"
        )

    @property
    def mask(self) -> Tensor | None:
        """The mask, bool; None where nothing is pruned."""
        return self.state.mask if self.state is not None else None

    def value(self) -> Tensor:
        """The tensor that the module computes with, detached."""
        module, attribute = self.owners[0]
        with torch.no_grad():
            return getattr(module, attribute).detach()

    def attach(self) -> State:
        """The state, created where there is none; raises TypeError where the weight is foreign."""
        if (state := self.state) is not None:
            return state
        if self.is_foreign:
            raise TypeError(f"{_plain_name(self)} is {self.why_foreign}: remove that first")
        state = State(self.raw.requires_grad)
        for module, attribute in self.owners:
            _renormalise(module, self.raw)
            # Every owner gets the same parameter and the same state: a tied weight stays tied.
            parametrize.register_parametrization(module, attribute, state, unsafe=True)
        return state

    def prune(self, keep: Tensor) -> None:
        """Zero the elements where `keep` is False (bool, the weight's shape), from now on."""
        state, keep = self.attach(), keep.to(self.raw.device)
        state.mask = keep if state.mask is None else state.mask & keep

    def share(self, codebook: Tensor, indices: Tensor) -> None:
        """Replace the value by `codebook[indices]`; the codebook of a frozen weight is frozen.

        `codebook`: the levels, (levels,).
        `indices`: integers of the weight's shape.
        """
        state = self.attach()
        state.codebook = nn.Parameter(codebook.detach().to(self.raw), requires_grad=state.trainable)
        state.indices = indices.to(
            self.raw.device, torch.uint8 if len(codebook) <= 256 else torch.int32
        )
        state.scale = state.reach = None
        self.raw.requires_grad_(False)

    def round(self, scale: Tensor, reach: int | None = None) -> None:
        """Round the value to integer multiples of a scale.

        A codebook that the weight has gives the values to round, and is dropped.
        `scale`: above 0. One number, (), or one for each slice along axis 0, (O, 1, 1, ...), or,
            for a matrix, one for each group of columns of each row, (O, groups).
        `reach`: the largest absolute integer, 1 or more; None for no limit.
        Raises ValueError for a scale that is not above 0.
        """
        if not bool((scale > 0).all()):
            raise ValueError(f"the scales of {self.name} must be above 0")
        state = self.attach()
        if state.codebook is not None:
            self.raw.data = self.value().clone(memory_format=torch.preserve_format)
            state.codebook = state.indices = None
        state.scale = nn.Parameter(scale.detach().to(self.raw), requires_grad=state.trainable)
        state.reach = None if reach is None else torch.tensor(reach, device=self.raw.device)
        self.raw.requires_grad_(state.trainable)


def _renormalise(module: Any, raw: Tensor) -> None:
    """Apply the `max_norm` of an embedding to all rows now, and clear it.

    Torch applies it in place when rows are looked up, which fails for a weight computed from a
    state.
    """
    if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.max_norm is not None:
        with torch.no_grad():
            torch.embedding_renorm_(
                raw, torch.arange(len(raw), device=raw.device), module.max_norm, module.norm_type
            )
        module.max_norm = None


@dataclass(frozen=True, eq=False)
class Parameters:
    """The distinct parameters and buffers of a model, in the module's order.

    A tied one is there once, under its first name. `parameters_of` makes this once for a model. It
    is valid as long as the model keeps its tensors: states may come and go, but `bake` makes new
    parameters. A copy of the model has the same names at the same indices.
    """

    weights: tuple[Weight, ...]

    def __len__(self) -> int:
        return len(self.weights)

    def __iter__(self) -> Iterator[Weight]:
        return iter(self.weights)

    def __getitem__(self, index: int) -> Weight:
        return self.weights[index]

    def index(self, tensor: Any) -> int | None:
        """The index of the weight whose raw tensor is this object; None where there is none."""
        return self._indices.get(id(tensor))

    def of(self, module: nn.Module, attribute: str = "weight") -> Weight | None:
        """The weight of a module's attribute, with a state or without; None where it is none."""
        return self._owned.get((id(module), attribute))

    @cached_property
    def _indices(self) -> dict[int, int]:
        return {id(weight.raw): index for index, weight in enumerate(self.weights)}

    @cached_property
    def _owned(self) -> dict[tuple[int, str], Weight]:
        return {
            (id(module), attribute): weight
            for weight in self.weights
            for module, attribute in weight.owners
        }


def parameters_of(model: nn.Module) -> Parameters:
    """The parameters and buffers of a model.

    Of a weight that something else parametrizes, there are the tensors that it is computed from,
    under their own names. Raises ValueError where a lazy module has not seen an input yet, or a
    weight is on the meta device and has no values.
    """
    model = unwrapped(model)
    weights: dict[int, Weight] = {}
    for prefix, module in model.named_modules(remove_duplicate=True):
        if _is_lazy(module):
            raise ValueError(
                f"{prefix or 'the model'} is lazy and has not seen an input yet: call the model "
                "once on an example"
            )
        if isinstance(module, State) or _is_ours(module):
            continue
        for attribute, raw, is_parameter in _direct(module):
            name = f"{prefix}.{attribute}".lstrip(".")
            if raw.is_meta:
                raise ValueError(
                    f"{name} is on the meta device and has no values: make the model on the "
                    "processor, or load its weights with load_state_dict(..., assign=True)"
                )
            weight = weights.setdefault(id(raw), Weight((), (), raw, is_parameter))
            weights[id(raw)] = replace(
                weight, names=(*weight.names, name), owners=(*weight.owners, (module, attribute))
            )
    return Parameters(tuple(weights.values()))


def _is_lazy(module: Any) -> bool:
    return isinstance(module, LazyModuleMixin) and module.has_uninitialized_params()  # type: ignore[operator]


def _direct(module: nn.Module) -> list[tuple[str, Tensor, bool]]:
    """A module's own (name, tensor, whether it is a parameter), in alphabetical order.

    A weight with a State has its plain name. The order of registration would not do: it changes
    when a parametrization comes or goes.
    """
    own: dict[str, tuple[Tensor, bool]] = {
        n: (p, True) for n, p in module._parameters.items() if p is not None
    }
    own |= {n: (b, False) for n, b in module._buffers.items() if b is not None}
    if parametrize.is_parametrized(module):
        parametrized: Any = module.parametrizations
        for name, listed in parametrized.items():
            if _is_ours(listed):
                own[name] = (listed.original, isinstance(listed.original, nn.Parameter))
    return [(name, *own[name]) for name in sorted(own)]


def _is_ours(module: nn.Module) -> bool:
    """Whether the module is a list of parametrizations that holds a State."""
    return (
        isinstance(module, parametrize.ParametrizationList)
        and len(module) > 0
        and isinstance(module[0], State)
    )


class SkippedWarning(UserWarning):
    """A technique skipped weights; the message names them and says why."""


class ShortfallWarning(SkippedWarning):
    """A technique did less than it was asked to; the message says how much it did, and why."""


def compressible(
    model: nn.Module | Parameters, who: str, least: int = 1, *, axes: int = 2
) -> list[Weight]:
    """The distinct floating-point parameters that a technique may compress.

    Those that something else parametrizes are skipped. A SkippedWarning from `who` names them, and
    those that torch's own pruning masks.
    `model`: a model, or its parameters where the caller has collected them.
    `least`: the least number of elements.
    `axes`: the least number of axes.
    """
    parameters = model if isinstance(model, Parameters) else parameters_of(model)
    weights = [
        weight
        for weight in parameters
        if weight.is_parameter and weight.raw.is_floating_point() and weight.raw.ndim >= axes
    ]
    foreign = [weight for weight in weights if weight.is_foreign]
    for why in dict.fromkeys(weight.why_foreign for weight in foreign):
        names = dict.fromkeys(
            _plain_name(weight) for weight in foreign if weight.why_foreign == why
        )
        warnings.warn(f"{who} skipped {', '.join(names)}: {why}", SkippedWarning, stacklevel=3)
    if masked := [w.name for w in weights if any(is_masked(*owner) for owner in w.owners)]:
        why = (
            "torch.nn.utils.prune.remove(layer, name) makes zeros of what it masks, which take "
            "fewer bytes"
        )
        warnings.warn(
            f"{who} does not see what torch's own pruning masks in {', '.join(masked)}: {why}",
            SkippedWarning,
            stacklevel=3,
        )
    return [w for w in weights if not w.is_foreign and w.raw.numel() >= max(least, 1)]


def first_fit(pairs: Sequence[tuple[str, Value]], name: str, otherwise: Value) -> Value:
    """The value of the first (pattern, value) pair whose pattern matches a weight's name.

    `*` matches anything. `otherwise` where no pattern matches.
    """
    return next((value for pattern, value in pairs if fnmatch(name, pattern)), otherwise)


def _is_hooked(module: nn.Module, attribute: str) -> bool:
    """Whether something else computes a weight from an attribute; pruning of torch does not count.

    Its masks leave the other values as they are.
    """
    return bool(removal(module, attribute)) and not is_masked(module, attribute)


def _plain_name(weight: Weight) -> str:
    """The name that a parametrized weight has in its module."""
    if PARAMETRIZED not in f".{weight.name}":
        return weight.name
    module, _, rest = f".{weight.name}".partition(PARAMETRIZED)
    return f"{module}.{rest.split('.')[0]}".lstrip(".")


def bake(model: nn.Module) -> nn.Module:
    """Replace each weight with a state by the plain parameter that the state computes, in place.

    Returns the model.
    """
    for weight in parameters_of(model):
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
    flatten_again(model)
    return model


def check_finite(model: nn.Module, used: Container[int] | None = None) -> None:
    """Check the weights of a model for NaN and, but for buffers, infinity.

    Raises ValueError that names the first weight with such values.
    `used`: the indices of the parameters that matter; None for all. Others are named in a
        SkippedWarning.
    """
    for index, weight in enumerate(parameters_of(model)):
        value = weight.value()
        wrong = torch.isnan(value) | (torch.isinf(value) & weight.is_parameter)
        if not (bad := int(wrong.sum())):
            continue
        text = f"{weight.name} holds {bad} values that are NaN or infinite"
        if used is not None and index not in used:
            warnings.warn(
                f"{text}; the file does not hold it, since forward() does not use it",
                SkippedWarning,
                stacklevel=3,
            )
            continue
        unused = (
            ". If forward() does not use it, take it out of the model, or fill it with zeros"
            if used is None
            else ""
        )
        raise ValueError(
            f"{text}: the model has diverged; train it again with a smaller learning rate, or load "
            f"an earlier checkpoint{unused}"
        )
