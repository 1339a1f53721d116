"""Graphs of one operator each, for every operator that the runtime in web/ has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shoestring.artifact.format.file import Content
from shoestring.artifact.format.graph import FLOAT, INT, INTS, STRING, STRINGS, Graph, Node, Port
from shoestring.artifact.format.tensors import NUMBERS, tensor


@dataclass(frozen=True, kw_only=True)
class One:
    """An operator with inputs of a call and constants, which are None where they are left out.

    `types`: of the outputs, and of those after the last its type; that of the first input unless
        told.
    """

    operator: str
    inputs: dict[str, np.ndarray]
    constants: tuple[np.ndarray | None, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    types: tuple[str, ...] = ()
    opset: int = 20
    absent: tuple[int, ...] = ()

    def content(self) -> Content:
        """A file of it."""
        held = [one for one in self.constants if one is not None]
        numbers = iter(range(len(self.inputs), len(self.inputs) + len(held)))
        constants = tuple(None if one is None else next(numbers) for one in self.constants)
        inputs = tuple(range(len(self.inputs)))
        first = len(inputs) + len(held)
        types = self.types or (next(iter(self.inputs.values())).dtype.name,)
        kept = [i for i in range(self.outputs) if i not in self.absent]
        node = Node(
            self.operator,
            inputs + constants,
            self.outputs,
            tuple((name, _kind(value), _stored(value)) for name, value in self.attributes.items()),
            self.absent,
        )
        graph = Graph(
            opset=self.opset,
            inputs=tuple(
                Port(name, NUMBERS[one.dtype.name], one.shape) for name, one in self.inputs.items()
            ),
            weights=len(held),
            constants=(),
            nodes=(node,),
            outputs=tuple(Port(f"y{i}", NUMBERS[types[min(i, len(types) - 1)]]) for i in kept),
            results=tuple(first + i for i in kept),
            arguments=(inputs, {}),
            structure=tuple(range(len(kept))),
        )
        return Content(graph, [tensor(one, i) for i, one in enumerate(held)])


def _kind(value: Any) -> int:
    if isinstance(value, str):
        return STRING
    if isinstance(value, float):
        return FLOAT
    if isinstance(value, int):
        return INT
    return STRINGS if isinstance(value[0], str) else INTS


def _stored(value: Any) -> Any:
    return value


rng = np.random.default_rng(0)


def f(*shape: int, low: float = -3, high: float = 3) -> np.ndarray:
    """Numbers drawn evenly."""
    return rng.uniform(low, high, shape).astype(np.float32)


def i(*values: Any, kind: Any = np.int64) -> np.ndarray:
    """Integers as an array."""
    return np.array(values if len(values) != 1 else values[0], kind)


def ints(*shape: int, low: int = -9, high: int = 9, kind: Any = np.int64) -> np.ndarray:
    """Integers drawn evenly, without 0."""
    drawn = rng.integers(low, high, shape)
    return np.where(drawn == 0, high, drawn).astype(kind)


def one(operator: str, *inputs: np.ndarray, **options: Any) -> One:
    """A case whose inputs are called x0, x1, ..."""
    return One(
        operator=operator, inputs={f"x{k}": each for k, each in enumerate(inputs)}, **options
    )


def of_each() -> Iterator[One]:
    """Operators of one number each."""
    plain = "Abs Neg Sign Floor Ceil Round Exp Sin Cos Atan Erf Relu Sigmoid Softplus Softsign"
    for name in f"{plain} Tanh HardSwish Mish Gelu LeakyRelu Elu Selu Celu Identity".split():
        for shape in ((), (7,), (2, 3, 5)):
            yield one(name, f(*shape))
    for name in ("Sqrt", "Log", "Reciprocal", "Tan"):
        yield one(name, f(3, 5, low=0.1, high=1.3))
    yield one("Round", np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49999997], np.float32))
    extremes = np.array([-1e9, -100, -1e-8, 0, 1e-8, 30, 100, 1e9], np.float32)
    for name in ("Sigmoid", "Tanh", "Erf", "Gelu", "Relu", "Softplus"):
        yield one(name, extremes)
    for name in ("HardSigmoid", "ThresholdedRelu", "Elu", "LeakyRelu"):
        yield one(name, f(11), attributes={"alpha": 0.4})
    yield one("Gelu", f(9), attributes={"approximate": "tanh"})
    yield one("Abs", ints(5))
    yield one("Neg", ints(5, kind=np.int32), types=("int32",))
    yield one("Swish", f(9), attributes={"alpha": 1.5}, opset=24)
    yield one("Not", i(True, False, kind=bool), types=("bool",))
    yield one("IsNaN", np.array([1, np.nan, np.inf], np.float32), types=("bool",))
    yield one("Clip", f(4, 4), constants=(np.float32(-1), np.float32(2)))
    yield one("Clip", f(4, 4), constants=(None, np.float32(0.5)))
    yield one("Clip", ints(9), constants=(i(-2), i(3)), types=("int64",))
    yield one("Dropout", f(3, 4))
    for to, kind in ((6, "int32"), (7, "int64"), (9, "bool"), (11, "float64"), (1, "float32")):
        yield one("Cast", f(3, 4), attributes={"to": to}, types=(kind,))
    yield one("Cast", i(True, False, kind=bool), attributes={"to": 1}, types=("float32",))
    yield one("CastLike", f(5), i(1), types=("int64",))


def of_pairs() -> Iterator[One]:
    """Operators of two arrays or more, of shapes that are broadcast."""
    shapes = [((3, 4), (3, 4)), ((2, 3, 4, 5), (3, 1, 1)), ((2, 3, 4), (4,)), ((5, 1), (1, 6))]
    shapes += [((2, 3, 8), ()), ((), (16,)), ((2, 1, 9), (1, 3, 9)), ((3, 1), (3, 12))]
    for name in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "PRelu"):
        for a, b in shapes[: 3 if name == "PRelu" else None]:
            yield one(name, f(*a), f(*b, low=0.5))
            yield one(name, f(*a), constants=(f(*b, low=0.5),))
    for name in ("Add", "Sub", "Mul", "Div", "Mod"):
        yield one(name, ints(3, 4), ints(4), types=("int64",))
        yield one(name, ints(3, 4, kind=np.int32), ints(4, kind=np.int32), types=("int32",))
    yield one("Mod", f(3, 4), f(4, low=0.5), attributes={"fmod": 1})
    yield one("Pow", f(3, 4, low=0.1), f(4))
    yield one("Pow", f(3, 4), constants=(np.float32(2),))
    for name in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"):
        yield one(name, ints(4, 5, low=-2, high=2), ints(5, low=-2, high=2), types=("bool",))
        yield one(name, f(4, 5), f(4, 1), types=("bool",))
    for name in ("And", "Or", "Xor"):
        yield one(name, f(9) > 0, f(9) > 0, types=("bool",))
    for name in ("Max", "Min", "Sum"):
        yield one(name, f(3, 4), f(4), f(3, 1))
        yield one(name, f(3, 4))
    yield one("Where", f(3, 4) > 0, f(4), f(3, 1), types=("float32",))
    yield one("Where", f(3, 1) > 0, ints(3, 4), ints(1), types=("int64",))


def of_products() -> Iterator[One]:
    """Convolutions and matrix products."""
    for m, k, n in ((1, 7, 3), (1, 32, 20), (5, 9, 17), (8, 16, 8), (3, 1, 4)):
        yield one("MatMul", f(m, k), constants=(f(k, n),))
        yield one("MatMul", f(m, k), f(k, n))
        yield one("Gemm", f(m, k), constants=(f(n, k), f(n)), attributes={"transB": 1})
    yield one("MatMul", f(2, 3, 4, 5), f(1, 3, 5, 6))
    yield one("MatMul", f(4), f(4))
    yield one("MatMul", f(3, 4), f(4))
    yield one("MatMul", f(2, 3, 4), constants=(f(4, 6),))
    yield one("MatMul", ints(3, 4), ints(4, 5), types=("int64",))
    scales = {"alpha": 0.5, "beta": 2.0}
    yield one("Gemm", f(4, 5), f(5, 6), f(4, 1), attributes=scales)
    yield one("Gemm", f(5, 4), f(5, 6), constants=(f(1, 6),), attributes={"transA": 1, **scales})
    yield one("Gemm", f(4, 5), constants=(f(5, 6), np.float32(2)), attributes=scales)
    yield one("Gemm", f(4, 5), constants=(f(5, 6),))
    for x, w, options in (
        ((2, 3, 9, 11), (5, 3, 3, 3), {"pads": (1, 1, 1, 1)}),
        ((1, 3, 9, 11), (8, 3, 5, 5), {"pads": (2, 1, 0, 2)}),
        ((2, 3, 7, 5), (5, 3, 3, 3), {"pads": (1, 1, 1, 1)}),
        ((2, 4, 4, 6), (6, 2, 5, 5), {"pads": (2, 2, 2, 2), "group": 2}),
        ((1, 3, 3, 9), (5, 3, 3, 5), {}),
        ((1, 3, 9, 7), (5, 3, 3, 3), {"dilations": (2, 1)}),
        ((2, 4, 8, 8), (9, 4, 1, 1), {}),
        ((2, 4, 3, 2), (3, 4, 1, 1), {}),
        ((1, 4, 9, 9), (6, 4, 3, 3), {"strides": (2, 2), "pads": (1, 1, 1, 1)}),
        ((1, 4, 12, 12), (6, 4, 3, 3), {"dilations": (2, 2)}),
        ((1, 4, 12, 12), (6, 4, 3, 3), {"dilations": (2, 1), "strides": (1, 1)}),
        ((2, 6, 9, 9), (6, 1, 3, 3), {"group": 6, "pads": (1, 1, 1, 1)}),
        ((2, 6, 9, 10), (6, 1, 3, 3), {"group": 6, "strides": (2, 2)}),
        ((1, 5, 4, 3), (5, 1, 2, 2), {"group": 5}),
        ((1, 6, 12, 12), (6, 1, 3, 3), {"group": 6, "strides": (3, 3)}),
        ((2, 6, 7, 9), (10, 3, 3, 2), {"group": 2}),
        ((1, 2, 4, 4), (2, 2, 4, 4), {}),
        ((1, 3, 9, 10), (4, 3, 3, 3), {"auto_pad": "SAME_UPPER", "strides": (2, 2)}),
        ((1, 3, 9, 10), (4, 3, 3, 3), {"auto_pad": "SAME_LOWER", "strides": (2, 2)}),
        ((2, 3, 20), (4, 3, 5), {"pads": (2, 2)}),
    ):
        yield one("Conv", f(*x), constants=(f(*w), f(w[0])), attributes=options)
        yield one("Conv", f(*x), constants=(f(*w),), attributes=options)
    yield one("Conv", f(1, 3, 8, 9), f(4, 3, 3, 3))
    for x, w, options in (
        ((2, 3, 4, 5), (3, 4, 3, 3), {}),
        ((1, 4, 4, 5), (4, 2, 3, 2), {"strides": (2, 3), "pads": (1, 0, 1, 1), "group": 2}),
        ((1, 3, 4, 4), (3, 2, 3, 3), {"strides": (2, 2), "output_padding": (1, 1)}),
        ((1, 3, 4, 4), (3, 2, 2, 2), {"dilations": (2, 2)}),
        ((2, 3, 7), (3, 4, 3), {"strides": (2,), "pads": (1, 1)}),
    ):
        per = w[1] * options.get("group", 1)
        yield one("ConvTranspose", f(*x), constants=(f(*w), f(per)), attributes=options)


def of_integers() -> Iterator[One]:
    """Quantised numbers, and products of integers."""
    scale, zero, floats = np.float32(0.05), np.uint8(120), ("float32",)
    yield one("QuantizeLinear", f(3, 5), constants=(scale, zero), types=("uint8",))
    yield one("QuantizeLinear", f(3, 5), constants=(scale, np.int8(-3)), types=("int8",))
    by_channel = (f(4, low=0.01, high=0.1), ints(4, kind=np.int8))
    yield one(
        "QuantizeLinear", f(2, 4, 3), constants=by_channel, types=("int8",), attributes={"axis": 1}
    )
    small = ints(2, 4, 3, low=-128, high=127, kind=np.int8)
    yield one("DequantizeLinear", small, constants=by_channel, attributes={"axis": 1}, types=floats)
    yield one("DequantizeLinear", small, constants=(scale,), types=floats)
    for low, high in ((-3, 3), (1, 2), (-5, -1)):
        x = f(4, 5, low=low, high=high)
        yield one("DynamicQuantizeLinear", x, outputs=3, types=("uint8", "float32", "uint8"))
    image = ints(2, 3, 9, 9, low=0, high=255, kind=np.uint8)
    weights = ints(5, 3, 3, 3, low=-128, high=127, kind=np.int8)
    padded = {"pads": (1, 1, 1, 1)}
    yield one("ConvInteger", image, constants=(weights, zero), types=("int32",), attributes=padded)
    a = ints(4, 6, low=0, high=255, kind=np.uint8)
    b = ints(6, 5, low=-128, high=127, kind=np.int8)
    yield one("MatMulInteger", a, constants=(b, zero, np.int8(3)), types=("int32",))
    yield one("MatMulInteger", a, b, types=("int32",))
    out = (np.float32(40), np.uint8(90))
    channels = (f(5, low=0.01, high=0.05), np.zeros(5, np.int8))
    bias = ints(5, low=-2000, high=2000, kind=np.int32)
    yield one(
        "QLinearConv",
        image,
        constants=(scale, zero, weights, *channels, *(np.float32(0.8), np.uint8(90)), bias),
        types=("uint8",),
        attributes=padded,
    )
    yield one(
        "QLinearMatMul",
        a,
        constants=(scale, zero, b, np.float32(0.5), np.int8(0), *out),
        types=("uint8",),
    )


def of_layout() -> Iterator[One]:
    """Operators that move elements."""
    x = f(2, 3, 4, 5)
    yield one("Transpose", x)
    yield one("Transpose", x, attributes={"perm": (0, 2, 3, 1)})
    yield one("Transpose", ints(3, 4), types=("int64",))
    for shape in ((2, -1), (0, 0, 20), (120,)):
        yield one("Reshape", x, constants=(i(shape),))
    yield one("Flatten", x)
    yield one("Flatten", x, attributes={"axis": 3})
    yield one("Squeeze", f(2, 1, 3, 1))
    yield one("Squeeze", f(2, 1, 3, 1), constants=(i([-1]),))
    yield one("Unsqueeze", x, constants=(i([0, -1]),))
    yield one("Shape", x, types=("int64",))
    yield one("Shape", x, types=("int64",), attributes={"start": 1, "end": -1})
    yield one("Size", x, types=("int64",))
    yield one("Expand", f(3, 1), constants=(i(2, 3, 4),))
    yield one("Tile", f(2, 3), constants=(i(2, 3),))
    for axis in (0, 1, -1):
        yield one("Concat", x, x + 1, attributes={"axis": axis})
    yield one("Split", f(6, 5), outputs=3, attributes={"axis": 0, "num_outputs": 3})
    yield one("Split", f(5, 7), constants=(i(3, 4),), outputs=2, attributes={"axis": 1})
    for starts, ends, axes, steps in (
        ([1], [3], [2], [1]),
        ([0, -1], [2**31, -(2**31)], [1, 3], [2, -1]),
        ([-2], [2**62], [-1], [1]),
        ([3], [1], [3], [1]),
    ):
        yield one("Slice", x, constants=(i(starts), i(ends), i(axes), i(steps)))
    for mode in ("constant", "edge", "reflect", "wrap"):
        yield (
            one("Pad", x, constants=(i(0, 1, 2, 2, 0, 0, 1, 3),), attributes={"mode": mode})
            if mode != "constant"
            else one("Pad", x, constants=(i(0, 1, 2, 2, 0, 0, 1, 3), np.float32(7)))
        )
    yield one("Pad", x, constants=(i(-1, 2), None, i([3])))
    for axis in (0, 1, -1):
        yield one("Gather", x, constants=(i([[0, 1], [-1, 1]]),), attributes={"axis": axis})
    yield one("Gather", x, constants=(i(1),), attributes={"axis": 2})
    yield one("GatherElements", f(3, 4), ints(3, 2, low=-3, high=2), attributes={"axis": 1})
    yield one("GatherND", x, constants=(i([[0, 1], [1, -1]]),))
    yield one("GatherND", x, constants=(i([[0], [1]]),), attributes={"batch_dims": 1})
    yield one("Range", i(2), i(11), i(3), types=("int64",))
    yield one("ConstantOfShape", i(2, 3), types=("float32",))
    for upper in (0, 1):
        yield one("Trilu", f(2, 4, 5), attributes={"upper": upper})
        yield one("Trilu", f(4, 5), constants=(i(-1),), attributes={"upper": upper})
    for mode in ("DCR", "CRD"):
        yield one("DepthToSpace", f(2, 12, 3, 2), attributes={"blocksize": 2, "mode": mode})
    yield one("SpaceToDepth", f(2, 3, 4, 6), attributes={"blocksize": 2})
    for axis in (0, -1):
        yield one(
            "OneHot",
            ints(2, 3, low=-4, high=3),
            constants=(i(4), np.array([0.5, 2], np.float32)),
            attributes={"axis": axis},
            types=("float32",),
        )


def of_many() -> Iterator[One]:
    """Operators that compute numbers from many."""
    x = f(2, 3, 4, 5, low=0.1)
    reductions = "Sum Mean Max Min Prod L1 L2 SumSquare LogSum"
    for name in reductions.split():
        for axes in ([1], [-1], [0, 2], [2, 3]):
            yield one(
                f"Reduce{name}", x, constants=(i(axes),), attributes={"keepdims": len(axes) - 1}
            )
        yield one(f"Reduce{name}", x)
    yield one("ReduceSum", x, attributes={"noop_with_empty_axes": 1})
    yield one("ReduceSum", ints(3, 4), constants=(i([1]),), types=("int64",))
    for name in ("ArgMax", "ArgMin"):
        for axis in (0, 2, -1):
            yield one(name, x, attributes={"axis": axis, "keepdims": axis % 2}, types=("int64",))
    ties = i([[1, 3, 3], [2, 2, 2]]).astype(np.float32)
    yield one("ArgMax", ties, attributes={"axis": 1, "select_last_index": 1}, types=("int64",))
    for axis in (1, -1):
        both = ("float32", "int64")
        yield one("TopK", x, constants=(i([2]),), attributes={"axis": axis}, outputs=2, types=both)
    yield one("TopK", x, constants=(i([2]),), attributes={"largest": 0}, outputs=2, types=both)
    for name in ("Softmax", "LogSoftmax"):
        for axis in (1, -1):
            yield one(name, x, attributes={"axis": axis})
    yield one("Softmax", np.array([[-np.inf, 0, 200], [1, 2, 3]], np.float32))
    yield one("LayerNormalization", x, constants=(f(5), f(5)))
    yield one("LayerNormalization", x, constants=(f(4, 5),), attributes={"axis": 2})
    yield one("RMSNormalization", x, constants=(f(5),), opset=23)
    yield one("InstanceNormalization", x, constants=(f(3), f(3)))
    yield one(
        "GroupNormalization",
        f(2, 6, 4),
        constants=(f(6), f(6)),
        attributes={"num_groups": 3},
        opset=21,
    )
    yield one("BatchNormalization", x, constants=(f(3), f(3), f(3), f(3, low=0.1)))
    yield one("BatchNormalization", f(3, 6), constants=(f(6), f(6), f(6), f(6, low=0.1)))
    for name in ("MaxPool", "AveragePool"):
        for options in (
            {"kernel_shape": (2, 2), "strides": (2, 2)},
            {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)},
            {"kernel_shape": (3, 2), "strides": (2, 3), "ceil_mode": 1},
            {"kernel_shape": (2, 2), "dilations": (2, 1)},
            {"kernel_shape": (3, 3), "auto_pad": "SAME_UPPER", "strides": (2, 2)},
        ):
            yield one(name, f(2, 3, 9, 11), attributes=options)
        yield one(name, f(2, 3, 12), attributes={"kernel_shape": (3,)})
    options = {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1), "count_include_pad": 1}
    yield one("AveragePool", f(2, 3, 9, 11), attributes=options)
    yield one("GlobalAveragePool", x)
    yield one("GlobalMaxPool", x)
    yield one("CumSum", x, constants=(i(2),))


def of_sequences() -> Iterator[One]:
    """Recurrent layers: forwards, backwards and both; states; lengths."""
    times, n, wide, size = 5, 3, 4, 6
    for name, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        for direction, count in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
            weights = (f(count, gates * size, wide, low=-1), f(count, gates * size, size, low=-1))
            options: dict[str, Any] = {"hidden_size": size, "direction": direction}
            if name == "GRU":
                options["linear_before_reset"] = 1
            made = {"attributes": options, "outputs": 3 if name == "LSTM" else 2}
            bias = f(count, 2 * gates * size, low=-1)
            yield one(name, f(times, n, wide), constants=(*weights, bias), **made)
            yield one(name, f(times, n, wide), constants=weights, **made)
            lengths = i(5, 2, 3, kind=np.int32)
            states = [f(count, n, size, low=-1)] * (2 if name == "LSTM" else 1)
            yield one(name, f(times, n, wide), constants=(*weights, bias, lengths, *states), **made)
    weights = (f(1, 4 * size, wide), f(1, 4 * size, size), f(1, 8 * size))
    holes = (*weights, None, None, None, f(1, 3 * size))
    yield one("LSTM", f(times, n, wide), constants=holes, attributes={"hidden_size": size})


def cases() -> list[One]:
    """All of them."""
    makers = (of_each, of_pairs, of_products, of_integers, of_layout, of_many, of_sequences)
    return [case for make in makers for case in make()]
