"""Graphs come back as they were, and a graph that refers to what is not there is refused."""

import dataclasses
import time

import numpy as np
import pytest
from hostile_graphs import fullest, made
from samples import attributes, linear, nested, varied

from shoestring.artifact.format import file
from shoestring.artifact.format import graph as graphs
from shoestring.artifact.format.file import Content
from shoestring.artifact.format.graph import Node, OperatorError, Port
from shoestring.artifact.format.graph_limits import MOST
from shoestring.artifact.format.graph_reader import decode
from shoestring.artifact.format.operators import ATTRIBUTES, OPERATORS
from shoestring.artifact.format.tensors import tensor
from shoestring.artifact.wire import ShoeError, Writer


def described(graph):
    from samples import describe

    return describe(Content(graph, []))


@pytest.mark.parametrize("graph", [linear().graph, nested().graph, attributes(), varied().graph])
def test_round_trip(graph):
    data = graphs.encode(graph)
    assert described(decode(data)) == described(graph)
    assert graphs.encode(decode(data)) == data


def test_references_count_from_the_last():
    graph = dataclasses.replace(
        linear().graph,
        nodes=(Node("Gemm", (0, 1, 2), 1), Node("Gemm", (3, 1, 2), 1), Node("Add", (3, 4), 1)),
        results=(5,),
    )
    data = graphs.encode(graph)
    # Three inputs: the next, three times. The newest value, one back (signed -2), the next. Two
    # back, one back.
    assert b"\3\1\1\1" in data and b"\3\2\7\1" in data and b"\2\4\2" in data
    assert decode(data).nodes == graph.nodes


def test_references_of_version_1_are_numbers():
    data = graphs.encode(linear().graph)
    assert data.count(b"\3\1\1\1") == 1
    old = data.replace(b"\3\1\1\1", b"\3\1\3\5")
    assert described(decode(old, 1)) == described(linear().graph)
    assert decode(old).nodes[0].inputs == (0, 0, 2)


def test_every_shortened_graph_is_refused():
    data = graphs.encode(attributes())
    for end in range(len(data)):
        with pytest.raises(ShoeError):
            decode(data[:end])
    with pytest.raises(ShoeError, match="1 bytes too many"):
        decode(data + b"\0")


def replaced(**changes):
    return graphs.encode(dataclasses.replace(linear().graph, **changes))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (
            replaced(nodes=(Node("LSTM", (0, 1, 2), 2, (), (0,)),)),
            "a value that does not exist",
        ),  # an absent output
        (replaced(inputs=(Port("", 1, ("N",)),)), "no name"),
        (replaced(inputs=(Port("x", 1, ("",)),)), "no name"),
        (replaced(inputs=(Port("x", 14, ("N",)),)), "no element type 14"),
        (replaced(inputs=(Port("x", 1, (1,) * 33),)), "over 32"),
        (
            replaced(
                inputs=(Port("x", 1, ()),) * 2, nodes=(), results=(0,), arguments=((0, 1), {})
            ),
            "the same name",
        ),
        (replaced(outputs=(Port("y", 1),) * 2, results=(3, 3), structure=(0, 1)), "the same name"),
        (replaced(arguments=(0,)), "a tuple and a dictionary"),
        (replaced(arguments=([0], {})), "a tuple and a dictionary"),
        (replaced(arguments=((0, 1), {})), "do not match"),
        (replaced(arguments=((), {})), "do not match"),
        (replaced(structure=None), "do not match"),
        (replaced(opset=1001), "over 1000"),
        (replaced(nodes=(Node("Gemm", (0, 1, 2), 128),)), "over 255"),
        (replaced(nodes=(Node("Gemm", (0, 1, 2), 0),), results=(0,)), "no outputs"),
        (replaced(nodes=(Node("Gemm", (0, 1, 2), 1, (), (1,)),)), "not among the outputs"),
        (
            replaced(nodes=(Node("Gemm", (0, 1, 2), 1, (("alpha", 1, 1.0),) * 2),)),
            "the same attribute twice",
        ),
    ],
)
def test_hostile_graphs(data, why):
    with pytest.raises(ShoeError, match=why):
        decode(data)


def test_what_comes_later_cannot_even_be_written():
    for nodes in (
        (Node("Add", (0, 3), 1),),
        (Node("Add", (0, 4), 1), Node("Add", (3, 0), 1)),
        (Node("Abs", (-1,), 1),),
    ):
        with pytest.raises(ValueError, match="no value"):
            replaced(nodes=nodes)
    with pytest.raises(ValueError, match="no value 4"):
        replaced(results=(4,))


@pytest.mark.parametrize(
    ("name", "number"),
    [("blocksize", 0), ("batch_dims", -1), ("axis", 1 << 31), ("axis", -(1 << 31) - 1)],
)
def test_numbers_that_no_operator_has(name, number):
    with pytest.raises(OperatorError, match=f"do not hold {name} of {number}"):
        replaced(nodes=(Node("GatherND", (0, 1), 1, ((name, 2, number),)),))
    out = Writer()
    out.signed(number)
    attribute = prefix(0, 1, 0, 0, 2, 1, ATTRIBUTES.index(name), 2) + bytes(out)
    with pytest.raises(ShoeError, match=f"there is no {name} of {number}"):
        decode(attribute)


def prefix(*numbers):
    """A graph of opset 20 without inputs, axes and weights, up to its constants."""
    out = Writer()
    for number in (20, 0, 0, 0, *numbers):
        out.varint(number)
    return bytes(out)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (prefix(1, 1, 1, 1 << 40), "larger than the graph"),
        (prefix(1, 1, 2, 1 << 39, 1 << 39), "no tensor has the shape"),
        (prefix(1, 1, 3, 0, 1 << 39, 1 << 39), "no tensor has the shape"),
        (prefix(1, 7, 1, 100, 0), "larger than the graph"),
        (prefix(1, 9, 1, 1, 2), "a bool is neither"),
        (prefix(1 << 60), "a list of 1152921504606846976 is longer"),
        (prefix(0, 1, 0, 1 << 60), "a list of 1152921504606846976 is longer"),
        (prefix(0, 1, len(OPERATORS)), f"no operator {len(OPERATORS)}"),
        (prefix(0, 1, 0, 0, 2, 1, len(ATTRIBUTES)), f"no attribute {len(ATTRIBUTES)}"),
        (prefix(0, 1, 0, 0, 2, 1, 0, 5), "no attribute type 5"),
        (prefix(0, 1, 0, 0, 2, 1, 0, 9), "no attribute type 9"),
        (prefix(0, 1, 0, 1, 5), "a value that does not exist"),
        (prefix(0, 1, 0, 1, 3), "a value that does not exist"),  # the one before the first
        (prefix(0, 1, 0, 1, 2), "a value that does not exist"),
        (prefix(0, 1, 0, 1, (1 << 64) - 1), "a value that does not exist"),
        (prefix(0, 1, 0, 1, (1 << 64) - 2), "a value that does not exist"),
        (prefix(0, 1, 0, 0, 3, 0), "not among the outputs"),
        (prefix(0, 0, 0) + b"\2" * 40, "nested too deep|left"),
        (prefix(0, 0, 0) + b"\2\1" * 40, "nested too deep"),
        (prefix(0, 0, 0, 5), "no structure 5"),
        (prefix(0, 0, 0, 4, 2) + b"\1a\0\1a\0", "the same key twice"),
    ],
)
def test_hostile_bytes(data, why):
    with pytest.raises(ShoeError, match=why):
        decode(data)


def test_foreign_operators_and_attributes_are_named():
    for operator in (
        "Loop",
        "If",
        "Scan",
        "RandomNormal",
        "com.microsoft.Gelu",
        "StringConcat",
        "SequenceAt",
        "Optional",
    ):
        with pytest.raises(OperatorError) as error:
            replaced(nodes=(Node(operator, (0,), 1),))
        assert error.value.operator == operator
    with pytest.raises(OperatorError, match="its attribute body"):
        replaced(nodes=(Node("Abs", (0,), 1, (("body", 5, None),)),))
    with pytest.raises(OperatorError, match="of type 5"):
        replaced(nodes=(Node("Abs", (0,), 1, (("axis", 5, None),)),))


def test_the_lists_hold_nothing_dangerous_and_nothing_twice():
    assert len(set(OPERATORS)) == len(OPERATORS)
    assert len(set(ATTRIBUTES)) == len(ATTRIBUTES)
    assert not {
        "If",
        "Loop",
        "Scan",
        "SequenceMap",
        "RandomNormal",
        "Bernoulli",
        "Multinomial",
        "ImageDecoder",
    } & set(OPERATORS)
    assert not {"body", "then_branch", "else_branch"} & set(ATTRIBUTES)


def test_numbers_that_the_page_promises():
    """Appending is the only change: these numbers are in files."""
    assert [OPERATORS.index(name) for name in ("Abs", "Conv", "Gemm", "Xor")] == [
        0,
        33,
        62,
        OPERATORS.index("Xor"),
    ]
    assert [ATTRIBUTES.index(name) for name in ("activation", "axis")] == [0, 11]


def test_constants_of_whole_numbers_are_short():
    graph = dataclasses.replace(
        linear().graph, constants=(tensor(np.array([1, -1, 0, 300])),), results=(4,)
    )
    assert b"\x07\x01\x04\x02\x01\x00\xd8\x04" in graphs.encode(graph)


MADE = made()


@pytest.mark.parametrize("name", MADE)
def test_graphs_that_have_too_much_are_refused_soon(name):
    data, why = MADE[name]
    began = time.process_time()
    with pytest.raises(ShoeError, match=why):
        file.unpack_any(data)
    assert time.process_time() - began < 5


def test_the_fullest_graph_is_read():
    graph = file.unpack(fullest()).graph
    assert len(graph.nodes) == MOST["nodes"]
    assert sum(len(node.inputs) for node in graph.nodes) == MOST["references"]
    assert sum(constant.bits.size for constant in graph.constants) == MOST["elements of constants"]


def nest(depth):
    return 0 if not depth else [nest(depth - 1)]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"inputs": (Port("x", 1),) * 1025}, "1,025 inputs"),
        ({"outputs": (Port("x", 1),) * 1025, "results": (0,) * 1025}, "1,025 outputs"),
        ({"inputs": tuple(Port("x", 1, (f"n{k}",) * 1) for k in range(1025))}, "1,025"),
        ({"nodes": (Node("Abs", (0,), 1),) * 16385}, "16,385 nodes"),
        ({"nodes": (Node("Concat", (0,) * 65537, 1),)}, "65,537 references"),
        ({"nodes": (Node("Split", (0,), 127),) * 517}, "65,659 outputs of nodes"),
        ({"nodes": (Node("Abs", (0,), 1, (("axes", 7, (1,) * 1025),)),)}, "1,025 items"),
        ({"nodes": (Node("Einsum", (0,), 1, (("equation", 3, "i" * 257),)),)}, "257 bytes"),
        ({"nodes": (Node("Abs", (0,), 1, (("mode", 8, ("i" * 257,)),)),)}, "257 bytes"),
        ({"constants": (tensor(np.int8(1).reshape(())),) * 16385}, "16,385 constants"),
        ({"constants": (tensor(np.zeros(131_073, np.int8)),)}, "131,073 elements"),
        ({"inputs": (Port("x" * 257, 1, ("N",)),)}, "257 bytes"),
        ({"inputs": (Port("x", 1, ("N" * 257,)),)}, "257 bytes"),
        ({"arguments": ((0,), {"x" * 257: None})}, "257 bytes"),
        ({"structure": [0, *[None] * 8200]}, "8,20. parts of structures"),
        ({"structure": nest(17)}, "more than 16 deep"),
    ],
)
def test_what_a_reader_refuses_is_not_written(changes, why):
    with pytest.raises(ValueError, match=why):
        replaced(**changes)


def test_the_deepest_structure_is_read():
    assert decode(replaced(structure=nest(16))).structure == nest(16)
