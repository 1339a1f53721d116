"""From the graph of a file to the layers that C is written for."""

from __future__ import annotations

from collections.abc import Mapping

from shoestring.artifact.format.file import Content
from shoestring.artifact.plain_c.building import Building, Handler
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.layers import C_TYPES, Network
from shoestring.artifact.plain_c.moving import MOVING
from shoestring.artifact.plain_c.pointwise import POINTWISE
from shoestring.artifact.plain_c.quantised import QUANTISED
from shoestring.artifact.plain_c.reducing import REDUCING
from shoestring.artifact.plain_c.traced import traced

HANDLERS: dict[str, Handler] = {**POINTWISE, **MOVING, **REDUCING, **QUANTISED}


def lowered(content: Content, axes: Mapping[str, int]) -> Network:
    """The layers of a file, with fixed shapes.

    `axes`: lengths of axes that vary, by their names, as in `traced`.
    Raises NoPlainC for an operator that there is no C for, with its name and its place.
    """
    graph = traced(content, axes)
    now = Building(graph)
    for number, port in enumerate(graph.inputs):
        name = graph.types[number]
        if name not in C_TYPES:
            raise NoPlainC(f"the input {port.name} is {name}: C takes floats and integers")
        now.holds[number] = now.room(graph.shapes[number], C_TYPES[name])
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


def _given(now: Building, value: int) -> str:
    shape = " × ".join(map(str, now.shape(value))) or "one number"
    return f"{now.graph.types[value]} of {shape}"
