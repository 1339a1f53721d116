"""bfloat16: the upper half of each float32 weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from shoestring.core import Stage, Task, Technique
from shoestring.kit import Patterns, check_finite, clone, compressible, touched


@dataclass(frozen=True, kw_only=True)
class BFloat16(Technique):
    """Round every weight to bfloat16: a sign, 8 bits of exponent and 7 bits of fraction.

    The weights stay float32 tensors whose lower halves are zero, so that every runtime computes in
    float32 as before; files keep the upper halves alone. To train in bfloat16, set it in the task:
    `Supervised(autocast=torch.bfloat16)`.

    Saves: bytes of the file, half of those of float32, and more where the exponents compress well.
    Costs: score, hardly any. It saves no milliseconds: ONNX Runtime has no bfloat16 kernels for
    CPUs.
    Source: Kalamkar et al. 2019, section 2.

    `only`, `keep`: patterns of names of layers that are rounded, and of those that are not; biases
        and norms are rounded with their layer. Weights that have a codebook or a scale are left
        alone.

    Raises ValueError for weights that are NaN or infinite, and patterns that match no layer.
    """

    stage: ClassVar = Stage.NUMBERS

    only: Patterns = ()
    keep: Patterns = ()

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model with rounded weights."""
        check_finite(model)
        rounded = clone(model)
        weights = compressible(rounded, "BFloat16", axes=1)
        with torch.no_grad():
            for weight in touched(weights, self.only, self.keep, "BFloat16"):
                state = weight.state
                if state is None or (state.codebook is None and state.scale is None):
                    weight.raw.copy_(weight.raw.bfloat16())
        return rounded
