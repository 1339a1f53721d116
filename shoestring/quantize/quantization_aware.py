"""Quantization-aware training, for networks that post-training quantization hurts."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import nn

from shoestring.core import Stage, Strength, Task, Technique
from shoestring.kit import (
    AdamW,
    Grid,
    Patterns,
    Quantised,
    SkippedWarning,
    Training,
    plain_module,
    recover,
)
from shoestring.quantize.calibration import Calibration
from shoestring.quantize.granularity import PerChannel, PerTensor
from shoestring.quantize.post_training import PostTraining
from shoestring.quantize.ranges import MeanSquare, Ranges
from shoestring.quantize.rounding import GPTQ, Nearest


@dataclass(frozen=True, kw_only=True)
class QuantizationAware(Technique):
    """Train with rounded weights and activations and learned scales, with the original as teacher.

    It starts from the result of PostTraining with the same settings; its module and file are of the
    same kind.

    Saves: bytes of the file; milliseconds where the processor multiplies bytes faster than floats.
    Costs: the time of `training`, each step about twice as long as a plain one; less score than
    PostTraining, at 4 bits far less.
    Source: Esser et al. 2020 (LSQ), section 2, for weights; Bhalgat et al. 2020 (LSQ+) for
    activations. Differs: zero points stay where calibration put them; Adam in place of scaled
    gradients; distillation.

    `bits`, `granularity`, `ranges`, `weight_ranges`, `rounding`, `examples`, `only`, `keep`,
        `calibration`: those of PostTraining, to start from.
    `training`: of weights and scales together.

    Raises ValueError for settings out of range, weights that are NaN or infinite, and patterns that
    match no layer; ExportError for a model that fails on the task's example.
    """

    stage: ClassVar = Stage.NUMBERS
    strength: ClassVar = Strength(field="bits", gentle=8, harsh=2, whole=True)

    bits: int = 8
    granularity: PerChannel | PerTensor = PerChannel()
    ranges: Ranges = MeanSquare()
    weight_ranges: Ranges = MeanSquare()
    rounding: Nearest | GPTQ = Nearest()
    examples: int = 512
    training: Training = Training(2000, AdamW(1e-4))
    only: Patterns = ()
    keep: Patterns = ()
    calibration: Calibration | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._start()

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A module that wraps a copy of the model, trained with rounded weights and activations."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkippedWarning)  # the call below repeats them
            # Prepared, so that it does not warn of bad answers before any training.
            start = self._start().prepared(model, task)
        quantised = start(model, task)
        if not isinstance(quantised, Quantised):
            return quantised
        for grid in quantised.grids:
            assert isinstance(grid, Grid)
            grid.scale.requires_grad_(True)
        return recover(
            quantised,
            task,
            plain_module(model),
            self.training,
            what="training with rounding",
            key=repr(self),
        )

    def layers(self, model: nn.Module, task: Task) -> list[str]:
        """Names of the layers that it may change."""
        return self._start().layers(model, task)

    def prepared(self, model: nn.Module, task: Task) -> QuantizationAware:
        """The same, calibrated for this model and task, as PostTraining is."""
        return replace(self, calibration=self._start().prepared(model, task).calibration)

    def _start(self) -> PostTraining:
        """The PostTraining that it starts from."""
        return PostTraining(
            bits=self.bits,
            granularity=self.granularity,
            ranges=self.ranges,
            weight_ranges=self.weight_ranges,
            rounding=self.rounding,
            examples=self.examples,
            only=self.only,
            keep=self.keep,
            calibration=self.calibration,
        )
