"""ONNX's recurrent layers as torch's functions, step by step.

For what torch's own modules do not do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from shoestring.kit.importing.operators.index import reversed_in_time
from shoestring.kit.importing.operators.operator import Attributes, Operator, UnservedError

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_DEFAULTS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
_ACTIVATIONS: dict[str, Callable[[Tensor, float, float], Tensor]] = {
    "affine": lambda x, alpha, beta: alpha * x + beta,
    "elu": lambda x, alpha, _: functional.elu(x, alpha),
    "hardsigmoid": lambda x, alpha, beta: torch.clamp(alpha * x + beta, 0, 1),
    "leakyrelu": lambda x, alpha, _: functional.leaky_relu(x, alpha),
    "relu": lambda x, *_: torch.relu(x),
    "scaledtanh": lambda x, alpha, beta: alpha * torch.tanh(beta * x),
    "sigmoid": lambda x, *_: torch.sigmoid(x),
    "softplus": lambda x, *_: functional.softplus(x),
    "softsign": lambda x, *_: functional.softsign(x),
    "tanh": lambda x, *_: torch.tanh(x),
    "thresholdedrelu": lambda x, alpha, _: torch.where(x > alpha, x, torch.zeros_like(x)),
}
_ALPHAS = {
    "affine": 1.0,
    "elu": 1.0,
    "hardsigmoid": 0.2,
    "leakyrelu": 0.01,
    "scaledtanh": 1.0,
    "thresholdedrelu": 1.0,
}
_BETAS = {"hardsigmoid": 0.5, "scaledtanh": 1.0}


def is_plain(a: Attributes, kind: str) -> bool:
    """Whether torch's own module computes the same: the usual activations, no clipping, time first."""
    directions = 2 if a("direction", "forward") == "bidirectional" else 1
    usual = [one.lower() for one in _DEFAULTS[kind]] * directions
    given = [one.lower() for one in a("activations") or usual]
    if kind == "RNN":
        usual = given if given in (["relu"] * directions, ["tanh"] * directions) else usual
    after = kind != "GRU" or a("linear_before_reset", 0) == 1
    return (
        given == usual
        and after
        and a("clip") is None
        and not a("input_forget", 0)
        and not a("layout", 0)
    )


def _activations(a: Attributes, kind: str, directions: int) -> list[Callable[[Tensor], Tensor]]:
    names = [one.lower() for one in a("activations") or _DEFAULTS[kind] * directions]
    alphas, betas = list(a("activation_alpha") or ()), list(a("activation_beta") or ())
    found: list[Callable[[Tensor], Tensor]] = []
    for name in names:
        if name not in _ACTIVATIONS:
            raise UnservedError(f"{kind} with the activation {name}")
        alpha = alphas.pop(0) if name in _ALPHAS and alphas else _ALPHAS.get(name, 0.0)
        beta = betas.pop(0) if name in _BETAS and betas else _BETAS.get(name, 0.0)
        found.append(
            lambda x, call=_ACTIVATIONS[name], alpha=alpha, beta=beta: call(x, alpha, beta)
        )
    return found


class _Cell:
    """One direction of a layer: its weights (gates × hidden, ...) and what it does to gates."""

    def __init__(
        self,
        a: Attributes,
        kind: str,
        weights: Sequence[Any],
        acts: Sequence[Callable[[Tensor], Tensor]],
    ) -> None:
        self.a, self.kind, self.acts, self.clip = a, kind, acts, a("clip")
        self.into, self.back, bias, self.peep = weights
        size = self.back.shape[-1]
        self.gates = _GATES[kind]
        none = self.into.new_zeros(2 * self.gates * size)
        self.bias_in, self.bias_back = (none if bias is None else bias).chunk(2)

    def clipped(self, value: Tensor) -> Tensor:
        """A sum before its activation, within what `clip` allows."""
        return value if self.clip is None else value.clamp(-self.clip, self.clip)

    def step(self, given: Tensor, hidden: Tensor, cell: Any) -> tuple[Tensor, Any]:
        """The states after one step; `given` is what the input gives all gates."""
        if self.kind == "LSTM":
            return self._long(given, hidden, cell)
        if self.kind == "GRU":
            return self._gated(given, hidden), None
        return self.acts[0](self.clipped(given + hidden @ self.back.T + self.bias_back)), None

    def _long(self, given: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        f, g, h = self.acts
        i, o, forget, c = (given + hidden @ self.back.T + self.bias_back).chunk(4, -1)
        pi, po, pf = (0.0, 0.0, 0.0) if self.peep is None else self.peep.chunk(3)
        enters = f(self.clipped(i + pi * cell))
        stays = 1 - enters if self.a("input_forget", 0) else f(self.clipped(forget + pf * cell))
        new = stays * cell + enters * g(self.clipped(c))
        return f(self.clipped(o + po * new)) * h(new), new

    def _gated(self, given: Tensor, hidden: Tensor) -> Tensor:
        f, g = self.acts
        zi, ri, hi = given.chunk(3, -1)
        zw, rw, hw = self.back.chunk(3)
        zb, rb, hb = self.bias_back.chunk(3)
        update = f(self.clipped(zi + hidden @ zw.T + zb))
        reset = f(self.clipped(ri + hidden @ rw.T + rb))
        if self.a("linear_before_reset", 0):
            new = g(self.clipped(hi + reset * (hidden @ hw.T + hb)))
        else:
            new = g(self.clipped(hi + (reset * hidden) @ hw.T + hb))
        return (1 - update) * new + update * hidden

    def run(
        self, value: Tensor, hidden: Tensor, cell: Any, lengths: Any
    ) -> tuple[Tensor, Tensor, Any]:
        """All hidden states (T, N, H), and the last ones.

        Past its length an example keeps its state and gives zeros.
        """
        given = value @ self.into.T + self.bias_in
        found: list[Tensor] = []
        for time in range(len(value)):
            new, newer = self.step(given[time], hidden, cell)
            if lengths is None:
                hidden, cell = new, newer
                found.append(new)
                continue
            on = (time < lengths)[:, None]
            hidden = torch.where(on, new, hidden)
            cell = None if newer is None else torch.where(on, newer, cell)
            found.append(torch.where(on, new, torch.zeros_like(new)))
        return torch.stack(found), hidden, cell


def _recurrent(kind: str) -> Operator:
    def call(
        a: Attributes,
        value: Tensor,
        into: Tensor,
        back: Tensor,
        bias: Any = None,
        lengths: Any = None,
        *states: Any,
    ) -> Any:
        return run(a, kind, (value, into, back, bias, lengths, *states))

    return Operator(call)


def run(a: Attributes, kind: str, inputs: Sequence[Any]) -> Any:
    """Y (T, directions, N, H), and the last states (directions, N, H), of the inputs that ONNX
    gives such a layer.
    """
    given: list[Any] = [*inputs, *[None] * (8 - len(inputs))]
    value, into, back, bias, lengths, hidden, cell, peep = given
    directions, size = len(into), back.shape[-1]
    last = bool(a("layout", 0))  # the batch comes first
    value = value.transpose(0, 1) if last else value
    states = [
        None if one is None else one.transpose(0, 1) if last else one for one in (hidden, cell)
    ]
    zero = value.new_zeros(value.shape[1], size)
    acts = _activations(a, kind, directions)
    each = len(acts) // directions
    answers = list[tuple[Tensor, Tensor, Any]]()
    for at in range(directions):
        own = [None if one is None else one[at] for one in (into, back, bias, peep)]
        cell_ = _Cell(a, kind, own, acts[at * each : (at + 1) * each])
        begin, memory = (zero if one is None else one[at] for one in states)
        turned = a("direction", "forward") == "reverse" or at == 1
        steps = _turned(value, lengths) if turned else value
        found, hidden, kept = cell_.run(steps, begin, memory, lengths)
        answers.append((_turned(found, lengths) if turned else found, hidden, kept))
    every = torch.stack([one[0] for one in answers], 1)
    ends = [torch.stack([one[1] for one in answers])]
    if kind == "LSTM":
        ends.append(torch.stack([one[2] for one in answers]))
    if last:
        every, ends = every.permute(2, 0, 1, 3), [one.transpose(0, 1) for one in ends]
    return (every, *ends)[: a.outputs] if a.outputs > 1 else every


def _turned(value: Tensor, lengths: Any) -> Tensor:
    return value.flip(0) if lengths is None else reversed_in_time(value, lengths)


TABLE: dict[str, Operator] = {kind: _recurrent(kind) for kind in _GATES}
