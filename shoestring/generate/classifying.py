"""What made pictures teach: the score of a classifier that learnt from nothing else."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from shoestring.core import score
from shoestring.generate.noise import Samples
from shoestring.kit import Supervised, Training, clone, train


def classification_score(
    made: Samples,
    model: nn.Module,
    task: Supervised,
    training: Training,
    *,
    split: str = "validation",
) -> float:
    """The score on real pictures of a classifier that was trained on made ones alone.

    Source: Ravuri & Vinyals 2019 (classification accuracy score), section 3.

    `made`: with labels.
    `model`: untrained; it is not changed.
    `task`: whose training split the pictures stand in for; scored on its `split`.

    Raises ValueError for pictures without labels.
    """
    if made.labels is None:
        raise ValueError(
            "pictures without labels cannot teach a classifier: train the generator with "
            "Noise(classes=...), which tells it what to make, or refine labelled pictures with "
            "refined(generator, Simulated(pictures, labels))"
        )
    instead = replace(task, train=(made.pictures, made.labels), unlabelled=None, answer=None)
    learner = train(clone(model), instead.sealed(), training, what="classifier of made pictures")
    return score(task, learner, split)
