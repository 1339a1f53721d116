"""What belongs together in a model, found by trying.

Each slice of a weight has a mark, and marks are followed through a run.
The model is run once on an example. Of each function of torch that it calls, what goes in is
changed mark by mark, and what comes out differently depends on that mark: no function but the
layers themselves has to be known. Where a number depends on two marks they are united: a sum unites
the channels of its two branches, an attention all channels of a head, a batch norm's shift the
channel that it is for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from shoestring.artifact import tree
from shoestring.kit.surgery.cutting import is_in_groups
from shoestring.kit.surgery.probe import Trial
from shoestring.kit.tracing.example import tensors
from shoestring.kit.weights.parameters import Weight, parameters_of
from shoestring.kit.weights.parametrizations import is_masked

FIXED = 1
"""The mark of what must stay; 0 is none."""

Place = tuple[int, int]
"""A weight, by its place among the members of the model, and one of its axes."""

LAYERS = {  # and how many axes follow that of the channels
    "linear": 0,
    "conv1d": 1,
    "conv2d": 2,
    "conv3d": 3,
    "conv_transpose1d": 1,
    "conv_transpose2d": 2,
    "conv_transpose3d": 3,
}
_SHARES = ("softmax", "scaled_dot_product_attention")
ESCAPES = ("item", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__", "__array__")


class Dependencies(TorchFunctionMode):
    """Within, the functions that a model calls are followed.

    The model is baked and in evaluation mode, without gradients.
    `gives` and `reads`: the axes along which layers give channels and take them.
    `each`: of weights that belong to channels one by one (depthwise convolutions), outputs for each
        input.
    `used`: (weight, how many places it is multiplied at) of each call.
    `shares`: the marks of what a softmax gave.
    """

    def __init__(self, model: nn.Module, stay: Callable[[Weight], str]) -> None:
        """`stay`: why a weight must not be cut; empty where it may."""
        super().__init__()
        self.members = parameters_of(model)
        self.reasons = {
            place: reason for place, one in enumerate(self.members) if (reason := stay(one))
        }
        self._first: dict[Place, int] = {}
        self._parents = np.arange(2)
        self._of: dict[int, Tensor] = {}  # marks of a tensor's elements, by id
        self._alive: list[Any] = []  # so that no id is used twice
        self.gives: dict[Place, None] = {}
        self.reads: dict[Place, None] = {}
        self.each: dict[int, int] = {}
        self.used: list[tuple[int, float]] = []
        self.shares: list[Tensor] = []

    # -- marks

    def slices(self, place: int, axis: int) -> Tensor:
        """The marks of the slices of a weight along an axis."""
        size, key = self.members[place].raw.shape[axis], (place, axis)
        if key not in self._first:
            self._first[key] = len(self._parents)
            self._parents = np.append(self._parents, np.arange(size) + len(self._parents))
            if place in self.reasons:
                self.fix(self._range(key, size))
        return self._range(key, size)

    def _range(self, key: Place, size: int) -> Tensor:
        return torch.arange(self._first[key], self._first[key] + size)

    def roots(self, marks: Tensor) -> Tensor:
        """Of marks that were united, the same one."""
        while True:
            parents = self._parents[self._parents]
            if (parents == self._parents).all():
                return torch.from_numpy(parents)[marks]
            self._parents = parents

    def unite(self, one: Tensor, other: Tensor) -> None:
        """Unite marks element by element, where both are any."""
        one, other = torch.broadcast_tensors(one, other)
        both = (one != 0) & (other != 0) & (one != other)
        if not both.any():
            return
        for a, b in self._pairs(one[both], other[both]):
            low, high = sorted((self._root(a), self._root(b)))
            self._parents[high] = low

    def _pairs(self, one: Tensor, other: Tensor) -> list[list[int]]:
        span = int(other.max()) + 1 if len(other) else 1
        codes = torch.unique(one.long() * span + other)
        return torch.stack([codes // span, codes % span], 1).tolist()

    def _root(self, mark: int) -> int:
        while self._parents[mark] != mark:
            mark = int(self._parents[mark])
        return mark

    def fix(self, marks: Tensor) -> None:
        """What has these marks must stay."""
        self.unite(marks, torch.tensor(FIXED))

    def fix_values(self, values: Any) -> None:
        """The channels that these tensors hold must stay.

        They are what the model answers, or what it decides by.
        """
        for one in tensors(values):
            if id(one) in self._of:
                self.fix(self._of[id(one)])

    def united(self) -> dict[int, list[tuple[Place, int]]]:
        """Of each mark that may go, the slices that have it."""
        found: dict[int, list[tuple[Place, int]]] = {}
        for place, axis in self._first:
            for index, mark in enumerate(self.roots(self.slices(place, axis)).tolist()):
                found.setdefault(mark, []).append(((place, axis), index))
        found.pop(int(self.roots(torch.tensor(FIXED))), None)
        return found

    # -- calls

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if name in ESCAPES:
            self.fix_values(args)
        answer = func(*args, **kwargs)
        if name in ("__get__", "__set__"):
            return self._got(answer, args)
        results = tensors(answer)
        if answer is None and name == "__setitem__":
            results = [args[0]]
        if results:
            marks = self._layer(name, args, kwargs, answer)
            # Of a function that meets no marks nothing is found.
            for result, own in zip(
                results,
                [marks] if marks is not None else self._tried(func, args, kwargs),
                strict=False,
            ):
                self._alive.append(result)
                self._of[id(result)] = own
                if name in _SHARES:
                    self.shares.append(own)
        return answer

    def _got(self, answer: Any, args: tuple) -> Any:
        """x.T and x.mT are moved as x.transpose() would.

        X.data and x.grad are not followed, x.shape has no marks.
        """
        if isinstance(answer, Tensor) and args and id(args[0]) in self._of:
            own = self._of[id(args[0])]
            self._alive.append(answer)
            self._of[id(answer)] = (
                own if own.shape == answer.shape else own.mT if own.ndim > 1 else own
            )
        return answer

    def _layer(self, name: str, args: tuple, kwargs: dict, answer: Any) -> Tensor | None:
        """The marks of what a layer gives; None for a function that is no layer."""
        if name == "embedding":
            x, weight = (
                args[place] if len(args) > place else kwargs.get(key)
                for place, key in enumerate(("input", "weight"))
            )
            if (place := self.members.index(weight)) is None:
                return None
            if (args[3] if len(args) > 3 else kwargs.get("max_norm")) is not None:
                self.reasons.setdefault(
                    place, "its rows are scaled to a norm, which is of all their columns"
                )
            self.gives[place, 1] = None
            return self.slices(place, 1).expand(answer.shape)
        if name not in LAYERS:
            return self._product(name, args, answer)
        given = given_to(name, args, kwargs)
        x, bias, groups = given["input"], given.get("bias"), given.get("groups", 1)
        place, held = self.members.index(given["weight"]), self.members.index(bias)
        if place is None or (bias is not None and held is None):
            return None
        axis, into = -1 - LAYERS[name], int("transpose" not in name)
        if groups > 1 and not into:
            return None
        taken = self._channels(x, axis)
        out = self.slices(place, 1 - into)
        self.gives[place, 1 - into] = None
        if groups > 1 and given["weight"].shape[1] == 1:
            self.each[place] = len(out) // groups
            self._take_in(taken.repeat_interleave(self.each[place]), out)
        else:
            self.reads[place, into] = None
            for part in taken.view(groups, -1):
                self._take_in(part, self.slices(place, into))
            if groups > 1:
                self.unite(out.view(groups, -1), out.view(groups, -1)[0])
        if held is not None:
            self.unite(self.slices(held, 0), out)
        self.used.append(
            (
                place,
                answer.numel() / max(len(out), 1) if into else x.numel() / max(x.shape[axis], 1),
            )
        )
        return self._spread(out, answer, axis)

    def _product(self, name: str, args: tuple, answer: Any) -> Tensor | None:
        """Matrix products with a weight of two axes on the right are layers too."""
        if name not in ("addmm", "matmul", "__matmul__", "mm") or len(args) < 2:
            return None
        x, weight = args[-2:]
        place, bias = (
            self.members.index(weight),
            self.members.index(args[0]) if name == "addmm" else None,
        )
        if (
            place is None
            or weight.ndim != 2
            or self.members.index(x) is not None
            or (name == "addmm" and bias is None)
        ):
            return None
        out = self.slices(place, 1)
        self.gives[place, 1], self.reads[place, 0] = None, None
        self._take_in(self._channels(x, -1), self.slices(place, 0))
        if bias is not None:
            self.unite(self.slices(bias, self.members[bias].raw.ndim - 1), out)
        self.used.append((place, answer.numel() / max(len(out), 1)))
        return self._spread(out, answer, -1)

    def _take_in(self, taken: Tensor, slices: Tensor) -> None:
        """What a layer takes in along its slices: where that has no mark the slice must stay."""
        self.unite(torch.where(taken == 0, FIXED, taken), slices)

    @staticmethod
    def _spread(out: Tensor, answer: Tensor, axis: int) -> Tensor:
        return out.view(-1, *[1] * (-axis - 1)).expand(answer.shape)

    def _channels(self, x: Tensor, axis: int) -> Tensor:
        """One mark for each place along an axis of a tensor: those on one place are united."""
        if id(x) not in self._of:
            return torch.zeros(x.shape[axis], dtype=torch.long)
        marks = self.roots(self._of[id(x)]).movedim(axis, 0).reshape(x.shape[axis], -1)
        if (marks != marks[:, :1]).any():
            highest = marks.amax(1, keepdim=True)
            self.unite(marks, highest)
        return self.roots(marks.amax(1))

    # -- by trying

    def _tried(self, func: Callable, args: tuple, kwargs: dict) -> list[Tensor]:
        """The marks of what a function gives."""
        flat, form = tree.flatten((args, kwargs))
        weights = {
            at: place
            for at, one in enumerate(flat)
            if (place := self.members.index(one)) is not None
        }
        marked = {
            at: self._of[id(one)]
            for at, one in enumerate(flat)
            if id(one) in self._of and at not in weights
        }
        trial = Trial(func, flat, form, [*weights, *marked])
        found: list[Tensor] | None = None
        for at, own in marked.items():
            if not (flat[at].is_floating_point() or flat[at].dtype == torch.bool):
                self.fix(own)
            elif own.any():
                found = self._joined(found, self._read(trial, at, own))
        for at, place in weights.items():
            found = self._weight(trial, at, place, found)
        return found or []

    def _joined(self, found: list[Tensor] | None, own: list[Tensor]) -> list[Tensor]:
        if found is None:
            return own
        for one, other in zip(found, own, strict=True):
            self.unite(one, other)
        return [torch.where(one == 0, other, one) for one, other in zip(found, own, strict=True)]

    def _weight(
        self, trial: Trial, at: int, place: int, found: list[Tensor] | None
    ) -> list[Tensor] | None:
        """A weight within a function that is no layer.

        The channels are along an axis whose slices meet one mark each.
        """
        weight = trial.flat[at]
        axes = [axis for axis in reversed(range(weight.ndim)) if weight.shape[axis] > 1]
        if not weight.is_floating_point() or not axes:
            return found
        met = found is not None and any(bool(one.any()) for one in found)
        if not met:
            if not self.members[place].is_parameter:
                return found
            return self._read(trial, at, self._along(weight, axes[0], self.slices(place, axes[0])))
        assert found is not None
        for axis in axes:
            local = torch.arange(weight.shape[axis]) + 2
            own = self._read(trial, at, self._along(weight, axis, local), unite=False)
            if own is None:
                continue
            pairs = {
                (mine, theirs)
                for a, b in zip(own, found, strict=True)
                for mine, theirs in self._pairs(
                    a[(a != 0) & (b != 0)], self.roots(b)[(a != 0) & (b != 0)]
                )
            }
            if pairs and len({mine for mine, _ in pairs}) == len(pairs):
                mine, theirs = torch.tensor(sorted(pairs)).T
                self.unite(self.slices(place, axis)[mine - 2], theirs)
                return found
        return found

    @staticmethod
    def _along(weight: Tensor, axis: int, marks: Tensor) -> Tensor:
        return marks.view(-1, *[1] * (weight.ndim - axis - 1)).expand(weight.shape)

    def _read(self, trial: Trial, at: int, own: Tensor, *, unite: bool = True) -> Any:
        """The marks of what comes out, by those of one tensor that goes in.

        None where they mix and are not to be united.
        """
        own = self.roots(own) if unite else own
        marks, codes = torch.unique(own, return_inverse=True)
        none = int(marks[0] == 0)
        codes, marks = codes - none, marks[none:]
        trial.aim(at, below=not unite)
        total = trial.changes(codes >= 0)
        values = [torch.zeros(one.shape, dtype=torch.long) for one in total]
        clear = [torch.ones_like(one) for one in total]
        for bit in range((len(marks) - 1).bit_length()):
            ones = trial.changes((codes >= 0) & ((codes >> bit) % 2 == 1))
            zeros = trial.changes((codes >= 0) & ((codes >> bit) % 2 == 0))
            for place, (one, zero) in enumerate(zip(ones, zeros, strict=True)):
                values[place] += one.long() << bit
                clear[place] &= (one ^ zero) | ~total[place]
            if not all(bool(one.all()) for one in clear):
                return self._mixed(trial, codes, marks, total) if unite else None
        return [
            torch.where(seen, marks[value.clamp(max=len(marks) - 1)], 0)
            for seen, value in zip(total, values, strict=True)
        ]

    def _mixed(
        self, trial: Trial, codes: Tensor, marks: Tensor, total: list[Tensor]
    ) -> list[Tensor]:
        """Mark by mark: those that one number depends on are united."""
        found = [torch.zeros(one.shape, dtype=torch.long) for one in total]
        for code, mark in enumerate(marks.tolist()):
            for one, changed in zip(found, trial.changes(codes == code), strict=True):
                self.unite(one[changed], torch.tensor(mark))
                one[changed & (one == 0)] = mark
        return found


def given_to(name: str, args: tuple, kwargs: dict) -> dict[str, Any]:
    """The arguments of a layer's function by their names."""
    order = (
        ("output_padding", "groups", "dilation") if "transpose" in name else ("dilation", "groups")
    )
    return (
        dict(zip(("input", "weight", "bias", "stride", "padding", *order), args, strict=False))
        | kwargs
    )


def reason_to_stay(weight: Weight) -> str:
    """Why a weight must not be cut, as far as the weight itself tells; empty where it may."""
    if reason := reason_not_to_cut(weight):
        return reason
    trainable = weight.raw.requires_grad if weight.state is None else weight.state.trainable
    return (
        "frozen" if weight.is_parameter and weight.raw.is_floating_point() and not trainable else ""
    )


def reason_not_to_cut(weight: Weight) -> str:
    """Why a weight cannot be cut, whether it trains or not; empty where it can."""
    if weight.is_foreign:
        return weight.why_foreign
    if any(is_masked(*owner) for owner in weight.owners):
        return (
            "masked by torch's own pruning (torch.nn.utils.prune.remove(layer, name) makes "
            "zeros of what it masks)"
        )
    if len(weight.owners) > 1:
        return "tied"
    return "its steps are of groups of columns" if is_in_groups(weight) else ""
