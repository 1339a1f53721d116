"""The kind of each output of a model, inferred where the task does not declare it.

It is inferred from what the loss does with an output, from how it is computed, and from its values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shoestring.core.kinds import (
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
from shoestring.core.loss_graph import OFFSETS_AND_SCALES, TRANSPARENT, of_loss, operator_of


@dataclass(frozen=True)
class Told:
    """The kind of an output, and the reason for it in words, such as "by the loss"."""

    kind: Kind
    by: str


_LINEAR = {"Addmm", "Mm", "Linear"}


def settle(declared: Kinds, loss: Any, calls: Sequence[Any], answers: Any) -> dict[str, Told]:
    """The kind of each output that is to be taught, by path.

    `declared`: the task's `kinds`.
    `loss`: a scalar that was computed from the outputs of `calls`, which have one structure; with
        gradients where they are on.
    `answers`: what the teacher returned. Of a mapping with a key "logits" only that value is
        taught, and besides it only what the loss uses or the declaration names.
    """
    leaves = outputs_of(answers)
    if isinstance(declared, Own):
        return {"": Told(declared, "declared")}
    by_key: Mapping[Any, Kind] = (
        {}
        if declared is None
        else dict.fromkeys(leaves, declared)
        if isinstance(declared, Kind)
        else declared
    )
    named = by_path(by_key, list(leaves), "the task's `kinds`")
    by_loss = of_loss(loss, [outputs_of(call) for call in calls])
    kinds: dict[str, Told] = {}
    for path, answer in leaves.items():
        if path in named:
            kinds[path] = Told(named[path], "declared")
        elif not answer.is_floating_point() or (
            _logits_only(answers, path) and path not in by_loss
        ):
            continue
        elif (kind := by_loss.get(path)) is not None:
            output = next((call[path] for call in map(outputs_of, calls) if path in call), None)
            kinds[path] = Told(_numbers(output) if kind == Numbers() else kind, "by the loss")
        else:
            kinds[path] = of_values(answer, outputs_of(calls[0]).get(path) if calls else None, path)
    return kinds


def in_words(kinds: Mapping[str, Told]) -> str:
    """One line, such as "logits as logits of classes along axis 1 (by the loss)"."""
    return ", ".join(f"{shown(path)} as {told.kind} ({told.by})" for path, told in kinds.items())


def _logits_only(answers: Any, path: str) -> bool:
    """Whether the path runs through a mapping that has a key "logits", by another key."""
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


# -- from the values


def of_values(answer: Any, made: Any = None, path: str = "") -> Told:
    """The kind of an output by its values, its name and the operator that made it.

    Numbers where none of these shows a kind.
    `answer`: the output, a tensor N×….
    `made`: the same output with gradients; None: the operator is not known.
    `path`: of the output; one that ends in "logits" is taken as logits of classes.
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
    # Four numbers that are called boxes are shares of the height and width of an image.
    if _last_operator(made) == "Sigmoid" and not (
        answer.shape[-1:] == (4,) and _called_boxes(path)
    ):
        return Told(BinaryProbabilities(), "made by a sigmoid")
    for axis in axes:
        if answer.shape[axis] > 2 and ((answer.norm(dim=axis) - 1).abs() < 1e-3).all():
            return Told(Directions(axis), by)
    return numbers


def is_boxes(answer: Any, path: str) -> bool:
    """Whether an output N×…×4 holds boxes: left, top, right, bottom.

    Its path has the word "box", it has 8 rows or more, and in each row left < right and
    top < bottom.
    """
    if answer.ndim < 2 or answer.shape[-1] != 4 or answer.numel() < 32 or not _called_boxes(path):
        return False
    return bool((answer[..., 2] > answer[..., 0]).all() and (answer[..., 3] > answer[..., 1]).all())


def may_be_logits(made: Any) -> bool:
    """Whether an output is made by a linear layer, with 3 columns or more.

    Such an output may be logits of classes.
    `made`: the output, with gradients.
    """
    wide = made is not None and made.ndim > 1 and made.shape[-1] > 2
    return wide and _last_operator(made) in _LINEAR


def _called_boxes(path: str) -> bool:
    return "box" in path.lower()


def _numbers(made: Any) -> Numbers:
    """Numbers, with columns along axis 1 where a convolution made the output N×C×T."""
    by_convolution = getattr(made, "ndim", 0) == 3 and _last_operator(made).startswith("Conv")
    return Numbers(axis=1) if by_convolution else Numbers()


def _last_operator(made: Any) -> str:
    """The operator that made an output, before all views of it; "" where it is not known."""
    name, node = "", getattr(made, "grad_fn", None)
    while node is not None:
        name = operator_of(node)
        if name not in TRANSPARENT - OFFSETS_AND_SCALES:
            break
        node = next((source for source, _ in node.next_functions if source is not None), None)
    return name
