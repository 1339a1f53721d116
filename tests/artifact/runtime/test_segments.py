"""A graph with layers of signs runs in segments, and answers as it does whole.

What is not exactly such a layer is left alone.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from shoestring.artifact import Content, Loaded, ShoeError
from shoestring.artifact.format import file
from shoestring.artifact.format.graph import FLOAT, INT, INTS, STRING, Graph, Node, Port
from shoestring.artifact.format.tensors import tensor
from shoestring.artifact.kernels import sign_layers, signs
from shoestring.artifact.runtime import segments
from shoestring.artifact.runtime.segments import Segments, cut
from shoestring.artifact.runtime.session import session

RNG = np.random.default_rng(0)
SIGNS = np.where(RNG.random((6, 8, 3, 3)) < 0.5, np.float32(-1), np.float32(1))
ROWS = np.where(RNG.random((70, 96)) < 0.5, np.float32(-1), np.float32(1))
HALVES = np.float32(2.0) ** RNG.integers(-2, 3, (6, 1, 1)).astype(
    np.float32
)  # exact, however they are multiplied
X = RNG.normal(size=(3, 8, 6, 4)).astype(np.float32)
# Values: 0 x; 1 filters, 2 scales, 3 rows; constants 4 zero, 5 -1, 6 +1, 7 pads, 8 [-1, 96].
CONSTANTS = [
    np.float32(0),
    np.float32(-1),
    np.float32(1),
    np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    np.array([-1, 96]),
]


def graph(
    nodes: tuple[Node, ...], results: tuple[int, ...], constants: list = CONSTANTS, tensors: int = 3
) -> Graph:
    return Graph(
        opset=20,
        inputs=(Port("x", 1, ("N", 8, "H", "W")),),
        weights=tensors,
        constants=tuple(tensor(np.asarray(one)) for one in constants),
        nodes=nodes,
        outputs=tuple(Port(f"y{place}", 1) for place in range(len(results))),
        results=results,
        arguments=((0,), {}),
        structure=tuple(range(len(results))),
    )


LESS, WHERE, PAD = Node("Less", (0, 4), 1), Node("Where", (9, 5, 6), 1), Node("Pad", (10, 7, 6), 1)
CONV, MUL = Node("Conv", (11, 1), 1), Node("Mul", (12, 2), 1)
CHAIN = (LESS, WHERE, PAD, CONV, MUL)
TENSORS = [tensor(SIGNS, 0), tensor(HALVES, 1), tensor(ROWS, 2)]


def both(one: Graph, tensors=TENSORS, x=X) -> tuple[list[np.ndarray], list[np.ndarray], int]:
    """(the answers in segments, the answers whole, how many layers kernels computed)."""
    whole = session(one, tensors, 1).run(None, {"x": x})
    parts = cut(one, tensors, 1)
    return (
        list((parts or Loaded(Content(one, tensors), threads=1)._session).run({"x": x})),
        whole,
        parts.kernels if parts else 0,
    )


def test_a_convolution_with_its_scale():
    ours, whole, kernels = both(graph(CHAIN, (13,)))
    assert kernels == 1 and np.array_equal(ours[0], whole[0]) and ours[0].shape == (3, 6, 6, 4)


def test_products_of_each_kind():
    # After the convolution to 6 channels of 6 by 4: 144 numbers a row, or 96 of 4 rows.
    flat = np.where(RNG.random((10, 144)) < 0.5, np.float32(-1), np.float32(1))
    for kind in ("Gemm", "MatMul", "transposed", "three axes"):
        weights = {
            "Gemm": flat,
            "MatMul": flat.T.copy(),
            "transposed": flat,
            "three axes": flat[:, :72].T.copy(),
        }[kind]
        shape = np.array([0, -1, 72] if kind == "three axes" else [0, 144])
        nodes = [
            *CHAIN,
            Node("Reshape", (13, 8), 1),
            Node("Less", (14, 4), 1),
            Node("Where", (15, 5, 6), 1),
        ]
        if kind == "transposed":
            nodes += [
                Node("Transpose", (3,), 1, (("perm", INTS, (1, 0)),)),
                Node("MatMul", (16, 17), 1),
            ]
        else:
            nodes += [
                Node(
                    kind if kind == "Gemm" else "MatMul",
                    (16, 3),
                    1,
                    (("transB", INT, 1),) if kind == "Gemm" else (),
                )
            ]
        one = graph(
            (*nodes, Node("Relu", (9 + len(nodes) - 1,), 1)),
            (9 + len(nodes),),
            [*CONSTANTS[:4], shape],
        )
        ours, whole, kernels = both(one, [*TENSORS[:2], tensor(weights, 2)])
        assert kernels == 2 and np.array_equal(ours[0], whole[0]), kind


@pytest.mark.parametrize("shape", [(70,), (1, 70)])
@pytest.mark.parametrize("rows", [(), (5,), (2, 5)])
def test_a_product_times_scales_has_the_axes_that_it_has_whole(shape, rows):
    scales = np.linspace(0.5, 2, 70, dtype=np.float32).reshape(shape)
    nodes = (LESS, WHERE, Node("MatMul", (10, 3), 1), Node("Mul", (11, 2), 1))
    one = replace(graph(nodes, (12,)), inputs=(Port("x", 1, (*rows, 96)),))
    x = RNG.normal(size=(*rows, 96)).astype(np.float32)
    ours, whole, kernels = both(one, [TENSORS[0], tensor(scales, 1), tensor(ROWS.T.copy(), 2)], x)
    assert kernels == 1 and ours[0].shape == whole[0].shape and np.array_equal(ours[0], whole[0])


def test_a_residual_and_signs_that_are_read_twice():
    square = np.where(RNG.random((8, 8, 3, 3)) < 0.5, np.float32(-1), np.float32(1))
    nodes = (
        LESS,
        WHERE,
        PAD,
        CONV,
        Node("Add", (12, 12), 1),  # the convolution is read twice: no scale to take along
        Node("Conv", (11, 3), 1),
        Node("Add", (14, 0), 1),  # the same signs once more, and the input again
        Node("Neg", (10,), 1),  # and the signs themselves
    )
    ours, whole, kernels = both(graph(nodes, (13, 15, 16)), [*TENSORS[:2], tensor(square, 2)])
    assert kernels == 2 and all(np.array_equal(a, b) for a, b in zip(ours, whole, strict=True))


def test_layers_one_after_the_other(monkeypatch):
    square = np.where(RNG.random((8, 8, 3, 3)) < 0.5, np.float32(-1), np.float32(1))
    nodes, value = [], 0
    for _ in range(5):
        start = 9 + len(nodes)
        nodes += [
            Node("Less", (value, 4), 1),
            Node("Where", (start, 5, 6), 1),
            Node("Pad", (start + 1, 7, 6), 1),
        ]
        nodes += [Node("Conv", (start + 2, 1), 1)]
        value = start + 3
    one, tensors = graph(tuple(nodes), (value,)), [tensor(square, 0), *TENSORS[1:]]
    ours, whole, kernels = both(one, tensors)
    assert kernels == 5 and np.array_equal(ours[0], whole[0])
    monkeypatch.setattr(sign_layers, "MOST_LAYERS", 4)
    assert cut(one, tensors, 1) is None


def changed(place: int, **what) -> tuple[Node, ...]:
    return tuple(replace(node, **what) if at == place else node for at, node in enumerate(CHAIN))


@pytest.mark.parametrize(
    "nodes",
    [
        changed(0, operator="LessOrEqual"),
        changed(0, operator="Greater"),
        changed(0, inputs=(4, 0)),
        changed(1, inputs=(9, 6, 5)),
        changed(1, inputs=(9, 5, 4)),
        changed(2, inputs=(10, 7, 5)),
        changed(2, inputs=(10, 7)),
        changed(2, attributes=(("mode", STRING, "edge"),)),
        changed(3, attributes=(("pads", INTS, (1, 1, 1, 1)),)),
        changed(3, attributes=(("auto_pad", STRING, "SAME_UPPER"),)),
    ],
)
def test_what_is_not_exactly_such_a_layer_is_left_to_the_runtime(nodes):
    one = graph(nodes, (13,))
    assert cut(one, TENSORS, 1) is None
    assert np.array_equal(
        Loaded(Content(one, TENSORS), threads=1)(X)[0],
        session(one, TENSORS, 1).run(None, {"x": X})[0],
    )


@pytest.mark.parametrize("value", [0.5, 0.0, np.nan, np.inf])
def test_weights_of_several_magnitudes_are_left_to_the_runtime(value):
    uneven = SIGNS.copy()
    uneven[0, 0, 0, 0] = value
    assert cut(graph(CHAIN, (13,)), [tensor(uneven, 0), *TENSORS[1:]], 1) is None


def test_a_scale_besides_magnitudes_that_are_not_one_is_left_to_the_runtime():
    ours, whole, kernels = both(
        graph(CHAIN, (13,)), [tensor(SIGNS * np.float32(0.5), 0), *TENSORS[1:]]
    )
    assert kernels == 1 and np.array_equal(ours[0], whole[0])


def test_a_result_that_is_the_layers_own():
    ours, whole, kernels = both(graph(CHAIN, (12, 13)))
    assert kernels == 1 and all(np.array_equal(a, b) for a, b in zip(ours, whole, strict=True))


def test_through_a_file(tmp_path, monkeypatch):
    one = graph(CHAIN, (13,))
    loaded = Loaded(file.unpack(file.pack(Content(one, TENSORS))), threads=1)
    assert isinstance(loaded._session, Segments)
    monkeypatch.setattr(signs, "available", lambda: False)
    plain = Loaded(Content(one, TENSORS), threads=1)
    assert not isinstance(plain._session, Segments)
    assert np.array_equal(plain(X)[0], loaded(X)[0])
    with pytest.raises(ShoeError, match="failed while it ran"):
        loaded(np.ones((1, 8, 0, 4), np.float32)[:, :, :, :0])


# -- anybody's graphs


def test_attributes_that_are_out_of_bounds_are_left_to_the_runtime():
    for attribute in (
        ("strides", INTS, (0, 1)),
        ("strides", INTS, (1,)),
        ("dilations", INTS, (-1, 1)),
        ("group", INT, 2),
        ("kernel_shape", INTS, (2, 2)),
        ("strides", FLOAT, 1.0),
        ("pads", INTS, (-1, 0, 0, 0)),
        ("transB", INT, 1),
    ):
        assert not sign_layers.layers(graph(changed(3, attributes=(attribute,)), (13,)), TENSORS), (
            attribute
        )
    for pads in (
        [0, 0, 1 << 30, 1, 0, 0, 1, 1],
        [0, 0, -1, 1, 0, 0, 1, 1],
        [1, 0, 1, 1, 0, 0, 1, 1],
        [1, 1],
    ):
        assert not sign_layers.layers(
            graph(CHAIN, (13,), [*CONSTANTS[:3], np.array(pads), CONSTANTS[4]]), TENSORS
        ), pads


def test_a_stride_that_is_huge_is_harmless():
    ours, whole, kernels = both(
        graph(changed(3, attributes=(("strides", INTS, (1 << 30, 1 << 30)),)), (13,))
    )
    assert kernels == 1 and np.array_equal(ours[0], whole[0])


def test_large_weights_that_thousands_of_nodes_read_are_not_looked_at_each_time():
    large = np.ones((256, 64, 8, 8), np.float32)
    large[-1, -1, -1, -1] = 2.0
    convolutions = tuple(Node("Conv", (10, 3), 1) for _ in range(8000))
    one = graph((LESS, WHERE, *convolutions), (11,))
    start = time.process_time()
    assert not sign_layers.layers(one, [*TENSORS[:2], tensor(large, 2)])
    assert time.process_time() - start < 2


def test_what_segments_would_hold_over_again_is_bounded(monkeypatch):
    field = tensor(
        RNG.normal(size=(1, 1, 40, 40)).astype(np.float32), 2
    )  # is added before the layer and after it
    chain = tuple(
        replace(n, inputs=tuple(v + 1 if v > 8 else v or 9 for v in n.inputs if v is not None))
        for n in CHAIN
    )
    one = graph((Node("Add", (0, 3), 1), *chain, Node("Add", (14, 3), 1)), (15,))
    ours, whole, kernels = both(
        one, [*TENSORS[:2], field], RNG.normal(size=(2, 8, 40, 40)).astype(np.float32)
    )
    assert kernels == 1 and np.array_equal(ours[0], whole[0])
    monkeypatch.setattr(segments, "_SPARE", 0)
    assert cut(one, [*TENSORS[:2], field], 1) is None


def test_images_that_do_not_fit_teach():
    loaded = Loaded(
        Content(graph((*CHAIN[:2], Node("Conv", (10, 1), 1)), (11,)), TENSORS), threads=1
    )
    with pytest.raises(ShoeError, match="smaller than the filters"):
        loaded(np.ones((1, 8, 2, 2), np.float32))
