"""bfloat16: the upper half of each weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from shoestring.core import Stage, Task, Technique
from shoestring.kit import Patterns, check_finite, clone, compressible, touched


@dataclass(frozen=True, kw_only=True)
class BFloat16(Technique):
    """Round every weight to the nearest number that has a sign, 8 bits of exponent and 7 of
    fraction.

    The weights stay float32 tensors whose lower half is zero, so that every runtime computes as
    before, in float32; files keep the upper half alone. Training in bfloat16 is the task's affair:
    `Supervised(autocast=torch.bfloat16)`.
    Saves: bytes of the file, a half of those of float32 and more where the exponents say little.
    Costs: score, hardly any. No milliseconds are saved: ONNX Runtime has no kernels for bfloat16 on
    processors.
    Source: Kalamkar et al. 2019, section 2.

    `only`, `keep`: names of the layers that may and may not be touched; biases and norms are
        rounded with their layer. Weights that have levels or a grid are left alone. Raises
        ValueError for weights that are NaN or infinite, and names that are no layers'.
    """

    stage: ClassVar = Stage.NUMBERS

    only: Patterns = ()
    keep: Patterns = ()

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model, rounded."""
        check_finite(model)
        rounded = clone(model)
        weights = compressible(rounded, "BFloat16", axes=1)
        with torch.no_grad():
            for weight in touched(weights, self.only, self.keep, "BFloat16"):
                state = weight.state
                if state is None or (state.codebook is None and state.scale is None):
                    weight.raw.copy_(weight.raw.bfloat16())
        return rounded
