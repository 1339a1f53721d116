"""TensorFlow Lite Micro: the bytes of a model, and the tensor arena that its interpreter wants.

    pip install tflite-micro

    PYTHON tflite_micro_arena.py GIVEN OUT    GIVEN/layers.json and layers.npz describe a chain of
                                              layers, GIVEN/inputs.npy has examples as N×C×H×W; the
                                              outputs go to OUT/outputs.npy, bytes and versions or
                                              the error to OUT/result.json

The package has the interpreter for this computer, with its kernels in one shared library, and no
library for a Cortex-M: what the interpreter takes of flash there is not measured, and the model is
the least that is in flash. TensorFlow, which converts models, does not have to be there: the model
is written with the package's own schema, in float32, channels last. Pointers have 8 bytes here, so
the arena is somewhat larger than on a core of 32 bits.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from tflite_micro.python.tflite_micro import runtime  # pyright: ignore
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema  # pyright: ignore

Layers = list[dict[str, Any]]


class Writer:
    """Writes a chain of layers as a model."""

    def __init__(self) -> None:
        self.buffers = [schema.BufferT()]
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: list[int] = []

    def tensor(
        self, shape: tuple[int, ...], values: np.ndarray | None = None, kind: int = 0
    ) -> int:
        one = schema.TensorT()
        one.shape, one.type, one.name = list(shape), kind, f"t{len(self.tensors)}"
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            one.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(one)
        return len(self.tensors) - 1

    def operator(self, code: int, inputs: list[int], output: int, kind: int, options: Any) -> None:
        if code not in self.codes:
            self.codes.append(code)
        one = schema.OperatorT()
        one.opcodeIndex, one.inputs, one.outputs = self.codes.index(code), inputs, [output]
        one.builtinOptionsType, one.builtinOptions = kind, options
        self.operators.append(one)

    def model(self, first: int, last: int) -> bytes:
        graph, model = schema.SubGraphT(), schema.ModelT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = [first], [last]
        model.version, model.subgraphs, model.buffers = 3, [graph], self.buffers
        model.operatorCodes = []
        for code in self.codes:
            one = schema.OperatorCodeT()
            one.builtinCode = one.deprecatedBuiltinCode = code
            model.operatorCodes.append(one)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def written(layers: Layers, arrays: Any, shape: tuple[int, int, int]) -> bytes:
    """The model of a chain of layers, whose input has `shape` as C×H×W."""
    operators, options = schema.BuiltinOperator, schema.BuiltinOptions
    writer = Writer()
    channels, height, width = shape
    first = at = writer.tensor((1, height, width, channels))
    flat = False
    for layer in layers:
        kind, relu = layer["kind"], int(layer["relu"])
        if kind == "pool":
            height, width = height // 2, width // 2
            option = schema.Pool2DOptionsT()
            option.padding, option.fusedActivationFunction = 1, relu
            option.strideH = option.strideW = option.filterHeight = option.filterWidth = 2
            inputs, code, number = [at], operators.MAX_POOL_2D, options.Pool2DOptions
            at = writer.tensor((1, height, width, channels))
        elif kind == "conv":
            weight, bias = arrays[layer["weight"]], arrays[layer["bias"]]
            option = schema.Conv2DOptionsT()
            option.padding, option.fusedActivationFunction = int(not layer["same"]), relu
            option.strideH = option.strideW = 1
            if not layer["same"]:
                height, width = height - weight.shape[2] + 1, width - weight.shape[3] + 1
            channels = len(weight)
            constants = [weight.transpose(0, 2, 3, 1), bias]
            inputs = [at, *(writer.tensor(one.shape, one) for one in constants)]
            code, number = operators.CONV_2D, options.Conv2DOptions
            at = writer.tensor((1, height, width, channels))
        else:
            weight, bias = arrays[layer["weight"]], arrays[layer["bias"]]
            if not flat:  # channels are last here
                weight = weight.reshape(len(weight), channels, height, width)
                weight, flat = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1), True
            option = schema.FullyConnectedOptionsT()
            option.fusedActivationFunction = relu
            inputs = [at, *(writer.tensor(one.shape, one) for one in (weight, bias))]
            code, number = operators.FULLY_CONNECTED, options.FullyConnectedOptions
            at = writer.tensor((1, len(weight)))
        writer.operator(code, inputs, at, number, option)
    return writer.model(first, at)


def runs(model: bytes, arena: int, example: np.ndarray) -> bool:
    """Whether the interpreter runs in an arena of so many bytes."""
    try:
        interpreter = runtime.Interpreter.from_bytes(model, arena_size=arena)
        interpreter.set_input(example, 0)
        interpreter.invoke()
    except RuntimeError:
        return False
    return True


def main(given: Path, out: Path) -> None:
    layers = json.loads((given / "layers.json").read_text())
    inputs = np.load(given / "inputs.npy").transpose(0, 2, 3, 1)
    height, width, channels = inputs.shape[1:]
    model = written(layers, np.load(given / "layers.npz"), (channels, height, width))
    low, high = 0, 1 << 22
    while high - low > 64:
        middle = (low + high) // 2
        low, high = (low, middle) if runs(model, middle, inputs[:1]) else (middle, high)
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=1 << 22)
    outputs = []
    for example in inputs:
        interpreter.set_input(np.ascontiguousarray(example[None]), 0)
        interpreter.invoke()
        outputs.append(np.array(interpreter.get_output(0)))
    np.save(out / "outputs.npy", np.concatenate(outputs))
    found = {
        "versions": f"tflite-micro {importlib.metadata.version('tflite-micro')}",
        "bytes": {"model": len(model), "arena, pointers of 8 bytes": high},
    }
    (out / "result.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
