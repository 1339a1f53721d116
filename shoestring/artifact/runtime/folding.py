"""Weights that a graph transposes before it uses them, transposed beforehand."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from shoestring.artifact.format.graph import Graph, Node
from shoestring.artifact.format.tensors import Tensor


def fold_transposes(graph: Graph, tensors: list[Tensor]) -> tuple[Graph, list[Tensor]]:
    """The graph without the Transpose nodes of its weights, and the tensors as these would leave
    them; the same answers.

    A file keeps weights as the module has them, and a linear layer's graph transposes its own. ONNX
    Runtime does that once, while it loads. OpenVINO computes in floating point wherever a
    transposition is between whole numbers and the node that dequantises them, and says nothing. A
    weight that anything else reads too stays as it is.
    """
    start = len(graph.inputs)
    weights = range(start, start + len(tensors))
    readers: dict[int, list[tuple[int, ...] | None]] = defaultdict(list)
    for node in graph.nodes:
        for number in node.inputs:
            if number is not None and number in weights:
                readers[number].append(_order(node, tensors[number - start].bits.ndim))
    for number in graph.results:
        if number in weights:
            readers[number].append(None)
    orders = {
        number: found[0]
        for number, found in readers.items()
        if len(set(found)) == 1 and found[0] is not None
    }
    value = start + len(tensors) + len(graph.constants)
    now = {
        number: number for number in range(value)
    }  # the number that a value has, by the one that it had
    free = value
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.operator == "Transpose" and node.inputs and node.inputs[0] in orders:
            now[value] = now[node.inputs[0]]
        else:
            nodes.append(
                replace(
                    node,
                    inputs=tuple(None if number is None else now[number] for number in node.inputs),
                )
            )
            now |= {value + place: free + place for place in range(node.outputs)}
            free += node.outputs
        value += node.outputs
    turned = [
        _transposed(one, orders.get(number)) for number, one in zip(weights, tensors, strict=True)
    ]
    return replace(
        graph, nodes=tuple(nodes), results=tuple(now[number] for number in graph.results)
    ), turned


def _order(node: Node, axes: int) -> tuple[int, ...] | None:
    """The order in which a node puts the axes of its input.

    None for a node that does anything else.
    """
    if node.operator != "Transpose" or len(node.inputs) != 1 or node.outputs != 1 or node.absent:
        return None
    given = next(
        (tuple(content) for name, _, content in node.attributes if name == "perm"),
        tuple(reversed(range(axes))),
    )
    return given if sorted(given) == list(range(axes)) else None


def _transposed(one: Tensor, order: tuple[int, ...] | None) -> Tensor:
    return (
        one if order is None else replace(one, bits=np.ascontiguousarray(one.bits.transpose(order)))
    )
