"""Calibration: what a network computes, and the ranges of its values before anything is rounded."""

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
from shoestring.quantize.examples import ChannelMeans, calibration_batches, channel_means, run
from shoestring.quantize.ranges import Histogram, NotFiniteError, Ranges, filled, refined

_LEAST_LEVELS = 4  # that nearly all numbers should have between them
_HELD_BACK = 64  # examples that biases are checked on
ValueKey = tuple[str, str, int, int, bool]
"""Where a value occurs: (layer, function, turn, index, whether the call takes it).

Otherwise the call returns it.
"""


@dataclass(frozen=True, eq=False, kw_only=True)
class Calibration:
    """A network with batch norm folded, what it computes, and what was seen of its values.

    It belongs to one model, one task and a number of examples. It remembers what it was asked for,
    so that layers can be tried in any number of bits, one by one and together, without another run
    over the examples. Its answers do not depend on what was asked before.

    `model_digest`: of the weights and states of the model.
    `examples`: how many examples were asked for, 1 or more.
    `inner`: a copy of the network, folded; not to be changed.
    `before`: the same, its weights plain parameters.
    `tape`: what it computes.
    `batches`: the examples, as training batches.
    `skipped`: texts of warnings about parts that could not be folded.
    """

    model_digest: str
    task: Task
    examples: int
    inner: nn.Module
    before: nn.Module
    tape: Tape
    batches: list[Any]
    skipped: tuple[str, ...]
    _limits: dict[ValueKey, tuple[float, float]] = field(default_factory=dict)
    _counts: dict[tuple[ValueKey, float, float], np.ndarray] = field(default_factory=dict)
    _varies: dict[ValueKey, bool] = field(default_factory=dict)
    _empty: set[ValueKey] = field(default_factory=set)
    _grid_limits: dict[tuple[Any, ...], tuple[float, float]] = field(default_factory=dict)
    _answers: dict[str, list[Tensor]] = field(default_factory=dict)
    _held_back_batches: list[Any] = field(default_factory=list)
    _warnings: dict[tuple[Any, ...], str] = field(default_factory=dict)
    _means: dict[str, ChannelMeans] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.Module, task: Task, examples: int) -> Calibration:
        """The calibration of a model.

        Raises ExportError where the model fails on the task's example, ValueError where there are
        no examples.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SkippedWarning)
            inner, tape = folded(model, task)
        for warning in caught:
            if not issubclass(warning.category, SkippedWarning):
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )
        return cls(
            model_digest=_digest(model),
            task=task,
            examples=examples,
            inner=inner,
            before=bake(clone(inner)),
            tape=tape,
            batches=calibration_batches(task, examples, inner),
            skipped=tuple(
                str(warning.message)
                for warning in caught
                if issubclass(warning.category, SkippedWarning)
            ),
        )

    def of_batches(self, batches: list[Any]) -> Calibration:
        """The calibration of the same network on other examples."""
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
        """Whether it belongs to this model, with its current weights, this task and `examples`."""
        return (
            self.task is task and self.examples == examples and self.model_digest == _digest(model)
        )

    def grids(self, edges: Edges, ranges: Ranges) -> list[Grid]:
        """The grid of each value that is to be on one.

        Raises ValueError where the task's loss never computes one of them.
        """
        keys_by_grid = _keys_by_grid(edges)
        self._see([key for keys in keys_by_grid for key in keys])
        limits: list[tuple[float, float]] = []
        for keys in keys_by_grid:
            lows, highs = zip(*(self._limits[key] for key in keys), strict=True)
            limits.append((min(lows), max(highs)))
        limits = filled(limits, [not self._empty.isdisjoint(keys) for keys in keys_by_grid])
        if never := sum(low > high for low, high in limits):
            raise ValueError(
                f"{never} values were not computed in calibration: the task's loss must call the "
                "model as in its example"
            )
        if ranges.needs_counts:
            self._count(
                {key: ends for keys, ends in zip(keys_by_grid, limits, strict=True) for key in keys}
            )
        grids: list[Grid] = []
        for keys, ends in zip(keys_by_grid, limits, strict=True):
            entry = (ranges, keys)
            if entry not in self._grid_limits:
                histogram = self._histogram(keys, ends) if ranges.needs_counts else Histogram(*ends)
                self._grid_limits[entry] = ranges(histogram, LEVELS) if histogram.has_any else ends
                self._warnings[entry] = _too_coarse(keys[0], histogram, self._grid_limits[entry])
            if self._warnings.get(entry):
                warnings.warn(self._warnings[entry], SkippedWarning, stacklevel=4)
            grids.append(Grid(*self._grid_limits[entry]))
        device = next(self.inner.parameters()).device
        return [grid.to(device) for grid in grids]

    def constant(self, edges: Edges) -> dict[str, float]:
        """The integer layers whose inputs are the same in every example.

        Nothing is known of the range of such inputs. With each layer comes the number in its inputs
        that is farthest from zero.
        """
        keys_by_grid = _keys_by_grid(edges)
        self._see([key for keys in keys_by_grid for key in keys])
        constants: dict[str, float] = {}
        for layer, numbers in edges.layers.items():
            keys = [key for number in numbers for key in keys_by_grid[number]]
            if not any(self._varies[key] for key in keys):
                constants[layer] = max(
                    (limit for key in keys for limit in self._limits[key] if math.isfinite(limit)),
                    key=abs,
                    default=0.0,
                )
        return constants

    def means(self, layers: list[str]) -> dict[str, ChannelMeans]:
        """The channel means of the outputs of these layers over the first batch.

        Layers that are not called are left out.
        """
        missing = [layer for layer in layers if layer not in self._means]
        if missing:
            self._means.update(
                channel_means(self.before, self.before, self.task, missing, self.batches[0])
            )
        return {layer: self._means[layer] for layer in layers if layer in self._means}

    def answers(self, last: str, model: Quantised | None = None) -> list[Tensor]:
        """The answers of a quantised module, or of the original network, on a batch.

        The batch is one that `means` has not seen, if there is another. Where the loss calls only
        parts of the network, the outputs of the layer `last` are returned.

        `model`: the quantised module; None for the original network.
        """
        if model is None and last in self._answers:
            return self._answers[last]
        called, inner = (self.before, self.before) if model is None else (model, model.inner)
        of_model, of_layer = list[Tensor](), list[Tensor]()

        def collect(module: nn.Module, into: list[Tensor]) -> Any:
            return module.register_forward_hook(
                lambda _module, _args, output: into.extend(tensors(output))
            )

        handles = [collect(called, of_model), collect(inner.get_submodule(last), of_layer)]
        try:
            run(called, self.task, [self._held_back()])
        finally:
            for handle in handles:
                handle.remove()
        answers = [
            answer.detach().double()
            for answer in of_model or of_layer
            if answer.is_floating_point()
        ]
        if model is None:
            self._answers[last] = answers
        return answers

    def _held_back(self) -> Any:
        """A batch of at most 64 examples that `means` has not seen, if there is another batch."""
        if not self._held_back_batches:
            others = self.batches[1:]
            if not others:
                with seeded(0):
                    others = (
                        list(islice(iter(batches(self.task, "train", self.inner)), 1, 2))
                        or self.batches
                    )
            self._held_back_batches.append(first_rows(others[-1], _HELD_BACK))
        return self._held_back_batches[0]

    def _see(self, wanted: Iterable[ValueKey]) -> None:
        """Find the least and the greatest number of these values."""
        histograms = {key: Histogram() for key in wanted if key not in self._limits}
        self._watch(histograms, Histogram.limits)
        self._limits.update({key: (seen.low, seen.high) for key, seen in histograms.items()})
        self._empty.update(key for key, seen in histograms.items() if seen.is_empty)
        self._varies.update(
            {key: seen.varies or seen.is_unknown for key, seen in histograms.items()}
        )

    def _histogram(self, keys: tuple[ValueKey, ...], limits: tuple[float, float]) -> Histogram:
        """The histogram of these values together.

        Where nearly all numbers are in a few bins, these are divided again as long as that tells
        more.
        """

        def between(low: float, high: float) -> Histogram:
            self._count(dict.fromkeys(keys, (low, high)))
            counts = np.asarray(sum(self._counts[key, low, high] for key in keys))
            return Histogram(low, high, counts)

        first = between(*limits)
        return refined(between, *limits) if first.has_any else first

    def _count(self, wanted: Mapping[ValueKey, tuple[float, float]]) -> None:
        """Count the numbers in each bin between these limits."""
        histograms = {
            key: Histogram(*limits)
            for key, limits in wanted.items()
            if (key, *limits) not in self._counts
        }
        self._watch(histograms, Histogram.count)
        for key, seen in histograms.items():
            # A value that is never computed has no counts.
            counts = np.zeros(1) if seen.counts is None else seen.counts
            self._counts[key, seen.low, seen.high] = counts

    def _watch(
        self, histograms: Mapping[ValueKey, Histogram], look: Callable[[Histogram, Tensor], None]
    ) -> None:
        """Run all examples, and pass the values of these keys to `look`."""
        if not histograms:
            return
        indices = {key: index for index, key in enumerate(histograms)}
        kinds = {key[:2] for key in histograms}
        calls: dict[tuple[str, str], int] = {}
        for call in self.tape.calls:
            if (call.layer, call.function) in kinds:
                calls[call.layer, call.function] = calls.get((call.layer, call.function), 0) + 1
        arguments = {key[:4]: index for key, index in indices.items() if key[4]}
        results = {key[:4]: index for key, index in indices.items() if not key[4]}
        watchers = [_Watch(histogram, look) for histogram in histograms.values()]
        watching = Quantised(
            self.before, Edges(arguments, results, {}, calls, len(histograms)), watchers
        )
        index = 0

        def numbered() -> Iterator[Any]:
            nonlocal index
            for index, batch in enumerate(self.batches):  # noqa: B007
                yield batch

        try:
            run(watching, self.task, numbered())
        except NotFiniteError as error:
            rows = not_finite(self.batches[index])
            hint = (
                f"number {', '.join(map(str, rows[:5]))} of it holds them: clean the training data"
                if rows
                else (
                    "its inputs are finite: look for the layer where they begin with "
                    "torch.autograd.set_detect_anomaly"
                )
            )
            raise ValueError(f"{error} in batch {index} of the training split; {hint}") from None


def _too_coarse(key: ValueKey, histogram: Histogram, limits: tuple[float, float]) -> str:
    """The warning about a grid that is too coarse for nearly all numbers; "" where it is not."""
    if not histogram.parts:
        return ""
    (low, high), reach = histogram.parts[-1], max(limits[1], 0.0) - min(limits[0], 0.0)
    if (high - low) / reach * LEVELS >= _LEAST_LEVELS:
        return ""
    return (
        f"calibration: nearly all numbers of {key[1]} in {key[0] or 'forward()'} lie between "
        f"{low:.3g} and {high:.3g}, and a few reach from {histogram.low:.3g} to "
        f"{histogram.high:.3g}, so that the grid is too coarse for the others: clean the training "
        "data, or give ranges=Percentile(0.999)"
    )


def folded(model: nn.Module, task: Task) -> tuple[nn.Module, Tape]:
    """A copy of the model with batch norm folded where it can be, and its tape.

    Raises ExportError where the model fails on the task's example, and where that names entries:
    activations are rounded call by call of one forward().
    """
    try:
        examples = examples_of(task)
        if names := [example.entry for example in examples if example.entry]:
            raise ExportError(
                "rounding activations is for models that are called in one way, and the task's "
                f"example names entries ({', '.join(names)}): quantize.WeightOnly rounds the "
                "weights of such a model"
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


def _keys_by_grid(edges: Edges) -> list[tuple[ValueKey, ...]]:
    """For each grid, the keys of the values that are put on it."""
    keys: list[list[ValueKey]] = [[] for _ in range(edges.grids)]
    for taken, indices in ((True, edges.arguments), (False, edges.results)):
        for key, index in indices.items():
            keys[index].append((*key, taken))
    return [tuple(own) for own in keys]


def _digest(model: nn.Module) -> str:
    """Tells the weights and the weight states of a model from others."""
    state = state_of(plain_module(model))
    digest = hashlib.sha256(repr(type(model)).encode())
    states_ = {
        f"{name}'s {field}": value
        for name, states in state.states.items()
        for field, value in states.items()
    }
    for name, value in {**state.values, **states_}.items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class _Watch(nn.Module):
    """Passes a value through, and shows it to `look`."""

    def __init__(self, histogram: Histogram, look: Callable[[Histogram, Tensor], None]) -> None:
        super().__init__()
        self.histogram, self.look = histogram, look

    def forward(self, value: Tensor) -> Tensor:
        """The value, unchanged."""
        with torch._C.DisableTorchFunction():
            self.look(self.histogram, value.detach())
        return value
