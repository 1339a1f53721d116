"""What is seen of a network before any of it is rounded: what it computes, and in which ranges its values are."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.core import Task, evaluating, seeded
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
from shoestring.kit.copying import UncopyableError
from shoestring.kit.example import example_of
from shoestring.kit.tracing import advice, line_of
from shoestring.quantize.ranges import Ranges, Seen

Place = tuple[str, str, int, int, bool]
"""Where a value comes by: layer, function, turn, place, and whether the call takes it (else it gives it)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Calibration:
    """A network without the batch norms that can be folded, what it computes, and what was seen of its values.

    It is that of one model, one task and so many examples; what it was asked for once it remembers, so that layers can be tried in
    whatever number of bits, one by one and together, without another look at the examples. What it gives does not depend on that.

    `inner`: a copy of the network, folded, not to be changed; `before`: the same, its weights plain parameters. `tape`: what it
    computes; `batches`: the examples, as training batches; `skipped`: what was said of parts that could not be folded.
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
    _ends: dict[tuple[Any, ...], tuple[float, float]] = field(default_factory=dict)
    _means: dict[str, ChannelMeans] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.Module, task: Task, examples: int) -> Calibration:
        """That of a model; raises ExportError where it fails on the task's example, ValueError where there are no examples."""
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", SkippedWarning)
            inner, tape = folded(model, task)
        for one in said:
            if not issubclass(one.category, SkippedWarning):
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        return cls(
            model_digest=_digest(model), task=task, examples=examples, inner=inner, before=bake(clone(inner)), tape=tape,
            batches=calibration(task, examples),
            skipped=tuple(str(one.message) for one in said if issubclass(one.category, SkippedWarning)),
        )  # fmt: skip

    def fits(self, model: nn.Module, task: Task, examples: int) -> bool:
        """Whether it is that of this model, as its weights are now, this task and so many examples."""
        return self.task is task and self.examples == examples and self.model_digest == _digest(model)

    def grids(self, places: Edges, ranges: Ranges) -> list[Grid]:
        """A grid for each value that is to be on one; raises ValueError where the task's loss never computes one."""
        watched = _watched(places)
        self._see([one for own in watched for one in own])
        limits: list[tuple[float, float]] = []
        for own in watched:
            lows, highs = zip(*(self._limits[one] for one in own), strict=True)
            limits.append((min(lows), max(highs)))
        if never := sum(low > high for low, high in limits):
            raise ValueError(
                f"{never} values were not computed in calibration: the task's loss must call the model as in its example"
            )
        if ranges.counts:
            self._count({one: ends for own, ends in zip(watched, limits, strict=True) for one in own})
        found: list[Grid] = []
        for own, (low, high) in zip(watched, limits, strict=True):
            key = (ranges, own)
            if key not in self._ends:
                counts = sum(self._counts[one, low, high] for one in own) if ranges.counts else None
                self._ends[key] = ranges(Seen(low, high, counts), 255)  # pyright: ignore[reportArgumentType]
            found.append(Grid(*self._ends[key]))
        device = next(self.inner.parameters()).device
        return [grid.to(device) for grid in found]

    def means(self, layers: list[str]) -> dict[str, ChannelMeans]:
        """Of these layers, the mean of each channel of what they give, over the first batch; without those that give nothing."""
        missing = [layer for layer in layers if layer not in self._means]
        if missing:
            self._means.update(means(self.before, self.before, self.task, missing, self.batches[0]))
        return {layer: self._means[layer] for layer in layers if layer in self._means}

    def _see(self, wanted: Iterable[Place]) -> None:
        """Know the least and the greatest number at these places."""
        seen = {one: Seen() for one in wanted if one not in self._limits}
        self._watch(seen, Seen.limits)
        self._limits.update({place: (one.low, one.high) for place, one in seen.items()})

    def _count(self, wanted: Mapping[Place, tuple[float, float]]) -> None:
        """Know how many numbers were in each bin between these limits."""
        seen = {one: Seen(*ends) for one, ends in wanted.items() if (one, *ends) not in self._counts}
        self._watch(seen, Seen.count)
        for place, one in seen.items():  # what is never computed has none
            self._counts[place, one.low, one.high] = np.zeros(1) if one.counts is None else one.counts

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
        run(Quantised(self.before, Edges(arguments, results, {}, calls, len(seen)), watches), self.task, self.batches)


def folded(model: nn.Module, task: Task) -> tuple[nn.Module, Tape]:
    """A copy without the batch norms that can be folded, and what it computes; raises ExportError where it fails on the task's example."""
    try:
        inner = fold_batch_norm(plain_module(model), task)
        return inner, record(bake(clone(inner)).eval().cpu(), example_of(task))
    except (ExportError, UncopyableError):
        raise
    except (RuntimeError, TypeError, IndexError, KeyError, AttributeError, AssertionError) as error:
        raise ExportError(
            f"the model failed on the task's example ({type(error).__name__}: {error}{line_of(error)}): "
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
    known = {f"{name}'s {what}": one for name, states in state.states.items() for what, one in states.items()}
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


def calibration(task: Task, examples: int) -> list[Any]:
    """Training batches, as many as hold so many examples; raises ValueError where there is none."""
    found: list[Any] = []
    count = 0
    with seeded(0):
        for batch in islice(iter(task.batches("train")), examples):
            found.append(batch)
            count += _length(batch)
            if count >= examples:
                break
    if not found:
        raise ValueError("the training split is empty: calibration needs at least one example")
    return found


def _length(batch: Any) -> int:
    """How many examples a batch has: as its first tensor is long, 1 where it has none."""
    if isinstance(batch, Tensor):
        return len(batch) if batch.ndim else 1
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else ()
    return next(map(_length, parts), 1)


def run(model: nn.Module, task: Task, batches: list[Any]) -> None:
    """Have the task call the model on these batches, in evaluation mode."""
    with evaluating(model), torch.no_grad(), seeded(0):
        for batch in batches:
            task.loss(model, batch)


class ChannelMeans:
    """The mean of each channel of what a layer gives, over all `calls` that are added."""

    def __init__(self, layer: nn.Module) -> None:
        self.calls = 0
        self._axis = -1 - len(getattr(layer, "kernel_size", ()))  # from the end: one image has no axis of examples
        self._sum: Tensor | float = 0.0
        self._count = 0

    def add(self, output: Tensor) -> None:
        """Take note of what a call gave."""
        with torch._C.DisableTorchFunction():
            channels = output.detach().double().movedim(self._axis, -1).reshape(-1, output.shape[self._axis])
            self._sum = self._sum + channels.sum(0)
            self._count += len(channels)
            self.calls += 1

    @property
    def mean(self) -> Tensor:
        """Of each channel."""
        return torch.as_tensor(self._sum) / self._count


def means(called: nn.Module, inner: nn.Module, task: Task, layers: Sequence[str], batch: Any) -> dict[str, ChannelMeans]:
    """Of each of these layers of `inner` that is called, the mean of each channel of what it gives while the task's loss calls `called`."""
    found: dict[str, ChannelMeans] = {}

    def watched(layer: str, module: nn.Module) -> Any:
        def add(module: nn.Module, _args: Any, output: Tensor) -> None:
            found.setdefault(layer, ChannelMeans(module)).add(output)

        return module.register_forward_hook(add)

    handles = [watched(layer, inner.get_submodule(layer)) for layer in layers]
    try:
        run(called, task, [batch])
    finally:
        for handle in handles:
            handle.remove()
    return found
