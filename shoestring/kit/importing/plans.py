"""Which nodes of a graph are layers of torch.nn: those with known weights and a layer in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.artifact.format.file import Content
from shoestring.artifact.format.graph import Node
from shoestring.kit.importing import layers
from shoestring.kit.importing.constants import Constant, attributes_of, constants_of, takers_of
from shoestring.kit.importing.operators.convolution import pads_of
from shoestring.kit.importing.operators.operator import Attributes
from shoestring.kit.quantised.module import Grid
from shoestring.kit.weights.coded import Coded

Weights = Callable[[Constant | None], Any]
"""Returns the parameter for a constant, or None for None; it is made where there is none."""


class OtherWayError(Exception):
    """A weight is stored already, with its axes in another order."""


@dataclass
class Plan:
    """A layer or function for a node.

    `call`: the layer, or the name of the function.
    `kind`: of the layer, for its name.
    `inputs`: the numbers of the values that it takes.
    `weights`: the constants from which the layer's tensors came, by name.
    `coded`: what is known of each tensor, by name, where tensors are put in another order.
    `before`: the padding of the first input; None for none.
    `over`: the index of a later node that the layer also covers.
    """

    call: nn.Module | str
    kind: str
    inputs: tuple[int | None, ...]
    weights: dict[str, Constant | None] = field(default_factory=dict)
    coded: dict[str, Coded | None] = field(default_factory=dict)
    before: Attributes | None = None
    over: int | None = None


class Nodes:
    """A graph with what is known of its values.

    `starts`: for each node the number of its first output.
    """

    def __init__(
        self, content: Content, names: Any, users: Any, axes: Callable[[], Mapping[int, int]]
    ) -> None:
        self.graph = content.graph
        self.known, self.done = constants_of(content, names, users)
        self.users = takers_of(content, self.done)
        self.starts = list[int]()
        self._axes, self._counted = axes, None
        number = len(self.graph.inputs) + len(content.tensors) + len(self.graph.constants)
        for node in self.graph.nodes:
            self.starts.append(number)
            number += node.outputs
        self.end = number

    def constants(self, node: Node) -> list[Constant | None]:
        """The constants among a node's inputs; None for others."""
        return [None if number is None else self.known.get(number) for number in node.inputs]

    def axes(self, number: int | None) -> int | None:
        """The number of axes of a value; None where it is unknown."""
        if self._counted is None:
            self._counted = self._axes()
        return None if number is None else self._counted.get(number)

    def is_zero(self, number: int | None) -> bool:
        """Whether a value is all zeros, as the first states of recurrent layers mostly are."""
        while number is not None and number not in self.known:
            node = next(
                (self.graph.nodes[at] for at, start in enumerate(self.starts) if start == number),
                None,
            )
            if node is None or node.operator not in _MOVING:
                return (
                    node is not None and node.operator == "ConstantOfShape" and not _filling(node)
                )
            number = node.inputs[0]
        return number is None or not bool(self.known[number].root.any())

    def only_user(self, index: int) -> int | None:
        """The index of the only node that takes a node's first output; None where there is none."""
        takers = self.users.get(self.starts[index], [])
        return takers[0][0] if len(takers) == 1 and takers[0][0] >= 0 else None


_MOVING = (
    "Cast",
    "Expand",
    "Identity",
    "Reshape",
    "Slice",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
)


def _filling(node: Node) -> bool:
    """Whether a ConstantOfShape fills with another number than zero."""
    return any(name == "value" and bool(content.bits.any()) for name, _, content in node.attributes)


def _is_computed(node: Node, constants: list[Constant | None], slot: int) -> bool:
    """Whether an input is neither left out nor a constant."""
    return len(node.inputs) > slot and node.inputs[slot] is not None and constants[slot] is None


def _constant_at(constants: list[Constant | None], slot: int) -> Constant | None:
    return constants[slot] if len(constants) > slot else None


def _convolution(nodes: Nodes, index: int, node: Node, a: Attributes, get: Weights) -> Plan | None:
    known = nodes.constants(node)
    weight, bias = _constant_at(known, 1), _constant_at(known, 2)
    if (
        weight is None
        or _is_computed(node, known, 2)
        or known[0] is not None
        or not weight.root.is_floating_point()
    ):
        return None
    kernel = weight.value.shape[2:]
    strides = a("strides") or [1] * len(kernel)
    if a("auto_pad", "NOTSET").startswith("SAME") and any(stride > 1 for stride in strides):
        return None  # the padding depends on the size
    before, after = pads_of(a, [0] * len(kernel), kernel)
    uneven = before != after
    layer = layers.convolution(a, get(weight), get(bias), [0] * len(kernel) if uneven else before)
    if layer is None:
        return None
    zeros = [0, 0, *before, 0, 0, *after]
    padding = Attributes({"pads": zeros}, 2) if uneven else None
    return Plan(layer, "conv", node.inputs[:1], {"weight": weight, "bias": bias}, before=padding)


def _transposed(nodes: Nodes, index: int, node: Node, a: Attributes, get: Weights) -> Plan | None:
    known = nodes.constants(node)
    weight, bias = _constant_at(known, 1), _constant_at(known, 2)
    if weight is None or _is_computed(node, known, 2) or known[0] is not None:
        return None
    layer = layers.transposed(a, get(weight), get(bias))
    return (
        None
        if layer is None
        else Plan(layer, "conv", node.inputs[:1], {"weight": weight, "bias": bias})
    )


def _as_bias(constant: Constant | None, outputs: int) -> Constant | None:
    """The constant as a bias, which is added to each row; None where its shape is another."""
    if (
        constant is None
        or constant.order is not None
        or constant.value.shape[-1:] != (outputs,)
        or constant.value.numel() != outputs
    ):
        return None
    return constant


def _product(nodes: Nodes, index: int, node: Node, a: Attributes, get: Weights) -> Plan | None:
    """A matrix product as a linear layer, with the addition of a row as its bias."""
    known = nodes.constants(node)
    weight = known[1]
    if (
        weight is None
        or known[0] is not None
        or weight.value.ndim != 2
        or not weight.root.is_floating_point()
    ):
        return None
    weight = weight.permuted((1, 0))
    after = nodes.only_user(index)
    bias, over = None, None
    if after is not None and nodes.graph.nodes[after].operator == "Add":
        terms = nodes.constants(nodes.graph.nodes[after])
        bias = _as_bias(terms[0] if terms[0] is not None else terms[1], len(weight.value))
        over = None if bias is None else after
    return _linear(get, node.inputs[:1], weight, bias, over)


def _linear(
    get: Weights, inputs: Any, weight: Constant, bias: Constant | None, over: int | None
) -> Plan:
    held = get(bias)
    if held is not None and held.ndim > 1:
        held = nn.Parameter(held.detach().reshape(-1).clone())
    return Plan(
        layers.linear(get(weight), held),
        "linear",
        inputs,
        {"weight": weight, "bias": bias},
        over=over,
    )


def _gemm(nodes: Nodes, index: int, node: Node, a: Attributes, get: Weights) -> Plan | None:
    known = nodes.constants(node)
    weight, bias = known[1], _constant_at(known, 2)
    is_plain = a("alpha", 1.0) == 1 and a("beta", 1.0) == 1 and not a("transA", 0)
    if (
        weight is None
        or known[0] is not None
        or not is_plain
        or _is_computed(node, known, 2)
        or weight.value.ndim != 2
    ):
        return None
    weight = weight if a("transB", 0) else weight.permuted((1, 0))
    if not weight.root.is_floating_point() or (
        bias is not None and _as_bias(bias, len(weight.value)) is None
    ):
        return None
    return _linear(get, node.inputs[:1], weight, bias, None)


def _batch_norm(nodes: Nodes, index: int, node: Node, a: Attributes, get: Weights) -> Plan | None:
    known = nodes.constants(node)
    if known[0] is not None or any(constant is None for constant in known[1:5]):
        return None
    tensors = [get(known[1]), get(known[2]), known[3].value, known[4].value]  # type: ignore[union-attr]
    layer = layers.batch_norm(a, nodes.axes(node.inputs[0]), tensors)
    names: dict[str, Constant | None] = dict(
        zip(("weight", "bias", "running_mean", "running_var"), known[1:5], strict=True)
    )
    return None if layer is None else Plan(layer, "norm", node.inputs[:1], names)


def _norm(make: Callable[[Attributes, Any, Any], nn.Module | None]) -> Any:
    def plan(nodes: Nodes, index: int, node: Node, a: Attributes, get: Weights) -> Plan | None:
        known = nodes.constants(node)
        scale, shift = _constant_at(known, 1), _constant_at(known, 2)
        if (
            scale is None
            or known[0] is not None
            or _is_computed(node, known, 2)
            or not scale.value.ndim
        ):
            return None
        if shift is not None and shift.value.shape != scale.value.shape:
            return None
        layer = make(a, get(scale), get(shift))
        return (
            None
            if layer is None
            else Plan(layer, "norm", node.inputs[:1], {"weight": scale, "bias": shift})
        )

    return plan


def _embedding(nodes: Nodes, index: int, node: Node, a: Attributes, get: Weights) -> Plan | None:
    table, indices = nodes.constants(node)
    if (
        table is None
        or indices is not None
        or a("axis", 0)
        or table.value.ndim != 2
        or not table.trains
    ):
        return None
    return Plan(layers.embedding(get(table)), "embedding", node.inputs[1:], {"weight": table})


def _recurrent(nodes: Nodes, index: int, node: Node, a: Attributes, get: Weights) -> Plan | None:
    known = nodes.constants(node)
    into, back, bias = _constant_at(known, 1), _constant_at(known, 2), _constant_at(known, 3)
    # torch's layers have neither lengths of examples nor peepholes.
    extra = [node.inputs[at] for at in (4, 7) if len(node.inputs) > at]
    if (
        into is None
        or back is None
        or _is_computed(node, known, 3)
        or any(number is not None for number in extra)
    ):
        return None
    values = [None if known is None else known.value for known in (into, back, bias)]
    layer = layers.recurrent(node.operator, a, values[0], values[1], values[2])  # type: ignore[arg-type]
    if layer is None:
        return None
    weights = {"weight_ih_l0": into, "weight_hh_l0": back, "bias_ih_l0": bias}
    states = () if all(nodes.is_zero(number) for number in node.inputs[5:7]) else node.inputs[5:7]
    coded = dict[str, Coded | None]()
    for name, state in (("weight_ih", into.known), ("weight_hh", back.known)):
        for suffix in ("_l0", "_l0_reverse")[: len(into.value)]:
            move = partial(_arranged, node.operator, len(into.value), name, suffix)
            coded[name + suffix] = None if state is None else state.moved(move)
    return Plan(layer, node.operator.lower(), (node.inputs[0], *states), weights, coded)


def _arranged(kind: str, directions: int, name: str, suffix: str, scales: Tensor) -> Tensor:
    return layers.arranged(kind, directions, {name: scales})[name + suffix]


def _dropout(nodes: Nodes, index: int, node: Node, a: Attributes, get: Weights) -> Plan | None:
    known = nodes.constants(node)
    ratio, mode = _constant_at(known, 1), _constant_at(known, 2)
    share = a("ratio", 0.5) if ratio is None else float(ratio.value)
    if (
        _is_computed(node, known, 1)
        or _is_computed(node, known, 2)
        or (mode is not None and bool(mode.value))
    ):
        return Plan("ToldDropout", "dropout", node.inputs)
    return Plan(
        layers.Dropping(share, node.outputs > 1 and 1 not in node.absent),
        "dropout",
        node.inputs[:1],
    )


def _grid(nodes: Nodes, index: int, node: Node, a: Attributes, get: Weights) -> Plan | None:
    """A value that is rounded to integers and scaled back: a quantizer and its inverse."""
    known = nodes.constants(node)
    after = nodes.only_user(index)
    if (
        after is None
        or known[0] is not None
        or nodes.graph.nodes[after].operator != "DequantizeLinear"
    ):
        return None
    back = nodes.graph.nodes[after]
    if back.inputs[1:] != node.inputs[1:] or attributes_of(
        back, nodes.graph.opset
    ).values.keys() - {"axis"}:
        return None
    scale, zero = _constant_at(known, 1), _constant_at(known, 2)
    is_one = scale is not None and scale.root.numel() == 1 and scale.root.dtype == torch.float32
    if is_one and (zero is None or zero.root.dtype == torch.uint8):
        grid = Grid(0.0, 1.0)
        grid.scale.data = scale.value.reshape(()).clone()  # type: ignore[union-attr]
        if zero is not None:
            grid.zero.copy_(zero.value.reshape(()))
        return Plan(grid, "grid", node.inputs[:1], over=after)
    return Plan("Rounding", "grid", node.inputs, over=after)


PLANS: dict[str, Callable[[Nodes, int, Node, Attributes, Weights], Plan | None]] = {
    "BatchNormalization": _batch_norm,
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "Dropout": _dropout,
    "GRU": _recurrent,
    "Gather": _embedding,
    "Gemm": _gemm,
    "GroupNormalization": _norm(layers.group_norm),
    "LSTM": _recurrent,
    "LayerNormalization": _norm(layers.layer_norm),
    "MatMul": _product,
    "QuantizeLinear": _grid,
    "RNN": _recurrent,
}
