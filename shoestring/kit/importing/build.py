"""A graph becomes a network: its nodes as layers and functions, each weight stored once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from shoestring.artifact.format.file import Content
from shoestring.artifact.format.graph import Node
from shoestring.kit.importing.constants import Constant, attributes_of, numpy_of
from shoestring.kit.importing.network import Network, Program, Step, legal
from shoestring.kit.importing.operators.operator import Attributes
from shoestring.kit.importing.operators.table import SERVED
from shoestring.kit.importing.plans import PLANS, Nodes, OtherWayError, Plan
from shoestring.kit.weights.coded import Coded
from shoestring.kit.weights.parameters import parameters_of

_GENERATED = re.compile(r"^(onnx::\w+|constant\d+|val_\d+|_?\d+|)$")
_MOVES = ("Flatten", "MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Operators whose outputs have only numbers of their inputs."""
_RESERVED = {
    "training",
    "program",
    "inputs",
    "outputs",
    "names",
    "example",
    "signature",
    "run",
    "forward",
    *dir(nn.Module),
}
"""Attribute names that the network and its modules use themselves."""
_SUFFIX = re.compile(r"[._/](weight|kernel|W|w_0|weights|scale|gamma)(:0)?$")


def built(
    content: Content,
    names: Sequence[str],
    users: Sequence[str],
    axes: Callable[[], Mapping[int, int]],
) -> Network:
    """The network of a graph.

    `content`: the graph and its tensors.
    `names`: the names of the tensors, in order.
    `users`: for each tensor the name of the first node that takes it.
    `axes`: returns the number of axes of each value, where it is known.
    """
    builder = _Builder(Nodes(content, names, users, axes))
    graph = content.graph
    for index, node in enumerate(graph.nodes):
        if index not in builder.nodes.done:
            builder.add(index, node)
    results = tuple(builder.held(number, None, 0) for number in graph.results)
    network = Network(
        Program(
            inputs=graph.inputs,
            outputs=tuple(port.name for port in graph.outputs),
            steps=_with_last_uses(_needed(builder.steps, results), results),
            tensors=builder.tensors,
            numbers=builder.numbers,
            results=results,
            arguments=graph.arguments,
            structure=graph.structure,
            names=builder.names,
        )
    )
    for name, child in builder.root.named_children():
        network.add_module(name, child)
    for name, parameter in builder.root._parameters.items():
        network.register_parameter(name, parameter)
    for name, buffer in builder.root._buffers.items():
        network.register_buffer(name, buffer)
    for weight in parameters_of(network):
        if (known := builder.coded.get(id(weight.raw))) is not None:
            known.give(weight)
    return network.eval()


def _needed(steps: Sequence[Step], results: Sequence[int]) -> list[Step]:
    """The steps that a result depends on."""
    kept, needed = list[Step](), set(results)
    for step in reversed(steps):
        if not needed.isdisjoint(step.outputs):
            kept.append(step)
            needed.update(number for number in step.inputs if number is not None)
    return kept[::-1]


def _with_last_uses(steps: Sequence[Step], results: Sequence[int]) -> tuple[Step, ...]:
    """The steps, each with the values that no later step takes."""
    last_use = {
        number: index
        for index, step in enumerate(steps)
        for number in step.inputs
        if number is not None
    }
    done: dict[int, list[int]] = {}
    for number, index in last_use.items():
        if number not in results:
            done.setdefault(index, []).append(number)
    return tuple(replace(step, done=tuple(done.get(index, ()))) for index, step in enumerate(steps))


class _Builder:
    def __init__(self, nodes: Nodes) -> None:
        self.nodes, self.root = nodes, nn.Module()
        self.free = nodes.end  # the smallest number that no value has
        self.steps: list[Step] = []
        self.tensors: dict[int, str] = {}
        self.numbers: dict[int, np.ndarray] = {}
        self.names: dict[str, str] = {}
        # What the file knows of a weight, by the id of its parameter.
        self.coded: dict[int, Coded] = {}
        # Where a constant is stored (constant, path, tensor), by the id of its root.
        self.homes: dict[int, tuple[Constant, str, Any]] = {}
        self.counts: dict[str, int] = {}
        # The layer that rounded a value to its grid, and whether the value moved since.
        self.on_grid: dict[Any, tuple[str, bool]] = {}

    def add(self, index: int, node: Node) -> None:
        """Append the step of a node."""
        attributes = attributes_of(node, self.nodes.graph.opset)
        outputs = tuple(
            None if slot in node.absent else self.nodes.starts[index] + slot
            for slot in range(node.outputs)
        )
        plan = self.planned(index, node, attributes)
        if plan is None:
            inputs = tuple(self.held(number, node, slot) for slot, number in enumerate(node.inputs))
            self.steps.append(Step(node.operator, None, inputs, outputs, attributes))
            if node.operator in _MOVES and inputs[0] in self.on_grid and outputs[0] is not None:
                self.on_grid[outputs[0]] = self.on_grid[inputs[0]][0], True
            return
        name, layer = (
            (node.operator, self.put(plan, plan.call))
            if isinstance(plan.call, nn.Module)
            else (plan.call, None)
        )
        inputs = tuple(self.held(number, node, slot) for slot, number in enumerate(plan.inputs))
        grid, is_moved = self.on_grid.get(inputs[0], ("", False))
        if is_moved and any(map(_is_integer, plan.weights.values())):
            # It is still on the grid. The exporter looks for a rounding in front of the layer.
            self.steps.append(Step("QuantizeLinear", grid, inputs[:1], (self.number(),)))
            inputs = (self.free - 1, *inputs[1:])
        if plan.before is not None:
            self.steps.append(Step("Pad", None, inputs[:1], (self.number(),), plan.before))
            inputs = (self.free - 1, *inputs[1:])
        if plan.over is not None:
            self.nodes.done.add(plan.over)
            outputs = (self.nodes.starts[plan.over],)
        self.steps.append(Step(name, layer, inputs, outputs, attributes))
        if plan.kind == "grid" and layer is not None and outputs[0] is not None:
            self.on_grid[outputs[0]] = layer, False

    def number(self) -> int:
        """A new number, which no value has yet."""
        self.free += 1
        return self.free - 1

    def planned(self, index: int, node: Node, attributes: Attributes) -> Plan | None:
        """The plan of a layer for a node; None where a function runs it."""
        if node.operator not in PLANS:
            return None
        try:
            return PLANS[node.operator](self.nodes, index, node, attributes, self.weight)
        except OtherWayError:
            return None

    def weight(self, constant: Constant | None) -> Any:
        """The parameter for a constant, which is shared where the constant is stored already.

        Raises OtherWayError where it is stored with its axes in another order.
        """
        if constant is None:
            return None
        home = self.homes.get(id(constant.root))
        if home is None:
            return nn.Parameter(constant.value.contiguous().clone())
        if home[0].order != constant.order:
            raise OtherWayError
        return home[2]

    def put(self, plan: Plan, layer: nn.Module) -> str:
        """Add a layer to the module; returns its path."""
        first = plan.weights.get("weight", plan.weights.get("weight_ih_l0"))
        path = self.path(self.title(first, plan.kind), layer)
        for name, constant in plan.weights.items():
            if constant is None:
                continue
            parameter = getattr(layer, name)
            if constant.name and constant.name not in self.names:
                self.names[constant.name] = f"{path}.{name}"
            if (
                isinstance(parameter, nn.Parameter)
                and parameter.shape == constant.value.shape
                and not plan.coded
            ):
                self.homes.setdefault(id(constant.root), (constant, f"{path}.{name}", parameter))
                self.know(parameter, constant.known)
        for name, known in plan.coded.items():
            self.know(getattr(layer, name), known)
        return path

    def know(self, parameter: Any, known: Coded | None) -> None:
        """Remember what is known of a parameter, which becomes its state at the end."""
        if known is not None:
            self.coded[id(parameter)] = known

    def title(self, weight: Constant | None, kind: str) -> str:
        """The name of a layer: of its weight, else of the node that takes it, else its kind."""
        if weight is not None and not _GENERATED.match(weight.name):
            return _SUFFIX.sub("", weight.name)
        if weight is not None and weight.user:
            return weight.user
        return self.counted(kind)

    def counted(self, kind: str) -> str:
        """The kind with a number that no other layer of this kind has."""
        self.counts[kind] = self.counts.get(kind, -1) + 1
        return f"{kind}{self.counts[kind]}"

    def path(self, title: str, value: Any) -> str:
        """Add a layer, parameter or buffer to the module, under a legal form of the name.

        Returns the path.
        """
        parts = [legal(part, _RESERVED) for part in re.split(r"[./]", title) if part] or ["part"]
        owner: Any = self.root
        for depth, part in enumerate(parts[:-1]):
            inner = owner._modules.get(part)
            if type(inner) is not nn.Module and hasattr(owner, part):
                parts[depth] = part = f"{part}_"
                inner = owner._modules.get(part)
            if inner is None:
                inner = nn.Module()
                owner.add_module(part, inner)
            owner = inner
        last = parts[-1]
        while hasattr(owner, last):
            last += "_"
        if isinstance(value, nn.Module):
            owner.add_module(last, value)
        elif isinstance(value, nn.Parameter):
            owner.register_parameter(last, value)
        else:
            owner.register_buffer(last, value)
        return ".".join([*parts[:-1], last])

    def held(self, number: Any, node: Node | None, slot: int) -> Any:
        """The number of a value, after storing it in the network where it is a constant."""
        if number is None:
            return None
        constant = self.nodes.known.get(number)
        if constant is None or number in self.tensors or number in self.numbers:
            return number
        if constant.is_number or (node is not None and self.is_known_only(number)):
            self.numbers[number] = numpy_of(constant)
            return number
        home = self.homes.get(id(constant.root))
        if home is None:
            value = constant.value.contiguous().clone()
            tensor = nn.Parameter(value) if constant.trains else value
            kind = "weight" if constant.trains else "constant"
            path = self.path(
                self.counted(kind)
                if _GENERATED.match(constant.name) and not constant.user
                else constant.name or constant.user,
                tensor,
            )
            self.homes[id(constant.root)] = home = constant, path, tensor
            if constant.name:
                self.names.setdefault(constant.name, path)
            self.know(tensor, constant.known)
        if home[0].order == constant.order:
            self.tensors[number] = home[1]
            return number
        source, home_order = self.number(), list(home[0].order or range(constant.root.ndim))
        self.tensors[source] = home[1]
        order = [home_order.index(axis) for axis in constant.order or range(constant.root.ndim)]
        result = self.number()
        self.steps.append(
            Step("Transpose", None, (source,), (result,), Attributes({"perm": order}))
        )
        return result

    def is_known_only(self, number: int) -> bool:
        """Whether operators take a constant only as numbers that must be known, such as sizes."""
        takers = self.nodes.users.get(number, [])
        operators = [
            (self.nodes.graph.nodes[node].operator, slot) for node, slot in takers if node >= 0
        ]
        return len(operators) == len(takers) > 0 and all(
            slot in SERVED[name].known for name, slot in operators if name in SERVED
        )


def _is_integer(constant: Constant | None) -> bool:
    return constant is not None and constant.coded is not None and constant.coded.reach is not None
