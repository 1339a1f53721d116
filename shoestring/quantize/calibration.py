"""What is seen of a network before any of it is rounded.

What it computes, and in which ranges its values are.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.core import Task, batches, seeded
from shoestring.kit import (
    Edges,
    ExportError,
    Grid,
    Quantised,
    SkippedWarning,
    Tape,
    bake,
    clone,
    fold_batch_norm,
    plain_module,
    record,
    state_of,
)
from shoestring.kit.quantised.module import LEVELS
from shoestring.kit.quantised.outliers import first_rows, not_finite
from shoestring.kit.tracing.example import examples_of, tensors
from shoestring.kit.tracing.exporter import advice, line_of
from shoestring.kit.weights.copying import UncopyableError
from shoestring.quantize.examples import ChannelMeans, calibration, means, run
from shoestring.quantize.ranges import NotFiniteError, Ranges, Seen, divided

_LEVELS_AT_LEAST = 4
_HELD_BACK = 64
Place = tuple[str, str, int, int, bool]
"""Where a value comes by.

Layer, function, turn, place, and whether the call takes it (else it gives it).
"""


@dataclass(frozen=True, eq=False, kw_only=True)
class Calibration:
    """A network without the batch norms that can be folded, what it computes, and what was seen of
    its values.

    It is that of one model, one task and so many examples; what it was asked for once it remembers,
    so that layers can be tried in whatever number of bits, one by one and together, without another
    look at the examples. What it gives does not depend on that.

    `inner`: a copy of the network, folded, not to be changed.
    `before`: the same, its weights plain parameters.
    `tape`: what it computes.
    `batches`: the examples, as training batches.
    `skipped`: what was said of parts that could not be folded.
    """

    model_digest: str
    task: Task
    examples: int
    inner: nn.Module
    before: nn.Module
    tape: Tape
    batches: list[Any]
    skipped: tuple[str, ...]
    _limits: dict[Place, tuple[float, float]] = field(default_factory=dict)
    _counts: dict[tuple[Place, float, float], np.ndarray] = field(default_factory=dict)
    _varies: dict[Place, bool] = field(default_factory=dict)
    _ends: dict[tuple[Any, ...], tuple[float, float]] = field(default_factory=dict)
    _answers: dict[str, list[Tensor]] = field(default_factory=dict)
    _held: list[Any] = field(default_factory=list)
    _said: dict[tuple[Any, ...], str] = field(default_factory=dict)
    _means: dict[str, ChannelMeans] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.Module, task: Task, examples: int) -> Calibration:
        """That of a model; raises ExportError where it fails on the task's example, ValueError
        where there are no examples.
        """
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", SkippedWarning)
            inner, tape = folded(model, task)
        for one in said:
            if not issubclass(one.category, SkippedWarning):
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        return cls(
            model_digest=_digest(model),
            task=task,
            examples=examples,
            inner=inner,
            before=bake(clone(inner)),
            tape=tape,
            batches=calibration(task, examples, inner),
            skipped=tuple(
                str(one.message) for one in said if issubclass(one.category, SkippedWarning)
            ),
        )

    def of_batches(self, batches: list[Any]) -> Calibration:
        """That of the same network on other examples."""
        return Calibration(
            model_digest=self.model_digest,
            task=self.task,
            examples=self.examples,
            inner=self.inner,
            before=self.before,
            tape=self.tape,
            batches=batches,
            skipped=self.skipped,
        )

    def fits(self, model: nn.Module, task: Task, examples: int) -> bool:
        """Whether it is that of this model, as its weights are now, this task and so many examples."""
        return (
            self.task is task and self.examples == examples and self.model_digest == _digest(model)
        )

    def grids(self, places: Edges, ranges: Ranges) -> list[Grid]:
        """A grid for each value that is to be on one.

        Raises ValueError where the task's loss never computes one.
        """
        watched = _watched(places)
        self._see([one for own in watched for one in own])
        limits: list[tuple[float, float]] = []
        for own in watched:
            lows, highs = zip(*(self._limits[one] for one in own), strict=True)
            limits.append((min(lows), max(highs)))
        if never := sum(low > high for low, high in limits):
            raise ValueError(
                f"{never} values were not computed in calibration: the task's loss must call the "
                "model as in its example"
            )
        if ranges.counts:
            self._count(
                {one: ends for own, ends in zip(watched, limits, strict=True) for one in own}
            )
        found: list[Grid] = []
        for own, ends in zip(watched, limits, strict=True):
            key = (ranges, own)
            if key not in self._ends:
                seen = self._histogram(own, ends) if ranges.counts else Seen(*ends)
                self._ends[key] = ranges(seen, LEVELS)
                self._said[key] = _blind(own[0], seen, self._ends[key])
            if self._said.get(key):
                warnings.warn(self._said[key], SkippedWarning, stacklevel=4)
            found.append(Grid(*self._ends[key]))
        device = next(self.inner.parameters()).device
        return [grid.to(device) for grid in found]

    def constant(self, places: Edges) -> dict[str, float]:
        """Of the layers that compute with whole numbers, those that are given the same in every
        example, however many there are of them, so that nothing is known of the range of what they
        take; with the number that is farthest from zero in it.
        """
        watched = _watched(places)
        self._see([one for own in watched for one in own])
        found: dict[str, float] = {}
        for layer, numbers in places.layers.items():
            own = [one for number in numbers for one in watched[number]]
            if not any(self._varies[one] for one in own):
                found[layer] = max(
                    (end for one in own for end in self._limits[one] if math.isfinite(end)),
                    key=abs,
                    default=0.0,
                )
        return found

    def means(self, layers: list[str]) -> dict[str, ChannelMeans]:
        """Of these layers, the mean of each channel of what they give, over the first batch.

        Without those that give nothing.
        """
        missing = [layer for layer in layers if layer not in self._means]
        if missing:
            self._means.update(means(self.before, self.before, self.task, missing, self.batches[0]))
        return {layer: self._means[layer] for layer in layers if layer in self._means}

    def answers(self, last: str, model: Quantised | None = None) -> list[Tensor]:
        """What a quantised module, the network as it was if none is given, answers in the loss of
        examples that `means` has not seen, where there are any; where the loss calls parts of it
        only, what the layer `last` gives.
        """
        if model is None and last in self._answers:
            return self._answers[last]
        called, inner = (self.before, self.before) if model is None else (model, model.inner)
        whole, parts = list[Tensor](), list[Tensor]()

        def hear(module: nn.Module, found: list[Tensor]) -> Any:
            return module.register_forward_hook(
                lambda _module, _args, answer: found.extend(tensors(answer))
            )

        handles = [hear(called, whole), hear(inner.get_submodule(last), parts)]
        try:
            run(called, self.task, [self._held_back()])
        finally:
            for handle in handles:
                handle.remove()
        found = [one.detach().double() for one in whole or parts if one.is_floating_point()]
        if model is None:
            self._answers[last] = found
        return found

    def _held_back(self) -> Any:
        if not self._held:
            others = self.batches[1:]
            if not others:
                with seeded(0):
                    others = (
                        list(islice(iter(batches(self.task, "train", self.inner)), 1, 2))
                        or self.batches
                    )
            self._held.append(first_rows(others[-1], _HELD_BACK))
        return self._held[0]

    def _see(self, wanted: Iterable[Place]) -> None:
        """Know the least and the greatest number at these places."""
        seen = {one: Seen() for one in wanted if one not in self._limits}
        self._watch(seen, Seen.limits)
        self._limits.update({place: (one.low, one.high) for place, one in seen.items()})
        self._varies.update({place: one.varies or one.examples < 2 for place, one in seen.items()})

    def _histogram(self, own: tuple[Place, ...], ends: tuple[float, float]) -> Seen:
        """How many numbers were in each bin.

        Where nearly all were in a few, these are divided again, so far as that tells more.
        """

        def between(low: float, high: float) -> Seen:
            self._count(dict.fromkeys(own, (low, high)))
            return Seen(low, high, np.asarray(sum(self._counts[one, low, high] for one in own)))

        return divided(between, *ends)

    def _count(self, wanted: Mapping[Place, tuple[float, float]]) -> None:
        """Know how many numbers were in each bin between these limits."""
        seen = {
            one: Seen(*ends) for one, ends in wanted.items() if (one, *ends) not in self._counts
        }
        self._watch(seen, Seen.count)
        for place, one in seen.items():  # what is never computed has none
            self._counts[place, one.low, one.high] = (
                np.zeros(1) if one.counts is None else one.counts
            )

    def _watch(self, seen: Mapping[Place, Seen], look: Callable[[Seen, Tensor], None]) -> None:
        """Have the values at these places looked at, over all examples."""
        if not seen:
            return
        number = {place: count for count, place in enumerate(seen)}
        kinds = {place[:2] for place in seen}
        calls: dict[tuple[str, str], int] = {}
        for call in self.tape.calls:
            if (call.layer, call.function) in kinds:
                calls[call.layer, call.function] = calls.get((call.layer, call.function), 0) + 1
        arguments = {place[:4]: at for place, at in number.items() if place[4]}
        results = {place[:4]: at for place, at in number.items() if not place[4]}
        watches = [_Watch(one, look) for one in seen.values()]
        watching = Quantised(self.before, Edges(arguments, results, {}, calls, len(seen)), watches)
        at = 0

        def told() -> Iterator[Any]:
            nonlocal at
            for at, batch in enumerate(self.batches):  # noqa: B007
                yield batch

        try:
            run(watching, self.task, told())
        except NotFiniteError as error:
            rows = not_finite(self.batches[at])
            hint = (
                f"number {', '.join(map(str, rows[:5]))} of it holds them: clean the training data"
                if rows
                else (
                    "its inputs are finite: look for the layer where they begin with "
                    "torch.autograd.set_detect_anomaly"
                )
            )
            raise ValueError(f"{error} in batch {at} of the training split; {hint}") from None


def _blind(place: Place, seen: Seen, ends: tuple[float, float]) -> str:
    """What to say of a grid that is too coarse for nearly all numbers; nothing where it is not."""
    if not seen.parts:
        return ""
    (low, high), reach = seen.parts[-1], max(ends[1], 0.0) - min(ends[0], 0.0)
    if (high - low) / reach * LEVELS >= _LEVELS_AT_LEAST:
        return ""
    return (
        f"calibration: nearly all numbers of {place[1]} in {place[0] or 'forward()'} lie between "
        f"{low:.3g} and {high:.3g}, and a few reach from "
        f"{seen.low:.3g} to {seen.high:.3g}, so that the grid is too coarse for the others: clean "
        "the training data, or give ranges=Percentile(0.999)"
    )


def folded(model: nn.Module, task: Task) -> tuple[nn.Module, Tape]:
    """A copy without the batch norms that can be folded, and what it computes.

    Raises ExportError where it fails on the task's example, and where that names entries:
    activations are rounded call by call of one forward().
    """
    try:
        examples = examples_of(task)
        if names := [one.entry for one in examples if one.entry]:
            raise ExportError(
                "rounding activations is for models that are called in one way, and the task's "
                "example names entries "
                f"({', '.join(names)}): quantize.WeightOnly rounds the weights of such a model"
            )
        inner = fold_batch_norm(plain_module(model), task)
        return inner, record(bake(clone(inner)).eval().cpu(), *examples)
    except (ExportError, UncopyableError):
        raise
    except (RuntimeError, TypeError, IndexError, KeyError, AttributeError, AssertionError) as error:
        raise ExportError(
            f"the model failed on the task's example ({type(error).__name__}: "
            f"{error}{line_of(error)}): "
            f"{advice(error, 'make task.example() return arguments that the model takes')}"
        ) from error


def _watched(places: Edges) -> list[tuple[Place, ...]]:
    """By number of the grid, where the values that are put on it come by."""
    found: list[list[Place]] = [[] for _ in range(places.grids)]
    for taken, ones in ((True, places.arguments), (False, places.results)):
        for key, number in ones.items():
            found[number].append((*key, taken))
    return [tuple(one) for one in found]


def _digest(model: nn.Module) -> str:
    """What tells the weights of a model, and what is known of them, from others."""
    state = state_of(plain_module(model))
    digest = hashlib.sha256(repr(type(model)).encode())
    known = {
        f"{name}'s {what}": one
        for name, states in state.states.items()
        for what, one in states.items()
    }
    for name, value in {**state.values, **known}.items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class _Watch(nn.Module):
    """Lets a value pass, and has it looked at."""

    def __init__(self, seen: Seen, look: Callable[[Seen, Tensor], None]) -> None:
        super().__init__()
        self.seen, self.look = seen, look

    def forward(self, value: Tensor) -> Tensor:
        """The value."""
        with torch._C.DisableTorchFunction():
            self.look(self.seen, value.detach())
        return value
