"""LSTM, GRU and RNN, in floats: the inputs of all steps are multiplied at once, then steps run."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from shoestring.artifact.plain_c.building import Building, Handler
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.layers import Operand
from shoestring.artifact.plain_c.products import as_integers, dense, few_levels
from shoestring.artifact.plain_c.sequences import GATES, Recurrent
from shoestring.artifact.plain_c.steps import dense_steps
from shoestring.artifact.plain_c.traced import Step

_ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh")}


def recurrent(now: Building, step: Step) -> None:
    """Add the layers of an LSTM, GRU or RNN: two for each direction."""
    kind = step.operator
    activations = _checked(now, step)
    inputs, weights, bias = _arrays(now, step)
    shape = now.shape(step.inputs[0] or 0)
    steps, directions, units = shape[0], len(weights), weights.shape[2]
    source = now.source(step.inputs[0], step)
    hidden, cell = _first_state(now, step, 5), _first_state(now, step, 6)
    whole, last, last_cell = (*step.outputs, None, None)[:3]
    keeps_cell = _wanted(now, last_cell)
    count = directions * units
    target = now.room((steps * count + (count if keeps_cell else 0),), "float")
    for direction in range(directions):
        rows = GATES[kind] * units
        both = bias[direction].reshape(2, rows)
        linear = kind == "GRU" and bool(step.attributes.get("linear_before_reset", 0))
        later = both[1, 2 * units :].copy() if linear else None
        if linear:
            both = both.copy()
            both[1, 2 * units :] = 0
        gates = now.room((steps, rows), "float")
        first = dense(f"inputs of {step}", inputs[direction], steps, both.sum(0))
        now.layers.append(replace(as_integers(first), source=source, target=gates))
        found, factors = few_levels(np.ascontiguousarray(weights[direction]), per_row=True)
        now.layers.append(
            Recurrent(
                name=str(step),
                kind=kind,
                source=gates,
                target=target,
                weights=found,
                factors=factors,
                steps=steps,
                units=units,
                direction=direction,
                directions=directions,
                backward=_backward(step, direction),
                bias=later,
                hidden=hidden,
                cell=cell,
                keeps_cell=keeps_cell,
                activation=activations[direction],
            )
        )
    if whole is not None and _wanted(now, whole):
        if keeps_cell:
            _copied(now, step, target, whole, 0)
        else:
            now.holds[whole] = target
    if last is not None and _wanted(now, last):
        room = now.target(last, step)
        for direction in range(directions):
            at = 0 if _backward(step, direction) else steps - 1
            start = at * count + direction * units
            _part(now, step, (target, room), (start, direction * units), units)
    if last_cell is not None and keeps_cell:
        _copied(now, step, target, last_cell, steps * count)


def _wanted(now: Building, value: int | None) -> bool:
    return value is not None and (value in now.graph.readers or value in now.graph.results)


def _backward(step: Step, direction: int) -> bool:
    return step.attributes.get("direction", "forward") == "reverse" or direction == 1


def _copied(now: Building, step: Step, source: int, value: int | None, start: int) -> None:
    """Copy a part of a buffer to a value of its own."""
    assert value is not None
    target = now.target(value, step)
    _part(now, step, (source, target), (start, 0), prod(now.shape(value)))


def _part(
    now: Building, step: Step, buffers: tuple[int, int], starts: tuple[int, int], count: int
) -> None:
    operand = Operand(buffer=buffers[0], steps=dense_steps((count,)), start=starts[0])
    now.pointwise(str(step), buffers[1], (operand,), axes=(count,), steps=(1,), start=starts[1])


def _first_state(now: Building, step: Step, place: int) -> int | None:
    """The buffer of a first state; None where it is zeros."""
    value = step.inputs[place] if len(step.inputs) > place else None
    array = now.constant(value)
    if value is None or (array is not None and not array.any()):
        return None
    return now.source(value, step)


def _arrays(now: Building, step: Step) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(weights of inputs, recurrent weights, biases), each with the directions first."""
    weights, recurrences = now.constant(step.inputs[1]), now.constant(step.inputs[2])
    given = step.inputs[3] if len(step.inputs) > 3 else None
    bias = now.constant(given)
    if weights is None or recurrences is None or (given is not None and bias is None):
        raise NoPlainC(f"{step} has weights that are computed: C needs constant ones")
    if bias is None:
        bias = np.zeros((len(weights), 2 * weights.shape[1]), np.float32)
    return weights, recurrences, bias


def _checked(now: Building, step: Step) -> list[str]:
    """The activation of an RNN for each direction; raises NoPlainC for what there is no C for."""
    shape, kind = now.shape(step.inputs[0] or 0), step.operator
    if now.graph.types[step.inputs[0] or 0] != "float32":
        raise NoPlainC(f"{step} reads {now.graph.types[step.inputs[0] or 0]}: C has floats")
    if shape[1] != 1:
        raise NoPlainC(f"{step} has {shape[1]} sequences: C computes one at a time")
    lengths = step.inputs[4] if len(step.inputs) > 4 else None
    array = now.constant(lengths)
    if lengths is not None and (array is None or (array != shape[0]).any()):
        raise NoPlainC(f"{step} has lengths of sequences: C computes all {shape[0]} steps")
    if len(step.inputs) > 7 and step.inputs[7] is not None:
        raise NoPlainC(f"{step} has peepholes, which C does not have")
    for name in ("clip", "input_forget"):
        if step.attributes.get(name, 0):
            raise NoPlainC(f"{step} has {name}, which C does not have")
    directions = 2 if step.attributes.get("direction", "forward") == "bidirectional" else 1
    given = step.attributes.get("activations")
    if kind == "RNN":
        names = ["Tanh"] * directions if given is None else [_name(one) for one in given]
        if set(names) <= {"Tanh", "Relu"}:
            return names
    elif given is None or tuple(_name(one) for one in given) == _ACTIVATIONS[kind] * directions:
        return ["Tanh"] * directions
    raise NoPlainC(
        f"{step} has the activations {', '.join(map(_name, given or ()))}: C has torch's"
    )


def _name(word: str | bytes) -> str:
    """The name of an activation as ONNX has it: case does not count."""
    return (word.decode() if isinstance(word, bytes) else word).capitalize()


RECURRENT: dict[str, Handler] = dict.fromkeys(GATES, recurrent)
