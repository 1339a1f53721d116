"""How hard each layer can be pressed: measured one layer at a time, on validation data, on the model as it stands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

from shoestring.core import Task, evaluating
from shoestring.kit import Weight, compressible, progress
from shoestring.quantize.shared import kmeans

FACTORS = (0.95, 0.9, 0.8, 0.7, 0.55, 0.4)  # of a layer's density, mildest first
LEVELS = (4, 5, 6, 8, 10, 12, 16, 24, 32)  # fewest first
TOLERANCE = 0.01
"""The loss that pressing one layer may add, as a share of the loss of the model."""
PROBE_EXAMPLES = 1000

T = TypeVar("T")


def weight_bits(elements: int, density: float, levels: float = 8.0) -> float:
    """An estimate of what a layer takes once coded: which weights are zero, and which level each of the others has."""
    density = min(max(density, 1e-9), 1.0)
    where = 0.0 if density == 1 else -density * math.log2(density) - (1 - density) * math.log2(1 - density)
    return elements * (where + density * math.log2(levels) * 0.9)


def densities(model: nn.Module, task: Task) -> tuple[tuple[str, float], ...]:
    """To what density each layer can be thinned out alone, without training, before the loss rises by the tolerance."""

    def thinnest(weight: Weight, harmless: Callable[[], bool]) -> float:
        here = density_of(weight)
        chosen = here
        for factor in FACTORS:
            with _replaced(weight, _thinned(weight, here * factor)):
                if not harmless():
                    break
            chosen = here * factor
        return min(max(chosen, 1 / weight.raw.numel()), 1.0)

    return _each(model, task, thinnest, "thinning layers")


def levels(model: nn.Module, task: Task) -> tuple[tuple[str, int], ...]:
    """With how few levels each layer can do alone, without training, before the loss rises by the tolerance."""

    def fewest(weight: Weight, harmless: Callable[[], bool]) -> int:
        for count in LEVELS:
            with _replaced(weight, _levelled(weight, count)):
                if harmless():
                    return count
        return LEVELS[-1]

    return _each(model, task, fewest, "choosing levels")


def density_of(weight: Weight) -> float:
    """The share of a weight's elements that are not zero."""
    return float((weight.value() != 0).double().mean())


def _each(
    model: nn.Module, task: Task, choose: Callable[[Weight, Callable[[], bool]], T], what: str
) -> tuple[tuple[str, T], ...]:
    """What `choose` chooses for each layer; it is given a test of whether the model, as it then is, is as good as before."""
    found = compressible(model, "compress")
    measure = _probe(model, task)
    limit = measure()
    limit += abs(limit) * TOLERANCE
    chosen: list[tuple[str, T]] = []
    with progress(what, len(found)) as advance:
        for weight in found:
            chosen.append((weight.name, choose(weight, lambda: measure() <= limit)))
            advance(weight.name)
    return tuple(chosen)


def _probe(model: nn.Module, task: Task) -> Callable[[], float]:
    """A function that gives the mean loss of the model, as it then is, over about a thousand validation examples."""
    batches: list[Any] = []
    seen = 0
    for batch in task.batches("validation"):
        batches.append(batch)
        seen += _examples(batch)
        if seen >= PROBE_EXAMPLES:
            break
    if not batches:
        raise ValueError("the task's validation split has no batches: there is nothing to choose on")

    def measure() -> float:
        with evaluating(model), torch.no_grad():
            return sum(float(task.loss(model, batch)) for batch in batches) / len(batches)

    return measure


def _examples(batch: Any) -> int:
    if hasattr(batch, "shape"):
        return batch.shape[0] if batch.ndim else 1
    if isinstance(batch, dict):
        batch = list(batch.values())
    return max((_examples(one) for one in batch), default=1) if isinstance(batch, list | tuple) else 1


def _thinned(weight: Weight, density: float) -> torch.Tensor:
    """The weight's value with only its largest elements."""
    value = weight.value()
    keep = max(1, round(density * value.numel()))
    if keep >= value.numel():
        return value
    threshold = value.abs().flatten().kthvalue(value.numel() - keep + 1).values
    return torch.where(value.abs() >= threshold, value, 0.0)


def _levelled(weight: Weight, count: int) -> torch.Tensor:
    """The weight's value rounded to `count` levels; zeros stay."""
    value = weight.value()
    kept = value != 0
    rounded = torch.zeros_like(value)
    if kept.any():
        codebook, nearest = kmeans(value[kept].float(), count, 20)
        rounded[kept] = codebook[nearest].to(value.dtype)
    return rounded


@contextmanager
def _replaced(weight: Weight, value: torch.Tensor) -> Iterator[None]:
    """The weight's value replaced, within; its mask stays."""
    state, kept = weight.state, weight.raw.data
    codebook = state.codebook if state is not None else None
    weight.raw.data = value.to(kept.dtype)
    if state is not None:
        state.codebook = None
    try:
        yield
    finally:
        weight.raw.data = kept
        if state is not None:
            state.codebook = codebook
