"""Prototypes: a class is where the mean of its few examples lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from shoestring.adapt.comparing import ToPrototype
from shoestring.adapt.support import BeforeLastLinear, ModelOutputs, with_head
from shoestring.core import Stage, Task, Technique


@dataclass(frozen=True, kw_only=True)
class Prototypes(Technique):
    """Classify by the nearest class mean of the task's few examples, without training.

    Saves: labels, where the body was trained on other classes of the same kind of input.
    Costs: the body: somebody trained it on other classes (`Episodes`, or any classifier).
    Source: Snell, Swersky & Zemel 2017, section 2.2; as a linear layer, section 2.4.

    `features`: BeforeLastLinear() of a classifier, whose last linear layer is replaced;
        ModelOutputs() of a network that embeds.

    The head is a plain linear layer, so that all techniques and files know it. The classes are
    those of the labels in the "train" split, which may be other and more ones than the model's.
    Raises as `adapt.support.with_head`: for a class without an example, a single class, examples of
    another shape, and a model without a last linear layer.
    """

    stage: ClassVar = Stage.LABELS

    features: BeforeLastLinear | ModelOutputs = BeforeLastLinear()

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model with the prototypes of the task's classes as its head."""
        way = ToPrototype()
        return with_head(
            model, task, self.features, lambda s: way.head(s.features_SD, s.labels_S, s.classes)
        )[0]
