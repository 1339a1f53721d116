"""The weights of a model and their states, one for each parameter however many modules share it.

A technique reads the state that others left, extends it, and never needs to know who they were.
Weights are chosen by parameter, not by class of module.
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
from shoestring.kit.weights.copying import clone, flatten_again
from shoestring.kit.weights.parametrizations import PARAMETRIZED, is_masked, removal
from shoestring.kit.weights.state import State, state_in

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Weight:
    """A parameter or buffer of a model.

    Its names, the (module, attribute) that owns it by each, and its raw tensor.
    """

    names: tuple[str, ...]
    owners: tuple[tuple[nn.Module, str], ...]
    raw: Tensor
    is_parameter: bool

    @property
    def name(self) -> str:
        """Its first name."""
        return self.names[0]

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers that own it: one, or more where it is tied."""
        return tuple(dict.fromkeys(name.rpartition(".")[0] for name in self.names))

    @property
    def state(self) -> State | None:
        """Its state, None where nothing is known."""
        return state_in(*self.owners[0])

    @property
    def is_foreign(self) -> bool:
        """Whether a parametrization that is not ours, or a hook (the old weight_norm), computes a
        weight from it.
        """
        return PARAMETRIZED in f".{self.name}" or any(_is_hooked(*owner) for owner in self.owners)

    @property
    def why_foreign(self) -> str:
        """What computes a weight from it, and the call that makes that weight a plain parameter."""
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
        if self.is_foreign:
            raise TypeError(f"{_plain_name(self)} is {self.why_foreign}: remove that first")
        state = State(self.raw.requires_grad)
        for module, attribute in self.owners:
            _renormalise(module, self.raw)
            # The same parameter and the same state for every owner: what is tied stays tied.
            parametrize.register_parametrization(module, attribute, state, unsafe=True)
        return state

    def prune(self, keep: Tensor) -> None:
        """Zero what `keep` (bool, the weight's shape) leaves out, for good."""
        state, keep = self.attach(), keep.to(self.raw.device)
        state.mask = keep if state.mask is None else state.mask & keep

    def share(self, codebook: Tensor, indices: Tensor) -> None:
        """Replace the value by `codebook[indices]`.

        The levels of a weight that was frozen are frozen.
        """
        state = self.attach()
        state.codebook = nn.Parameter(codebook.detach().to(self.raw), requires_grad=state.trainable)
        state.indices = indices.to(
            self.raw.device, torch.uint8 if len(codebook) <= 256 else torch.int32
        )
        state.scale = state.reach = None
        self.raw.requires_grad_(False)

    def round(self, scale: Tensor, reach: int | None = None) -> None:
        """Round the value to multiples of `scale` (above 0), at most `reach` (1 or more) from zero;
        None: however far they are.

        A step is one number, or one for each slice along axis 0 (O, 1, 1, ...), or of a matrix one
        for each group of columns of each row (O, groups). Levels that the weight had are where the
        value starts from.
        """
        if not bool((scale > 0).all()):
            raise ValueError(f"the steps of {self.name} must be above 0")
        state = self.attach()
        if state.codebook is not None:
            self.raw.data = self.value().clone(memory_format=torch.preserve_format)
            state.codebook = state.indices = None
        state.scale = nn.Parameter(scale.detach().to(self.raw), requires_grad=state.trainable)
        state.reach = None if reach is None else torch.tensor(reach, device=self.raw.device)
        self.raw.requires_grad_(state.trainable)


def _renormalise(module: Any, raw: Tensor) -> None:
    """Have an embedding with a `max_norm` keep to it once and for all.

    Torch shortens rows as they are looked up, in the weight itself, which what computes a weight
    from its state cannot have.
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

    A tied one once, under its first name.
    Made once for a model, by `parameters_of`, and valid as long as the model keeps its tensors:
    states may come and go, but `bake` makes new parameters. A copy of the model has the same names
    at the same indices.
    """

    weights: tuple[Weight, ...]

    def __len__(self) -> int:
        return len(self.weights)

    def __iter__(self) -> Iterator[Weight]:
        return iter(self.weights)

    def __getitem__(self, index: int) -> Weight:
        return self.weights[index]

    def index(self, tensor: Any) -> int | None:
        """The index of the weight whose raw tensor is this very one; None of anything else."""
        return self._indices.get(id(tensor))

    def of(self, module: nn.Module, attribute: str = "weight") -> Weight | None:
        """The weight that a module's attribute is, also where a state computes it.

        None where it is none.
        """
        return self._owned.get((id(module), attribute))

    @cached_property
    def _indices(self) -> dict[int, int]:
        return {id(one.raw): index for index, one in enumerate(self.weights)}

    @cached_property
    def _owned(self) -> dict[tuple[int, str], Weight]:
        return {
            (id(module), attribute): one for one in self.weights for module, attribute in one.owners
        }


def parameters_of(model: nn.Module) -> Parameters:
    """The parameters and buffers of a model.

    Where something else parametrizes a weight, what that computes with are members, under names of
    its own. Raises ValueError where a lazy module has not seen an input yet, or a weight has no
    values.
    """
    model = unwrapped(model)
    found: dict[int, Weight] = {}
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
                    "processor, or "
                    "load its weights with load_state_dict(..., assign=True)"
                )
            one = found.setdefault(id(raw), Weight((), (), raw, is_parameter))
            found[id(raw)] = replace(
                one, names=(*one.names, name), owners=(*one.owners, (module, attribute))
            )
    return Parameters(tuple(found.values()))


def _is_lazy(module: Any) -> bool:
    return isinstance(module, LazyModuleMixin) and module.has_uninitialized_params()  # type: ignore[operator]


def _direct(module: nn.Module) -> list[tuple[str, Tensor, bool]]:
    """A module's own (name, tensor, whether it is a parameter), parametrized ones under their plain
    names.

    In the order of the alphabet: that of registration changes when a parametrization comes or goes.
    """
    own: dict[str, tuple[Tensor, bool]] = {
        n: (p, True) for n, p in module._parameters.items() if p is not None
    }
    own |= {n: (b, False) for n, b in module._buffers.items() if b is not None}
    if parametrize.is_parametrized(module):
        parametrized: Any = module.parametrizations
        for name, one in parametrized.items():
            if _is_ours(one):
                own[name] = (one.original, isinstance(one.original, nn.Parameter))
    return [(name, *own[name]) for name in sorted(own)]


def _is_ours(module: nn.Module) -> bool:
    """Whether the module is the list of parametrizations that holds a State."""
    return (
        isinstance(module, parametrize.ParametrizationList)
        and len(module) > 0
        and isinstance(module[0], State)
    )


class SkippedWarning(UserWarning):
    """A technique left weights alone; the message names them and says why."""


class ShortfallWarning(SkippedWarning):
    """A technique did less than it was asked for; the message says how far it came and why."""


def compressible(model: nn.Module, who: str, least: int = 1, *, axes: int = 2) -> list[Weight]:
    """The distinct floating-point parameters with `axes` axes or more and `least` elements or more.

    Those that something else parametrizes are left alone, by name, with a SkippedWarning from
    `who`.
    """
    found = [
        w
        for w in parameters_of(model)
        if w.is_parameter and w.raw.is_floating_point() and w.raw.ndim >= axes
    ]
    foreign = [w for w in found if w.is_foreign]
    for why in dict.fromkeys(one.why_foreign for one in foreign):
        names = ", ".join(
            dict.fromkeys(_plain_name(one) for one in foreign if one.why_foreign == why)
        )
        warnings.warn(f"{who} skipped {names}: {why}", SkippedWarning, stacklevel=3)
    if masked := [one.name for one in found if any(is_masked(*owner) for owner in one.owners)]:
        why = (
            "torch.nn.utils.prune.remove(layer, name) makes zeros of what it masks, which "
            "take fewer bytes"
        )
        warnings.warn(
            f"{who} does not see what torch's own pruning masks in {', '.join(masked)}: {why}",
            SkippedWarning,
            stacklevel=3,
        )
    return [w for w in found if not w.is_foreign and w.raw.numel() >= max(least, 1)]


def first_fit(pairs: Sequence[tuple[str, Value]], name: str, otherwise: Value) -> Value:
    """The value of the first (pattern, value) pair whose pattern (`*` matches anything) fits a
    weight's name.
    """
    return next((value for pattern, value in pairs if fnmatch(name, pattern)), otherwise)


def _is_hooked(module: nn.Module, attribute: str) -> bool:
    """Whether a hook computes a weight of another name from it.

    A mask of torch's own pruning leaves values what they are.
    """
    found = removal(module, attribute)
    return bool(found) and not is_masked(module, attribute)


def _plain_name(weight: Weight) -> str:
    """The name that the weight has for its module, of one that something else parametrizes."""
    if PARAMETRIZED not in f".{weight.name}":
        return weight.name
    module, _, rest = f".{weight.name}".partition(PARAMETRIZED)
    return f"{module}.{rest.split('.')[0]}".lstrip(".")


def bake(model: nn.Module) -> nn.Module:
    """Make every weight the plain parameter that its state amounts to, in place; returns the model."""
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


@dataclass(frozen=True)
class ModelState:
    """A model's values and weight states as plain tensors, which pickle; made by `state_of`."""

    values: dict[str, Tensor]
    states: dict[str, dict[str, Tensor]]


def state_of(model: nn.Module) -> ModelState:
    """Values and states of a model, detached copies, by the plain names of its weights."""
    values: dict[str, Tensor] = {}
    states: dict[str, dict[str, Tensor]] = {}
    for weight in parameters_of(model):
        values[weight.name] = weight.raw.detach().clone()
        if weight.state is not None:
            known = {
                n: getattr(weight.state, n)
                for n in ("codebook", "indices", "scale", "reach", "mask")
            }
            states[weight.name] = {n: t.detach().clone() for n, t in known.items() if t is not None}
    return ModelState(values, states)


def with_state(model: nn.Module, state: ModelState) -> nn.Module:
    """A copy of `model` (of the same class, built alike) that has the state.

    Raises ValueError where the two do not fit.
    """
    copied = bake(clone(model))
    found = {weight.name: weight for weight in parameters_of(copied)}
    if found.keys() != state.values.keys():
        raise ValueError(
            f"the state is of another model: {sorted(found.keys() ^ state.values.keys())} are in "
            "one of them only"
        )
    for name, value in state.values.items():
        weight = found[name]
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


def check_finite(model: nn.Module, used: Container[int] | None = None) -> None:
    """Raises ValueError naming the first weight that holds NaN or infinity.

    Buffers (masks, say) may be infinite.
    `used`: the places among the members of those that matter, all where it is None. Others are
        named in a SkippedWarning.
    """
    for place, weight in enumerate(parameters_of(model)):
        value = weight.value()
        wrong = torch.isnan(value) | (torch.isinf(value) & weight.is_parameter)
        if not (bad := int(wrong.sum())):
            continue
        text = f"{weight.name} holds {bad} values that are NaN or infinite"
        if used is not None and place not in used:
            warnings.warn(
                f"{text}; the file does not hold it, since forward() does not use it",
                SkippedWarning,
                stacklevel=3,
            )
            continue
        raise ValueError(
            f"{text}: the model has diverged; train it again with a smaller learning rate, or "
            "load an earlier checkpoint"
            f"{'' if used is not None else '. If forward() does not use it, take it out of the model, or fill it with zeros'}"
        )
