"""Underfit or contradiction? Why a training loss does not fall."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, final

import numpy as np
import torch
from torch import nn

from shoestring.core import Task, label_task, seeded
from shoestring.kit import Training, clone, train


class Reason(Enum):
    """Why the training loss is where it is."""

    FITS = "fits"
    """The loss is near the least that the labels allow, which is near 0: nothing is wrong."""
    CONTRADICTION = "contradiction"
    """What is left of the loss is mostly what contradicting labels force."""
    UNDERFIT = "underfit"
    """A longer training, or a larger network, takes the loss far down."""
    UNEXPLAINED = "unexplained"
    """Neither: the network is too small even so, or the labels contradict each other in examples
    that are alike in another way than was looked for."""


@final
@dataclass(frozen=True, kw_only=True)
class Fit:
    """What keeps the training loss up.

    `reason`: the verdict.
    `loss`: the mean training loss (cross-entropy, nats) after the training.
    `longer`: after the longer training, or that of the larger network.
    `least`: the least that any function of the inputs reaches, given the contradictions among
        duplicates.
    `contradicting`: how many examples have a duplicate with another label.
    """

    reason: Reason
    loss: float
    longer: float
    least: float
    contradicting: int

    @property
    def verdict(self) -> str:
        """One sentence, with what to do."""
        says = f"the loss is {self.loss:.3f}, after the longer fit {self.longer:.3f}, and "
        says += f"contradicting duplicates alone force {self.least:.3f}"
        todo = {
            Reason.FITS: "the network fits its labels",
            Reason.CONTRADICTION: f"settle the labels of {self.contradicting} duplicates first: no "
            "network can learn them",
            Reason.UNDERFIT: "to bring it down, train longer or take a larger network: the labels "
            "allow it",
            Reason.UNEXPLAINED: "look at the wrong labels, or take a much larger network",
        }
        return f"{self.reason.value}: {says}; {todo[self.reason]}"


def least_loss(labels: Any, groups: Any) -> float:
    """The least mean cross-entropy, in nats, of a function that gives equal examples one answer.

    It is the entropy of the labels within each group of duplicates.

    `labels`, `groups`: N integers each; examples of one group are taken for equal.

    Raises ValueError for lengths that differ, or no example.
    """
    given, together = np.asarray(labels), np.asarray(groups)
    if given.shape != together.shape or not given.size:
        raise ValueError(
            f"there are {given.size} labels and {together.size} groups: give one of each for every "
            "example, at least one"
        )
    pairs, counts = np.unique(np.stack([together, given], 1), axis=0, return_counts=True)
    group = np.unique(pairs[:, 0], return_inverse=True)[1]
    totals = np.bincount(group, weights=counts)
    return float(-(counts * np.log(counts / totals[group])).sum() / len(given))


def underfit_or_contradiction(
    model: nn.Module,
    task: Task,
    training: Training,
    groups: Any,
    *,
    larger: nn.Module | None = None,
    times: int = 4,
    seed: int = 0,
) -> Fit:
    """Whether a training loss stays up because labels disagree, or because the fit is too short.

    The loss after the training is compared with the least that duplicates with different labels
    allow, and with the loss of a longer training. Costs `times` + 1 trainings.

    `model`: where each training begins; untrained.
    `task`: one whose labels can be changed, a class for each example, with a loss of cross-entropy.
    `groups`: N integers, of the training examples in the order of `known()`: duplicates have the
        same (`Near.groups`).
    `larger`: trained in the longer fit in place of the model; None: the model itself.
    `times`: how many times as long the longer training is, 2 or more.

    Source: none; the least loss is the conditional entropy of the labels given the input.
    Raises ValueError for another number of groups than of examples, and for `times` below 2.
    """
    if times < 2:
        raise ValueError(f"times is {times}: a longer training is 2 times as long or more")
    labelled = label_task(task.sealed())
    known = np.asarray(labelled.known())
    labels = np.asarray(labelled.labels(known))
    least = least_loss(labels, groups)
    long = replace(training, steps=times * training.steps)
    losses = []
    for what, start, how in (("fit", model, training), ("longer fit", larger or model, long)):
        with seeded(seed):
            trained = train(clone(start), labelled, how, what=what)
        outputs = labelled.outputs(trained, labelled.inputs(known))
        losses.append(float(labelled.losses(outputs, torch.from_numpy(labels)).double().mean()))
    loss, longer = losses
    return Fit(
        reason=_reason(loss, longer, least),
        loss=loss,
        longer=longer,
        least=least,
        contradicting=_contradicting(labels, np.asarray(groups)),
    )


_SMALL = 0.05
"""A loss below this, in nats, leaves nothing to explain: the label has 95 % of the probability."""


def _reason(loss: float, longer: float, least: float) -> Reason:
    best = min(loss, longer)
    if best <= _SMALL:
        return Reason.FITS if loss <= 2 * _SMALL else Reason.UNDERFIT
    if least >= best / 2:  # most of what the longer fit leaves is forced
        gap = loss - least
        return Reason.CONTRADICTION if gap <= max(least, _SMALL) else Reason.UNDERFIT
    return Reason.UNDERFIT if longer < 0.7 * loss else Reason.UNEXPLAINED


def _contradicting(labels: np.ndarray, groups: np.ndarray) -> int:
    """How many examples are in a group with more than one label."""
    pairs = np.unique(np.stack([groups, labels], 1), axis=0)
    kinds, counts = np.unique(pairs[:, 0], return_counts=True)
    return int(np.isin(groups, kinds[counts > 1]).sum())
