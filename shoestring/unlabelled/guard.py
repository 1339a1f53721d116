"""The guard: what was learnt from unlabelled examples is used only where it does not hurt."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Protocol, final

import numpy as np
from torch import nn

from shoestring.core import Task, score
from shoestring.core.merits import merits
from shoestring.kit import Training, clone, train
from shoestring.unlabelled.augmentations import Augmentation
from shoestring.unlabelled.consistency import Weakly
from shoestring.unlabelled.material import Material, material

_RESAMPLES = 2000


class RefusedWarning(UserWarning):
    """Learning from unlabelled examples hurt: the network that learnt from labels alone is used."""


@final
@dataclass(frozen=True, kw_only=True)
class Tried:
    """What a technique made, and what the guard found.

    `network`: the one to use.
    `learnt`: the one that learnt from unlabelled examples too; `labels_only`: the other.
    `scores`: their validation scores, in this order.
    `p`: how often a difference as large comes by chance where there is none (`paired`); None where
        the task's score is no mean over examples.
    `refused`: whether the network to use is that of the labels alone.
    `why`: in words; with the changes of inputs that were made.
    """

    network: nn.Module
    learnt: nn.Module
    labels_only: nn.Module
    scores: tuple[float, float]
    p: float | None
    refused: bool
    why: str


class Learner(Protocol):
    """A technique that learns from unlabelled examples, as the guard sees it."""

    @property
    def training(self) -> Training:
        """Of the network that learns from labels alone too."""
        ...

    @property
    def weak(self) -> Augmentation | None: ...

    @property
    def strong(self) -> Augmentation | None: ...

    def learnt(self, model: nn.Module, given: Material, labels_only: nn.Module) -> nn.Module:
        """A new network that learnt from all examples. Neither argument is changed.

        `model`: the initial one. `labels_only`: what the labels alone made of it.
        """
        ...


def guarded(learner: Learner, model: nn.Module, task: Task) -> Tried:
    """Learn from labels alone and from all examples, and take the network that scores higher.

    Both have the same initial weights, the same training and the same weak changes of the labelled
    inputs. Of equal scores, the labels alone win. Both are compared on the validation split,
    example by example. A technique may return an average of weights; the network of the labels
    alone is the last one of its training, so that the average is a part of the difference. Warns
    with a RefusedWarning where the network from all examples is not used.
    """
    given = material(model, task, learner.weak, learner.strong)
    weakly = Weakly(given.task, given.augmentations.weak)
    labels_only = train(clone(model), weakly, learner.training, what="training on labels alone")
    learnt = learner.learnt(model, given, labels_only)
    tried = judged(
        task, learnt, labels_only, f"{type(learner).__name__} ({given.augmentations.why})"
    )
    if tried.refused:
        warnings.warn(tried.why, RefusedWarning, stacklevel=4)
    return tried


def judged(task: Task, learnt: nn.Module, labels_only: nn.Module, what: str) -> Tried:
    """Compare two networks on the validation split; `what` made the first, in words."""
    scores = score(task, learnt), score(task, labels_only)
    refused = not scores[0] > scores[1]
    each = [merits(task, one) for one in (learnt, labels_only)]
    p = None if each[0] is None or each[1] is None else paired(each[0], each[1])
    chance = "no test: the score is no mean over examples" if p is None else f"p = {p:.2g}, paired"
    told = f"validation score {scores[0]:.4f}, and {scores[1]:.4f} with the labels alone ({chance})"
    why = (
        f"{what} is refused, since the unlabelled examples did not help: {told}. The network that "
        "learnt from labels alone is returned"
        if refused
        else f"{what} is used: {told}"
    )
    return Tried(
        network=labels_only if refused else learnt,
        learnt=learnt,
        labels_only=labels_only,
        scores=scores,
        p=p,
        refused=refused,
        why=why,
    )


def paired(first: np.ndarray, second: np.ndarray) -> float:
    """How often the means of two networks' merits differ as much by chance, 0 to 1.

    Merits of 0 and 1 (right or wrong) get the exact test of McNemar 1947; others a test by random
    signs of the differences, 2,000 times.

    `first`, `second`: of the same N examples.
    """
    apart = np.asarray(first, np.float64) - second
    changed = apart[apart != 0]
    if not len(changed):
        return 1.0
    if set(np.unique(np.concatenate([first, second]))) <= {0.0, 1.0}:
        from scipy.stats import binomtest

        return float(binomtest(int((changed > 0).sum()), len(changed)).pvalue)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (_RESAMPLES, len(changed)))
    as_far = np.abs(signs @ changed) >= abs(changed.sum()) - 1e-12
    return float((1 + as_far.sum()) / (1 + _RESAMPLES))
