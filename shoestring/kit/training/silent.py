"""Residual branches that begin silent: found on the tape, and checked by the first step."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shoestring.core import Task, batches, seeded
from shoestring.kit.health.signals import ACTIVATIONS
from shoestring.kit.tracing.example import examples_of
from shoestring.kit.tracing.product import PRODUCTS
from shoestring.kit.tracing.tape import Call, Tape, record
from shoestring.kit.weights.copying import clone, clone_in_training
from shoestring.kit.weights.parameters import SkippedWarning

_NORMS = ("batch_norm", "layer_norm", "group_norm", "rms_norm", "instance_norm")
_DROPOUTS = (
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "alpha_dropout",
    "feature_dropout",
    "feature_alpha_dropout",
)
_SHAPES = (
    "view",
    "reshape",
    "flatten",
    "unflatten",
    "permute",
    "transpose",
    "contiguous",
    "squeeze",
    "unsqueeze",
)
_ZERO_STAYS = (*_DROPOUTS, *_SHAPES)
"""Functions that give 0 for 0, value by value: what they get may be silenced in their place."""


def silent_branches(model: nn.Module, task: Task) -> nn.Module:
    """A copy with zero-initialised residual branches: each block begins by handing on what came in.

    A branch is one side of an addition whose other side is its shortcut: a value that the branch
    itself was computed from, as it is, cut, padded or pooled; or that value through one convolution
    or linear layer, with or without a norm, where it was itself computed by layers. The scale of
    the norm that gives the branch becomes 0, or, where a convolution or linear layer gives it, that
    layer's weight and bias; dropout and changes of shape may follow. Branches that anything else
    gives (such as torch's fused attention), or whose last layer is used elsewhere, stay as they
    are, and so do sums of two towers. A model without any branch is returned as a copy, with a
    SkippedWarning.

    A branch stays, with a SkippedWarning that names its last layer, where it would not learn: a
    scale of 0 gets no gradient where a rectifier follows the sum and the shortcut is not above 0,
    as in channels that a shortcut pads with zeros (He et al. 2015, "Deep residual learning", option
    A). The first training batch is run forwards and back to see it. Frozen branches stay too, with
    the same warning.

    Source: Goyal et al. 2017, "Accurate, large minibatch SGD", section 5.1 (norms whose scale
    begins at zero); Zhang, Dauphin & Ma 2019, "Fixup initialization" (layers).

    Raises ExportError for an example that does not fit its declared axes, and ValueError for a task
    without training batches.
    """
    result = clone(model)
    tape = record(result.eval(), *examples_of(task))
    for part, own in zip(result.modules(), model.modules(), strict=True):
        part.training = own.training
    parameters = dict(result.named_parameters())
    found = [branch for branch in _Residuals(tape, parameters) if _may_learn(branch, parameters)]
    silent = _silenced(result, task, found) if found else []
    if not silent:
        _skipped("the model", "no residual branch that may begin at 0 was found in it")
    return result


@dataclass(frozen=True)
class _Branch:
    """A residual branch: the path of the layer that gives it, and the parameters to set to 0."""

    layer: str
    names: tuple[str, ...]


class _Residuals:
    """The residual branches of a tape, in the order of running."""

    def __init__(self, tape: Tape, parameters: Mapping[str, Tensor]) -> None:
        self.tape, self.parameters = tape, parameters
        self.makers, self.users = tape.makers(), tape.users()
        self.uses: dict[str, int] = {}
        self.layers: dict[int, int] = {}  # weighted calls on the longest way to a value
        self.behind: dict[int, int] = {}  # a bit for each value that a value was computed from
        for call in tape.calls:
            for name in call.weights.values():
                self.uses[name] = self.uses.get(name, 0) + 1
            given = [one for one in call.inputs if one is not None]
            depth = max((self.layers.get(one, 0) for one in given), default=0)
            bits = 0
            for one in given:
                bits |= self._behind(one)
            for value in call.outputs:
                self.layers[value] = depth + bool(call.weights)
                self.behind[value] = bits | 1 << value

    def __iter__(self) -> Iterator[_Branch]:
        for call in self.tape.calls:
            sides = [one for one in call.inputs if one is not None]
            if call.function != "add" or len(sides) != 2:
                continue
            short, long = sorted(sides, key=lambda one: self.layers.get(one, 0))
            if self.layers.get(short, 0) == self.layers.get(long, 0):
                continue
            last = self._last(long)
            if last is None or not self._is_shortcut(short, long, call.outputs[0]):
                continue
            if names := self._scales(last):
                yield _Branch(last.layer, names)

    def _behind(self, value: int) -> int:
        return self.behind.get(value, 1 << value)

    def _last(self, value: int) -> Call | None:
        """The layer or norm that gives a value which nothing but the addition gets; or None."""
        while True:
            call = self.makers.get(value)
            if call is None or len(self.users[value]) > 1 or value in self.tape.results:
                return None
            if call.function in (*PRODUCTS, *_NORMS):
                return call
            given = [one for one in call.inputs if one is not None]
            if call.function not in _ZERO_STAYS or len(given) != 1:
                return None
            value = given[0]

    def _is_shortcut(self, short: int, long: int, total: int) -> bool:
        """Whether one side of a sum hands on what the other side was computed from."""
        passed = self._behind(long)
        waiting, met, products = [short], list[int](), 0
        while waiting:
            value = waiting.pop()
            if passed >> value & 1:
                met.append(value)
                continue
            call = self.makers.get(value)
            if call is None or call.function in ACTIVATIONS:
                return False
            products += bool(call.weights) and call.function not in _NORMS
            waiting += [one for one in call.inputs if one is not None]
        if not met or products > 1:
            return False
        if not products:
            return True
        # Two towers on one input, or two heads whose answers are added, are no projection.
        return all(self.layers.get(value, 0) for value in met) and any(
            call.weights and any(self._behind(one) >> total & 1 for one in call.inputs if one)
            for call in self.tape.calls
        )

    def _scales(self, last: Call) -> tuple[str, ...]:
        """The parameters that silence a call at 0; none where it has other ones or shares them."""
        names = tuple(last.weights.values())
        if any(self.uses[name] > 1 for name in names):
            return ()
        if last.function in _NORMS:
            return names[:1]  # a norm's shift is 0 at the beginning, and what it has learned stays
        # The weight of a parametrized layer is computed, and only its bias is a parameter.
        return names if any(self.parameters[name].ndim > 1 for name in names) else ()


def _may_learn(branch: _Branch, parameters: Mapping[str, Tensor]) -> bool:
    frozen = [name for name in branch.names if not parameters[name].requires_grad]
    if frozen:
        _skipped(branch.layer, f"{frozen[0]} is frozen, so that it would stay at 0")
    return not frozen


def _silenced(model: nn.Module, task: Task, found: list[_Branch]) -> list[_Branch]:
    """Set branches to 0, and take back those that would not learn: those that are silent."""
    parameters = dict(model.named_parameters())
    kept = {name: parameters[name].detach().clone() for one in found for name in one.names}
    before = _reached(model, task, found)
    silent = [one for one in found if bool(before[one].any())]
    for one in found:
        if one not in silent:
            _skipped(one.layer, "no gradient of the first training batch reaches it")
    with torch.no_grad():
        for one in silent:
            for name in one.names:
                parameters[name].zero_()
    while silent:
        now = _reached(model, task, silent)
        # Only the first: what it hands on may be all that those behind it lack.
        dead = next((one for one in silent if bool((before[one] & ~now[one]).any())), None)
        if dead is None:
            break
        units = int((before[dead] & ~now[dead]).sum())
        _skipped(
            dead.layer,
            f"at 0, {units} of its {len(before[dead])} units would get no gradient, as where a "
            "rectifier follows the sum and the shortcut is not above 0",
        )
        with torch.no_grad():
            for name in dead.names:
                parameters[name].copy_(kept[name])
        silent.remove(dead)
    return silent


def _reached(model: nn.Module, task: Task, branches: list[_Branch]) -> dict[_Branch, Tensor]:
    """For each branch, which of its last layer's units get a gradient at the first step."""
    copy = clone_in_training(model)
    parameters = dict(copy.named_parameters())
    names = [name for one in branches for name in one.names]
    with seeded(0):
        batch = next(iter(batches(task, "train", copy)), None)
        if batch is None:
            raise ValueError("the task's training split has no batches: no branch can be checked")
        loss = task.loss(copy, batch)
        given = (
            torch.autograd.grad(loss, [parameters[name] for name in names], allow_unused=True)
            if loss.requires_grad
            else [None] * len(names)
        )
    reached: dict[_Branch, Tensor] = {}
    gradients = dict(zip(names, given, strict=True))
    for one in branches:
        units = torch.zeros(len(parameters[one.names[0]]), dtype=torch.bool)
        for name in one.names:
            if (gradient := gradients[name]) is not None:
                units |= (gradient != 0).reshape(len(units), -1).any(1).cpu()
        reached[one] = units
    return reached


def _skipped(name: str, reason: str) -> None:
    warnings.warn(f"silent_branches skipped {name}: {reason}", SkippedWarning, stacklevel=4)
