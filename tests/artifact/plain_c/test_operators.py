"""Each operator as C, in random shapes, beside what ONNX Runtime gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tiers
from c_compiled import build, needs_gcc, outputs
from c_graphs import Made

from shoestring.artifact.plain_c.coded_weights import Coded
from shoestring.artifact.plain_c.export import CFile, export_c
from shoestring.artifact.plain_c.weight_source import Decoded, Packed
from shoestring.artifact.runtime.loaded import Loaded

pytestmark = needs_gcc
Random = np.random.Generator
STORAGES = (Decoded(), Packed(), Coded())


def few_levels(drawn: Random, shape: tuple[int, ...]) -> np.ndarray:
    """Weights as compression leaves them, of several kinds."""
    kind = drawn.integers(0, 4)
    if kind == 0:
        return drawn.normal(size=shape).astype(np.float32)
    if kind == 1:  # a grid, mostly zeros
        integers = drawn.integers(-3, 4, shape) * (drawn.random(shape) < 0.4)
        return (integers.astype(np.float32) * np.float32(0.173)).astype(np.float32)
    levels = drawn.normal(size=7).astype(np.float32)
    levels[0] = 0 if kind == 2 else levels[0]  # shared weights, with a zero or without
    return levels[drawn.integers(0, 7, shape)]


def convolution(drawn: Random, made: Made) -> str:
    groups = int(drawn.choice([1, 1, 2]))
    channels, rows = groups * int(drawn.integers(1, 3)), groups * int(drawn.integers(1, 4))
    kernel = tuple(int(n) for n in drawn.integers(1, 4, 2))
    if drawn.random() < 0.3:
        groups = rows = channels  # depthwise
    size = tuple(int(n) for n in drawn.integers(7, 11, 2))
    made.inputs["x"] = (1, channels, *size)
    made.types["x"] = "float32"
    attributes = {
        "strides": tuple(int(n) for n in drawn.integers(1, 3, 2)),
        "dilations": tuple(int(n) for n in drawn.integers(1, 3, 2)),
        "pads": tuple(int(n) for n in drawn.integers(0, 2, 4)),
        "group": groups,
    }
    weight = made.weight(few_levels(drawn, (rows, channels // groups, *kernel)))
    inputs = ["x", weight]
    if drawn.random() < 0.7:
        inputs.append(made.weight(drawn.normal(size=rows)))
    value = made.node("Conv", *inputs, **attributes)
    if drawn.random() < 0.4:
        value = made.node(
            "BatchNormalization",
            value,
            drawn.normal(size=rows),
            drawn.normal(size=rows),
            drawn.normal(size=rows),
            drawn.random(rows) + 0.5,
        )
    if drawn.random() < 0.5:
        value = made.node("Relu", value)
    if drawn.random() < 0.4:
        value = made.node("MaxPool", value, kernel_shape=(2, 2), strides=(1, 2))
    if drawn.random() < 0.3:
        value = made.node("Clip", value, np.float32(-0.5), np.float32(0.7))
    return value


def transposed(drawn: Random, made: Made) -> str:
    """A transposed convolution of one or two axes, with what may follow it."""
    axes = int(drawn.integers(1, 3))
    groups = int(drawn.choice([1, 1, 2]))
    channels, rows = groups * int(drawn.integers(1, 3)), int(drawn.integers(1, 4))
    kernel = tuple(int(n) for n in drawn.integers(1, 5, axes))
    made.inputs["x"] = (1, channels, *(int(n) for n in drawn.integers(3, 6, axes)))
    made.types["x"] = "float32"
    strides = [int(n) for n in drawn.integers(1, 4, axes)]
    attributes: dict[str, object] = {
        "strides": strides,
        "dilations": [int(n) for n in drawn.integers(1, 3, axes)],
        "group": groups,
    }
    if drawn.random() < 0.7:
        attributes["pads"] = [int(n) for n in drawn.integers(0, 3, 2 * axes)]
        attributes["output_padding"] = [int(drawn.integers(0, one)) for one in strides]
    else:
        attributes["auto_pad"] = str(drawn.choice(["SAME_UPPER", "SAME_LOWER"]))
    inputs = ["x", made.weight(few_levels(drawn, (channels, rows, *kernel)))]
    if drawn.random() < 0.7:
        inputs.append(made.weight(drawn.normal(size=groups * rows)))
    value = made.node("ConvTranspose", *inputs, **attributes)
    if drawn.random() < 0.4:
        value = made.node("Mul", value, drawn.normal(size=(groups * rows, *[1] * axes)))
    return made.node("Relu", value) if drawn.random() < 0.5 else value


def blocks(drawn: Random, made: Made) -> str:
    """What spreads, repeats and sums elements."""
    side = int(drawn.integers(1, 4))
    height, width = (side * int(n) for n in drawn.integers(1, 4, 2))
    made.inputs["x"] = (1, side * side * int(drawn.integers(1, 3)), height, width)
    made.types["x"] = "float32"
    value = made.node("Relu", "x")
    kind = int(drawn.integers(0, 5))
    if kind == 0:
        mode = str(drawn.choice(["DCR", "CRD"]))
        return made.node("DepthToSpace", value, blocksize=side, mode=mode)
    if kind == 1:
        return made.node("SpaceToDepth", value, blocksize=side)
    if kind == 2:
        return made.node("Tile", value, np.array([1, *drawn.integers(1, 3, 3)]))
    if kind == 3:
        more = {"exclusive": int(drawn.integers(0, 2)), "reverse": int(drawn.integers(0, 2))}
        return made.node("CumSum", value, np.array(int(drawn.integers(-3, 4))), **more)
    scales = np.array([1, 1, *drawn.integers(1, 4, 2)], np.float32)
    modes = (("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"))
    coordinates, nearest = modes[int(drawn.integers(0, 2))]
    return made.node(
        "Resize",
        value,
        None,
        scales,
        mode="nearest",
        coordinate_transformation_mode=coordinates,
        nearest_mode=nearest,
    )


def lookup(drawn: Random, made: Made) -> str:
    """Elements at places that are computed: the largest of other elements."""
    shape = tuple(int(n) for n in drawn.integers(2, 5, 3))
    made.inputs["x"], made.types["x"] = shape, "float32"
    kind = int(drawn.integers(0, 3))
    axis = int(drawn.integers(1 if kind == 0 else 0, 3))
    narrow = made.node("Slice", "x", [0], [shape[axis]], [2]) if shape[2] > shape[axis] else "x"
    index = made.node("ArgMax", narrow, axis=2, keepdims=1)
    if shape[2] > shape[axis] or drawn.random() < 0.5:
        index = made.node("Sub", index, np.array(1))  # -1 is the last element
    if kind == 0:
        if drawn.random() < 0.5:
            index = made.node("Expand", index, np.array([shape[0], shape[1], shape[2]]))
        return made.node("GatherElements", "x", index, axis=axis)
    if kind == 1:
        return made.node("Gather", drawn.normal(size=(3, 8, 2)), index, axis=1)
    return made.node("Gather", made.node("Relu", "x"), index, axis=axis)


def product(drawn: Random, made: Made) -> str:
    columns, rows = (int(n) for n in drawn.integers(1, 20, 2))
    if drawn.random() < 0.5:
        made.inputs["x"] = (1, columns)
        value = made.node(
            "Gemm",
            "x",
            few_levels(drawn, (rows, columns)),
            drawn.normal(size=rows),
            transB=1,
            alpha=float(drawn.choice([1.0, 0.5])),
        )
    else:
        made.inputs["x"] = (1, int(drawn.integers(1, 5)), columns)
        value = made.node("MatMul", "x", few_levels(drawn, (columns, rows)))
        value = made.node("Add", value, drawn.normal(size=rows))
    made.types["x"] = "float32"
    return made.node("Relu", value) if drawn.random() < 0.5 else value


POINTWISE = {
    "Sigmoid": {},
    "Tanh": {},
    "HardSwish": {},
    "HardSigmoid": {"alpha": 0.25},
    "LeakyRelu": {"alpha": 0.1},
    "Elu": {},
    "Gelu": {},
    "Exp": {},
    "Abs": {},
    "Neg": {},
    "Softplus": {},
    "Relu": {},
    "Round": {},
    "Sign": {},
    "Mish": {},
}


def pointwise(drawn: Random, made: Made) -> str:
    shape = (1, *(int(n) for n in drawn.integers(1, 5, 3)))
    made.inputs["x"] = made.inputs["y"] = shape
    made.types["x"] = made.types["y"] = "float32"
    value = "x"
    for operator in drawn.choice(list(POINTWISE), 2):
        value = made.node(str(operator), value, **POINTWISE[str(operator)])
    other = drawn.choice(["y", "row", "scalar", "channel"])
    operand = {
        "y": "y",
        "row": drawn.normal(size=shape[-1]),
        "scalar": np.float32(1.5),
        "channel": drawn.normal(size=(shape[1], 1, 1)),
    }[str(other)]
    value = made.node(str(drawn.choice(["Add", "Sub", "Mul", "Max", "Min"])), value, operand)
    if drawn.random() < 0.5:
        truth = made.node("Less", value, "y")
        value = made.node("Where", truth, value, np.float32(0.25))
    return made.node("Add", value, "y")


def moving(drawn: Random, made: Made) -> str:
    shape = (1, *(int(n) for n in drawn.integers(3, 6, 3)))
    made.inputs["x"], made.types["x"] = shape, "float32"
    value = made.node("Relu", "x")
    order = tuple(int(n) for n in drawn.permutation(4))
    value = made.node("Transpose", value, perm=order)
    shape = tuple(shape[axis] for axis in order)
    axis = int(np.argmax(shape))
    value = made.node(
        "Slice",
        value,
        np.array([shape[axis] - 1]),
        np.array([-(2**31)]),
        np.array([axis]),
        np.array([-int(drawn.integers(1, 3))]),
    )
    pads = [int(n) for n in drawn.integers(0, 3, 8)]
    value = made.node("Pad", value, np.array(pads), np.float32(0.5))
    both = made.node("Concat", value, made.node("Neg", value), axis=int(drawn.integers(0, 4)))
    places = drawn.integers(0, 2, int(drawn.integers(1, 6)))
    chosen = made.node("Gather", both, places, axis=axis) if shape[axis] > 1 else both
    return made.node("Flatten", chosen)


def reducing(drawn: Random, made: Made) -> str:
    shape = (1, *(int(n) for n in drawn.integers(4, 8, 3)))
    made.inputs["x"], made.types["x"] = shape, "float32"
    kind = int(drawn.integers(0, 5))
    if kind == 0:
        return made.node(
            "AveragePool",
            "x",
            kernel_shape=(3, 2),
            strides=(2, 1),
            pads=(1, 0, 1, 1),
            count_include_pad=int(drawn.integers(0, 2)),
        )
    if kind == 1:
        return made.node("MaxPool", "x", kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    if kind == 2:
        return made.node(str(drawn.choice(["GlobalAveragePool", "GlobalMaxPool"])), "x")
    if kind == 3:
        axis = int(drawn.integers(1, 4))
        return made.node(str(drawn.choice(["Softmax", "LogSoftmax"])), "x", axis=axis)
    operator = str(drawn.choice(["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"]))
    axes = np.sort(drawn.choice([1, 2, 3], int(drawn.integers(1, 3)), replace=False))
    return made.node(operator, "x", axes, keepdims=int(drawn.integers(0, 2)))


def attention(drawn: Random, made: Made) -> str:
    """Heads of attention over a few positions, between normalisations."""
    heads, length, width = (int(n) for n in drawn.integers(1, 4, 3))
    made.inputs["x"], made.types["x"] = (1, heads, length, width), "float32"
    value = made.node(
        "LayerNormalization",
        "x",
        drawn.normal(size=width),
        drawn.normal(size=width),
        epsilon=0.01,
    )
    turned = made.node("Transpose", value, perm=(0, 1, 3, 2))
    scores = made.node("Softmax", made.node("MatMul", value, turned), axis=-1)
    value = made.node("MatMul", scores, "x")
    if drawn.random() < 0.5:
        shared = made.node("Relu", made.node("Slice", "x", [0], [1], [1]))
        value = made.node("MatMul", scores, shared)
    return made.node(
        "InstanceNormalization",
        value,
        drawn.normal(size=heads),
        drawn.normal(size=heads),
        epsilon=0.1,
    )


KINDS: dict[str, Callable[[Random, Made], str]] = {
    "convolution": convolution,
    "product": product,
    "pointwise": pointwise,
    "moving": moving,
    "reducing": reducing,
    "attention": attention,
    "transposed": transposed,
    "blocks": blocks,
    "lookup": lookup,
}


def graphs(kind: str, count: int) -> list[tuple[CFile, Loaded]]:
    """Networks of one kind with random shapes, each as C and as the runtime has it."""
    made: list[tuple[CFile, Loaded]] = []
    for seed in range(count):
        drawn = np.random.default_rng(seed)
        graph = Made()
        content = graph.content(KINDS[kind](drawn, graph))
        made.append(
            (
                export_c(
                    content,
                    name=f"n{seed}",
                    weights=STORAGES[seed % 3],
                    reuse_inputs=bool(seed & 4),
                ),
                Loaded(content, threads=1),
            )
        )
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_random_graphs_give_what_the_runtime_gives(kind, tmp_path):
    made = graphs(kind, tiers.repetitions(9, 150))
    program = build([one for one, _ in made], tmp_path)
    for number, (network, loaded) in enumerate(made):
        drawn = np.random.default_rng(number)
        cases = [
            [drawn.normal(size=port.shape).astype(np.float32) for port in network.emitted.inputs]
            for _ in range(3)
        ]
        for case, got in zip(cases, outputs(network, program, cases, number), strict=True):
            wanted = np.asarray(loaded(*case)[0])
            scale = max(float(np.abs(wanted).max(initial=0)), 1e-3)
            assert got[0].shape == wanted.shape
            np.testing.assert_allclose(
                got[0], wanted, rtol=0, atol=1e-5 * scale, err_msg=f"{number}"
            )


@pytest.mark.by_default("convolution", "p*", "moving", "reducing", "attention", "transposed")
@pytest.mark.parametrize("kind", KINDS)
def test_odd_numbers_reach_nothing_outside(kind, tmp_path):
    """Infinities, NaN and numbers that overflow: no sanitizer finds anything."""
    made = graphs(kind, tiers.repetitions(3, 40))
    program = build([one for one, _ in made], tmp_path)
    odd = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0.0, -0.0], np.float32)
    for number, (network, _) in enumerate(made):
        drawn = np.random.default_rng(number)
        cases = [[drawn.choice(odd, port.shape) for port in network.emitted.inputs]]
        outputs(network, program, cases, number)
