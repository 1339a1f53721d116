"""Layers of torch.nn for the nodes of a graph that have weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.kit.importing.operators.operator import Attributes
from shoestring.kit.importing.operators.recurrent import is_plain

_CONVOLUTIONS = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}
_TRANSPOSED = {3: nn.ConvTranspose1d, 4: nn.ConvTranspose2d, 5: nn.ConvTranspose3d}
_NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
# Where torch's gates (i f g o, and r z n) are in ONNX's order.
_ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}


def with_tensors(layer: nn.Module, **tensors: Any) -> nn.Module:
    """The layer, with these parameters and buffers instead of its own."""
    for name, value in tensors.items():
        if value is None:
            continue
        if name in layer._buffers:
            layer._buffers[name] = value.detach().clone()
        else:
            layer._parameters[name] = (
                value if isinstance(value, nn.Parameter) else nn.Parameter(value.detach().clone())
            )
    return layer


def linear(weight: Tensor, bias: Any) -> nn.Module:
    """A linear layer with a weight (outputs × inputs)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    return with_tensors(layer, weight=weight, bias=bias)


def convolution(
    a: Attributes, weight: Tensor, bias: Any, padding: Sequence[int]
) -> nn.Module | None:
    """A convolution with a weight (outputs × inputs / groups × ...); None where torch has none."""
    kind, axes = _CONVOLUTIONS.get(weight.ndim), weight.ndim - 2
    if kind is None:
        return None
    groups = a("group", 1)
    layer: Any = kind(
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        tuple(a("strides") or [1] * axes),
        tuple(padding),
        tuple(a("dilations") or [1] * axes),
        groups,
        bias is not None,
        device="meta",
    )
    return with_tensors(layer, weight=weight, bias=bias)


def transposed(a: Attributes, weight: Tensor, bias: Any) -> nn.Module | None:
    """A transposed convolution; None where torch has no such layer."""
    kind, axes = _TRANSPOSED.get(weight.ndim), weight.ndim - 2
    pads = list(a("pads") or [0] * 2 * axes)
    limits = [
        max(pair)
        for pair in zip(a("strides") or [1] * axes, a("dilations") or [1] * axes, strict=True)
    ]
    extra = list(a("output_padding") or [0] * axes)
    if (
        kind is None
        or a("output_shape")
        or a("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
        or pads[:axes] != pads[axes:]
    ):
        return None
    if any(size >= limit for size, limit in zip(extra, limits, strict=True)):
        return None
    groups = a("group", 1)
    layer: Any = kind(
        weight.shape[0],
        weight.shape[1] * groups,
        tuple(weight.shape[2:]),
        tuple(a("strides") or [1] * axes),
        tuple(pads[:axes]),
        tuple(extra),
        groups,
        bias is not None,
        tuple(a("dilations") or [1] * axes),
        device="meta",
    )
    return with_tensors(layer, weight=weight, bias=bias)


def batch_norm(a: Attributes, axes: int | None, tensors: Sequence[Tensor]) -> nn.Module | None:
    """A batch norm for a value with so many `axes`; None where torch has none or they are unknown.

    `tensors`: scale, shift, mean and variance.
    """
    kind = _NORMS.get(axes or 0)
    if kind is None or a("training_mode", 0) or a.outputs > 1:
        return None
    scale, shift, mean, variance = tensors
    layer = kind(len(scale), a("epsilon", 1e-5), 1 - a("momentum", 0.9))
    return with_tensors(layer, weight=scale, bias=shift, running_mean=mean, running_var=variance)


def layer_norm(a: Attributes, scale: Tensor, shift: Any) -> nn.Module | None:
    """None where the axes are not those of the scale."""
    if a("axis", -1) != -scale.ndim or a.outputs > 1:
        return None
    layer = nn.LayerNorm(list(scale.shape), a("epsilon", 1e-5), bias=shift is not None)
    return with_tensors(layer, weight=scale, bias=shift)


def group_norm(a: Attributes, scale: Tensor, shift: Tensor) -> nn.Module | None:
    """None before opset 21, where scales were of groups."""
    if a.opset < 21:
        return None
    return with_tensors(
        nn.GroupNorm(a("num_groups"), len(scale), a("epsilon", 1e-5)), weight=scale, bias=shift
    )


def embedding(weight: Tensor) -> nn.Module:
    """An embedding with a table (entries × width)."""
    return with_tensors(
        nn.Embedding(weight.shape[0], weight.shape[1], device="meta"), weight=weight
    )


class Dropping(nn.Dropout):
    """Dropout that can also return what it kept, as ONNX's does; outside training it keeps all."""

    def __init__(self, p: float, tells: bool) -> None:
        super().__init__(p)
        self.tells = tells

    def forward(self, input: Tensor, *_: Any) -> Any:  # the ratio and the mode are fixed
        """The value after dropout, and, where `tells`, a mask of what was kept."""
        value = super().forward(input)
        return (value, (value != 0) | (input == 0)) if self.tells else value


def _as_onnx(
    layer: nn.RNNBase, forward: Any, value: Tensor, first_states: Any
) -> tuple[Tensor, ...]:
    """The outputs of a recurrent layer of torch in the form of ONNX.

    All states (T, directions, N, H), then the last ones.
    """
    reverse = bool(getattr(layer, "reverse", False))
    # Examples first: torch's exporter writes that for any number of time steps.
    states, last_states = forward(
        (value.flip(0) if reverse else value).transpose(0, 1), first_states
    )
    states = torch.stack(states.chunk(2 if layer.bidirectional else 1, -1)).permute(2, 0, 1, 3)
    states = states.flip(0) if reverse else states
    return (states, *last_states) if isinstance(last_states, tuple) else (states, last_states)


class Memory(nn.LSTM):
    """An LSTM, called as ONNX does."""

    def forward(self, input: Tensor, hidden: Any = None, cell: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """All hidden states (T, directions, N, H), the last ones, and the last cells."""
        states = None
        if hidden is not None or cell is not None:
            zero = torch.zeros_like(hidden if hidden is not None else cell)
            states = tuple(
                zero if state is None else state.contiguous() for state in (hidden, cell)
            )
        return _as_onnx(self, super().forward, input, states)


class Gates(nn.GRU):
    """A GRU, called as ONNX does."""

    def forward(self, input: Tensor, hidden: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """All hidden states (T, directions, N, H), and the last ones."""
        return _as_onnx(
            self, super().forward, input, None if hidden is None else hidden.contiguous()
        )


class Feedback(nn.RNN):
    """A plain recurrent layer, called as ONNX does."""

    def forward(self, input: Tensor, hidden: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """All hidden states (T, directions, N, H), and the last ones."""
        return _as_onnx(
            self, super().forward, input, None if hidden is None else hidden.contiguous()
        )


def recurrent(kind: str, a: Attributes, into: Tensor, back: Tensor, bias: Any) -> nn.Module | None:
    """A recurrent layer of weights (directions × gates, ...) in ONNX's order.

    None where torch's layer computes something else.
    """
    if not is_plain(a, kind):
        return None
    directions, size = len(into), back.shape[-1]
    settings: dict[str, Any] = {
        "bidirectional": directions == 2,
        "bias": bias is not None,
        "batch_first": True,
    }
    if kind == "RNN":
        settings["nonlinearity"] = (a("activations") or ["Tanh"])[0].lower()
    layer = {"LSTM": Memory, "GRU": Gates, "RNN": Feedback}[kind](into.shape[-1], size, **settings)
    layer.reverse = a("direction", "forward") == "reverse"  # pyright: ignore[reportAttributeAccessIssue]

    with_tensors(layer, **arranged(kind, directions, {"weight_ih": into, "weight_hh": back}))
    if bias is not None:
        biases = bias.chunk(2, 1)
        with_tensors(
            layer, **arranged(kind, directions, {"bias_ih": biases[0], "bias_hh": biases[1]})
        )
    layer._init_flat_weights()
    return layer


def arranged(kind: str, directions: int, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors (directions × gates, ...) with their gates in torch's order, by torch's names."""
    arranged_tensors = dict[str, Tensor]()
    for direction, suffix in zip(range(directions), ("_l0", "_l0_reverse"), strict=False):
        for name, value in tensors.items():
            parts = value[direction].chunk(len(_ORDER[kind]))
            arranged_tensors[name + suffix] = torch.cat([parts[gate] for gate in _ORDER[kind]])
    return arranged_tensors
