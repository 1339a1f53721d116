"""A model cut into parts in a row, a device for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from torch import fx, nn

from shoestring.kit import clone
from shoestring.parallel.placement.devices import Device
from shoestring.parallel.placement.layers import LayerGraph
from shoestring.parallel.placement.recording import recorded


@dataclass(frozen=True)
class PlacedPart:
    """A part of a model, for one device.

    `device`: the name of the device.
    `layers`: the names of its layers.
    `module`: what it computes. The first part takes the tensors that the model does, each other one
        as arguments what the part before gives, in a tuple.
    """

    device: str
    layers: tuple[str, ...]
    module: nn.Module


def parts_of(
    model: nn.Module,
    arguments: Sequence[Any],
    graph: LayerGraph,
    placed: Sequence[int],
    devices: Sequence[Device],
) -> tuple[PlacedPart, ...]:
    """The parts of a model, one for each run of layers in a row on one device.

    `arguments`: an example of what the model is called on.
    `placed`: of each layer of the graph the number of its device.
    Raises ValueError where the graph is not that of the model.
    """
    found = recorded(clone(model), arguments, graph.whole)
    layer_of = {call: layer for layer, one in enumerate(graph.layers) for call in one.calls}
    if {node.name for node in found.layer_of} != set(layer_of):
        raise ValueError(
            f"the graph that was placed is not that of this {type(model).__name__}: place what "
            "layer_costs(model, example) gives of the same model"
        )
    runs = [(device, list(run)) for device, run in groupby(range(len(placed)), placed.__getitem__)]
    part_of = {layer: part for part, (_, run) in enumerate(runs) for layer in run}
    where = {node: part_of[layer_of[node.name]] for node in found.layer_of}
    return tuple(
        PlacedPart(
            devices[device].name,
            tuple(graph.layers[layer].name for layer in run),
            fx.GraphModule(found.module, _graph(found.module.graph, where, part, len(runs))),
        )
        for part, (device, run) in enumerate(runs)
    )


def _graph(whole: fx.Graph, where: dict[fx.Node, int], part: int, parts: int) -> fx.Graph:
    """The calls of one part, with what it takes before them and what it gives after them.

    `where`: of each call of the whole graph the number of its part.
    """
    nodes = list(whole.nodes)
    given = [node for node in nodes if node.op == "placeholder"]
    where = dict.fromkeys(given, 0) | where
    answer = nodes[-1]

    def crossing(after: int) -> list[fx.Node]:
        """What is made in parts up to one and taken in later ones, or is in the answer."""
        return [
            node
            for node in nodes
            if where.get(node, parts) <= after
            and any(where[user] > after if user in where else user is answer for user in node.users)
        ]

    graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    for node in given if part == 0 else crossing(part - 1):
        copies[node] = (
            graph.node_copy(node) if part == 0 else graph.placeholder(f"{node.name}_given")
        )
    for node in nodes:
        if node.op == "get_attr" or (where.get(node) == part and node.op != "placeholder"):
            copies[node] = graph.node_copy(node, copies.__getitem__)
    if part == parts - 1:
        graph.node_copy(answer, copies.__getitem__)
    else:
        graph.output(tuple(copies[node] for node in crossing(part)))
    for node in reversed(graph.nodes):
        if node.op == "get_attr" and not node.users:
            graph.erase_node(node)
    return graph
