"""Layers of torch.nn for the nodes of a graph that have weights of their own."""

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
_ORDER = {
    "LSTM": (0, 2, 3, 1),
    "GRU": (1, 0, 2),
    "RNN": (0,),
}  # of the gates, in ONNX's order: torch has i f g o and r z n


def with_tensors(layer: nn.Module, **tensors: Any) -> nn.Module:
    """The layer with these parameters and buffers in place of its own."""
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
    """Of a weight (outputs × inputs)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    return with_tensors(layer, weight=weight, bias=bias)


def convolution(
    a: Attributes, weight: Tensor, bias: Any, padding: Sequence[int]
) -> nn.Module | None:
    """None where torch has no such layer."""
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
    """None where torch has no such layer."""
    kind, axes = _TRANSPOSED.get(weight.ndim), weight.ndim - 2
    pads = list(a("pads") or [0] * 2 * axes)
    wide = [
        max(pair)
        for pair in zip(a("strides") or [1] * axes, a("dilations") or [1] * axes, strict=True)
    ]
    more = list(a("output_padding") or [0] * axes)
    if (
        kind is None
        or a("output_shape")
        or a("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
        or pads[:axes] != pads[axes:]
    ):
        return None
    if any(one >= most for one, most in zip(more, wide, strict=True)):
        return None
    groups = a("group", 1)
    layer: Any = kind(
        weight.shape[0],
        weight.shape[1] * groups,
        tuple(weight.shape[2:]),
        tuple(a("strides") or [1] * axes),
        tuple(pads[:axes]),
        tuple(more),
        groups,
        bias is not None,
        tuple(a("dilations") or [1] * axes),
        device="meta",
    )
    return with_tensors(layer, weight=weight, bias=bias)


def batch_norm(a: Attributes, axes: int | None, tensors: Sequence[Tensor]) -> nn.Module | None:
    """Of a scale, shift, mean and variance, for a value of so many axes.

    None where these are not known.
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
    """Of a table (entries × width)."""
    return with_tensors(
        nn.Embedding(weight.shape[0], weight.shape[1], device="meta"), weight=weight
    )


class Dropping(nn.Dropout):
    """Dropout that also tells what it kept, where that is asked for; outside training everything."""

    def __init__(self, p: float, tells: bool) -> None:
        super().__init__(p)
        self.tells = tells

    def forward(self, input: Tensor, *_: Any) -> Any:  # the ratio and the mode are fixed
        """The value, and what was kept of it."""
        value = super().forward(input)
        return (value, (value != 0) | (input == 0)) if self.tells else value


def _called(layer: nn.RNNBase, forward: Any, value: Tensor, states: Any) -> tuple[Tensor, ...]:
    """What ONNX wants of a recurrent layer, of what torch's gives.

    All states (T, directions, N, H), then the last ones.
    """
    reverse = bool(getattr(layer, "reverse", False))
    # Examples first: that is what torch's exporter writes with any number of steps.
    found, last = forward((value.flip(0) if reverse else value).transpose(0, 1), states)
    found = torch.stack(found.chunk(2 if layer.bidirectional else 1, -1)).permute(2, 0, 1, 3)
    found = found.flip(0) if reverse else found
    return (found, *last) if isinstance(last, tuple) else (found, last)


class Memory(nn.LSTM):
    """An LSTM, called as ONNX does."""

    def forward(self, input: Tensor, hidden: Any = None, cell: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """All hidden states, the last ones, and the last cells."""
        states = None
        if hidden is not None or cell is not None:
            zero = torch.zeros_like(hidden if hidden is not None else cell)
            states = tuple(zero if one is None else one.contiguous() for one in (hidden, cell))
        return _called(self, super().forward, input, states)


class Gates(nn.GRU):
    """A GRU, called as ONNX does."""

    def forward(self, input: Tensor, hidden: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """All hidden states, and the last ones."""
        return _called(
            self, super().forward, input, None if hidden is None else hidden.contiguous()
        )


class Feedback(nn.RNN):
    """A plain recurrent layer, called as ONNX does."""

    def forward(self, input: Tensor, hidden: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """All hidden states, and the last ones."""
        return _called(
            self, super().forward, input, None if hidden is None else hidden.contiguous()
        )


def recurrent(kind: str, a: Attributes, into: Tensor, back: Tensor, bias: Any) -> nn.Module | None:
    """Of weights (directions × gates, ...) in ONNX's order.

    None where torch's own layer computes something else.
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
    made = {"LSTM": Memory, "GRU": Gates, "RNN": Feedback}[kind](into.shape[-1], size, **settings)
    made.reverse = a("direction", "forward") == "reverse"  # pyright: ignore[reportAttributeAccessIssue]

    with_tensors(made, **arranged(kind, directions, {"weight_ih": into, "weight_hh": back}))
    if bias is not None:
        halves = bias.chunk(2, 1)
        with_tensors(
            made, **arranged(kind, directions, {"bias_ih": halves[0], "bias_hh": halves[1]})
        )
    made._init_flat_weights()
    return made


def arranged(kind: str, directions: int, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """By torch's names, tensors (directions × gates, ...) of ONNX's order, in torch's."""
    found = dict[str, Tensor]()
    for at, end in zip(range(directions), ("_l0", "_l0_reverse"), strict=False):
        for name, value in tensors.items():
            parts = value[at].chunk(len(_ORDER[kind]))
            found[name + end] = torch.cat([parts[place] for place in _ORDER[kind]])
    return found
