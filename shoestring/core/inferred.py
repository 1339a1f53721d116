"""What kinds of outputs a model has, where nobody says.

From what the loss does with them, from how they are made, from their values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shoestring.core.kinds import (
    BinaryLogits,
    BinaryProbabilities,
    ClassLogits,
    Directions,
    Kind,
    Kinds,
    Numbers,
    Own,
    Probabilities,
    are_probabilities,
    by_path,
    outputs_of,
    shown,
)


@dataclass(frozen=True)
class Told:
    """The kind of an output, and who says so."""

    kind: Kind
    by: str


# What autograd calls a step, without "Backward" and the number behind it.
_THROUGH = {
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
"""Steps after which a value still means the same.

Parts and views of it, other units, something taken off.
"""
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
_LINEAR = {"Addmm", "Mm", "Linear"}
_VIEWS = {"View", "UnsafeView", "ReshapeAlias"}


def settle(declared: Kinds, loss: Any, calls: Sequence[Any], answers: Any) -> dict[str, Told]:
    """The kind of each output that is to be taught, by path.

    `declared`: what the task says.
    `loss`: a scalar that was computed from the outputs of `calls`, of one structure, with gradients
        if they are on.
    `answers`: what the teacher returned. Of a mapping that has "logits", only these are taught, and
        what the loss or the declaration names besides.
    """
    leaves = outputs_of(answers)
    if isinstance(declared, Own):
        return {"": Told(declared, "declared")}
    said: Mapping[Any, Kind] = (
        {}
        if declared is None
        else dict.fromkeys(leaves, declared)
        if isinstance(declared, Kind)
        else declared
    )
    named = by_path(said, list(leaves), "the task's `kinds`")
    by_loss = of_loss(loss, [outputs_of(one) for one in calls])
    found: dict[str, Told] = {}
    for path, answer in leaves.items():
        if path in named:
            found[path] = Told(named[path], "declared")
        elif not answer.is_floating_point() or (
            _logits_only(answers, path) and path not in by_loss
        ):
            continue
        elif (kind := by_loss.get(path)) is not None:
            known = next((one[path] for one in map(outputs_of, calls) if path in one), None)
            found[path] = Told(_numbers(known) if kind == Numbers() else kind, "by the loss")
        else:
            found[path] = of_values(answer, outputs_of(calls[0]).get(path) if calls else None, path)
    return found


def in_words(found: Mapping[str, Told]) -> str:
    """One line: "logits as logits of classes along axis 1 (by the loss), boxes as numbers
    (declared)".
    """
    return ", ".join(f"{shown(path)} as {told.kind} ({told.by})" for path, told in found.items())


def _logits_only(answers: Any, path: str) -> bool:
    """Whether a mapping on the way to an output has logits, and the output is none of them."""
    before, *after = path.split(".", 1)
    if isinstance(answers, Mapping):
        keys = {str(key): key for key in answers}
        if "logits" in keys and before != "logits":
            return True
        return bool(after) and before in keys and _logits_only(answers[keys[before]], after[0])
    return (
        bool(after)
        and isinstance(answers, list | tuple)
        and _logits_only(answers[int(before)], after[0])
    )


# -- from the loss


def of_loss(loss: Any, calls: Sequence[Mapping[str, Any]]) -> dict[str, Kind | None]:
    """The kinds of the outputs that a loss is computed from, None where the way it is computed does
    not tell; without those it does not use.

    Autograd knows what was done with an output: logits of classes go into a softmax, numbers into a
    difference that is squared.
    """
    start = getattr(loss, "grad_fn", None)
    if start is None:
        return {}
    from torch.autograd.graph import get_gradient_edge

    edges: dict[tuple[Any, int], list[tuple[str, Any]]] = {}
    for call in calls:
        for path, one in call.items():
            if getattr(one, "requires_grad", False):
                node, place = get_gradient_edge(one)[:2]
                edges.setdefault((node, place), []).append((path, one))
    inside = _reached([node for node, _ in edges], set())
    readers: dict[tuple[Any, int], list[Any]] = {}
    for node in _reached([start], inside):
        for source in node.next_functions:
            readers.setdefault(source, []).append(node)
    found: dict[str, Kind | None] = {}
    for edge, owners in edges.items():
        if edge not in readers:
            continue
        kinds = [_of_use(edge, readers, one) for _, one in owners]
        for (path, _), kind in zip(owners, kinds, strict=True):
            found[path] = found.get(path) or kind
    return found


def _reached(starts: list[Any], without: set[Any]) -> set[Any]:
    """The nodes of the graph from which these were computed, these too."""
    seen: set[Any] = set()
    waiting = [node for node in starts if node is not None and node not in without]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        waiting += [
            one
            for one, _ in node.next_functions
            if one is not None and one not in seen and one not in without
        ]
    return seen


def _of_use(
    edge: tuple[Any, int], readers: Mapping[tuple[Any, int], list[Any]], output: Any
) -> Kind | None:
    """What is done with an output.

    The first sign in the order classes, yes or no, numbers, directions.
    """
    signs: dict[int, Kind] = {}
    cut = False
    waiting: list[tuple[tuple[Any, int], list[Any]]] = [(edge, [])]
    seen: set[Any] = set()
    while waiting:
        here, way = waiting.pop(0)
        for node in readers.get(here, []):
            if node in seen:
                continue
            seen.add(node)
            step = _step(node)
            if step in _CLASSES:
                signs.setdefault(0, _classes(node, step, way, output))
            elif step in _YES_OR_NO:
                signs.setdefault(1, _YES_OR_NO[step])
            elif step in _NUMBERS or (step in _NORMS and any(_step(one) == "Sub" for one in way)):
                signs.setdefault(2, Numbers())
            elif step in _NORMS and (dims := getattr(node, "_saved_dim", None)):
                signs.setdefault(3, Directions(_signed(dims[0], output.ndim)))
            elif step == "Mul" and _is_length(node, readers):
                signs.setdefault(3, Directions())
            elif step in _THROUGH:
                cut = cut or step in _CUTS
                waiting += [((node, place), [*way, node]) for place in range(_width(node))]
    if cut and len(signs) > 1:
        return (
            Numbers()
        )  # parts of it mean different things: what costs an offset nowhere would be wrong for some
    return signs[min(signs)] if signs else None


def _classes(node: Any, step: str, way: list[Any], output: Any) -> Kind:
    """What goes into a softmax.

    Logits of classes, or, where other numbers were put beside it, a logit of yes (beside one) or
    numbers.
    """
    kept = getattr(node, "_saved_result", None)
    kept = getattr(node, "_saved_self", None) if kept is None else kept
    dim = getattr(node, "_saved_dim", None)
    if kept is not None and isinstance(dim, int):
        axis = _signed(dim, kept.ndim)
        for one in way:
            if _step(one) in ("Cat", "Stack") and _signed(one._saved_dim, kept.ndim) == axis:
                return BinaryLogits() if kept.shape[axis] == 2 else Numbers()
    return ClassLogits(_axis(node, step, way, output))


def _is_length(node: Any, readers: Mapping[tuple[Any, int], list[Any]]) -> bool:
    """Whether a product is of a value with itself, and a root is taken of their sum.

    Cosine_embedding_loss does that.
    """
    if len(set(node.next_functions)) != 1:
        return False
    here = [node]
    for name in ("Sum", "Add", "Mul", "Sqrt"):  # the root of the product of both lengths
        here = [
            after for one in here for after in readers.get((one, 0), []) if _step(after) == name
        ]
    return bool(here)


def _width(node: Any) -> int:
    """How many outputs of a step are looked at: only parting has more than one."""
    return 64 if _step(node) in ("Split", "SplitWithSizes", "Unbind") else 1


def _step(node: Any) -> str:
    return node.name().split("::")[-1].split("Backward")[0]


def _signed(dim: int, ndim: int) -> int:
    """An axis as autograd keeps it (-1 is 2⁶⁴ - 1), counted from 0."""
    return (dim - 2**64 if dim >= 2**63 else dim) % ndim


def _axis(node: Any, step: str, way: list[Any], output: Any) -> int:
    """The axis of the output that has the classes.

    That of the step which reads it, followed back along the way.
    """
    kept = getattr(node, "_saved_result", None) if step != "Logsumexp" else node._saved_self
    kept = getattr(node, "_saved_self", None) if kept is None else kept
    shape = list(output.shape if kept is None else kept.shape)
    dim = getattr(node, "_saved_dim", None)
    if step == "CtcLoss":
        axis = len(shape) - 1
    elif dim is None:  # of nll_loss and its like
        axis = min(1, len(shape) - 1)
    else:
        axis = _signed(dim[0] if isinstance(dim, tuple) else dim, len(shape))
    classes, exact = shape[axis], True
    for one in reversed(way):
        name = _step(one)
        if name in _VIEWS:
            behind = _product(shape[axis + 1 :])
            shape = list(one._saved_self_sym_sizes)
            axes = [
                place
                for place, size in enumerate(shape)
                if size == classes and _product(shape[place + 1 :]) == behind
            ]
            exact, axis = exact and bool(axes), axes[0] if axes else 0
        elif name == "Permute":
            dims = [_signed(dim, len(shape)) for dim in one._saved_dims]
            shape, axis = [shape[dims.index(place)] for place in range(len(shape))], dims[axis]
        elif name == "Transpose":
            first, second = (_signed(dim, len(shape)) for dim in (one._saved_dim0, one._saved_dim1))
            shape[first], shape[second] = shape[second], shape[first]
            axis = {first: second, second: first}.get(axis, axis)
        elif name not in (
            "Clone",
            "ToCopy",
            "MaskedFill",
            "Where",
            "Mul",
            "Div",
            "Add",
            "Sub",
            "Alias",
        ):
            exact = False
    if exact and len(shape) == output.ndim and shape[axis] == output.shape[axis]:
        return axis
    fitting = [place for place, size in enumerate(output.shape) if size == classes]
    return fitting[-1] if fitting else min(1, output.ndim - 1)


def _product(sizes: Sequence[int]) -> int:
    product = 1
    for size in sizes:
        product *= int(size)
    return product


# -- from the values


def of_values(answer: Any, made: Any = None, path: str = "") -> Told:
    """The kind of an output from its values, from its path where it is called "logits", and from
    the last step that made it, where `made` is the same output with gradients.

    Numbers where nothing tells.
    """
    numbers = Told(_numbers(made), "nothing tells")
    if not answer.numel() or not answer.isfinite().all():
        return numbers
    axes = range(answer.ndim - 1, 0, -1)
    by = "by its values"
    for values, kind in ((answer, Probabilities), (answer.exp(), ClassLogits)):
        for axis in axes:
            if answer.shape[axis] > 1 and are_probabilities(values, axis):
                return Told(kind(axis), by)
    if (
        path.split(".")[-1] == "logits"
        and answer.ndim > 1
        and answer.shape[column := answer.ndim - 1 if answer.ndim == 3 else 1] > 1
    ):
        return Told(ClassLogits(column), "by its name")
    # Four that are called so may be the sides of a box, within a picture.
    if _last_step(made) == "Sigmoid" and not (answer.shape[-1:] == (4,) and _called_boxes(path)):
        return Told(BinaryProbabilities(), "made by a sigmoid")
    for axis in axes:
        if answer.shape[axis] > 2 and ((answer.norm(dim=axis) - 1).abs() < 1e-3).all():
            return Told(Directions(axis), by)
    return numbers


def is_boxes(answer: Any, path: str) -> bool:
    """Whether an output N×…×4 is called boxes, and has in every row a left before a right and a top
    before a bottom, of eight rows or more.
    """
    if answer.ndim < 2 or answer.shape[-1] != 4 or answer.numel() < 32 or not _called_boxes(path):
        return False
    return bool((answer[..., 2] > answer[..., 0]).all() and (answer[..., 3] > answer[..., 1]).all())


def may_be_logits(made: Any) -> bool:
    """Whether an output, with gradients, comes out of a linear layer as three columns or more.

    Then they may be logits of classes.
    """
    return made is not None and made.ndim > 1 and made.shape[-1] > 2 and _last_step(made) in _LINEAR


def _called_boxes(path: str) -> bool:
    return "box" in path.lower()


def _numbers(made: Any) -> Numbers:
    """Numbers; of an output N×C×T that a convolution made, with its columns along axis 1."""
    return (
        Numbers(axis=1)
        if getattr(made, "ndim", 0) == 3 and _last_step(made).startswith("Conv")
        else Numbers()
    )


def _last_step(made: Any) -> str:
    """What autograd calls the step that made an output, before all views of it.

    "" where nothing is known.
    """
    step, node = "", getattr(made, "grad_fn", None)
    while node is not None:
        step = _step(node)
        if step not in _THROUGH - {"Add", "Sub", "Mul", "Div", "Rsub"}:
            break
        node = next((one for one, _ in node.next_functions if one is not None), None)
    return step
