"""The kind of an output, read off the graph that autograd keeps of a loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from shoestring.core.kinds import (
    BinaryLogits,
    BinaryProbabilities,
    ClassLogits,
    Directions,
    Kind,
    Numbers,
)

TRANSPARENT = {
    "View",
    "UnsafeView",
    "ReshapeAlias",
    "Transpose",
    "T",
    "Permute",
    "Squeeze",
    "Unsqueeze",
    "Select",
    "Slice",
    "Index",
    "IndexSelect",
    "MaskedSelect",
    "Clone",
    "ToCopy",
    "Expand",
    "Split",
    "SplitWithSizes",
    "Unbind",
    "Cat",
    "Stack",
    "Alias",
    "MaskedFill",
    "Where",
    "Mul",
    "Div",
    "Add",
    "Sub",
    "Rsub",
}
"""Operators after which a value still means the same: parts, views, scales and offsets.

The names are those of autograd, without "Backward" and the number behind it.
"""
OFFSETS_AND_SCALES = {"Add", "Sub", "Mul", "Div", "Rsub"}
_CUTS = {"Select", "Slice", "Index", "IndexSelect", "Split", "SplitWithSizes", "Unbind"}
_CLASSES = {
    "LogSoftmax",
    "Softmax",
    "Logsumexp",
    "NllLoss",
    "NllLoss2D",
    "NllLossNd",
    "CtcLoss",
    "MultiMarginLoss",
}
_YES_OR_NO = {
    "BinaryCrossEntropyWithLogits": BinaryLogits(),
    "Sigmoid": BinaryLogits(),
    "LogSigmoid": BinaryLogits(),
    "SoftMarginLoss": BinaryLogits(),
    "MultilabelMarginLoss": BinaryLogits(),
    "BinaryCrossEntropy": BinaryProbabilities(),
}
_NUMBERS = {"MseLoss", "L1Loss", "SmoothL1Loss", "HuberLoss", "Abs", "Pow"}
_NORMS = {"LinalgVectorNorm", "Norm"}
_VIEWS = {"View", "UnsafeView", "ReshapeAlias"}
_SAME_SHAPE = {"Clone", "ToCopy", "MaskedFill", "Where", "Mul", "Div", "Add", "Sub", "Alias"}


def of_loss(loss: Any, calls: Sequence[Mapping[str, Any]]) -> dict[str, Kind | None]:
    """The kind of each output that a loss is computed from, by path.

    The graph that autograd keeps shows what was done with an output: logits of classes go into a
    softmax, numbers into a difference that is squared. None for an output whose use shows no kind;
    outputs that the loss does not use are left out.

    `loss`: a scalar tensor; without a graph nothing is inferred.
    `calls`: the outputs of each call of the model, by path.
    """
    start = getattr(loss, "grad_fn", None)
    if start is None:
        return {}
    from torch.autograd.graph import get_gradient_edge

    edges: dict[tuple[Any, int], list[tuple[str, Any]]] = {}
    for call in calls:
        for path, output in call.items():
            if getattr(output, "requires_grad", False):
                node, index = get_gradient_edge(output)[:2]
                edges.setdefault((node, index), []).append((path, output))
    inside = _ancestors([node for node, _ in edges], set())
    readers: dict[tuple[Any, int], list[Any]] = {}
    for node in _ancestors([start], inside):
        for source in node.next_functions:
            readers.setdefault(source, []).append(node)
    by_path: dict[str, Kind | None] = {}
    for edge, owners in edges.items():
        if edge not in readers:
            continue
        kinds = [_of_use(edge, readers, output) for _, output in owners]
        for (path, _), kind in zip(owners, kinds, strict=True):
            by_path[path] = by_path.get(path) or kind
    return by_path


def _ancestors(starts: list[Any], without: set[Any]) -> set[Any]:
    """These nodes, and all nodes that they are computed from, except those in `without`."""
    seen: set[Any] = set()
    waiting = [node for node in starts if node is not None and node not in without]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        waiting += [
            source
            for source, _ in node.next_functions
            if source is not None and source not in seen and source not in without
        ]
    return seen


def _of_use(
    edge: tuple[Any, int], readers: Mapping[tuple[Any, int], list[Any]], output: Any
) -> Kind | None:
    """The kind that the use of an output shows.

    Of several signs the first counts, in the order: classes, yes or no, numbers, directions.
    """
    signs: dict[int, Kind] = {}
    cut = False
    waiting: list[tuple[tuple[Any, int], list[Any]]] = [(edge, [])]
    seen: set[Any] = set()
    while waiting:
        here, path = waiting.pop(0)
        for node in readers.get(here, []):
            if node in seen:
                continue
            seen.add(node)
            name = operator_of(node)
            if name in _CLASSES:
                signs.setdefault(0, _classes(node, name, path, output))
            elif name in _YES_OR_NO:
                signs.setdefault(1, _YES_OR_NO[name])
            elif name in _NUMBERS or (name in _NORMS and "Sub" in map(operator_of, path)):
                signs.setdefault(2, Numbers())
            elif name in _NORMS and (dims := getattr(node, "_saved_dim", None)):
                signs.setdefault(3, Directions(_from_zero(dims[0], output.ndim)))
            elif name == "Mul" and _is_length(node, readers):
                signs.setdefault(3, Directions())
            elif name in TRANSPARENT:
                cut = cut or name in _CUTS
                waiting += [((node, index), [*path, node]) for index in range(_width(node))]
    if cut and len(signs) > 1:
        # Its parts mean different things. A kind that ignores offsets would be wrong for some.
        return Numbers()
    return signs[min(signs)] if signs else None


def _classes(node: Any, name: str, path: list[Any], output: Any) -> Kind:
    """The kind of an output that goes into a softmax: logits of classes.

    Where other numbers were concatenated with it along the axis of the softmax, it is a logit of
    yes or no (two columns in all), or numbers.
    """
    saved = getattr(node, "_saved_result", None)
    saved = getattr(node, "_saved_self", None) if saved is None else saved
    dim = getattr(node, "_saved_dim", None)
    if saved is not None and isinstance(dim, int):
        axis = _from_zero(dim, saved.ndim)
        for step in path:
            joins = operator_of(step) in ("Cat", "Stack")
            if joins and _from_zero(step._saved_dim, saved.ndim) == axis:
                return BinaryLogits() if saved.shape[axis] == 2 else Numbers()
    return ClassLogits(_axis(node, name, path, output))


def _is_length(node: Any, readers: Mapping[tuple[Any, int], list[Any]]) -> bool:
    """Whether a value is multiplied by itself, summed, and a square root is taken of the sum.

    cosine_embedding_loss computes lengths in this way.
    """
    if len(set(node.next_functions)) != 1:
        return False
    reached = [node]
    for name in ("Sum", "Add", "Mul", "Sqrt"):  # the root of the product of both lengths
        reached = [
            reader
            for source in reached
            for reader in readers.get((source, 0), [])
            if operator_of(reader) == name
        ]
    return bool(reached)


def _width(node: Any) -> int:
    """How many outputs of a node are followed: only a node that splits has more than one."""
    return 64 if operator_of(node) in ("Split", "SplitWithSizes", "Unbind") else 1


def operator_of(node: Any) -> str:
    """The operator of a node of autograd's graph, such as "Addmm"."""
    return node.name().split("::")[-1].split("Backward")[0]


def _from_zero(dim: int, ndim: int) -> int:
    """An axis as autograd saves it (-1 is 2⁶⁴ - 1), counted from 0."""
    return (dim - 2**64 if dim >= 2**63 else dim) % ndim


def _axis(node: Any, name: str, path: list[Any], output: Any) -> int:
    """The axis of an output that has the classes.

    It is the axis of the node that reads the classes, followed back along the path to the output.
    """
    saved = getattr(node, "_saved_result", None) if name != "Logsumexp" else node._saved_self
    saved = getattr(node, "_saved_self", None) if saved is None else saved
    shape = list(output.shape if saved is None else saved.shape)
    dim = getattr(node, "_saved_dim", None)
    if name == "CtcLoss":
        axis = len(shape) - 1
    elif dim is None:  # nll_loss and the like
        axis = min(1, len(shape) - 1)
    else:
        axis = _from_zero(dim[0] if isinstance(dim, tuple) else dim, len(shape))
    classes, exact = shape[axis], True
    for step in reversed(path):
        name = operator_of(step)
        if name in _VIEWS:
            behind = math.prod(map(int, shape[axis + 1 :]))
            shape = list(step._saved_self_sym_sizes)
            axes = [
                index
                for index, size in enumerate(shape)
                if size == classes and math.prod(map(int, shape[index + 1 :])) == behind
            ]
            exact, axis = exact and bool(axes), axes[0] if axes else 0
        elif name == "Permute":
            dims = [_from_zero(dim, len(shape)) for dim in step._saved_dims]
            shape, axis = [shape[dims.index(index)] for index in range(len(shape))], dims[axis]
        elif name == "Transpose":
            both = (step._saved_dim0, step._saved_dim1)
            first, second = (_from_zero(dim, len(shape)) for dim in both)
            shape[first], shape[second] = shape[second], shape[first]
            axis = {first: second, second: first}.get(axis, axis)
        elif name not in _SAME_SHAPE:
            exact = False
    if exact and len(shape) == output.ndim and shape[axis] == output.shape[axis]:
        return axis
    fitting = [index for index, size in enumerate(output.shape) if size == classes]
    return fitting[-1] if fitting else min(1, output.ndim - 1)
