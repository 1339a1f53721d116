"""What is wrong with the answers of a network, its labels and its loss, as findings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from shoestring.core.kinds import ClassLogits
from shoestring.core.loss_graph import of_loss
from shoestring.plan.diagnosis import Finding
from shoestring.plan.seen import Seen


def labels(seen: Seen) -> Iterator[Finding]:
    """Labels that are all equal."""
    targets = _targets(seen.batches)
    if targets is not None and len(targets) > 1 and bool((targets == targets[0]).all()):
        yield Finding(
            name="constant labels",
            says=f"all {len(targets)} labels of the batches are {targets[0].tolist()}",
            do="Shuffle the training data, and check how labels are read",
        )


def probabilities(seen: Seen) -> Iterator[Finding]:
    """Probabilities as answers, where the loss takes logits."""
    if seen.probabilities:
        yield Finding(
            name="probabilities where logits are wanted",
            says=f"the answers are probabilities of {seen.probabilities} classes (0 to 1, with a "
            "sum of 1), and the loss takes a softmax of them again, which weakens the gradient",
            do="Leave out the softmax at the end of the model: cross_entropy takes logits and "
            "has a softmax itself. Where probabilities are to be answered, give the task a loss "
            "that takes them: nll_loss(log(answer), labels)",
        )


def probable_classes(answer: Any, loss: Tensor) -> int:
    """Of how many classes an answer is the probabilities though a loss takes logits; 0 for no.

    `answer`: what the model gave, N×classes or with more axes, with gradients.
    `loss`: a scalar that was computed from it. Its graph shows whether it takes logits.
    """
    if not isinstance(answer, Tensor) or answer.ndim < 2 or not answer.numel():
        return 0
    kind = of_loss(loss, [{"": answer}]).get("")
    if not isinstance(kind, ClassLogits):
        return 0
    values = answer.detach().float()
    classes = values.shape[kind.axis]
    # Sums are as exact as the type of the answer is.
    exact = max(1e-3, 4 * torch.finfo(answer.dtype).eps)
    sums_to_one = bool(((values.sum(kind.axis) - 1).abs() < exact).all())
    return classes if classes > 1 and sums_to_one and bool((values >= 0).all()) else 0


def too_few(answered: tuple[int, ...], batches: Sequence[Any]) -> str:
    """That a model gives fewer answers than there are classes, in words; "" where it does not.

    `answered`: the shape of what the model gave for a batch.
    """
    targets = _targets(batches)
    if targets is None or not answered:
        return ""
    same = any(answered == tuple(one[1].shape) for one in batches)
    given = 1 if same else max(_classes(answered, one[1]) for one in batches)
    highest = int(targets.max())
    if not given or given > highest:
        return ""
    return (
        f"the model gives {given} answer{'s' if given > 1 else ''} for each example, and the "
        f"labels go up to {highest}: a loss over classes needs {highest + 1}. Make the last layer "
        f"as wide, or count the labels from 0"
    )


def start(seen: Seen) -> Iterator[Finding]:
    """A loss that is far above that of guessing."""
    targets = _targets(seen.batches)
    if targets is None or not math.isfinite(seen.loss):
        return
    classes = _classes(seen.answered, seen.batches[len(seen.losses) - 1][1])
    if classes > int(targets.max()) and classes > 1 and seen.loss > 2 * math.log(classes) + 1:
        yield Finding(
            name="a loss far above guessing",
            says=f"the loss is {seen.loss:.3g}, and guessing among {classes} classes costs "
            f"{math.log(classes):.3g}: the outputs are large and wrong",
            do="Initialise the last layer smaller (its weight times 0.1), scale the inputs, or "
            "check that the loss takes logits and not probabilities",
        )


def _targets(batches: Sequence[Any]) -> Tensor | None:
    """The labels of batches that are (inputs, labels) with whole numbers; None for others."""
    found: list[Tensor] = []
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) < 2:
            return None
        labels = batch[1]
        if not isinstance(labels, Tensor) or labels.is_floating_point() or not labels.numel():
            return None
        found.append(labels.flatten())
    return torch.cat(found)


def _classes(answered: tuple[int, ...], labels: Tensor) -> int:
    """Of how many classes answers of a shape are the logits; 0 where they are of none.

    Answers are N×classes×... or N×...×classes for labels N×...
    """
    shape = tuple(labels.shape)
    if len(answered) != len(shape) + 1 or answered[:1] != shape[:1]:
        return 0
    if answered[2:] == shape[1:]:
        return answered[1]
    return answered[-1] if answered[:-1] == shape else 0
