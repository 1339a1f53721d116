"""Signals: the values and gradients of each call of a network that has weights or activates.

Calls of torch's functions are listened to, so any forward() will do, with modules or without.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from shoestring.artifact import tree
from shoestring.kit.tracing.example import tensors
from shoestring.kit.tracing.tape import function_name, inside

RECTIFIERS = ("relu", "relu6")
"""Functions whose units are dead where they never give more than 0."""
SIGMOIDS = ("sigmoid", "hardsigmoid")
"""Functions that give a half where they get 0, with a slope of 1/4 at most."""
_BOUNDS: dict[str, tuple[float, float]] = {
    "sigmoid": (0.01, 0.99),
    "tanh": (-0.99, 0.99),
    "hardtanh": (-1.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "relu6": (-1.0, 6.0),
}
"""Outside of these values a function is saturated: hardly a gradient comes back."""
_OTHERS = ("gelu", "silu", "leaky_relu", "elu", "selu", "prelu", "softplus", "hardswish")
ACTIVATIONS = (*RECTIFIERS, *_BOUNDS, *_OTHERS)
_TINY = 10.0
"""A variance of less than so many times a norm's eps hardly counts beside it."""


Key = tuple[str, str, int]
"""Of a call: the layer, the function, and which of the layer's calls of the function it is."""


@dataclass
class Signal:
    """A call that has weights or activates: what it gave, and what came back, over some batches.

    `layer`: the path of the module that called.
    `function`: of torch.
    `weights`: the names of its parameters.
    `size`: the root mean square of what it gave, of the last batch.
    `largest`: the largest absolute value it gave.
    `entering`: the root mean square of what it got, of the last batch.
    `gradients`: the norm of the loss's gradient at its output, for each batch.
    `spread`: how much of what it gave differs from example to example, 0 to 1 or a little more.
    `finite`: whether all that it gave were numbers.
    `alive`: of a rectifier, which units ever gave more than 0; None for other functions.
    `looked`: of a rectifier, how many values of each unit were looked at.
    `saturated`: the share of values at the bounds of a function that has some; None for others.
    `mean_off`: of a batch norm whose running statistics have begun, how far a batch's mean is from
        the running mean, in running deviations, on average of its channels; None for others.
    `variance_ratio`: of such a batch norm, a batch's variance over the running one (geometric
        mean).
    `constant`: of a batch norm, the share of channels with hardly a variance.
    `running_finite`: of a batch norm, whether its running statistics are numbers.
    """

    layer: str
    function: str
    weights: tuple[str, ...]
    size: float = 0.0
    largest: float = 0.0
    entering: float = 0.0
    gradients: list[float] = field(default_factory=list)
    spread: float = 0.0
    finite: bool = True
    alive: Tensor | None = None
    looked: int = 0
    saturated: float | None = None
    mean_off: float | None = None
    variance_ratio: float | None = None
    constant: float | None = None
    running_finite: bool = True

    @property
    def name(self) -> str:
        """For people: the layer, or the function where the model itself called it."""
        return f"{self.layer or 'the model'} ({self.function})"

    @property
    def gradient(self) -> float | None:
        """The mean norm of the gradient; None where none came back."""
        return sum(self.gradients) / len(self.gradients) if self.gradients else None

    @property
    def dead(self) -> int:
        """How many units of a rectifier never gave more than 0."""
        return 0 if self.alive is None else int((~self.alive).sum())


def size_of(values: Tensor) -> tuple[float, float]:
    """(root mean square, largest absolute value) of numbers of any size; NaN and inf come through.

    Squares of large numbers do not overflow.
    """
    if not values.numel():
        return 0.0, 0.0
    wide = values.detach().float()
    largest = float(wide.abs().max())
    if not 0 < largest < math.inf:
        return largest, largest
    return largest * float((wide / largest).square().mean().sqrt()), largest


@contextmanager
def listening(model: nn.Module) -> Iterator[dict[Key, Signal]]:
    """Within, runs of the model fill the signals, in the order in which they first appear.

    Keys are (layer, function, which of the layer's calls of the function). Start each batch with
    `begin(signals)`, which counts the calls from 0 again. Gradients come with backward().
    """
    signals = _Signals()
    layers: list[str] = []
    with inside(model, layers), _Listener(model, layers, signals):
        yield signals


def begin(signals: dict[Key, Signal]) -> None:
    """Say that the next batch begins."""
    if isinstance(signals, _Signals):
        signals.turns.clear()
        signals.nodes.clear()


def heard_nodes(signals: dict[Key, Signal]) -> dict[Any, Key]:
    """For each node of torch's graph that a heard call made since `begin`, which call it was."""
    return signals.nodes if isinstance(signals, _Signals) else {}


class _Signals(dict[Key, Signal]):
    def __init__(self) -> None:
        super().__init__()
        self.turns: dict[tuple[str, str], int] = {}
        self.nodes: dict[Any, Key] = {}


class _Listener(TorchFunctionMode):
    def __init__(self, model: nn.Module, layers: list[str], signals: _Signals) -> None:
        super().__init__()
        self.layers, self.signals = layers, signals
        self.names = {id(weight): name for name, weight in model.named_parameters()}
        self.channels_first = True  # of three axes: as the last convolution or linear layer has it

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = function_name(func)
        if name == "__get__" or not self.layers:
            return func(*args, **kwargs)
        given = [one for one in tree.leaves((args, list(kwargs.values()))) if _is_real(one)]
        weights = tuple(self.names[id(one)] for one in given if id(one) in self.names)
        if name not in ACTIVATIONS and not weights:
            return func(*args, **kwargs)
        norm = _of_batch_norm(args, kwargs) if name == "batch_norm" else {}
        entering = next((one for one in given if id(one) not in self.names), None)
        sizes = (0.0, 0.0) if entering is None else size_of(entering)
        answer = func(*args, **kwargs)
        made = [one for one in tensors(answer) if _is_real(one)]
        if made:
            key, signal = self._signal(name, weights)
            if made[0].numel():
                signal.entering = sizes[0]
                for field_name, value in norm.items():
                    setattr(signal, field_name, value)
                self._hear(key, signal, made[0])
        return answer

    def _signal(self, function: str, weights: tuple[str, ...]) -> tuple[Key, Signal]:
        layer = self.layers[-1]
        turn = self.signals.turns.get((layer, function), 0)
        self.signals.turns[layer, function] = turn + 1
        key = layer, function, turn
        return key, self.signals.setdefault(
            key, Signal(layer=layer, function=function, weights=weights)
        )

    def _hear(self, key: Key, signal: Signal, values: Tensor) -> None:
        """Note what a call gave, and have its gradient noted."""
        if signal.weights and signal.function not in ("batch_norm",):
            self.channels_first = signal.function.startswith("conv")
        if values.requires_grad:
            values.register_hook(lambda gradient: signal.gradients.append(_norm_of(gradient)))
            self.signals.nodes[values.grad_fn] = key
        now = values.detach()
        signal.size, largest = size_of(now)
        signal.largest = max(signal.largest, largest) if signal.finite else signal.largest
        if not math.isfinite(largest):
            signal.finite, signal.largest = False, largest
            return
        signal.spread = _spread(now, signal.size)
        if signal.function in RECTIFIERS and now.ndim > 1:
            axis = 1 if now.ndim != 3 or self.channels_first else 2
            units = (now > 0).movedim(axis, 0).flatten(1)
            active = units.any(1)
            signal.looked += units.shape[1]
            kept = signal.alive
            signal.alive = active if kept is None or kept.shape != active.shape else kept | active
        if signal.function in _BOUNDS:
            low, high = _BOUNDS[signal.function]
            signal.saturated = float(((now <= low) | (now >= high)).float().mean())


def _is_real(one: Any) -> bool:
    return isinstance(one, Tensor) and one.is_floating_point()


def _norm_of(gradient: Tensor) -> float:
    rms, _ = size_of(gradient)
    return rms * gradient.numel() ** 0.5


def _spread(values: Tensor, size: float) -> float:
    """The deviation from example to example as a share of the size."""
    if values.ndim < 2 or len(values) < 2 or not size:
        return 0.0
    return float(values.float().var(0, correction=0).mean().sqrt()) / size


def _of_batch_norm(args: tuple, kwargs: dict) -> dict[str, Any]:
    """What a signal knows of a call of batch_norm: its fields, by name."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    values, mean, variance = (given.get(name) for name in names[:3])
    if values is None or mean is None or variance is None or values.numel() <= values.shape[1]:
        return {}
    eps = given.get("eps", args[7] if len(args) > 7 else 1e-5)
    flat = values.detach().float().transpose(0, 1).flatten(1)
    now, here = torch.var_mean(flat, 1)
    found: dict[str, Any] = {"constant": float((now < _TINY * eps).float().mean())}
    if not mean.any() and bool(((variance.float() - 1).abs() <= 1.01 * eps).all()):
        return found  # as they begin, or folded into scale and shift
    running = variance.detach().float()
    off = (here - mean.float()).abs() / (running + eps).sqrt()
    ratio = ((now + eps) / (running + eps)).log().mean().exp()
    finite = bool(torch.isfinite(mean).all() and torch.isfinite(running).all())
    return found | {
        "mean_off": float(off.mean()),
        "variance_ratio": float(ratio),
        "running_finite": finite,
    }
