"""Weight sharing: a few levels per tensor, found by k-means and then trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from shoestring.core import Stage, Strength, Task, Technique
from shoestring.kit import (
    AdamW,
    Patterns,
    Training,
    Weight,
    check_finite,
    clone,
    compressible,
    first_fit,
    parameters_of,
    recover,
    touched,
)
from shoestring.kit.weights.layers import fitting


@dataclass(frozen=True, kw_only=True)
class WeightSharing(Technique):
    """Replace each weight by the nearest of a few levels, and train the levels.

    Saves: bytes of the file (a weight costs at most log2(levels) bits, and fewer once coded).
    Costs: score, little down to about 8 levels; the time of `training`.
    Source: Han, Mao & Dally 2016 (Deep Compression), section 3: linear initialisation, gradients
    summed per level.
    Differs: levels are rounded to float16 at the end, so that each takes two bytes (unless float16
    is too coarse for a tensor); a tensor with no more distinct values than levels keeps them.

    `levels`: how many per tensor, 2 to 65,536. Zero is not counted where weights are pruned (they
        stay zero).
    `overrides`: (pattern, levels) pairs for tensors by name; the first pattern that matches counts.
    `vector_levels`: how many for tensors with one axis (biases, norms) of more than twice as many
        elements, 2 to 65,536; 0 leaves them alone.
    `iterations`: of k-means at most, 1 or more.
    `training`: of the levels; Training(0) leaves them as k-means found them.
    `only`, `keep`: patterns of names of layers whose weights are shared, and of those whose are
        not; empty `only` means all layers.

    The row of an embedding that stands for padding (`padding_idx`) stays zero. Raises ValueError
    for settings out of range, patterns that match no layer or tensor, and weights that are NaN or
    infinite.
    """

    stage: ClassVar = Stage.NUMBERS
    strength: ClassVar = Strength(field="levels", gentle=256, harsh=3, logarithmic=True, whole=True)

    levels: int = 16
    overrides: tuple[tuple[str, int], ...] = ()
    vector_levels: int = 0
    iterations: int = 50
    training: Training = Training(1000, AdamW(1e-4))
    only: Patterns = ()
    keep: Patterns = ()

    def __post_init__(self) -> None:
        for levels in (self.levels, *(count for _, count in self.overrides)):
            if not 2 <= levels <= 65536:
                raise ValueError(f"there are {levels} levels: give 2 to 65,536")
        if self.vector_levels and not 2 <= self.vector_levels <= 65536:
            raise ValueError(f"vector_levels is {self.vector_levels}: give 0, or 2 to 65,536")
        if self.iterations < 1:
            raise ValueError(f"k-means for {self.iterations} iterations: give 1 or more")

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model whose weights have codebooks."""
        check_finite(model)
        shared = clone(model)
        weights = compressible(shared, "WeightSharing", axes=1 if self.vector_levels else 2)
        for pattern, _ in self.overrides:
            fitting([weight.name for weight in weights], (pattern,), "WeightSharing: overrides=")
        for weight in touched(weights, self.only, self.keep, "WeightSharing"):
            if weight.raw.ndim >= 2:
                self._share(weight, first_fit(self.overrides, weight.name, self.levels))
            elif weight.raw.numel() > 2 * self.vector_levels:
                self._share(weight, self.vector_levels)
        recover(shared, task, model, self.training, what="training the levels", key=repr(self))
        for weight in parameters_of(shared):
            if weight.state is not None and weight.state.codebook is not None:
                weight.state.codebook.data = _half(weight.state.codebook.data)
        return shared

    def _share(self, weight: Weight, levels: int) -> None:
        """Give a weight the codebook and the indices that k-means finds."""
        weight.attach()
        _keep_padding(weight)
        value, mask = weight.value(), weight.mask
        values = value[mask] if mask is not None else value.flatten()
        if not values.numel():
            return
        codebook, nearest = kmeans(values, levels, self.iterations)
        indices = torch.zeros(value.shape, dtype=torch.int32, device=value.device)
        indices[mask if mask is not None else torch.ones_like(value, dtype=torch.bool)] = (
            nearest.int()
        )
        weight.share(codebook, indices)


def _keep_padding(weight: Weight) -> None:
    """Keep the row of an embedding that stands for padding zero, if it is zero.

    Sums over padded lists rely on it.
    """
    for module, attribute in weight.owners:
        row = getattr(module, "padding_idx", None)
        if attribute == "weight" and isinstance(row, int) and not bool(weight.value()[row].any()):
            keep = torch.ones_like(weight.value(), dtype=torch.bool)
            keep[row] = False
            weight.prune(keep)


def kmeans(values: Tensor, levels: int, iterations: int = 50) -> tuple[Tensor, Tensor]:
    """(levels in ascending order, index of the nearest level of each value) of a flat tensor.

    Lloyd's algorithm from evenly spread levels. Levels that are nearest to no value are dropped, so
    that there may be fewer than asked for. If there are no more distinct values than levels, they
    are the levels.
    """
    ordered, order = values.double().sort()
    distinct = ordered.unique_consecutive()
    if len(distinct) <= levels:
        indices = torch.empty_like(order).scatter_(0, order, torch.searchsorted(distinct, ordered))
        return distinct.to(values.dtype), indices
    sums = torch.cat([ordered.new_zeros(1), ordered.cumsum(0)])
    centres = torch.linspace(
        float(ordered[0]), float(ordered[-1]), levels, dtype=torch.float64, device=values.device
    )
    for _ in range(max(iterations, 1)):
        # In one dimension a cluster is a run of sorted values: two running sums give its mean.
        bounds = torch.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
        bounds = torch.cat([bounds.new_zeros(1), bounds, bounds.new_tensor([len(ordered)])])
        counts = bounds.diff()
        nonempty = counts > 0
        means = (sums[bounds[1:]] - sums[bounds[:-1]])[nonempty] / counts[nonempty]
        if nonempty.all() and torch.equal(means, centres):
            break
        centres = means
    nearest = torch.searchsorted(
        ((centres[1:] + centres[:-1]) / 2).contiguous(), ordered, right=True
    )
    indices = torch.empty_like(order).scatter_(0, order, nearest)
    return centres.to(values.dtype), indices


def _half(levels: Tensor) -> Tensor:
    """The levels rounded to float16, in their own type.

    They are returned unchanged where float16 is too coarse for them or overflows.
    """
    rounded = levels.half().to(levels.dtype)
    error, largest = (rounded - levels).abs().max(), levels.abs().max()
    return rounded if error <= largest / 1024 else levels
