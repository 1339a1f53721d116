"""Graphs without the transpositions of their weights answer as they did."""

import dataclasses

import numpy as np
import pytest
from samples import linear, quantised, varied

from shoestring.artifact import Content, Loaded, OpenVINO
from shoestring.artifact.format.graph import INT, INTS, Graph, Node, Port
from shoestring.artifact.format.tensors import tensor
from shoestring.artifact.runtime.folding import fold_transposes

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 4)).astype(np.float32)


def graph(nodes, results, weights):
    ports = tuple(Port(f"y{place}", 1) for place in range(len(results)))
    structure = tuple(range(len(results)))
    tensors = [tensor(one, place) for place, one in enumerate(weights)]
    return Content(
        Graph(
            20,
            (Port("x", 1, ("N", 4)),),
            len(weights),
            (),
            tuple(nodes),
            ports,
            results,
            ((0,), {}),
            structure,
        ),
        tensors,
    )


def turn(value, *order):
    return Node("Transpose", (value,), 1, (("perm", INTS, order),) if order else ())


def folded(content):
    done = Content(*fold_transposes(content.graph, content.tensors))
    for one, other in zip(Loaded(content, threads=1)(X), Loaded(done, threads=1)(X), strict=True):
        assert np.array_equal(one, other)
    return done


W, V = RNG.normal(size=(3, 4)).astype(np.float32), RNG.normal(size=(5, 3)).astype(np.float32)


def test_a_weight_is_turned_and_the_numbers_after_it_move():
    # Values: x 0, W 1, V 2; W' 3, x W' 4, V' 5, x W' V' 6.
    content = graph(
        [turn(1), Node("MatMul", (0, 3), 1), turn(2, 1, 0), Node("MatMul", (4, 5), 1)],
        (4, 6),
        [W, V],
    )
    done = folded(content)
    assert [(node.operator, node.inputs) for node in done.graph.nodes] == [
        ("MatMul", (0, 1)),
        ("MatMul", (3, 2)),
    ]
    assert done.graph.results == (3, 4)
    assert np.array_equal(done.tensors[0].array(), W.T)
    assert np.array_equal(content.tensors[0].array(), W)  # the argument is left alone


def test_one_weight_turned_twice_in_the_same_way_is_folded_once():
    content = graph(
        [turn(1), turn(1, 1, 0), Node("MatMul", (0, 2), 1), Node("MatMul", (0, 3), 1)], (4, 5), [W]
    )
    assert [node.operator for node in folded(content).graph.nodes] == ["MatMul", "MatMul"]


@pytest.mark.parametrize(
    ("nodes", "results"),
    [
        (
            [turn(1), Node("MatMul", (0, 2), 1), Node("Relu", (1,), 1)],
            (3, 4),
        ),  # something else reads it
        ([turn(1), Node("MatMul", (0, 2), 1)], (3, 1)),  # it is an output
        (
            [Node("Relu", (1,), 1), turn(2), Node("MatMul", (0, 3), 1)],
            (4,),
        ),  # what is turned is no weight
        ([turn(1, 0, 1), turn(1), Node("MatMul", (0, 3), 1)], (2, 4)),  # in two ways
    ],
)
def test_what_is_left_as_it_is(nodes, results):
    content = graph(nodes, results, [W])
    assert folded(content).graph == content.graph


def test_a_permutation_that_is_none_is_for_the_runtime_to_refuse():
    content = graph([turn(1, 0, 5), Node("MatMul", (0, 2), 1)], (3,), [W])
    assert fold_transposes(content.graph, content.tensors)[0] == content.graph


@pytest.mark.parametrize("make", [linear, varied, quantised])
def test_graphs_without_any_are_the_same(make):
    content = make()
    assert fold_transposes(content.graph, content.tensors) == (content.graph, content.tensors)


def test_a_linear_layer_of_whole_numbers_runs_as_such_in_openvino():
    pytest.importorskip(
        "openvino", reason="openvino is not installed: pip install 'shoestring[openvino]'"
    )
    whole = RNG.integers(-127, 128, (3, 4)).astype(np.int8)
    steps = RNG.uniform(0.01, 0.02, 3).astype(np.float32)
    nodes = [
        Node("QuantizeLinear", (0, 2, 3), 1),
        Node("DequantizeLinear", (5, 2, 3), 1),
        turn(1),
        Node("DequantizeLinear", (7, 4), 1, (("axis", INT, 1),)),
        Node("MatMul", (6, 8), 1),
    ]
    content = graph(nodes, (9,), [whole])
    constants = tuple(tensor(np.asarray(one)) for one in (np.float32(0.05), np.uint8(100), steps))
    content = Content(dataclasses.replace(content.graph, constants=constants), content.tensors)
    kernels = OpenVINO().start(content.graph, content.tensors, 1).kernels()
    assert [
        kernel.lower()[-2:] for kind, kernel in kernels if kind in ("FullyConnected", "MatMul")
    ] == ["i8"]
    (ours,), (theirs,) = (
        Loaded(content, threads=1)(X),
        Loaded(content, threads=1, runtime=OpenVINO())(X),
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
