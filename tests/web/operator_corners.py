"""Graphs of one operator at the corners of what it is defined for, beside operator_cases.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from operator_cases import One, f, i, one

from shoestring.artifact.format.file import Content
from shoestring.artifact.format.graph import Node

nan, inf = np.nan, np.inf
MOST = 2**53 - 1  # the largest integer that the runtime in web/ computes with


def floats(*values: float) -> np.ndarray:
    """Numbers as float32."""
    return np.array(values, np.float32)


@dataclass(frozen=True, kw_only=True)
class RoundTrip(One):
    """QuantizeLinear and DequantizeLinear with one scale, which the runtime joins."""

    def content(self) -> Content:
        """A file of both."""
        made = super().content()
        (node,) = made.graph.nodes
        scale, zero = node.inputs[1:3]
        last = made.graph.results[0]
        back = Node("DequantizeLinear", (last, scale, zero), 1, (), ())
        graph = replace(made.graph, nodes=(node, back), results=(last + 1,))
        return Content(graph, made.tensors)


def of_large_integers() -> Iterator[One]:
    """Integers near the ends of their types."""
    ends = i(2**31 - 1, 2**30 + 1, -(2**31), kind=np.int32)
    factors = i(2**31 - 1, 2**30 + 7, 3, kind=np.int32)
    yield one("Mul", ends, factors, types=("int32",))
    yield one("Mul", ends.astype(np.uint32), factors.astype(np.uint32), types=("uint32",))
    yield one("MatMul", ends[None], factors[:, None], types=("int32",))
    bases, powers = (2, 3, 0, -2, 2), (-1, 2, 5, 31, 30)
    for kind in (np.int32, np.int64):
        name = np.dtype(kind).name
        yield one("Pow", i(*bases, kind=kind), i(*powers, kind=kind), types=(name,))
        yield one("Pow", i(2, 3, 7, kind=kind), floats(0.5, 2, 2.5), types=(name,))
        for mean in ("Mean", "L1", "L2", "SumSquare", "Prod"):
            yield one(f"Reduce{mean}", i(2, 3, -6, kind=kind), types=(name,))
    yield one("Identity", i(MOST, -MOST), types=("int64",))
    yield one("Add", i(MOST - 1, -MOST), i(1, 0), types=("int64",))
    yield one("ReduceSum", i(2**52, 2**52 - 1), types=("int64",))
    yield one("Cast", i(MOST, -MOST, 2**32 + 7), attributes={"to": 6}, types=("int32",))
    whole = floats(-1.5, 300, 2.0**31 - 128, -(2.0**31))
    for to, name in ((6, "int32"), (7, "int64"), (3, "int8"), (2, "uint8"), (12, "uint32")):
        yield one("Cast", whole, attributes={"to": to}, types=(name,))
    yield one("Cast", floats(3e9, 2.0**32 - 256), attributes={"to": 12}, types=("uint32",))
    yield one("Slice", f(5, 3), constants=(i([1]), i([2**63 - 1])), types=("float32",))
    yield one("Less", i(1, MOST), constants=(i([2**63 - 1]),), types=("bool",))
    yield one("Min", i(1, MOST), constants=(i([2**63 - 1]),), types=("int64",))


def of_no_number() -> Iterator[One]:
    """NaN and infinities."""
    x = floats(0.5, -0.5, 300, -300, nan, inf, -inf, 1e30)
    for zero in (np.uint8(0), np.uint8(128), np.int8(0), np.int8(-3)):
        made: dict[str, Any] = {"constants": (np.float32(0.1), zero)}
        yield one("QuantizeLinear", x, types=(zero.dtype.name,), **made)
        yield RoundTrip(operator="QuantizeLinear", inputs={"x0": x}, types=("float32",), **made)
    both = {"outputs": 2, "types": ("float32", "int64")}
    for x in (floats(1, 1, nan, 2, nan, -inf), floats(nan, inf, 3, nan, inf, -inf, 3)):
        for k in (1, 2, 4, 6):
            for largest in (0, 1):
                yield one("TopK", x, constants=(i([k]),), attributes={"largest": largest}, **both)


def of_empty_axes() -> Iterator[One]:
    """Axes of no element, and reductions of no axis."""
    for starts, ends in ((-1, -10), (0, -5), (3, 0)):
        by = (i([starts]), i([ends]), i([0]), i([-1]))
        yield one("Slice", np.zeros((0, 3), np.float32), constants=by)
    for name in ("ArgMax", "ArgMin"):
        empty = np.zeros((0, 3), np.float32)
        yield one(name, empty, attributes={"axis": 1}, types=("int64",))
    for name in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum"):
        options = {"attributes": {"noop_with_empty_axes": 1}, "opset": 18}
        yield one(f"Reduce{name}", f(2, 3, 5), **options)
        yield one(f"Reduce{name}", f(7), constants=(i([]),), **options)


def of_borders() -> Iterator[One]:
    """Padding that is partly outside, or takes elements away; scales that are broadcast."""
    for image in ((9, 8), (7, 6), (5, 5)):
        for kernel, strides in (((3, 3), (2, 2)), ((4, 3), (3, 2)), ((2, 3), (3, 3))):
            for opset in (12, 19):
                options = {
                    "kernel_shape": kernel,
                    "strides": strides,
                    "pads": (1, 1, 1, 1),
                    "ceil_mode": 1,
                    "count_include_pad": 1,
                }
                yield one("AveragePool", f(1, 2, *image), attributes=options, opset=opset)
    for mode in ("constant", "edge", "reflect", "wrap"):
        for before, after in ((2, -2), (-2, 2), (1, -3), (-3, 1), (-1, -1)):
            yield one("Pad", f(5), constants=(i(before, after),), attributes={"mode": mode})
    yield one("Pad", f(4, 5), constants=(i(-1, 3, -2, -2),), attributes={"mode": "wrap"})
    x = f(2, 3, 4)
    for shape in ((4,), (3, 1), (1, 4), (3, 4), (1,), ()):
        yield one("LayerNormalization", x, constants=(f(*shape),), attributes={"axis": 1})
        both = (f(3, 4), f(*shape))
        yield one("LayerNormalization", x, constants=both, attributes={"axis": 1})


def corners() -> list[One]:
    """All of them."""
    makers = (of_large_integers, of_no_number, of_empty_axes, of_borders)
    return [case for make in makers for case in make()]


def refused() -> Iterator[tuple[One, str]]:
    """Cases that have no answer in the runtime of web/, with what it says of each."""
    large = {"types": ("int64",)}
    bits = "int64 of up to 53 bits"
    yield one("Identity", i([1]), constants=(), **large), ""
    for value in (2**63 - 1, -(2**63), 2**53, 2**53 + 1):
        yield one("Where", i([True], kind=bool), constants=(i([value]), i([0])), **large), bits
        yield one("Add", i([1]), constants=(i([value]),), **large), bits
    yield one("Mod", i([10]), constants=(i([2**63 - 1]),), **large), bits
    yield one("ReduceProd", i(2**52, 2**52, 5), **large), bits
    yield one("ReduceSum", i(MOST, 1), **large), bits
    yield one("ReduceSum", i(MOST, MOST, -MOST), **large), bits
    yield one("ReduceSumSquare", i(2**30, 1), **large), bits
    yield one("CumSum", i(MOST, 1, -5), constants=(i(0),), **large), bits
    yield one("MatMul", i([[2**30, 2**30]]), i([[2**30], [-(2**30)]]), **large), bits
    yield one("Pow", i([3]), constants=(i([40]),), **large), bits
    yield one("Pow", i([0]), constants=(i([-1]),), **large), bits
    for value in (1e30, nan, inf, -inf):
        yield one("Cast", floats(value), attributes={"to": 7}, **large), bits
        for to, name in ((6, "int32"), (12, "uint32"), (2, "uint8")):
            yield one("Cast", floats(value), attributes={"to": to}, types=(name,)), f"is no {name}"
    yield one("Cast", floats(-3e9), attributes={"to": 12}, types=("uint32",)), "is no uint32"
    yield one("Cast", i([2**31]), constants=(), attributes={"to": 1}, types=("float32",)), ""
    small = {"types": ("int32",)}
    yield one("Pow", i([2], kind=np.int32), i([40], kind=np.int32), **small), "is no int32"
    yield one("ReduceL1", i(2**31 - 1, 1, kind=np.int32), **small), "is no int32"
    yield one("ReduceProd", i(*[2**30] * 3, kind=np.int32), **small), "is no int32"
    for name in ("ArgMax", "ArgMin"):
        yield one(name, np.zeros((0, 3), np.float32), **large), "axis 0 of [0,3] has no elements"
    for mode in ("edge", "reflect", "wrap"):
        case = one("Pad", f(5), constants=(i(5, -5),), attributes={"mode": mode})
        yield case, "leave nothing of [5]"
    case = one("LayerNormalization", f(2, 3, 4), constants=(f(3),), attributes={"axis": 1})
    yield case, "[3] and [3,4] do not fit"
