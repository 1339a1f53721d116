"""From the graph of a file to the layers that C is written for."""

from __future__ import annotations

from collections.abc import Mapping

from shoestring.artifact.format.file import Content
from shoestring.artifact.plain_c.blocks import BLOCKS
from shoestring.artifact.plain_c.building import Building, Handler, OnGrid, float_literal
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.layers import C_TYPES, Buffer, Network
from shoestring.artifact.plain_c.moving import MOVING, same
from shoestring.artifact.plain_c.normalizing import NORMALIZING
from shoestring.artifact.plain_c.pointwise import POINTWISE
from shoestring.artifact.plain_c.quantised import QUANTISED, grid_of_activations
from shoestring.artifact.plain_c.recurrent import RECURRENT
from shoestring.artifact.plain_c.reducing import REDUCING
from shoestring.artifact.plain_c.traced import Step, Traced, traced
from shoestring.artifact.plain_c.transposed import TRANSPOSED

HANDLERS: dict[str, Handler] = {
    **POINTWISE,
    **MOVING,
    **REDUCING,
    **QUANTISED,
    **NORMALIZING,
    **RECURRENT,
    **BLOCKS,
    **TRANSPOSED,
}


def lowered(content: Content, axes: Mapping[str, int], *, integer_inputs: bool = False) -> Network:
    """The layers of a file, with fixed shapes.

    `axes`: lengths of axes that vary, by their names, as in `traced`.
    `integer_inputs`: whether the caller rounds inputs to integers of 8 bits, where that is what the
        network does with them first.
    Raises NoPlainC for an operator that there is no C for, with its name and its place.
    """
    graph = traced(content, axes)
    now = Building(graph)
    if graph.halves:
        now.remarks.append(
            "Numbers of 16 bits are floats here: they are not rounded in between, so outputs are "
            "as near to those of the file as float16 is."
        )
    for number, port in enumerate(graph.inputs):
        name = graph.types[number]
        if name not in C_TYPES:
            raise NoPlainC(f"the input {port.name} is {name}: C takes floats and integers")
        now.holds[number] = now.room(graph.shapes[number], C_TYPES[name])
    if integer_inputs:
        for number, port in enumerate(graph.inputs):
            _take_integers(now, number, port.name)
    for step in graph.steps:
        if step.index in now.done:
            continue
        if step.operator not in HANDLERS:
            raise NoPlainC(
                f"there is no C for {step}, which gives {_given(now, step.outputs[0])}: the "
                "operators that have C are in docs/microcontroller.md"
            )
        HANDLERS[step.operator](now, step)
    return now.network()


def on_a_grid(content: Content, axes: Mapping[str, int]) -> bool:
    """Whether the network puts its only input on a grid of integers first.

    `axes`: as `lowered` takes them.
    """
    return _first_step(traced(content, axes), 0)[0] is not None


def _first_step(graph: Traced, number: int) -> tuple[Step | None, set[int]]:
    """(the QuantizeLinear that reads an input, the indices of the reshapes before it).

    None where something else reads it.
    """
    value, passed = number, set[int]()
    while (step := graph.reader(value)) is not None and MOVING.get(step.operator) is same:
        value = step.outputs[0]
        passed.add(step.index)
    return (step if step is not None and step.operator == "QuantizeLinear" else None), passed


def _take_integers(now: Building, number: int, name: str) -> None:
    """Let the caller put an input on its grid: the QuantizeLinear goes."""
    step, passed = _first_step(now.graph, number)
    if step is None:
        raise NoPlainC(
            f"the network does not put its input {name} on a grid first, so that it has no "
            "integers to take: quantise it with PostTraining, or export it with floats as inputs"
        )
    scale, zero = grid_of_activations(now, step)
    kind = now.kind(step.outputs[0], step)
    now.buffers[number] = Buffer(number=number, shape=now.shape(number), kind=kind)
    now.holds[step.outputs[0]] = number
    now.inputs[number] = OnGrid(number, scale, zero)
    now.done |= {*passed, step.index}
    now.remarks.append(
        f"The input {name} takes integers: a number is (integer - {zero}) * {float_literal(scale)}."
    )


def _given(now: Building, value: int) -> str:
    shape = " × ".join(map(str, now.shape(value))) or "one number"
    return f"{now.graph.types[value]} of {shape}"
