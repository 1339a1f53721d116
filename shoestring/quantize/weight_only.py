"""Weight-only quantization: matrices in a few bits per weight, activations in floating point."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from shoestring.core import Stage, Strength, Task, Technique
from shoestring.kit import Patterns, SkippedWarning, check_finite, clone, compressible, touched
from shoestring.quantize.granularity import PerChannel, PerGroup, PerTensor
from shoestring.quantize.ranges import MeanSquare, Ranges
from shoestring.quantize.weight_grids import round_weight


@dataclass(frozen=True, kw_only=True)
class WeightOnly(Technique):
    """Round matrices (linear, recurrent, embedding layers) to signed integers of a few bits.

    Groups of columns share a scale, rounded to bfloat16. The file holds the integers; the runtime
    dequantizes them when it loads the file, and computes in floating point.

    Saves: bytes of the file, 8 to 10 times at 4 bits. No milliseconds: use PostTraining for these.
    Costs: score, a little at 4 bits. Memory stays that of floats.
    Source: Frantar et al. 2023 (GPTQ), section 4, for groups. Differs: rounding to nearest, in the
    range with the least square error.

    `bits`: 2 to 8.
    `granularity`: PerGroup(size), PerChannel() or PerTensor().
    `rest`: the granularity of tensors that do not divide into groups, such as kernels of
        convolutions and narrow embeddings: PerChannel() or PerTensor(). None leaves them alone,
        with a SkippedWarning.
    `ranges`: where a grid ends: MinMax(), Percentile(), MeanSquare() or Entropy().
    `only`, `keep`: patterns of names of layers that are rounded, and of those that are not.

    Raises ValueError for settings out of range, weights that are NaN or infinite, and patterns that
    match no layer; TypeError for a `rest` of another type.
    """

    stage: ClassVar = Stage.NUMBERS
    strength: ClassVar = Strength(field="bits", gentle=8, harsh=2, whole=True)

    bits: int = 4
    granularity: PerGroup | PerChannel | PerTensor = PerGroup(32)
    rest: PerChannel | PerTensor | None = None
    ranges: Ranges = MeanSquare()
    only: Patterns = ()
    keep: Patterns = ()

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise ValueError(f"weights of {self.bits} bits: give 2 to 8")
        if not isinstance(self.rest, PerChannel | PerTensor | None):
            raise TypeError(
                f"rest={self.rest!r}: it is for what does not divide into groups; give "
                "PerChannel() or PerTensor()"
            )

        if self.rest is not None and not isinstance(self.granularity, PerGroup):
            raise ValueError(
                f"rest={self.rest!r} beside granularity={self.granularity!r}, which fits every "
                "tensor: give one of them"
            )

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model with its matrices rounded."""
        check_finite(model)
        rounded = clone(model)
        left: list[str] = []
        for weight in touched(
            compressible(rounded, "WeightOnly"), self.only, self.keep, "WeightOnly"
        ):
            granularity = self.granularity
            try:
                granularity(weight.raw)
            except ValueError as error:
                if self.rest is None:
                    left.append(f"{weight.name} ({error})")
                    continue
                granularity = self.rest
            round_weight(weight, self.bits, granularity, self.ranges)
            assert weight.state is not None and weight.state.scale is not None
            scale = weight.state.scale.data
            weight.round(scale.bfloat16().to(scale), (1 << (self.bits - 1)) - 1)
        if left:
            warnings.warn(
                f"WeightOnly skipped {', '.join(left)}: rest=PerChannel() rounds them too",
                SkippedWarning,
                stacklevel=2,
            )
        return rounded
