"""Small graphs by hand, for tests of C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shoestring.artifact.format.file import Content
from shoestring.artifact.format.graph import (
    FLOAT,
    FLOATS,
    INT,
    INTS,
    STRING,
    STRINGS,
    Graph,
    Node,
    Port,
)
from shoestring.artifact.format.tensors import NUMBERS, tensor


class Made:
    """A graph while it is made: values are numbers, as in Graph, but by name.

    `made = Made(x=(1, 3, 8, 8))`, then `made.node("Relu", "x", to="y")`, then `made.content("y")`.
    """

    def __init__(self, **inputs: tuple[Any, ...]) -> None:
        self.inputs = inputs
        self.types: dict[str, str] = dict.fromkeys(inputs, "float32")
        self.weights: dict[str, np.ndarray] = {}
        self.nodes: list[tuple[str, list[str | None], list[str], dict[str, Any]]] = []

    def weight(self, values: Any, dtype: str | None = None) -> str:
        """The name of a new constant."""
        name = f"weight{len(self.weights)}"
        array = np.asarray(values)
        if dtype is None and array.dtype == np.float64:
            array = array.astype(np.float32)
        self.weights[name] = array if dtype is None else array.astype(dtype)
        return name

    def node(
        self, operator: str, *inputs: Any, to: str | Sequence[str] | None = None, **attributes: Any
    ) -> str:
        """Add a node; arrays among its inputs become constants. Returns its first output."""
        names = [one if one is None or isinstance(one, str) else self.weight(one) for one in inputs]
        outputs = [to] if isinstance(to, str) else list(to or [f"value{len(self.nodes)}"])
        self.nodes.append((operator, names, outputs, attributes))
        return outputs[0]

    def content(self, *results: str) -> Content:
        """The contents of a file with this graph."""
        numbers: dict[str, int] = {}
        for name in (*self.inputs, *self.weights):
            numbers[name] = len(numbers)
        nodes: list[Node] = []
        for operator, inputs, outputs, attributes in self.nodes:
            nodes.append(
                Node(
                    operator,
                    tuple(None if one is None else numbers[one] for one in inputs),
                    len(outputs),
                    _attributes(attributes),
                )
            )
            for name in outputs:
                numbers[name] = len(numbers)
        ports = tuple(
            Port(name, NUMBERS[self.types[name]], shape) for name, shape in self.inputs.items()
        )
        kinds = tuple(Port(f"out_{name}", 1) for name in results)
        graph = Graph(
            opset=20,
            inputs=ports,
            weights=len(self.weights),
            constants=(),
            nodes=tuple(nodes),
            outputs=self._typed(kinds, results),
            results=tuple(numbers[name] for name in results),
            arguments=(tuple(range(len(ports))), {}),
            structure=tuple(range(len(results))),
        )
        return Content(graph, [tensor(array) for array in self.weights.values()])

    def _typed(self, ports: tuple[Port, ...], results: Sequence[str]) -> tuple[Port, ...]:
        return tuple(
            Port(port.name, NUMBERS[self.types.get(name, "float32")])
            for port, name in zip(ports, results, strict=True)
        )


def _attributes(given: Mapping[str, Any]) -> tuple[tuple[str, int, Any], ...]:
    found: list[tuple[str, int, Any]] = []
    for name, value in given.items():
        if isinstance(value, str):
            found.append((name, STRING, value))
        elif isinstance(value, float):
            found.append((name, FLOAT, value))
        elif isinstance(value, int):
            found.append((name, INT, value))
        elif value and isinstance(value[0], str):
            found.append((name, STRINGS, tuple(value)))
        elif value and isinstance(value[0], float):
            found.append((name, FLOATS, tuple(value)))
        else:
            found.append((name, INTS, tuple(value)))
    return tuple(found)
