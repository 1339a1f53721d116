"""ONNX's recurrent layers, step by step, for what torch's own modules do not serve."""

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
    """Whether torch's module computes it: usual activations, no clipping, time before examples."""
    directions = 2 if a("direction", "forward") == "bidirectional" else 1
    expected = [name.lower() for name in _DEFAULTS[kind]] * directions
    given = [name.lower() for name in a("activations") or expected]
    if kind == "RNN":
        expected = given if given in (["relu"] * directions, ["tanh"] * directions) else expected
    resets_after = kind != "GRU" or a("linear_before_reset", 0) == 1
    return (
        given == expected
        and resets_after
        and a("clip") is None
        and not a("input_forget", 0)
        and not a("layout", 0)
    )


def _activations(a: Attributes, kind: str, directions: int) -> list[Callable[[Tensor], Tensor]]:
    names = [name.lower() for name in a("activations") or _DEFAULTS[kind] * directions]
    alphas, betas = list(a("activation_alpha") or ()), list(a("activation_beta") or ())
    activations: list[Callable[[Tensor], Tensor]] = []
    for name in names:
        if name not in _ACTIVATIONS:
            raise UnservedError(f"{kind} with the activation {name}")
        alpha = alphas.pop(0) if name in _ALPHAS and alphas else _ALPHAS.get(name, 0.0)
        beta = betas.pop(0) if name in _BETAS and betas else _BETAS.get(name, 0.0)
        activations.append(
            lambda x, call=_ACTIVATIONS[name], alpha=alpha, beta=beta: call(x, alpha, beta)
        )
    return activations


class _Cell:
    """One direction of a layer.

    `weights`: of the input and of the state (gates × hidden, ...), the bias, and the peepholes.
    `acts`: its activations.
    """

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
        zeros = self.into.new_zeros(2 * self.gates * size)
        self.bias_in, self.bias_back = (zeros if bias is None else bias).chunk(2)

    def clipped(self, value: Tensor) -> Tensor:
        """A sum before its activation, clipped where `clip` is set."""
        return value if self.clip is None else value.clamp(-self.clip, self.clip)

    def step(self, given: Tensor, hidden: Tensor, cell: Any) -> tuple[Tensor, Any]:
        """The states after one step; `given` is the contribution of the input to all gates."""
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
        outputs: list[Tensor] = []
        for time in range(len(value)):
            new_hidden, new_cell = self.step(given[time], hidden, cell)
            if lengths is None:
                hidden, cell = new_hidden, new_cell
                outputs.append(new_hidden)
                continue
            is_running = (time < lengths)[:, None]
            hidden = torch.where(is_running, new_hidden, hidden)
            cell = None if new_cell is None else torch.where(is_running, new_cell, cell)
            outputs.append(torch.where(is_running, new_hidden, torch.zeros_like(new_hidden)))
        return torch.stack(outputs), hidden, cell


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
    """The outputs of a recurrent layer: Y (T, directions, N, H), and its last states.

    `inputs`: as ONNX orders them. The last states are (directions, N, H).
    """
    given: list[Any] = [*inputs, *[None] * (8 - len(inputs))]
    value, into, back, bias, lengths, hidden, cell, peep = given
    directions, size = len(into), back.shape[-1]
    is_batch_first = bool(a("layout", 0))
    value = value.transpose(0, 1) if is_batch_first else value
    states = [
        None if state is None else state.transpose(0, 1) if is_batch_first else state
        for state in (hidden, cell)
    ]
    zero = value.new_zeros(value.shape[1], size)
    acts = _activations(a, kind, directions)
    per_direction = len(acts) // directions
    answers = list[tuple[Tensor, Tensor, Any]]()
    for direction in range(directions):
        weights = [
            None if weight is None else weight[direction] for weight in (into, back, bias, peep)
        ]
        layer = _Cell(
            a, kind, weights, acts[direction * per_direction : (direction + 1) * per_direction]
        )
        first_hidden, first_cell = (zero if state is None else state[direction] for state in states)
        is_reversed = a("direction", "forward") == "reverse" or direction == 1
        ordered = _reversed(value, lengths) if is_reversed else value
        outputs, last, last_cell = layer.run(ordered, first_hidden, first_cell, lengths)
        answers.append((_reversed(outputs, lengths) if is_reversed else outputs, last, last_cell))
    all_states = torch.stack([answer[0] for answer in answers], 1)
    last_states = [torch.stack([answer[1] for answer in answers])]
    if kind == "LSTM":
        last_states.append(torch.stack([answer[2] for answer in answers]))
    if is_batch_first:
        all_states = all_states.permute(2, 0, 1, 3)
        last_states = [state.transpose(0, 1) for state in last_states]
    return (all_states, *last_states)[: a.outputs] if a.outputs > 1 else all_states


def _reversed(value: Tensor, lengths: Any) -> Tensor:
    return value.flip(0) if lengths is None else reversed_in_time(value, lengths)


TABLE: dict[str, Operator] = {kind: _recurrent(kind) for kind in _GATES}
