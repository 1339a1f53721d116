"""What a graph knows before it runs: its tensors and constants, and what is computed of them alone."""

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

_MOST = 1 << 20  # elements that a step on constants may give, unless it takes more
_ALL = 1 << 24  # that all of them may give, besides four times what the file has
_MOVING = ("Cast", "Flatten", "Gather", "Reshape", "Slice", "Split", "Squeeze", "Unsqueeze")
"""What gives nothing but numbers that it was given first."""
_KEPT_APART = ("QuantizeLinear", "ConstantOfShape")


@dataclass(frozen=True, eq=False)
class Constant:
    """A value that is known: `root` with its axes in an `order` (None: as it is).

    Constants with one root share its memory.
    `trains`: whether it is a weight, that training may change.
    `coded`: what the file knows of the root beyond its numbers.
    `user`: the node that takes it first, as the file calls it.
    """

    root: Tensor
    name: str = ""
    trains: bool = False
    order: tuple[int, ...] | None = None
    coded: Coded | None = None
    user: str = ""

    @property
    def value(self) -> Tensor:
        """As the graph has it."""
        return self.root if self.order is None else self.root.permute(self.order)

    @property
    def known(self) -> Coded | None:
        """What the file knows of it beyond its numbers, as the graph has it."""
        order = self.order
        return (
            self.coded
            if self.coded is None or order is None
            else self.coded.moved(lambda step: step.permute(order))
        )

    @property
    def is_number(self) -> bool:
        """Whether it is no tensor of a module, but says shapes, axes and places, or is a single
        number that is no weight.
        """
        if self.root.dtype in (torch.int64, torch.bool):
            return self.root.numel() <= LARGEST_CONSTANT
        return self.root.numel() == 1 and not self.trains and self.root.dtype != torch.bfloat16

    def turned(self, order: Sequence[int]) -> Constant:
        """With its axes in another order."""
        own = self.order or tuple(range(self.root.ndim))
        made = tuple(own[at] for at in order)
        return replace(self, order=None if made == tuple(range(len(made))) else made)


def attributes_of(node: Node, opset: int) -> Attributes:
    """Those of a node."""
    values = {
        name: torch_of(content) if kind == TENSOR else content
        for name, kind, content in node.attributes
    }
    return Attributes(
        {name: list(one) if isinstance(one, tuple) else one for name, one in values.items()},
        opset,
        node.outputs,
    )


def known_values(
    content: Content, names: Sequence[str], users: Sequence[str]
) -> tuple[dict[int, Constant], set[int]]:
    """Constants by the number of their value, and the places of the nodes that are done with, since
    they give nothing else.
    """
    graph = content.graph
    first = len(graph.inputs)
    found: dict[int, Constant] = {}
    for place, one in enumerate((*content.tensors, *graph.constants)):
        value, is_tensor = torch_of(one), place < len(content.tensors)
        trains = (
            is_tensor and one.member is not None and value.is_floating_point() and value.numel() > 0
        )
        trains = trains and bool(
            torch.isfinite(value).all()
        )  # what is infinite hides something, and learns nothing
        name = names[place] if place < len(names) else ""
        known = (
            coded(value, content.packed[place] if content.packed else None) if is_tensor else None
        )
        found[first + place] = Constant(
            value, name, trains, None, known, users[place] if place < len(users) else ""
        )
    number, done = first + len(found), set[int]()
    room = _ALL + 4 * sum(one.value.numel() for one in found.values())
    for place, node in enumerate(graph.nodes):
        given = [None if one is None else found.get(one) for one in node.inputs]
        whole = bool(given) and all(
            one is None or have is not None for one, have in zip(node.inputs, given, strict=True)
        )
        if whole and node.operator not in _KEPT_APART and node.operator in SERVED:
            made = _made(node, attributes_of(node, graph.opset), given) if room > 0 else None
            room -= sum(one.value.numel() for one in made or ())
            if made is not None and room >= 0:
                found |= {number + at: one for at, one in enumerate(made) if at not in node.absent}
                done.add(place)
        number += node.outputs
    return found, done


def _made(node: Node, a: Attributes, given: Sequence[Constant | None]) -> list[Constant] | None:
    """What a node gives of constants; None where that is too much to keep, or fails."""
    first = given[0]
    if first is not None and node.operator == "Identity":
        return [first]
    if first is not None and node.operator == "Transpose":
        return [first.turned(a("perm") or tuple(reversed(range(first.value.ndim))))]
    values = [
        None if one is None else numpy_of(one) if one.is_number else one.value for one in given
    ]
    taken = sum(one.value.numel() for one in given if one is not None)
    if node.operator in ("Expand", "Tile", "Pad", "Range", "Resize", "OneHot", "EyeLike"):
        return None  # what is small in the file stays small in the module
    try:
        with torch.no_grad():
            answer = SERVED[node.operator].run(a, values)
    except Exception:  # whatever is wrong shows when the graph runs
        return None
    made = [as_tensor(one) for one in (answer if isinstance(answer, tuple | list) else (answer,))]
    if any(one.numel() > max(_MOST, 4 * taken) for one in made):
        return None
    base = next((one for one in given if one is not None and one.trains), first)
    assert base is not None
    found = _known(node, a, given, values, made)
    trains = base.trains or any(one is not None and one.reach is not None for one in found)
    return [
        Constant(
            one.clone(),
            base.name,
            trains and one.is_floating_point() and one.ndim > 0,
            None,
            known,
            base.user,
        )
        for one, known in zip(made, found, strict=True)
    ]


def _known(
    node: Node,
    a: Attributes,
    given: Sequence[Constant | None],
    values: Sequence[Any],
    made: Sequence[Tensor],
) -> list[Coded | None]:
    """What is known of what a node gives beyond its numbers.

    That of what it moves, or of whole numbers times a scale.
    """
    nothing: list[Coded | None] = [None] * len(made)
    known = [None if one is None else one.known for one in given]
    if node.operator == "Concat":
        return [together(known, lambda steps: SERVED["Concat"].run(a, steps))]
    if node.operator in ("DequantizeLinear", "Mul"):
        return [_scaled(node.operator, a, given, known, made[0])]
    if not known or known[0] is None or node.operator not in _MOVING:
        return nothing
    if known[0].scale is None:
        return [known[0]] * len(made)
    steps = (
        SERVED[node.operator].run(a, [known[0].scale, *values[1:]])
        if node.operator != "Cast"
        else known[0].scale
    )
    parts = steps if isinstance(steps, tuple | list) else (steps,)
    return [replace(known[0], scale=one) for one in parts]


def _scaled(
    operator: str,
    a: Attributes,
    given: Sequence[Constant | None],
    known: Sequence[Coded | None],
    made: Tensor,
) -> Coded | None:
    """Of whole numbers of 8 bits, symmetric around zero, times scales above 0; None for others."""
    at = next(
        (place for place, one in enumerate(known[:2]) if one is not None and one.reach is not None),
        None,
    )
    if at is None or (operator == "DequantizeLinear" and at == 1):
        return None
    whole, scale = known[at], given[1 - at]
    if whole is None or whole.scale is None or scale is None or scale.root.dtype != torch.float32:
        return None
    if not bool((scale.value > 0).all()) or any(
        one is not None and bool(one.value.any()) for one in given[2:3]
    ):
        return None
    by = scale.value
    if operator == "DequantizeLinear":
        if a("block_size", 0):
            return None
        axis = a("axis", 1) % made.ndim
        by = (
            by.reshape([-1 if place == axis else 1 for place in range(made.ndim)])
            if by.numel() > 1
            else by.reshape(())
        )
    return replace(whole, scale=(whole.scale * by).expand(made.shape))


def numpy_of(one: Constant) -> np.ndarray:
    """As a numpy array, which a number may be."""
    return settled(one.value.numpy().copy())


def used(content: Content, done: set[int]) -> Mapping[int, list[tuple[int, int]]]:
    """Of each value, the (node, place among its inputs) that take it; of a result also (-1, place)."""
    found: dict[int, list[tuple[int, int]]] = {}
    for place, node in enumerate(content.graph.nodes):
        if place not in done:
            for at, number in enumerate(node.inputs):
                if number is not None:
                    found.setdefault(number, []).append((place, at))
    for at, number in enumerate(content.graph.results):
        found.setdefault(number, []).append((-1, at))
    return found
