"""What a graph knows before it runs: tensors, constants, and what is computed of them alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shoestring.artifact.format.file import Content
from shoestring.artifact.format.graph import LARGEST_CONSTANT, TENSOR, Node
from shoestring.kit.importing.operators.operator import Attributes, as_tensor, settled
from shoestring.kit.importing.operators.table import SERVED
from shoestring.kit.weights.coded import Coded, coded, together, torch_of

# The most elements of a node's outputs, unless four times its inputs are more.
_LARGEST_OUTPUT = 1 << 20
_ALL = 1 << 24  # the most elements of all such outputs, besides four times those in the file
_MOVING = ("Cast", "Flatten", "Gather", "Reshape", "Slice", "Split", "Squeeze", "Unsqueeze")
"""Operators whose outputs have only numbers of their first input."""
_KEPT_APART = ("QuantizeLinear", "ConstantOfShape")


@dataclass(frozen=True, eq=False)
class Constant:
    """A value that is known before the graph runs.

    `root`: the tensor. Constants with one root share its memory.
    `name`: of the tensor in the file; "" where it has none.
    `trains`: whether it is a weight, which training may change.
    `order`: the root's axes in the order of the value; None where they are not permuted.
    `coded`: what the file knows of the root beyond its numbers.
    `user`: the name of the first node that takes it.
    """

    root: Tensor
    name: str = ""
    trains: bool = False
    order: tuple[int, ...] | None = None
    coded: Coded | None = None
    user: str = ""

    @property
    def value(self) -> Tensor:
        """The tensor with its axes as in the graph."""
        return self.root if self.order is None else self.root.permute(self.order)

    @property
    def known(self) -> Coded | None:
        """What the file knows beyond the numbers, with axes as in the graph."""
        order = self.order
        return (
            self.coded
            if self.coded is None or order is None
            else self.coded.moved(lambda scale: scale.permute(order))
        )

    @property
    def is_number(self) -> bool:
        """Whether it is no tensor of the module.

        Shapes, axes and indices are not stored there, nor is a single number that is no weight.
        """
        if self.root.dtype in (torch.int64, torch.bool):
            return self.root.numel() <= LARGEST_CONSTANT
        return self.root.numel() == 1 and not self.trains and self.root.dtype != torch.bfloat16

    def permuted(self, order: Sequence[int]) -> Constant:
        """The constant with its axes in another order."""
        order_now = self.order or tuple(range(self.root.ndim))
        new_order = tuple(order_now[axis] for axis in order)
        return replace(self, order=None if new_order == tuple(range(len(new_order))) else new_order)


def attributes_of(node: Node, opset: int) -> Attributes:
    """The attributes of a node, tensors as torch has them."""
    values = {
        name: torch_of(content) if kind == TENSOR else content
        for name, kind, content in node.attributes
    }
    return Attributes(
        {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        },
        opset,
        node.outputs,
    )


def constants_of(
    content: Content, names: Sequence[str], users: Sequence[str]
) -> tuple[dict[int, Constant], set[int]]:
    """The constants by the number of their value, and the nodes that are done.

    A node is done, and its index in the set, where it gives constants alone. `names`, `users`: as
    in `built`.
    """
    graph = content.graph
    first = len(graph.inputs)
    constants: dict[int, Constant] = {}
    for index, stored in enumerate((*content.tensors, *graph.constants)):
        value, is_tensor = torch_of(stored), index < len(content.tensors)
        trains = (
            is_tensor
            and stored.member is not None
            and value.is_floating_point()
            and value.numel() > 0
        )
        # Infinite numbers are masks, and do not learn.
        trains = trains and bool(torch.isfinite(value).all())
        name = names[index] if index < len(names) else ""
        known = (
            coded(value, content.packed[index] if content.packed else None) if is_tensor else None
        )
        constants[first + index] = Constant(
            value, name, trains, None, known, users[index] if index < len(users) else ""
        )
    first_output, done = first + len(constants), set[int]()
    room = _ALL + 4 * sum(constant.value.numel() for constant in constants.values())
    for index, node in enumerate(graph.nodes):
        inputs = [None if number is None else constants.get(number) for number in node.inputs]
        is_known = bool(inputs) and all(
            number is None or constant is not None
            for number, constant in zip(node.inputs, inputs, strict=True)
        )
        if is_known and node.operator not in _KEPT_APART and node.operator in SERVED:
            outputs = _outputs(node, attributes_of(node, graph.opset), inputs) if room > 0 else None
            room -= sum(constant.value.numel() for constant in outputs or ())
            if outputs is not None and room >= 0:
                constants |= {
                    first_output + slot: constant
                    for slot, constant in enumerate(outputs)
                    if slot not in node.absent
                }
                done.add(index)
        first_output += node.outputs
    return constants, done


def _outputs(
    node: Node, attributes: Attributes, inputs: Sequence[Constant | None]
) -> list[Constant] | None:
    """The outputs of a node of constants; None where they are too large, or the node fails."""
    first = inputs[0]
    if first is not None and node.operator == "Identity":
        return [first]
    if first is not None and node.operator == "Transpose":
        return [first.permuted(attributes("perm") or tuple(reversed(range(first.value.ndim))))]
    values = [
        None if item is None else numpy_of(item) if item.is_number else item.value
        for item in inputs
    ]
    elements = sum(item.value.numel() for item in inputs if item is not None)
    if node.operator in ("Expand", "Tile", "Pad", "Range", "Resize", "OneHot", "EyeLike"):
        return None  # small tensors in the file stay small in the module
    try:
        with torch.no_grad():
            answer = SERVED[node.operator].run(attributes, values)
    except Exception:  # the error is raised when the graph runs
        return None
    outputs = [
        as_tensor(item) for item in (answer if isinstance(answer, tuple | list) else (answer,))
    ]
    if any(item.numel() > max(_LARGEST_OUTPUT, 4 * elements) for item in outputs):
        return None
    base = next((item for item in inputs if item is not None and item.trains), first)
    assert base is not None
    known_of_outputs = _known_of_outputs(node, attributes, inputs, values, outputs)
    trains = base.trains or any(
        item is not None and item.reach is not None for item in known_of_outputs
    )
    return [
        Constant(
            item.clone(),
            base.name,
            trains and item.is_floating_point() and item.ndim > 0,
            None,
            known,
            base.user,
        )
        for item, known in zip(outputs, known_of_outputs, strict=True)
    ]


def _known_of_outputs(
    node: Node,
    attributes: Attributes,
    inputs: Sequence[Constant | None],
    values: Sequence[Any],
    outputs: Sequence[Tensor],
) -> list[Coded | None]:
    """What is known of a node's outputs beyond their numbers.

    It is known of outputs that only move numbers, and of integers times a scale.
    """
    nothing: list[Coded | None] = [None] * len(outputs)
    known = [None if item is None else item.known for item in inputs]
    if node.operator == "Concat":
        return [together(known, lambda scales: SERVED["Concat"].run(attributes, scales))]
    if node.operator in ("DequantizeLinear", "Mul"):
        return [_scaled(node.operator, attributes, inputs, known, outputs[0])]
    if not known or known[0] is None or node.operator not in _MOVING:
        return nothing
    if known[0].scale is None:
        return [known[0]] * len(outputs)
    scales = (
        SERVED[node.operator].run(attributes, [known[0].scale, *values[1:]])
        if node.operator != "Cast"
        else known[0].scale
    )
    parts = scales if isinstance(scales, tuple | list) else (scales,)
    return [replace(known[0], scale=item) for item in parts]


def _scaled(
    operator: str,
    attributes: Attributes,
    inputs: Sequence[Constant | None],
    known: Sequence[Coded | None],
    output: Tensor,
) -> Coded | None:
    """What is known of 8-bit integers around zero times scales above 0; None for other factors."""
    slot_of_integers = next(
        (
            slot
            for slot, item in enumerate(known[:2])
            if item is not None and item.reach is not None
        ),
        None,
    )
    if slot_of_integers is None or (operator == "DequantizeLinear" and slot_of_integers == 1):
        return None
    integers, scale = known[slot_of_integers], inputs[1 - slot_of_integers]
    if (
        integers is None
        or integers.scale is None
        or scale is None
        or scale.root.dtype != torch.float32
    ):
        return None
    if not bool((scale.value > 0).all()) or any(
        item is not None and bool(item.value.any()) for item in inputs[2:3]
    ):
        return None
    factor = scale.value
    if operator == "DequantizeLinear":
        if attributes("block_size", 0):
            return None
        axis = attributes("axis", 1) % output.ndim
        factor = (
            factor.reshape([-1 if at == axis else 1 for at in range(output.ndim)])
            if factor.numel() > 1
            else factor.reshape(())
        )
    return replace(integers, scale=(integers.scale * factor).expand(output.shape))


def numpy_of(constant: Constant) -> np.ndarray:
    """The value as a numpy array."""
    return settled(constant.value.numpy().copy())


def takers_of(content: Content, done: set[int]) -> Mapping[int, list[tuple[int, int]]]:
    """The (node, slot) pairs that take each value, by its number; (-1, slot) for a result."""
    takers: dict[int, list[tuple[int, int]]] = {}
    for index, node in enumerate(content.graph.nodes):
        if index not in done:
            for slot, number in enumerate(node.inputs):
                if number is not None:
                    takers.setdefault(number, []).append((index, slot))
    for slot, number in enumerate(content.graph.results):
        takers.setdefault(number, []).append((-1, slot))
    return takers
