"""Matching: the classes of the few examples that an example is like, by attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from shoestring.adapt.comparing import ByAttention
from shoestring.adapt.support import BeforeLastLinear, ModelOutputs, with_head
from shoestring.core import Stage, Task, Technique


@dataclass(frozen=True, kw_only=True)
class Matching(Technique):
    """Classify by attention over the task's few examples, without training.

    Saves: nothing over prototypes where we measured it, beside which it is the baseline.
    Costs: bytes and operations for each example that is kept, where prototypes keep each class.
    Source: Vinyals et al. 2016, section 2.1.
    Differs: as in `ByAttention`.

    `comparison`: ByAttention(scale).
    `features`: BeforeLastLinear() of a classifier, whose last linear layer is replaced;
        ModelOutputs() of a network that embeds.

    The outputs are logarithms of probabilities. Raises as `Prototypes`.
    """

    stage: ClassVar = Stage.LABELS

    comparison: ByAttention = ByAttention()
    features: BeforeLastLinear | ModelOutputs = BeforeLastLinear()

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model with attention over the task's examples as its head."""
        way = self.comparison
        return with_head(
            model, task, self.features, lambda s: way.head(s.features_SD, s.labels_S, s.classes)
        )[0]
