"""Weights as whole numbers of 8 bits.

Which ones, by what steps, on the way into a file and out of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from shoestring.artifact.format.file import Content, Entries
from shoestring.artifact.format.graph import Node
from shoestring.artifact.format.tensors import ELEMENTS
from shoestring.kit.quantised.module import Quantised
from shoestring.kit.weights.parameters import Parameters, SkippedWarning
from shoestring.kit.weights.state import spread


@dataclass(frozen=True)
class Integers:
    """How a member is kept as whole numbers of 8 bits.

    Its value over `step`, as steps spread over a weight.
    """

    scale: np.ndarray

    def of(self, value: torch.Tensor) -> torch.Tensor:
        """The whole numbers of a value."""
        step = spread(torch.from_numpy(self.scale).double(), value)
        return (value.detach().cpu().double() / step).round().clamp(-128, 127).to(torch.int8)


def scales_of(found: Parameters) -> dict[int, np.ndarray]:
    """By place among the members, the step of each weight whose multiples fit into 8 bits.

    One number, or (O, 1, 1, ...), or of a matrix (O, groups).
    """
    scales: dict[int, np.ndarray] = {}
    for place, weight in enumerate(found):
        state = weight.state
        if (
            state is not None
            and state.scale is not None
            and state.reach is not None
            and int(state.reach) <= 127
        ):
            scales[place] = state.scale.detach().float().cpu().numpy()
    return scales


def scales_in(content: Content | Entries) -> dict[int, np.ndarray]:
    """By place among a file's tensors, the steps of those that are whole numbers for which a graph
    has steps, as `steps_of` has them.
    """
    found: dict[int, np.ndarray] = {}
    for graph in [content.graph] if isinstance(content, Content) else content.graphs.values():
        found |= _steps_in(Content(graph, content.tensors))
    return found


def _steps_in(content: Content) -> dict[int, np.ndarray]:
    graph = content.graph
    first = len(graph.inputs)
    known = {first + place: one for place, one in enumerate((*content.tensors, *graph.constants))}
    users: dict[int, list[tuple[Node, int]]] = {}
    value = first + len(known)
    for node in graph.nodes:
        for number in node.inputs:
            if number is not None:
                users.setdefault(number, []).append((node, value))
        value += node.outputs
    found: dict[int, np.ndarray] = {}
    for place, one in enumerate(content.tensors):
        if ELEMENTS[one.element][0] != "int8" or one.member is None:
            continue
        waiting, grouped = [first + place], False
        while waiting:
            for node, made in users.get(waiting.pop(), []):
                scale = (
                    known.get(node.inputs[1])
                    if len(node.inputs) > 1 and node.inputs[1] is not None
                    else None
                )
                if node.operator == "DequantizeLinear" and scale is not None:
                    scales = scale.array()
                    found[place] = (
                        scales.reshape(-1, *[1] * (one.bits.ndim - 1)) if scales.ndim else scales
                    )
                elif node.operator == "Mul" and grouped and scale is not None:
                    found[place] = scale.array()[:, :, 0]
                elif node.operator in ("Transpose", "Reshape", "Cast"):
                    grouped = grouped or node.operator == "Cast"
                    waiting.append(made)
    return found


def say_what_stays(model: nn.Module, found: Parameters, integers: Collection[int]) -> None:
    """Warn of layers that a quantised module rounds, and of which the file has no whole numbers
    (`wholes`, places of members).
    """
    if not isinstance(model, Quantised):
        return
    whole = {id(module) for place in integers for module, _ in found[place].owners}
    left = [
        layer for layer in model.places.layers if id(model.inner.get_submodule(layer)) not in whole
    ]
    if left:
        why = (
            "their weights are on no grid of 8 bits any more, or used elsewhere too, or "
            "their biases are too large for one"
        )
        warnings.warn(
            f"in floating point in the file: {', '.join(left)} ({why})",
            SkippedWarning,
            stacklevel=4,
        )
