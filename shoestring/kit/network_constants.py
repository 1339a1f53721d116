"""What a graph knows before it runs: its tensors and constants, and what is computed of them alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from shoestring.artifact.file import Content
from shoestring.artifact.graph import TENSOR, Node
from shoestring.artifact.tensors import ELEMENTS
from shoestring.artifact.tensors import Tensor as Kept
from shoestring.kit.operator import Attributes, as_tensor, settled
from shoestring.kit.operators import SERVED

FEW = 64
"""Whole numbers up to so many are shapes, axes and places, and no tensors of a module."""
_MOST = 1 << 20  # elements that a step on constants may give, unless it takes more
_KEPT_APART = ("QuantizeLinear", "ConstantOfShape")


@dataclass(frozen=True, eq=False)
class Constant:
    """A value that is known: `root` with its axes in an `order` (None: as it is). Constants with one root share its memory.

    `trains`: whether it is a weight, that training may change. `step`: of a root on a grid, the distance of its numbers, as a State has
    it, with `reach` of them. `user`: the node that takes it first, as the file calls it.
    """

    root: Tensor
    name: str = ""
    trains: bool = False
    order: tuple[int, ...] | None = None
    step: Tensor | None = None
    user: str = ""

    @property
    def value(self) -> Tensor:
        """As the graph has it."""
        return self.root if self.order is None else self.root.permute(self.order)

    @property
    def is_number(self) -> bool:
        """Whether it is no tensor of a module, but says shapes, axes and places, or is a single number that is no weight."""
        if self.root.dtype in (torch.int64, torch.bool):
            return self.root.numel() <= FEW
        return self.root.numel() == 1 and not self.trains and self.root.dtype != torch.bfloat16

    def turned(self, order: Sequence[int]) -> Constant:
        """With its axes in another order."""
        own = self.order or tuple(range(self.root.ndim))
        made = tuple(own[at] for at in order)
        return replace(self, order=None if made == tuple(range(len(made))) else made)


def torch_of(one: Kept) -> Tensor:
    """A file's tensor as torch has it."""
    signed = one.bits.view(one.bits.dtype.str.replace("u", "i").replace("<i1", "|i1"))
    return torch.from_numpy(np.ascontiguousarray(signed).reshape(one.bits.shape).copy()).view(
        getattr(torch, ELEMENTS[one.element][0])
    )


def attributes_of(node: Node, opset: int) -> Attributes:
    """Those of a node."""
    values = {name: torch_of(content) if kind == TENSOR else content for name, kind, content in node.attributes}
    return Attributes(
        {name: list(one) if isinstance(one, tuple) else one for name, one in values.items()}, opset, node.outputs
    )


def known_values(content: Content, names: Sequence[str], users: Sequence[str]) -> tuple[dict[int, Constant], set[int]]:
    """Constants by the number of their value, and the places of the nodes that are done with, since they give nothing else."""
    graph = content.graph
    first = len(graph.inputs)
    found: dict[int, Constant] = {}
    for place, one in enumerate((*content.tensors, *graph.constants)):
        value, is_tensor = torch_of(one), place < len(content.tensors)
        trains = is_tensor and one.member is not None and value.is_floating_point() and value.numel() > 0
        trains = trains and bool(torch.isfinite(value).all())  # what is infinite hides something, and learns nothing
        name = names[place] if place < len(names) else ""
        found[first + place] = Constant(value, name, trains, user=users[place] if place < len(users) else "")
    number, done = first + len(found), set[int]()
    for place, node in enumerate(graph.nodes):
        given = [None if one is None else found.get(one) for one in node.inputs]
        whole = bool(given) and all(one is None or have is not None for one, have in zip(node.inputs, given, strict=True))
        if whole and node.operator not in _KEPT_APART and node.operator in SERVED:
            made = _made(node, attributes_of(node, graph.opset), given)
            if made is not None:
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
    if first is not None and node.operator == "DequantizeLinear" and (one := _on_grid(a, given)) is not None:
        return [one]
    values = [None if one is None else numpy_of(one) if one.is_number else one.value for one in given]
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
    return [
        Constant(one.clone(), base.name, base.trains and one.is_floating_point() and one.ndim > 0, user=base.user)
        for one in made
    ]


def _on_grid(a: Attributes, given: Sequence[Constant | None]) -> Constant | None:
    """Signed whole numbers of 8 bits, symmetric around zero, as a weight that is on a grid; None for others."""
    whole, step, zero = (*given, None, None)[:3]
    if whole is None or step is None or whole.root.dtype != torch.int8 or a("block_size", 0) or whole.root.ndim < 2:
        return None
    if step.root.dtype != torch.float32 or (zero is not None and bool(zero.value.any())) or not bool((step.value > 0).all()):
        return None
    axis = a("axis", 1) % whole.value.ndim
    own = axis if whole.order is None else whole.order[axis]
    if step.root.numel() > 1 and own != 0:
        return None  # states have steps for slices along the first axis alone
    shape = (-1, *[1] * (whole.root.ndim - 1)) if step.root.numel() > 1 else ()
    steps = step.value.reshape(shape)
    return replace(whole, root=whole.root.float() * steps + 0.0, step=steps.clone(), trains=True)


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
