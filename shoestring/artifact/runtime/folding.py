"""Transposes weights beforehand where a graph would transpose them before it uses them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from shoestring.artifact.format.graph import Graph, Node
from shoestring.artifact.format.tensors import Tensor


def fold_transposes(graph: Graph, tensors: list[Tensor]) -> tuple[Graph, list[Tensor]]:
    """(the graph without the Transpose nodes of its weights, the tensors transposed).

    The outputs are the same. A weight that is also read in another way is not changed.
    A file stores weights as the module has them, so the graph of a linear layer transposes its
    weight. ONNX Runtime does that once, while it loads. OpenVINO computes in floating point where a
    Transpose is between integers and the node that dequantises them, and gives no warning.
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
        number: read_as[0]
        for number, read_as in readers.items()
        if len(set(read_as)) == 1 and read_as[0] is not None
    }
    value = start + len(tensors) + len(graph.constants)
    new = {number: number for number in range(value)}  # the new number of a value by the old one
    free = value
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.operator == "Transpose" and node.inputs and node.inputs[0] in orders:
            new[value] = new[node.inputs[0]]
        else:
            inputs = tuple(None if number is None else new[number] for number in node.inputs)
            nodes.append(replace(node, inputs=inputs))
            new |= {value + index: free + index for index in range(node.outputs)}
            free += node.outputs
        value += node.outputs
    transposed = [
        _transposed(tensor, orders.get(number))
        for number, tensor in zip(weights, tensors, strict=True)
    ]
    results = tuple(new[number] for number in graph.results)
    return replace(graph, nodes=tuple(nodes), results=results), transposed


def _order(node: Node, axes: int) -> tuple[int, ...] | None:
    """The order in which a Transpose node puts the axes of its input; None for other nodes."""
    if node.operator != "Transpose" or len(node.inputs) != 1 or node.outputs != 1 or node.absent:
        return None
    order = next(
        (tuple(content) for name, _, content in node.attributes if name == "perm"),
        tuple(reversed(range(axes))),
    )
    return order if sorted(order) == list(range(axes)) else None


def _transposed(tensor: Tensor, order: tuple[int, ...] | None) -> Tensor:
    if order is None:
        return tensor
    return replace(tensor, bits=np.ascontiguousarray(tensor.bits.transpose(order)))
