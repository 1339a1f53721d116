"""Weights as integers of 8 bits, in a file: which weights, and with which scales."""

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
    """How a weight is kept as signed integers of 8 bits: its value divided by its scale.

    `scale`: one number, (), or (O, 1, 1, ...), or, for a matrix, (O, groups).
    """

    scale: np.ndarray

    def of(self, value: torch.Tensor) -> torch.Tensor:
        """The integers of a value, int8, of its shape."""
        scale = spread(torch.from_numpy(self.scale).double(), value)
        return (value.detach().cpu().double() / scale).round().clamp(-128, 127).to(torch.int8)


def scales_of(parameters: Parameters) -> dict[int, np.ndarray]:
    """The scale, by the weight's index, of each weight whose integers fit into 8 bits.

    In the shapes of `Integers.scale`.
    """
    scales: dict[int, np.ndarray] = {}
    for index, weight in enumerate(parameters):
        state = weight.state
        if (
            state is not None
            and state.scale is not None
            and state.reach is not None
            and int(state.reach) <= 127
        ):
            scales[index] = state.scale.detach().float().cpu().numpy()
    return scales


def scales_in(content: Content | Entries) -> dict[int, np.ndarray]:
    """The scale, by the tensor's index in a file, of each tensor of integers that a graph scales.

    In the shapes of `Integers.scale`.
    """
    scales: dict[int, np.ndarray] = {}
    for graph in [content.graph] if isinstance(content, Content) else content.graphs.values():
        scales |= _scales_in(Content(graph, content.tensors))
    return scales


def _scales_in(content: Content) -> dict[int, np.ndarray]:
    graph = content.graph
    first = len(graph.inputs)
    known = dict(enumerate((*content.tensors, *graph.constants), first))
    users: dict[int, list[tuple[Node, int]]] = {}
    value = first + len(known)
    for node in graph.nodes:
        for number in node.inputs:
            if number is not None:
                users.setdefault(number, []).append((node, value))
        value += node.outputs
    scales: dict[int, np.ndarray] = {}
    for index, tensor in enumerate(content.tensors):
        if ELEMENTS[tensor.element][0] != "int8" or tensor.member is None:
            continue
        # From the integers through nodes that only move or cast them, to those that scale them.
        waiting, is_cast = [first + index], False
        while waiting:
            for node, made in users.get(waiting.pop(), []):
                operand = node.inputs[1] if len(node.inputs) > 1 else None
                scale = None if operand is None else known.get(operand)
                if node.operator == "DequantizeLinear" and scale is not None:
                    values = scale.array()
                    shape = (-1, *[1] * (tensor.bits.ndim - 1))
                    scales[index] = values.reshape(shape) if values.ndim else values
                elif node.operator == "Mul" and is_cast and scale is not None:
                    scales[index] = scale.array()[:, :, 0]
                elif node.operator in ("Transpose", "Reshape", "Cast"):
                    is_cast = is_cast or node.operator == "Cast"
                    waiting.append(made)
    return scales


def say_what_stays(model: nn.Module, parameters: Parameters, integers: Collection[int]) -> None:
    """Warn of layers that a quantised module rounds, but whose weights the file has no integers of.

    `parameters`: those of the model.
    `integers`: the indices of the weights that are integers in the file.
    """
    if not isinstance(model, Quantised):
        return
    owners = {id(module) for index in integers for module, _ in parameters[index].owners}
    left = [
        layer for layer in model.places.layers if id(model.inner.get_submodule(layer)) not in owners
    ]
    if left:
        why = (
            "their weights are on no grid of 8 bits any more, or used elsewhere too, or their "
            "biases are too large for one"
        )
        warnings.warn(
            f"in floating point in the file: {', '.join(left)} ({why})",
            SkippedWarning,
            stacklevel=4,
        )
