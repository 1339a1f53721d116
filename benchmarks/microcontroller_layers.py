"""A network as a list of layers, for peers that take no ONNX: TFLite Micro and emlearn.

A layer has the numbers of the tensors that it reads and writes, its constants as arrays, and
whether a ReLU follows. Constants are computed beforehand, and batch norms are in the weights, as in
our own C. In networks of 8 bits, weights and biases are the integers of the file, and each tensor
has the scale and the zero point of its bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from shoestring.artifact import Content


class NoLayersError(ValueError):
    """A network has something that there is no layer for."""


@dataclass
class Layer:
    """A layer: conv, dense, pool (2 × 2), subsample, pad (zero channels), add or mean (of pixels).

    `reads`, `writes`: numbers of tensors.
    `arrays`: "weight" (out, in, rows, columns or out, in) and "bias"; for 8 bits also "scale", of
        each row or of all. For "pad": "channels", before and after.
    """

    kind: str
    reads: tuple[int, ...]
    writes: int
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    stride: int = 1
    pads: int = 0
    relu: bool = False


@dataclass
class Network:
    """Layers in the order in which they run.

    `shapes`: of each tensor without the batch, channels first; tensor 0 is the input.
    `grids`: (scale, zero point of int8) of tensors of 8 bits; {} in a network of floats.
    `normalised`: (mean, deviation) of each channel, by which the input is normalised; or None.
    """

    shapes: list[tuple[int, ...]]
    layers: list[Layer] = field(default_factory=list)
    grids: dict[int, tuple[float, int]] = field(default_factory=dict)
    normalised: tuple[np.ndarray, np.ndarray] | None = None


def layers_of(content: Content) -> Network:
    """The layers of a network with one input and one output.

    Raises NoLayersError where there is something else in it, with the operator.
    """
    return _Reading(content).network


class _Reading:
    """Goes through the nodes of a graph. Each value is a constant or stands for a tensor."""

    def __init__(self, content: Content) -> None:
        graph = content.graph
        shape = tuple(axis for axis in graph.inputs[0].shape[1:] if isinstance(axis, int))
        self.network = Network([shape])
        self.constants: dict[int, np.ndarray] = {}
        self.integers: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.tensors: dict[int, int] = {0: 0}
        if len(graph.inputs) != 1 or len(shape) != len(graph.inputs[0].shape) - 1:
            raise NoLayersError("it has more than one input, or more than one axis that varies")
        for one in (*content.tensors, *graph.constants):
            self.constants[1 + len(self.constants)] = one.array()
        at = 1 + len(self.constants)
        for node in graph.nodes:
            options = {name: value for name, _, value in node.attributes}
            reads = [one for one in node.inputs if one is not None]
            if all(one in self.constants for one in reads):
                self.constants[at] = self._folded(node.operator, reads, at)
            else:
                make: Callable[..., int] | None = getattr(self, f"_{node.operator.lower()}", None)
                if make is None:
                    raise NoLayersError(f"it has {node.operator}")
                self.tensors[at] = make(reads, options)
            at += node.outputs

    def _folded(self, operator: str, reads: list[int], at: int) -> np.ndarray:
        """What a node makes of constants."""
        first, *others = (self.constants[one] for one in reads)
        match operator:
            case "DequantizeLinear":
                if len(others) > 1 and others[1].any():
                    raise NoLayersError("its weights have a zero point other than 0")
                self.integers[at] = (first, others[0])
                rows = (-1, *[1] * (first.ndim - 1)) if others[0].ndim else ()
                return first.astype("f4") * others[0].reshape(rows)
            case "Mul":
                return first * others[0]
            case "Add":
                return first + others[0]
            case "Div":
                return first / others[0]
            case "Round":
                return np.rint(first)
            case "Cast":
                return first.astype("i4")
            case _:
                raise NoLayersError(f"it has {operator} of constants")

    def _layer(self, layer: Layer, shape: tuple[int, ...]) -> int:
        self.network.layers.append(layer)
        self.network.shapes.append(shape)
        return layer.writes

    def _new(self, kind: str, *reads: int) -> Layer:
        return Layer(kind, reads, len(self.network.shapes))

    def _maker(self, tensor: int) -> Layer | None:
        """The layer that writes a tensor."""
        return next((one for one in self.network.layers if one.writes == tensor), None)

    def _weights(self, layer: Layer, reads: list[int]) -> None:
        """Give a layer its weight and bias: integers where the file has integers."""
        for name, number in zip(("weight", "bias"), reads, strict=False):
            if number in self.integers:
                layer.arrays[name], scale = self.integers[number]
                if name == "weight":
                    layer.arrays["scale"] = np.atleast_1d(scale)
            else:
                layer.arrays[name] = self.constants[number]

    def _conv(self, reads: list[int], options: dict[str, Any]) -> int:
        layer = self._new("conv", self.tensors[reads[0]])
        self._weights(layer, reads[1:])
        strides, pads = options.get("strides", (1, 1)), options.get("pads", (0, 0, 0, 0))
        if options.get("group", 1) != 1 or len({*strides}) != 1 or len({*pads}) != 1:
            raise NoLayersError("it has a Conv with groups, or strides or pads that differ")
        layer.stride, layer.pads = strides[0], pads[0]
        weight = layer.arrays["weight"]
        height, width = (
            (length + 2 * layer.pads - kernel) // layer.stride + 1
            for length, kernel in zip(
                self.network.shapes[layer.reads[0]][1:], weight.shape[2:], strict=True
            )
        )
        return self._layer(layer, (len(weight), height, width))

    def _gemm(self, reads: list[int], options: dict[str, Any]) -> int:
        if not options.get("transB"):
            raise NoLayersError("it has a Gemm with rows of inputs")
        layer = self._new("dense", self.tensors[reads[0]])
        self._weights(layer, reads[1:])
        return self._layer(layer, (len(layer.arrays["weight"]),))

    def _batchnormalization(self, reads: list[int], options: dict[str, Any]) -> int:
        """Into the weights of the convolution before it."""
        layer = self._maker(self.tensors[reads[0]])
        if layer is None or layer.kind != "conv" or layer.relu:
            raise NoLayersError("it has a BatchNormalization after something else than a Conv")
        scale, bias, mean, variance = (self.constants[one].astype("f8") for one in reads[1:])
        factor = scale / np.sqrt(variance + options.get("epsilon", 1e-5))
        weight, old = layer.arrays["weight"], layer.arrays.get("bias", np.zeros(len(factor)))
        layer.arrays["weight"] = (weight * factor[:, None, None, None]).astype("f4")
        layer.arrays["bias"] = (bias + (old - mean) * factor).astype("f4")
        return layer.writes

    def _relu(self, reads: list[int], _: dict[str, Any]) -> int:
        layer = self._maker(self.tensors[reads[0]])
        if layer is None or layer.kind not in ("conv", "dense", "add"):
            raise NoLayersError("it has a Relu after something else than a layer with weights")
        layer.relu = True
        return layer.writes

    def _maxpool(self, reads: list[int], options: dict[str, Any]) -> int:
        if options["kernel_shape"] != (2, 2) or options["strides"] != (2, 2):
            raise NoLayersError("it has a MaxPool of another size than 2 × 2")
        layer = self._new("pool", self.tensors[reads[0]])
        channels, height, width = self.network.shapes[layer.reads[0]]
        self._copy_grid(layer)
        return self._layer(layer, (channels, height // 2, width // 2))

    def _copy_grid(self, layer: Layer) -> None:
        if layer.reads[0] in self.network.grids:
            self.network.grids[layer.writes] = self.network.grids[layer.reads[0]]

    def _slice(self, reads: list[int], _: dict[str, Any]) -> int:
        """Every second row, or every second column: both together are one layer."""
        start, _end, axis, step = (int(self.constants[one][0]) for one in reads[1:])
        if start or step != 2 or axis not in (2, 3):
            raise NoLayersError("it has a Slice other than one of every second pixel")
        tensor = self.tensors[reads[0]]
        if axis == 2:
            layer = self._new("subsample", tensor)
            self._copy_grid(layer)
            channels, height, width = self.network.shapes[tensor]
            return self._layer(layer, (channels, (height + 1) // 2, (width + 1) // 2))
        if (before := self._maker(tensor)) is None or before.kind != "subsample":
            raise NoLayersError("it has a Slice of columns without one of rows")
        return tensor

    def _pad(self, reads: list[int], _: dict[str, Any]) -> int:
        amounts = self.constants[reads[1]].reshape(2, 4)
        if amounts[:, [0, 2, 3]].any():
            raise NoLayersError("it has a Pad of other axes than channels")
        layer = self._new("pad", self.tensors[reads[0]])
        layer.arrays["channels"] = amounts[:, 1]
        channels, *rest = self.network.shapes[layer.reads[0]]
        return self._layer(layer, (channels + int(amounts[:, 1].sum()), *rest))

    def _add(self, reads: list[int], _: dict[str, Any]) -> int:
        if any(one in self.constants for one in reads):
            raise NoLayersError("it has an Add of a constant")
        layer = self._new("add", *(self.tensors[one] for one in reads))
        return self._layer(layer, self.network.shapes[layer.reads[0]])

    def _globalaveragepool(self, reads: list[int], _: dict[str, Any]) -> int:
        layer = self._new("mean", self.tensors[reads[0]])
        return self._layer(layer, self.network.shapes[layer.reads[0]][:1])

    def _reducemean(self, reads: list[int], options: dict[str, Any]) -> int:
        if sorted(int(axis) % 4 for axis in self.constants[reads[1]]) != [2, 3]:
            raise NoLayersError("it has a ReduceMean of other axes than pixels")
        return self._globalaveragepool(reads, options)

    def _same(self, reads: list[int], _: dict[str, Any]) -> int:
        return self.tensors[reads[0]]

    _reshape = _flatten = _dequantizelinear = _same

    def _quantizelinear(self, reads: list[int], _: dict[str, Any]) -> int:
        tensor = self.tensors[reads[0]]
        scale, zero = (self.constants[one] for one in reads[1:])
        grid = (float(scale), int(zero) - (128 if zero.dtype == np.uint8 else 0))
        if self.network.grids.setdefault(tensor, grid) != grid:
            raise NoLayersError("it rounds a tensor to two grids")
        return tensor

    def _sub(self, reads: list[int], _: dict[str, Any]) -> int:
        if self.tensors[reads[0]] or self.network.layers or self.network.normalised:
            raise NoLayersError("it has a Sub of other things than its input")
        mean = self.constants[reads[1]].ravel()
        self.network.normalised = (mean, np.ones_like(mean))
        return 0

    def _div(self, reads: list[int], _: dict[str, Any]) -> int:
        if self.tensors[reads[0]] or self.network.layers or self.network.normalised is None:
            raise NoLayersError("it has a Div of other things than its input")
        self.network.normalised = (self.network.normalised[0], self.constants[reads[1]].ravel())
        return 0


def save(network: Network, folder: Path) -> None:
    """Write a network as network.json, and its arrays as arrays.npz, which network.json names."""
    arrays = {
        f"{number}_{name}": array
        for number, layer in enumerate(network.layers)
        for name, array in layer.arrays.items()
    }
    if network.normalised is not None:
        arrays["mean"], arrays["deviation"] = network.normalised
    layers = [
        vars(layer) | {"arrays": {name: f"{number}_{name}" for name in layer.arrays}}
        for number, layer in enumerate(network.layers)
    ]
    told = {
        "shapes": network.shapes,
        "layers": layers,
        "grids": network.grids,
        "normalised": network.normalised is not None,
    }
    (folder / "network.json").write_text(json.dumps(told))
    np.savez(folder / "arrays.npz", **arrays)  # pyright: ignore[reportArgumentType]
