"""Small contents for the tests of files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from shoestring.artifact.format.entries import among
from shoestring.artifact.format.file import Checkpoint, Content, Entries
from shoestring.artifact.format.graph import FLOAT, INT, INTS, STRING, TENSOR, Graph, Node, Port
from shoestring.artifact.format.tensors import Tensor, tensor


def linear() -> Content:
    """y = x @ w + b, with x of N by 3: one tensor of three levels, one plain."""
    weights = np.array([[0.5, -0.5], [0.0, 0.5], [-0.5, 0.5]], np.float32)
    bias = np.array([0.1, -0.2], np.float32)
    graph = Graph(
        opset=20,
        inputs=(Port("x", 1, ("N", 3)),),
        weights=2,
        constants=(),
        nodes=(Node("Gemm", (0, 1, 2), 1),),
        outputs=(Port("y", 1),),
        results=(3,),
        arguments=((0,), {}),
        structure=0,
    )
    return Content(graph, [tensor(weights, 0), tensor(bias, 1)])


def nested() -> Content:
    """Takes (a, (b, None)), scale=s: returns {"sum": a + b, "rest".

    [top values of a * s, their places]}.
    """
    graph = Graph(
        opset=20,
        inputs=(Port("a", 1, ("N", 4)), Port("pair.0", 1, ("N", 4)), Port("scale", 1, ())),
        weights=1,
        constants=(tensor(np.array([2])), tensor(np.float32(-0.0).reshape(()))),
        nodes=(
            Node("Add", (0, 1), 1),
            Node("Mul", (0, 2), 1),
            Node("TopK", (7, 4), 2, (("axis", INT, -1), ("sorted", INT, 1))),
            Node("Clip", (6, None, 3), 1),
            Node("Add", (10, 5), 1),
        ),
        outputs=(Port("sum", 1), Port("rest.0", 1), Port("rest.1", 7)),
        results=(11, 8, 9),
        arguments=((0, (1, None)), {"scale": 2}),
        structure={"sum": 0, "rest": [1, 2], "none": None},
    )
    return Content(graph, [tensor(np.float32(1e9).reshape(()))])


def several() -> Entries:
    """Two graphs over four tensors: `linear`, called encode, and `nested`, called step.

    The last tensor is read by none.
    """
    first, second = linear(), nested()
    spare = tensor(np.array([[7, 8], [9, 10]]), 3)
    graphs = {
        "encode": among(first.graph, (0, 1), 4),
        "step": among(second.graph, (2,), 4),
    }
    scale = replace(second.tensors[0], member=2)
    return Entries(graphs, [*first.tensors, scale, spare])


def attributes() -> Graph:
    """A graph with an attribute of each type, an absent input and an absent output."""
    value = tensor(np.array([1.5], np.float32))
    return Graph(
        opset=21,
        inputs=(Port("x", 1, ("N", 1, 8, "W")), Port("é", 10, ())),
        weights=1,
        constants=(
            tensor(np.arange(-3, 3).reshape(2, 3)),
            tensor(np.array([True, False])),
            tensor(np.empty((0, 5), np.float16)),
        ),
        nodes=(
            Node("Shape", (0,), 1),
            Node("ConstantOfShape", (6,), 1, (("value", TENSOR, value),)),
            Node(
                "AveragePool",
                (0,),
                1,
                (("kernel_shape", INTS, (2, 2)), ("auto_pad", STRING, "SAME_UPPER")),
            ),
            Node("LeakyRelu", (8,), 1, (("alpha", FLOAT, 0.25),)),
            Node(
                "RNN",
                (9, 2, 2, None, None),
                2,
                (("activations", 8, ("Tanh",)), ("activation_alpha", 6, (0.5, -1.0))),
                (0,),
            ),
        ),
        outputs=(Port("y", 1), Port("z", 1), Port("same", 1)),
        results=(11, 7, 0),
        arguments=(({"x": 0}, [1]), {"flag": None}),
        structure=(0, [1, {"a": 2}]),
    )


def varied(seed: int = 0) -> Content:
    """A convolution with batch norm and every coding among its tensors."""
    rng = np.random.default_rng(seed)
    kernel = rng.choice(np.array([-0.3, 0, 0, 0, 0.7], np.float32), (4, 1, 3, 3))
    sparse = np.where(rng.random((16, 40)) < 0.05, rng.normal(size=(16, 40)), 0).astype(np.float32)
    tensors: list[Tensor] = [tensor(kernel, 0), tensor(np.full(4, 0.25, np.float32), 1)]
    tensors += [tensor(rng.normal(size=4).astype(np.float32) ** 2, place) for place in (2, 3, 5)]
    tensors += [tensor(sparse, 6), tensor(rng.integers(-8, 8, 300))]
    graph = Graph(
        opset=20,
        inputs=(Port("x", 1, ("N", 1, 4, 4)),),
        weights=7,
        constants=(tensor(np.array([-1, 16])),),
        nodes=(
            Node("Conv", (0, 1), 1, (("pads", INTS, (1, 1, 1, 1)),)),
            Node("BatchNormalization", (9, 2, 3, 4, 5), 1, (("epsilon", FLOAT, 2.0**-10),)),
            Node("Relu", (10,), 1),
            Node("Reshape", (11, 8), 1),
            Node("MatMul", (12, 6), 1),
        ),
        outputs=(Port("y", 1), Port("z", 7)),
        results=(13, 7),
        arguments=((0,), {}),
        structure=(0, 1),
    )
    return Content(graph, tensors)


def quantised(seed: int = 0) -> Content:
    """Two convolutions and a matrix product between quantise and dequantise nodes.

    Activations of 8 bits without a sign, weights of 8 bits with a step for each channel.
    """
    rng = np.random.default_rng(seed)
    shapes = ((16, 3, 3, 3), (16, 16, 3, 3), (16, 10))
    weights = [rng.integers(-127, 128, shape).astype(np.int8) for shape in shapes]
    constants = [np.float32(1 / 64), np.uint8(128), np.float32(0.05), np.uint8(0)]
    constants += [rng.uniform(0.001, 0.01, count).astype(np.float32) for count in (16, 10)]
    constants += [np.zeros(count, np.int8) for count in (16, 10)]
    step, middle, coarse, zero, steps, last, none, nothing = range(4, 12)
    nodes: list[Node] = []

    def add(operator: str, inputs: tuple[int, ...], *attributes: tuple[str, int, object]) -> int:
        nodes.append(Node(operator, inputs, 1, attributes))
        return 11 + len(nodes)

    def rounded(value: int, *grid: int) -> int:
        return add("DequantizeLinear", (add("QuantizeLinear", (value, *grid)), *grid))

    def convolved(value: int, weight: int) -> int:
        wide = add("DequantizeLinear", (weight, steps, none), ("axis", INT, 0))
        return add("Relu", (add("Conv", (value, wide), ("pads", INTS, (1, 1, 1, 1))),))

    value = convolved(rounded(0, step, middle), 1)
    value = convolved(rounded(value, coarse, zero), 2)
    value = rounded(add("Flatten", (add("GlobalAveragePool", (value,)),)), coarse, zero)
    value = add("MatMul", (value, add("DequantizeLinear", (3, last, nothing), ("axis", INT, 1))))
    graph = Graph(
        opset=20,
        inputs=(Port("x", 1, ("N", 3, 8, 8)),),
        weights=3,
        constants=tuple(tensor(np.asarray(one)) for one in constants),
        nodes=tuple(nodes),
        outputs=(Port("y", 1),),
        results=(value,),
        arguments=((0,), {}),
        structure=0,
    )
    return Content(graph, [tensor(one, place) for place, one in enumerate(weights)])


def checkpoint(seed: int = 0) -> Checkpoint:
    """Tensors with names and notes: a grid, planes, levels, nothing but zeros."""
    rng = np.random.default_rng(seed)
    tensors = [
        tensor(
            rng.integers(-2, 3, (20, 30)).astype(np.float32) * np.float32(0.1) + np.float32(0), 0
        ),
        tensor(rng.normal(size=(10, 30)).astype(np.float32), 1),
        tensor(rng.choice([3, 1000, -70000], 50), 2),
        tensor(np.zeros((3, 0, 2), np.float16), 3),
    ]
    return Checkpoint(
        tensors, ("layer.weight", "größe", "x", ""), {"from": "test", "": "nothing\n"}
    )


def same(a: Content | Checkpoint, b: Content | Checkpoint) -> bool:
    """Whether two contents are equal, bit for bit."""
    return describe(a) == describe(b)


def describe(content: Content | Checkpoint) -> str:
    """Everything in a content, as a string that differs where it does."""

    def plain(x: object) -> object:
        if isinstance(x, Tensor):
            return (
                "tensor",
                x.element,
                x.bits.shape,
                x.bits.dtype.name,
                x.bits.tobytes(),
                x.member,
            )
        if isinstance(x, Graph | Node | Port):
            return [plain(value) for value in vars(x).values()]
        if isinstance(x, dict):
            return {key: plain(value) for key, value in x.items()}
        return type(x)(plain(value) for value in x) if isinstance(x, list | tuple) else x

    about = (
        (content.names, dict(content.notes))
        if isinstance(content, Checkpoint)
        else plain(content.graph)
    )
    return repr([about, [plain(one) for one in content.tensors]])
