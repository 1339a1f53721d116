"""From a graph to a network.

Its nodes as layers and functions, each weight in one place of the module.
"""

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
_MOVING = ("Flatten", "MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""What gives nothing but numbers that it was given."""
_OWN = {
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
"""Names that a network and its modules have themselves."""
_TAIL = re.compile(r"[._/](weight|kernel|W|w_0|weights|scale|gamma)(:0)?$")


def built(
    content: Content,
    names: Sequence[str],
    users: Sequence[str],
    axes: Callable[[], Mapping[int, int]],
) -> Network:
    """The network of a graph.

    `names`: of its tensors, in order, and `users` the nodes that take them; `axes`: how many each
    value has.
    """
    builder = _Builder(Nodes(content, names, users, axes))
    graph = content.graph
    for place, node in enumerate(graph.nodes):
        if place not in builder.nodes.done:
            builder.add(place, node)
    results = tuple(builder.held(number, None, 0) for number in graph.results)
    network = Network(
        Program(
            inputs=graph.inputs,
            outputs=tuple(port.name for port in graph.outputs),
            steps=_forgetting(_wanted(builder.steps, results), results),
            tensors=builder.tensors,
            numbers=builder.numbers,
            results=results,
            arguments=graph.arguments,
            structure=graph.structure,
            names=builder.names,
        )
    )
    for name, one in builder.root.named_children():
        network.add_module(name, one)
    for name, one in builder.root._parameters.items():
        network.register_parameter(name, one)
    for name, one in builder.root._buffers.items():
        network.register_buffer(name, one)
    for weight in parameters_of(network):
        if (known := builder.coded.get(id(weight.raw))) is not None:
            known.give(weight)
    return network.eval()


def _wanted(steps: Sequence[Step], results: Sequence[int]) -> list[Step]:
    """The steps that something comes of."""
    kept, needed = list[Step](), set(results)
    for step in reversed(steps):
        if not needed.isdisjoint(step.outputs):
            kept.append(step)
            needed.update(number for number in step.inputs if number is not None)
    return kept[::-1]


def _forgetting(steps: Sequence[Step], results: Sequence[int]) -> tuple[Step, ...]:
    """The steps, each with the values that no later one takes."""
    last = {
        number: place
        for place, step in enumerate(steps)
        for number in step.inputs
        if number is not None
    }
    done: dict[int, list[int]] = {}
    for number, place in last.items():
        if number not in results:
            done.setdefault(place, []).append(number)
    return tuple(replace(step, done=tuple(done.get(place, ()))) for place, step in enumerate(steps))


class _Builder:
    def __init__(self, nodes: Nodes) -> None:
        self.nodes, self.root = nodes, nn.Module()
        self.free = nodes.end  # the next number that no value has
        self.steps: list[Step] = []
        self.tensors: dict[int, str] = {}
        self.numbers: dict[int, np.ndarray] = {}
        self.names: dict[str, str] = {}
        self.coded: dict[
            int, Coded
        ] = {}  # what the file knows of a weight, by the id of its parameter
        self.homes: dict[
            int, tuple[Constant, str, Any]
        ] = {}  # where a constant is held, by the id of its root
        self.counts: dict[str, int] = {}
        self.on_grid: dict[
            Any, tuple[str, bool]
        ] = {}  # of values on one, the layer that put them there, and whether they moved since

    def add(self, place: int, node: Node) -> None:
        """The step of a node."""
        a = attributes_of(node, self.nodes.graph.opset)
        outputs = tuple(
            None if at in node.absent else self.nodes.starts[place] + at
            for at in range(node.outputs)
        )
        plan = self.planned(place, node, a)
        if plan is None:
            inputs = tuple(self.held(number, node, at) for at, number in enumerate(node.inputs))
            self.steps.append(Step(node.operator, None, inputs, outputs, a))
            if node.operator in _MOVING and inputs[0] in self.on_grid and outputs[0] is not None:
                self.on_grid[outputs[0]] = self.on_grid[inputs[0]][0], True
            return
        name, layer = (
            (node.operator, self.put(plan, plan.call))
            if isinstance(plan.call, nn.Module)
            else (plan.call, None)
        )
        inputs = tuple(self.held(number, node, at) for at, number in enumerate(plan.inputs))
        grid, is_moved = self.on_grid.get(inputs[0], ("", False))
        if is_moved and any(map(_is_integer, plan.weights.values())):
            # It is on the grid still; who writes files looks for that in front of the layer.
            self.steps.append(Step("QuantizeLinear", grid, inputs[:1], (self.number(),)))
            inputs = (self.free - 1, *inputs[1:])
        if plan.before is not None:
            self.steps.append(Step("Pad", None, inputs[:1], (self.number(),), plan.before))
            inputs = (self.free - 1, *inputs[1:])
        if plan.over is not None:
            self.nodes.done.add(plan.over)
            outputs = (self.nodes.starts[plan.over],)
        self.steps.append(Step(name, layer, inputs, outputs, a))
        if plan.kind == "grid" and layer is not None and outputs[0] is not None:
            self.on_grid[outputs[0]] = layer, False

    def number(self) -> int:
        """One that no value has."""
        self.free += 1
        return self.free - 1

    def planned(self, place: int, node: Node, a: Attributes) -> Plan | None:
        """The layer for a node, None where it is a function."""
        if node.operator not in PLANS:
            return None
        try:
            return PLANS[node.operator](self.nodes, place, node, a, self.weight)
        except OtherWayError:
            return None

    def weight(self, one: Constant | None) -> Any:
        """The parameter for a constant: that which holds it already, where one does."""
        if one is None:
            return None
        home = self.homes.get(id(one.root))
        if home is None:
            return nn.Parameter(one.value.contiguous().clone())
        if home[0].order != one.order:
            raise OtherWayError
        return home[2]

    def put(self, plan: Plan, layer: nn.Module) -> str:
        """Have the module hold a layer; returns its path."""
        first = plan.weights.get("weight", plan.weights.get("weight_ih_l0"))
        path = self.path(self.title(first, plan.kind), layer)
        for name, one in plan.weights.items():
            if one is None:
                continue
            held = getattr(layer, name)
            if one.name and one.name not in self.names:
                self.names[one.name] = f"{path}.{name}"
            if isinstance(held, nn.Parameter) and held.shape == one.value.shape and not plan.coded:
                self.homes.setdefault(id(one.root), (one, f"{path}.{name}", held))
                self.know(held, one.known)
        for name, known in plan.coded.items():
            self.know(getattr(layer, name), known)
        return path

    def know(self, held: Any, known: Coded | None) -> None:
        """Have a parameter get the state of what is known of it."""
        if known is not None:
            self.coded[id(held)] = known

    def title(self, weight: Constant | None, kind: str) -> str:
        """What a layer is called: as its weight, or the node that takes that, or by its kind."""
        if weight is not None and not _GENERATED.match(weight.name):
            return _TAIL.sub("", weight.name)
        if weight is not None and weight.user:
            return weight.user
        return self.counted(kind)

    def counted(self, kind: str) -> str:
        """A kind with a number that no other of it has."""
        self.counts[kind] = self.counts.get(kind, -1) + 1
        return f"{kind}{self.counts[kind]}"

    def path(self, title: str, held: Any) -> str:
        """Have the module hold a layer, parameter or buffer under a name, made legal.

        Returns the path.
        """
        parts = [legal(part, _OWN) for part in re.split(r"[./]", title) if part] or ["part"]
        owner: Any = self.root
        for at, part in enumerate(parts[:-1]):
            inner = owner._modules.get(part)
            if type(inner) is not nn.Module and hasattr(owner, part):
                parts[at] = part = f"{part}_"
                inner = owner._modules.get(part)
            if inner is None:
                inner = nn.Module()
                owner.add_module(part, inner)
            owner = inner
        last = parts[-1]
        while hasattr(owner, last):
            last += "_"
        if isinstance(held, nn.Module):
            owner.add_module(last, held)
        elif isinstance(held, nn.Parameter):
            owner.register_parameter(last, held)
        else:
            owner.register_buffer(last, held)
        return ".".join([*parts[:-1], last])

    def held(self, number: Any, node: Node | None, at: int) -> Any:
        """The number of a value, once the network has it if it is a constant."""
        if number is None:
            return None
        one = self.nodes.known.get(number)
        if one is None or number in self.tensors or number in self.numbers:
            return number
        if one.is_number or (node is not None and self.is_known_only(number)):
            self.numbers[number] = numpy_of(one)
            return number
        home = self.homes.get(id(one.root))
        if home is None:
            value = one.value.contiguous().clone()
            made = nn.Parameter(value) if one.trains else value
            kind = "weight" if one.trains else "constant"
            path = self.path(
                self.counted(kind)
                if _GENERATED.match(one.name) and not one.user
                else one.name or one.user,
                made,
            )
            self.homes[id(one.root)] = home = one, path, made
            if one.name:
                self.names.setdefault(one.name, path)
            self.know(made, one.known)
        if home[0].order == one.order:
            self.tensors[number] = home[1]
            return number
        source, own = self.number(), list(home[0].order or range(one.root.ndim))
        self.tensors[source] = home[1]
        order = [own.index(axis) for axis in one.order or range(one.root.ndim)]
        made = self.number()
        self.steps.append(Step("Transpose", None, (source,), (made,), Attributes({"perm": order})))
        return made

    def is_known_only(self, number: int) -> bool:
        """Whether a constant is taken only where operators want to know numbers beforehand, as
        sizes are.
        """
        takers = self.nodes.users.get(number, [])
        operators = [
            (self.nodes.graph.nodes[place].operator, at) for place, at in takers if place >= 0
        ]
        return len(operators) == len(takers) > 0 and all(
            at in SERVED[name].known for name, at in operators if name in SERVED
        )


def _is_integer(one: Constant | None) -> bool:
    return one is not None and one.coded is not None and one.coded.reach is not None
