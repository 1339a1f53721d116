"""Writes a network as a model for TensorFlow Lite Micro, with the schema of its sources.

TensorFlow, which converts models, does not have to be there. Tensors are channels last. Weights and
biases of 8-bit networks are the integers of the file, activations are its bytes less 128.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import flatbuffers  # pyright: ignore[reportMissingImports]
import numpy as np

Arrays = dict[str, np.ndarray]
KINDS = {"float32": 0, "int32": 2, "int8": 9}
SAME, VALID = 0, 1


def schema_of(sources: Path) -> ModuleType:
    """The classes of the schema, which lie as one Python file in the sources."""
    file = sources / "tflite-micro" / "tensorflow" / "lite" / "python" / "schema_py_generated.py"
    spec = importlib.util.spec_from_file_location("schema_py_generated", file)
    if spec is None or spec.loader is None or not file.exists():
        raise FileNotFoundError(f"there is no {file}: clone tflite-micro into {sources}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Writer:
    """Writes layers as a model. `used`: the names of its operators, each once."""

    def __init__(self, schema: Any, network: dict[str, Any], arrays: Arrays) -> None:
        self.schema, self.network, self.arrays = schema, network, arrays
        self.buffers = [schema.BufferT()]
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.used: list[str] = []
        self.numbers: dict[int, int] = {}  # of the tensors of the network here

    def written(self) -> bytes:
        """The bytes of the model."""
        first = self.activation(0)
        for layer in self.network["layers"]:
            getattr(self, f"_{layer['kind']}")(layer)
        schema = self.schema
        graph, model = schema.SubGraphT(), schema.ModelT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = [first], [self.operators[-1].outputs[0]]
        model.version, model.subgraphs, model.buffers = 3, [graph], self.buffers
        model.operatorCodes = []
        for name in self.used:
            one = schema.OperatorCodeT()
            one.builtinCode = one.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
            model.operatorCodes.append(one)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def tensor(self, shape: tuple[int, ...], kind: str, grid: tuple[Any, Any] | None = None) -> int:
        one = self.schema.TensorT()
        one.shape, one.type, one.name = list(shape), KINDS[kind], f"t{len(self.tensors)}"
        if grid is not None:
            one.quantization = self.schema.QuantizationParametersT()
            one.quantization.scale = [float(scale) for scale in np.atleast_1d(grid[0])]
            one.quantization.zeroPoint = [int(zero) for zero in np.atleast_1d(grid[1])]
        self.tensors.append(one)
        return len(self.tensors) - 1

    def constant(self, values: np.ndarray, scale: np.ndarray | None = None) -> int:
        grid = None if scale is None else (scale, np.zeros(len(scale), int))
        number = self.tensor(values.shape, values.dtype.name, grid)
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.tensors[number].buffer = len(self.buffers)
        self.buffers.append(buffer)
        return number

    def activation(self, number: int) -> int:
        """The tensor of a tensor of the network, made when it is first wanted."""
        if number not in self.numbers:
            channels, *pixels = self.network["shapes"][number]
            grid = self.network["grids"].get(str(number))
            kind = "float32" if grid is None else "int8"
            self.numbers[number] = self.tensor((1, *pixels, channels), kind, grid)
        return self.numbers[number]

    def operator(self, name: str, inputs: list[int], output: int, options: Any) -> None:
        if name not in self.used:
            self.used.append(name)
        one = self.schema.OperatorT()
        one.opcodeIndex, one.inputs, one.outputs = self.used.index(name), inputs, [output]
        kind = type(options).__name__.removesuffix("T")
        one.builtinOptionsType = getattr(self.schema.BuiltinOptions, kind)
        one.builtinOptions = options
        self.operators.append(one)

    def layer(self, layer: dict[str, Any], name: str, options: Any, *constants: int) -> None:
        """An operator for a layer, after those that its constants and its pads need."""
        inputs = [self.activation(one) for one in layer["reads"]] + [*constants]
        self.operator(name, inputs, self.activation(layer["writes"]), options)

    def products(self, layer: dict[str, Any], weight: np.ndarray) -> list[int]:
        """The weight and the bias of a layer, where it has one."""
        scale, bias = (self.arrays.get(layer["arrays"].get(one)) for one in ("scale", "bias"))
        made = [self.constant(weight, scale)]
        if bias is not None:
            if scale is not None:
                scale = scale * np.float32(self.network["grids"][str(layer["reads"][0])][0])
            made.append(self.constant(bias, scale))
        return made

    def _conv(self, layer: dict[str, Any]) -> None:
        weight = self.arrays[layer["arrays"]["weight"]].transpose(0, 2, 3, 1)
        options = self.schema.Conv2DOptionsT()
        options.fusedActivationFunction = int(layer["relu"])
        options.strideH = options.strideW = layer["stride"]
        options.padding = VALID
        inputs = [self.activation(layer["reads"][0])]
        if layer["pads"] and layer["stride"] == 1 and 2 * layer["pads"] == weight.shape[1] - 1:
            options.padding = SAME
        elif layer["pads"]:  # what is the same for others is not the same here
            inputs = [self.padded(layer, weight.shape[1])]
        inputs += self.products(layer, weight)
        self.operator("CONV_2D", inputs, self.activation(layer["writes"]), options)

    def padded(self, layer: dict[str, Any], kernel: int) -> int:
        """The input of a convolution with as many zeros around it as it reads."""
        read, written = (self.network["shapes"][one] for one in (*layer["reads"], layer["writes"]))
        before = [layer["pads"]] * 2
        after = [
            max((out - 1) * layer["stride"] + kernel - length - layer["pads"], 0)
            for out, length in zip(written[1:], read[1:], strict=True)
        ]
        amounts = np.array([[0, 0], *zip(before, after, strict=True), [0, 0]], np.int32)
        grid = self.network["grids"].get(str(layer["reads"][0]))
        pixels = [sum(one) for one in zip(read[1:], before, after, strict=True)]
        kind = "float32" if grid is None else "int8"
        wider = self.tensor((1, *pixels, read[0]), kind, grid)
        inputs = [self.activation(layer["reads"][0]), self.constant(amounts)]
        self.operator("PAD", inputs, wider, self.schema.PadOptionsT())
        return wider

    def _dense(self, layer: dict[str, Any]) -> None:
        weight = self.arrays[layer["arrays"]["weight"]]
        shape = self.network["shapes"][layer["reads"][0]]
        if len(shape) == 3:  # channels are last here
            rows = weight.reshape(len(weight), *shape).transpose(0, 2, 3, 1)
            weight = rows.reshape(len(weight), -1)
        options = self.schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = int(layer["relu"])
        self.layer(layer, "FULLY_CONNECTED", options, *self.products(layer, weight))

    def _pool(self, layer: dict[str, Any], size: int = 2) -> None:
        options = self.schema.Pool2DOptionsT()
        options.padding = VALID
        options.strideH = options.strideW = 2
        options.filterHeight = options.filterWidth = size
        self.layer(layer, "MAX_POOL_2D", options)

    def _subsample(self, layer: dict[str, Any]) -> None:
        self._pool(layer, 1)

    def _pad(self, layer: dict[str, Any]) -> None:
        amounts = np.zeros((4, 2), np.int32)
        amounts[3] = self.arrays[layer["arrays"]["channels"]]
        self.layer(layer, "PAD", self.schema.PadOptionsT(), self.constant(amounts))

    def _add(self, layer: dict[str, Any]) -> None:
        options = self.schema.AddOptionsT()
        options.fusedActivationFunction = int(layer["relu"])
        self.layer(layer, "ADD", options)

    def _mean(self, layer: dict[str, Any]) -> None:
        axes = self.constant(np.array([1, 2], np.int32))
        self.layer(layer, "MEAN", self.schema.ReducerOptionsT(), axes)
