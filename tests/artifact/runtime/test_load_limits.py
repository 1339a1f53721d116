"""ONNX Runtime loads any graph soon and in little memory, and honest graphs as before."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time

import numpy as np
import pytest
from samples import linear, nested, several, varied

from shoestring.artifact import Content, Entries, Loaded, ShoeError
from shoestring.artifact.format import file
from shoestring.artifact.format.graph import Graph, Node, Port
from shoestring.artifact.format.tensors import tensor
from shoestring.artifact.runtime import load_limits


def chain(operator, count, shape=("N",), tensors=(), opset=20, inputs=2, attributes=()):
    """x, then so many nodes in a row, each of which reads the one before it `inputs` times."""
    first = len(tensors)
    nodes = tuple(
        Node(operator, (0 if i == 0 else first + i,) * inputs, 1, attributes) for i in range(count)
    )
    return made(nodes, shape, tensors, opset)


def made(nodes, shape=("N",), tensors=(), opset=20, element=1):
    last = len(tensors) + sum(node.outputs for node in nodes)
    graph = Graph(
        opset,
        (Port("x", element, shape),),
        len(tensors),
        (),
        tuple(nodes),
        (Port("y", element),),
        (last,),
        ((0,), {}),
        0,
    )
    return Content(graph, list(tensors))


def whole(*numbers):
    return tensor(np.array(numbers, np.int64))


SOON = {
    "adds": chain("Add", 16_000),
    "long names of axes": chain("Add", 16_000, tuple(f"{k:02}" + "n" * 254 for k in range(32))),
    "many axes": chain("Sin", 16_000, (1,) * 32, inputs=1),
    "diamonds": made(
        [
            Node(("Sin", "Cos", "Add")[i % 3], (i // 3 * 3,) if i % 3 < 2 else (i - 1, i), 1)
            for i in range(15_000)
        ]
    ),
    "one reads much": made([Node("Sum", (0,) * 65_536, 1)]),
    "two thousand": chain("Add", 1_600),
    "expanded by the runtime": chain("LogSoftmax", 4_000, (4, 4), inputs=1, opset=13),
}
LOAD = """
import resource, sys, time
from shoestring.artifact import ShoeError, load
import onnxruntime
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    start = time.process_time()
    load(path, threads=1)
    now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print((now - base) >> 10, time.process_time() - start)
"""


@pytest.mark.slow
def test_graphs_that_took_long_load_soon(tmp_path):
    """Some took 10 s and more. The guard is generous: other programs may use the processor."""
    pytest.importorskip("resource")
    paths = []
    for name, content in SOON.items():
        paths.append(tmp_path / f"{name.replace(' ', '_')}.shoe")
        paths[-1].write_bytes(file.pack(content))
        assert paths[-1].stat().st_size < 5_000
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for path, line in zip(paths, done.stdout.splitlines(), strict=True):
        megabytes, seconds = map(float, line.split())
        assert seconds < 5, path
        assert megabytes < 400, path


def doubled(operator, element=7, shape=(2, 2)):
    return made([Node(operator, (i, i), 1) for i in range(40)], shape, element=element)


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFG"
ENDLESS = {
    "Reshape": made([Node("Reshape", (0, 1), 1)], tensors=(whole(*[1] * 33),)),
    "Expand": made([Node("Expand", (0, 1), 1)], tensors=(whole(*[1] * 1000),)),
    "ConstantOfShape": made([Node("ConstantOfShape", (1,), 1)], tensors=(whole(*[1] * 33),)),
    "Unsqueeze": made([Node("Unsqueeze", (0, 1), 1)], tensors=(whole(*range(1, 40)),)),
    "axes one by one": made(
        [Node("Unsqueeze", (0 if i == 0 else i + 1, 1), 1) for i in range(40)], tensors=(whole(0),)
    ),
    "Gather": doubled("Gather"),
    "GatherND": doubled("GatherND", shape=(2, 1)),
    "a shape of a doubled shape": made(
        [
            Node("Shape", (0,), 1),
            *(Node("Concat", (i, i), 1, (("axis", 2, 0),)) for i in range(1, 8)),
            Node("Reshape", (0, 8), 1),
        ]
    ),
    "a shape that is expanded": made(
        [Node("Expand", (1, 2), 1), Node("Reshape", (0, 3), 1)], tensors=(whole(1), whole(5000))
    ),
    "a constant of a shape": made(
        [Node("ConstantOfShape", (1,), 1), Node("Reshape", (0, 2), 1)], tensors=(whole(5000),)
    ),
    "a shape that is tiled": made(
        [Node("Tile", (1, 2), 1), Node("Reshape", (0, 3), 1)], tensors=(whole(1), whole(5000))
    ),
    "Einsum": made([Node("Einsum", (0,), 1, (("equation", 3, f"{LETTERS}->{LETTERS}"),))]),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_values_of_many_axes_are_refused(name):
    with pytest.raises(ShoeError, match="axes, and ONNX Runtime may load 32"):
        Loaded(ENDLESS[name])


@pytest.mark.parametrize(
    "removing",
    [
        Node("Squeeze", (0, 1), 1),
        Node("ReduceSum", (0, 1), 1, (("keepdims", 2, 0),)),
        Node("ReduceMax", (0,), 1, (("axes", 7, (0,)), ("keepdims", 2, 0))),
        Node("ArgMax", (0,), 1, (("keepdims", 2, 0),)),
        Node("Gather", (0, 2), 1),
    ],
)
def test_axes_that_come_and_go_are_no_growth(removing):
    """A deep network adds an axis and removes it again in each layer."""
    nodes = []
    for layer in range(100):
        nodes.append(Node("Unsqueeze", (0 if layer == 0 else 2 * layer + 2, 1), 1))
        inputs = (2 * layer + 3, *removing.inputs[1:])
        nodes.append(dataclasses.replace(removing, inputs=inputs))
    content = made(nodes, tensors=(whole(0), tensor(np.array(0))))
    load_limits.check_axes(content.graph, content.tensors)


def test_an_axis_is_not_removed_twice():
    """Squeeze with axes (0, 0) or (0, -1) may remove one axis only."""
    nodes = []
    for layer in range(40):
        nodes.append(Node("Unsqueeze", (0 if layer == 0 else 2 * layer + 2, 1), 1))
        nodes.append(Node("Squeeze", (2 * layer + 3, 2), 1))
    content = made(nodes, tensors=(whole(0, 1), whole(0, 0, -2)))
    with pytest.raises(ShoeError, match="33 axes"):
        load_limits.check_axes(content.graph, content.tensors)


def test_many_parts_are_refused():
    content = chain("Attention", 97, (1, 2, 4, 8), opset=25, inputs=3)
    with pytest.raises(ShoeError, match=r"24,882 parts.*may load 24,576"):
        Loaded(content)
    tensors = (tensor(np.zeros((), np.int8)),) * 17_000
    held = made([Node("Sin", (0,), 1)], tensors=tensors)
    with pytest.raises(ShoeError, match="17,000 tensors and constants"):
        Loaded(held)


def test_the_parts_of_all_entries_count_together():
    part = chain("Attention", 50, (1, 2, 4, 8), opset=25, inputs=3).graph
    with pytest.raises(ShoeError, match=r"25,6.. parts"):
        Loaded(Entries({"a": part, "b": part}, []))


def test_bytes_of_tensors_allow_more():
    content = chain("Attention", 97, (1, 2, 4, 8), opset=25, inputs=3)
    load_limits.check([(content.graph, [tensor(np.zeros(250_000, np.float32))])])
    deep = chain("Sin", 3_000, inputs=1).graph
    assert not load_limits.optimised(deep, [])
    assert load_limits.optimised(deep, [tensor(np.zeros(750_000, np.float32))])


def test_honest_graphs_are_optimised():
    for one in (linear(), nested(), varied(), *file.by_entry(several()).values()):
        assert load_limits.optimised(one.graph, one.tensors)
        load_limits.check_axes(one.graph, one.tensors)


def test_answers_are_the_same_without_optimising(monkeypatch):
    values = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    before = Loaded(linear())(values)
    monkeypatch.setattr(load_limits, "FEW_PARTS", 0)
    assert not load_limits.optimised(linear().graph, linear().tensors)
    np.testing.assert_array_equal(Loaded(linear())(values), before)


def test_names_of_axes_are_shortened_for_the_runtime_alone():
    names = ("N" * 100, 3, "T")
    graph = chain("Sin", 1, names, inputs=1).graph
    assert load_limits.named_shortly(graph).inputs[0].shape == ("n0", 3, "n1")
    loaded = Loaded(Content(graph, []))
    assert loaded.inputs[0].shape == names
    assert loaded(np.zeros((2, 3, 4), np.float32)).shape == (2, 3, 4)


def test_a_chain_that_took_eighteen_seconds():
    began = time.process_time()
    Loaded(SOON["adds"])
    assert time.process_time() - began < 8
