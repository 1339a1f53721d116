"""Dependencies between slices of weights, found by running the model once on an example.

Each slice of a weight gets a mark, an integer (see `marks.py`), and the marks are followed through
the run. For each function of torch that the model calls, the inputs are changed mark by mark; an
output that changes depends on that mark. So only layers have to be known, and no other function.
Where a number depends on two marks, they are united: a sum unites the channels of its two branches,
an attention unites all channels of a head, a batch norm unites its shift with the channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from shoestring.artifact import tree
from shoestring.kit.surgery.layer_calls import ESCAPES, LAYERS, given_to
from shoestring.kit.surgery.marks import FIXED, Marks, WeightAxis, distinct_pairs
from shoestring.kit.surgery.probe import Probe
from shoestring.kit.tracing.example import tensors
from shoestring.kit.weights.parameters import Weight, parameters_of

_SOFTMAX = ("softmax", "scaled_dot_product_attention")
_PRODUCTS = ("addmm", "matmul", "__matmul__", "mm")


class Dependencies(TorchFunctionMode):
    """A context in which the functions that a model calls are followed.

    The model must be baked and in evaluation mode, and run without gradients.
    `gives`, `reads`: the weight axes along which layers give channels and take them.
    `each`: outputs for each input channel, by the index of the weight, for weights that belong to
        one channel each (depthwise convolutions).
    `used`: (index of the weight, number of positions at which it is multiplied) of each call.
    `attention`: the marks of the results of each softmax.
    """

    def __init__(self, model: nn.Module, stay: Callable[[Weight], str]) -> None:
        """`stay`: why a weight must not be cut; "" where it may be."""
        super().__init__()
        self.parameters = parameters_of(model)
        self.marks = Marks(self.parameters, stay)
        self._of: dict[int, Tensor] = {}  # the marks of a tensor's elements, by id
        self._alive: list[Any] = []  # keeps tensors alive, so that no id is used twice
        self.gives: dict[WeightAxis, None] = {}
        self.reads: dict[WeightAxis, None] = {}
        self.each: dict[int, int] = {}
        self.used: list[tuple[int, float]] = []
        self.attention: list[Tensor] = []

    def fix_values(self, values: Any) -> None:
        """Record that the channels in these tensors must stay.

        They are the model's answers, or its control flow depends on them.
        """
        for tensor in tensors(values):
            if id(tensor) in self._of:
                self.marks.fix(self._of[id(tensor)])

    # -- calls

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if name in ESCAPES:
            self.fix_values(args)
        answer = func(*args, **kwargs)
        if name in ("__get__", "__set__"):
            return self._attribute(answer, args)
        results = tensors(answer)
        if answer is None and name == "__setitem__":
            results = [args[0]]
        if results:
            marks = self._layer(name, args, kwargs, answer)
            # A function whose inputs have no marks gives no marks.
            for result, own in zip(
                results,
                [marks] if marks is not None else self._probed(func, args, kwargs),
                strict=False,
            ):
                self._keep(result, own)
                if name in _SOFTMAX:
                    self.attention.append(own)
        return answer

    def _keep(self, result: Tensor, marks: Tensor) -> None:
        self._alive.append(result)
        self._of[id(result)] = marks

    def _attribute(self, answer: Any, args: tuple) -> Any:
        """Follow x.T and x.mT as transpositions, and x.data as x itself.

        x.shape and other attributes that are no tensors have no marks.
        """
        if isinstance(answer, Tensor) and args and id(args[0]) in self._of:
            own = self._of[id(args[0])]
            same = own.shape == answer.shape or own.ndim <= 1
            self._keep(answer, own if same else own.mT)
        return answer

    def _layer(self, name: str, args: tuple, kwargs: dict, answer: Any) -> Tensor | None:
        """The marks of a layer's result; None for a function that is no layer."""
        if name == "embedding":
            return self._embedding(args, kwargs, answer)
        if name not in LAYERS:
            return self._product(name, args, answer)
        given = given_to(name, args, kwargs)
        x, bias, groups = given["input"], given.get("bias"), given.get("groups", 1)
        index, bias_index = self.parameters.index(given["weight"]), self.parameters.index(bias)
        if index is None or (bias is not None and bias_index is None):
            return None
        axis, into = -1 - LAYERS[name], int("transpose" not in name)
        if groups > 1 and not into:
            return None
        taken = self._channels(x, axis)
        out = self.marks.slices(index, 1 - into)
        self.gives[index, 1 - into] = None
        if groups > 1 and given["weight"].shape[1] == 1:
            self.each[index] = len(out) // groups
            self._take_in(taken.repeat_interleave(self.each[index]), out)
        else:
            self.reads[index, into] = None
            for part in taken.view(groups, -1):
                self._take_in(part, self.marks.slices(index, into))
            if groups > 1:
                self.marks.unite(out.view(groups, -1), out.view(groups, -1)[0])
        if bias_index is not None:
            self.marks.unite(self.marks.slices(bias_index, 0), out)
        positions = answer.numel() / max(len(out), 1) if into else x.numel() / max(x.shape[axis], 1)
        self.used.append((index, positions))
        return _spread(out, answer, axis)

    def _embedding(self, args: tuple, kwargs: dict, answer: Tensor) -> Tensor | None:
        """The marks of an embedding's result; None where its weight is no parameter."""
        index = self.parameters.index(args[1] if len(args) > 1 else kwargs.get("weight"))
        if index is None:
            return None
        if (args[3] if len(args) > 3 else kwargs.get("max_norm")) is not None:
            self.marks.reasons.setdefault(
                index, "its rows are scaled to a norm, which is of all their columns"
            )
        self.gives[index, 1] = None
        return self.marks.slices(index, 1).expand(answer.shape)

    def _product(self, name: str, args: tuple, answer: Any) -> Tensor | None:
        """The marks of a matrix product with a weight of two axes on the right, which is a layer.

        None for any other function.
        """
        if name not in _PRODUCTS or len(args) < 2:
            return None
        x, weight = args[-2:]
        index = self.parameters.index(weight)
        bias = self.parameters.index(args[0]) if name == "addmm" else None
        if (
            index is None
            or weight.ndim != 2
            or self.parameters.index(x) is not None
            or (name == "addmm" and bias is None)
        ):
            return None
        out = self.marks.slices(index, 1)
        self.gives[index, 1], self.reads[index, 0] = None, None
        self._take_in(self._channels(x, -1), self.marks.slices(index, 0))
        if bias is not None:
            axis = self.parameters[bias].raw.ndim - 1
            self.marks.unite(self.marks.slices(bias, axis), out)
        self.used.append((index, answer.numel() / max(len(out), 1)))
        return _spread(out, answer, -1)

    def _take_in(self, taken: Tensor, slices: Tensor) -> None:
        """Unite the marks of a layer's input with its slices; fix a slice whose input has none."""
        self.marks.unite(torch.where(taken == 0, FIXED, taken), slices)

    def _channels(self, x: Tensor, axis: int) -> Tensor:
        """One mark for each index along an axis of a tensor; marks at the same index are united."""
        if id(x) not in self._of or not x.numel():
            return torch.zeros(x.shape[axis], dtype=torch.long)
        marks = self.marks.roots(self._of[id(x)]).movedim(axis, 0).reshape(x.shape[axis], -1)
        if (marks != marks[:, :1]).any():
            highest = marks.amax(1, keepdim=True)
            self.marks.unite(marks, highest)
        return self.marks.roots(marks.amax(1))

    # -- probing

    def _probed(self, func: Callable, args: tuple, kwargs: dict) -> list[Tensor]:
        """The marks of a function's results, found by probing it; [] where there are none."""
        leaves, structure = tree.flatten((args, kwargs))
        weights = {
            at: index
            for at, leaf in enumerate(leaves)
            if (index := self.parameters.index(leaf)) is not None
        }
        marked = {
            at: self._of[id(leaf)]
            for at, leaf in enumerate(leaves)
            if id(leaf) in self._of and at not in weights
        }
        probe = Probe(func, leaves, structure, [*weights, *marked])
        results: list[Tensor] | None = None
        for at, own in marked.items():
            if not (leaves[at].is_floating_point() or leaves[at].dtype == torch.bool):
                self.marks.fix(own)
            elif own.any():
                results = self._joined(results, self._read(probe, at, own))
        for at, index in weights.items():
            results = self._weight(probe, at, index, results)
        return results or []

    def _joined(self, results: list[Tensor] | None, more: list[Tensor]) -> list[Tensor]:
        if results is None:
            return more
        for first, second in zip(results, more, strict=True):
            self.marks.unite(first, second)
        return [
            torch.where(first == 0, second, first)
            for first, second in zip(results, more, strict=True)
        ]

    def _weight(
        self, probe: Probe, at: int, index: int, results: list[Tensor] | None
    ) -> list[Tensor] | None:
        """The marks of the results of a function that is no layer and has a weight.

        The channels are along the axis of the weight whose slices each meet one mark.
        """
        weight = probe.leaves[at]
        axes = [axis for axis in reversed(range(weight.ndim)) if weight.shape[axis] > 1]
        if not weight.is_floating_point() or not axes:
            return results
        if results is None or not any(bool(marks.any()) for marks in results):
            if not self.parameters[index].is_parameter:
                return results
            marks = self.marks.slices(index, axes[0])
            return self._read(probe, at, _along(weight, axes[0], marks))
        for axis in axes:
            local = torch.arange(weight.shape[axis]) + 2
            own = self._read(probe, at, _along(weight, axis, local), unite=False)
            if own is None:
                continue
            pairs = {
                (slice_, mark)
                for a, b in zip(own, results, strict=True)
                for slice_, mark in distinct_pairs(
                    a[(a != 0) & (b != 0)], self.marks.roots(b)[(a != 0) & (b != 0)]
                )
            }
            if pairs and len({slice_ for slice_, _ in pairs}) == len(pairs):
                slices, marks = torch.tensor(sorted(pairs)).T
                self.marks.unite(self.marks.slices(index, axis)[slices - 2], marks)
                return results
        return results

    def _read(self, probe: Probe, at: int, own: Tensor, *, unite: bool = True) -> Any:
        """The marks of the results, by the marks of one tensor that goes in.

        The marks are numbered, and the probe changes all with a bit of their number set, then all
        with that bit clear: a logarithmic number of runs.
        `own`: the marks of the tensor's elements.
        `unite`: unite the marks that one number depends on; else give None where there are such.
        """
        own = self.marks.roots(own) if unite else own
        marks, codes = torch.unique(own, return_inverse=True)
        none = int(marks[0] == 0)
        codes, marks = codes - none, marks[none:]
        probe.aim(at, negative=not unite)
        total = probe.changes(codes >= 0)
        values = [torch.zeros(changed.shape, dtype=torch.long) for changed in total]
        clear = [torch.ones_like(changed) for changed in total]
        for bit in range((len(marks) - 1).bit_length()):
            ones = probe.changes((codes >= 0) & ((codes >> bit) % 2 == 1))
            zeros = probe.changes((codes >= 0) & ((codes >> bit) % 2 == 0))
            for index, (one, zero) in enumerate(zip(ones, zeros, strict=True)):
                values[index] += one.long() << bit
                clear[index] &= (one ^ zero) | ~total[index]
            if not all(bool(unmixed.all()) for unmixed in clear):
                return self._mixed(probe, codes, marks, total) if unite else None
        return [
            torch.where(changed, marks[value.clamp(max=len(marks) - 1)], 0)
            for changed, value in zip(total, values, strict=True)
        ]

    def _mixed(
        self, probe: Probe, codes: Tensor, marks: Tensor, total: list[Tensor]
    ) -> list[Tensor]:
        """The marks of the results, one run for each mark; marks that meet in a number unite."""
        results = [torch.zeros(changed.shape, dtype=torch.long) for changed in total]
        for code, mark in enumerate(marks.tolist()):
            for result, changed in zip(results, probe.changes(codes == code), strict=True):
                self.marks.unite(result[changed], torch.tensor(mark))
                result[changed & (result == 0)] = mark
        return results


def _spread(out: Tensor, answer: Tensor, axis: int) -> Tensor:
    """The marks of channels along a negative axis, in the shape of the layer's result."""
    return out.view(-1, *[1] * (-axis - 1)).expand(answer.shape)


def _along(weight: Tensor, axis: int, marks: Tensor) -> Tensor:
    """The marks of slices along an axis, in the shape of the weight."""
    return marks.view(-1, *[1] * (weight.ndim - axis - 1)).expand(weight.shape)
