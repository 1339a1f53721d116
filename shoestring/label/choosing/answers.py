"""What a model says of examples: the probabilities of classes at each place of each example."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.core.inferred import settle
from shoestring.core.kinds import (
    BinaryLogits,
    BinaryProbabilities,
    ClassLogits,
    Kind,
    Probabilities,
    outputs_of,
)
from shoestring.core.labels import LabelTask
from shoestring.core.task import evaluating

CHUNK = 500
"""Examples that are answered together."""
_OF_CLASSES = (ClassLogits, Probabilities, BinaryLogits, BinaryProbabilities)


@dataclass(frozen=True, kw_only=True, eq=False)
class Places:
    """The probabilities of a chunk of examples.

    A classification has one place an example, a sequence one for each token, a picture with a mask
    one for each pixel, and independent questions of yes or no one each.

    `probabilities_PC`: of each place, float32.
    `owner_P`: the number of its example, from 0 to `examples` - 1, in ascending order.
    `examples`: how many there are.
    """

    probabilities_PC: Tensor
    owner_P: Tensor
    examples: int

    def summed(self, values_P: Tensor) -> Tensor:
        """The sum over the places of each example: N."""
        return torch.zeros(self.examples, dtype=values_P.dtype).index_add(0, self.owner_P, values_P)

    def counts(self) -> Tensor:
        """How many places each example has: N."""
        return torch.bincount(self.owner_P, minlength=self.examples).float()


def answers(model: nn.Module, task: LabelTask, indices: Any) -> Iterator[Places]:
    """The answers of a model to examples, in chunks of 500.

    Padding is left out: where the first integer input is N×T… with 0 at a place, and the outputs
    have such places.

    `indices`: of the examples, 1 or more.
    Raises ValueError for outputs that are not of classes, that have one class, or that are NaN.
    """
    kind, path = _kind(model, task, indices)
    for chunk in chunks(indices):
        inputs = task.inputs(chunk)
        yield places(task.outputs(model, inputs), kind, path, inputs, chunk)


def chunks(indices: Any) -> Iterator[np.ndarray]:
    """The indices in parts of 500 at most."""
    indices = np.asarray(indices)
    for begin in range(0, len(indices), CHUNK):
        yield indices[begin : begin + CHUNK]


def places(outputs: Any, kind: Kind, path: str, inputs: Sequence[Tensor], indices: Any) -> Places:
    """The places of a chunk of outputs; raises ValueError for NaN and for a single class."""
    values = outputs_of(outputs)[path].float()
    if values.isnan().any():
        bad = int(values.flatten(1).isnan().any(1).nonzero()[0])
        raise ValueError(
            f"the model answers NaN for example {indices[bad]}: nothing can be chosen by it. Train "
            "with a lower learning rate, and see shoestring.diagnose(model, task)"
        )
    probabilities, is_place = probabilities_of(values, kind), None
    count = len(probabilities)
    shape = probabilities.shape[1:-1]
    if len(shape) and isinstance(kind, ClassLogits | Probabilities):
        is_place = is_token(inputs, int(shape[0])) if len(shape) == 1 else None
    owner = torch.arange(count)[:, None].expand(count, prod(shape)).flatten()
    rows = probabilities.reshape(-1, probabilities.shape[-1])
    if is_place is not None:
        rows, owner = rows[is_place.flatten()], owner[is_place.flatten()]
    if rows.shape[-1] < 2:
        raise ValueError(
            f"the outputs of shape {list(values.shape)} have one class, of which a model is always "
            "sure: give it two or more, or choose by Random() or KCentre()"
        )
    return Places(probabilities_PC=rows, owner_P=owner, examples=count)


def probabilities_of(values: Tensor, kind: Kind) -> Tensor:
    """The probabilities N×…×C of outputs of a kind, with the classes along the last axis."""
    if isinstance(kind, ClassLogits | Probabilities):
        moved = values.movedim(kind.axis, -1)
        return moved.softmax(-1) if isinstance(kind, ClassLogits) else moved
    yes = values.sigmoid() if isinstance(kind, BinaryLogits) else values
    return torch.stack([1 - yes, yes], -1)


def is_token(inputs: Sequence[Tensor], length: int) -> Tensor | None:
    """Whether each place N×`length` is a token: not id 0, which is padding, in all of its ids.

    None where no input is N×T… of integers with T at least `length`.
    """
    for one in inputs:
        if not one.is_floating_point() and one.ndim >= 2 and one.shape[1] >= length:
            ids = one[:, :length]
            return ids.flatten(2).any(2) if ids.ndim > 2 else ids != 0
    return None


def output_kind(model: nn.Module, task: LabelTask, indices: Any) -> tuple[Kind, str]:
    """The kind of the output by which classes are told, and its path; as `answers` finds it."""
    return _kind(model, task, indices)


def _kind(model: nn.Module, task: LabelTask, indices: Any) -> tuple[Kind, str]:
    """Declared by the task, told by its loss on labels that are there, or classes by default."""
    given = task.outputs(model, task.inputs(np.asarray(indices)[:2]))
    told: dict[str, Any] = {}
    if task.kinds is not None:
        told = settle(task.kinds, None, [], given) if _declares_all(task, given) else {}
    if not told and len(task.known()):
        told = _told_by_loss(model, task, given)
    for path, one in told.items():
        if isinstance(one.kind, _OF_CLASSES):
            return one.kind, path
    for path, leaf in outputs_of(given).items():
        sure = path in told and told[path].by in ("declared", "by the loss")
        if not sure and leaf.is_floating_point() and leaf.ndim >= 2:
            return ClassLogits(2 if leaf.ndim == 3 else 1), path
    found = ", ".join(f"{path or 'output'}: {one.kind}" for path, one in told.items())
    raise ValueError(
        f"the model gives no classes ({found or 'no numbers'}), whose probabilities this technique "
        "chooses by: choose by Random(), KCentre() or Typical(), or declare the task's kinds="
    )


def _declares_all(task: LabelTask, given: Any) -> bool:
    return isinstance(task.kinds, Kind) or len(task.kinds or ()) >= len(outputs_of(given))


def _told_by_loss(model: nn.Module, task: LabelTask, given: Any) -> dict[str, Any]:
    calls: list[Any] = []
    seen = model.register_forward_hook(lambda _, __, outputs: calls.append(outputs))
    try:
        with evaluating(model), torch.enable_grad():
            loss = task.loss(model, next(iter(task.batches("train"))))
    finally:
        seen.remove()
    return settle(task.kinds, loss, calls[:1], given) if calls else {}


def worths(
    model: nn.Module, task: LabelTask, indices: Any, of_place: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """The worth of each example N, and how many places it has, N.

    The worth is a function of the probabilities at a place, summed over the places.

    `of_place`: from probabilities P×C to P numbers, 0 or more.
    """
    found = [
        (one.summed(of_place(one.probabilities_PC)), one.counts())
        for one in answers(model, task, indices)
    ]
    return torch.cat([worth for worth, _ in found]), torch.cat([count for _, count in found])


def entropy(probabilities_PC: Tensor) -> Tensor:
    """The entropy of each row, in nats: P."""
    return torch.special.entr(probabilities_PC).sum(1)


def predicted(model: nn.Module, task: LabelTask, indices: Any) -> Tensor:
    """The class that each example most likely has, N.

    Raises ValueError where an example has several places, and so no class of its own.
    """
    found = list(answers(model, task, indices))
    if any(len(one.owner_P) != one.examples for one in found):
        raise ValueError(
            "Balanced() balances the classes of examples, and these have several places with a "
            "class each: use AsRanked()"
        )
    return torch.cat([one.probabilities_PC.argmax(1) for one in found])
