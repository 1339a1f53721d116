"""ONNX files that somebody made to do harm, or that are damaged.

An error in words, in bounded time and memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from shoestring.artifact.format.graph import OperatorError
from shoestring.kit.importing import constants as network_constants
from shoestring.kit.importing.from_onnx import from_onnx
from shoestring.kit.importing.onnx_pack import pack_onnx

X = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 4])
Y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
BRANCH = helper.make_graph(
    [helper.make_node("Identity", ["x"], ["o"])],
    "branch",
    [],
    [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)],
)
IF = helper.make_node("If", ["b"], ["y"], then_branch=BRANCH, else_branch=BRANCH)


def saved(
    path: Path, nodes: Sequence[Any], constants: Sequence[Any] = (), inputs: Sequence[Any] = (X,)
) -> Path:
    graph = helper.make_graph(nodes, "graph", inputs, [Y], constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path
    )
    return path


def test_what_grows_step_by_step_is_not_worked_out_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(network_constants, "_ALL", 1 << 12)
    one = numpy_helper.from_array(np.ones((16, 4), np.float32), "c0")
    nodes = [
        helper.make_node("Concat", [f"c{at}", f"c{at}"], [f"c{at + 1}"], axis=0) for at in range(12)
    ]
    nodes += [
        helper.make_node("ReduceSum", ["c12"], ["s"], keepdims=0),
        helper.make_node("Add", ["x", "s"], ["y"]),
    ]
    made = from_onnx(saved(tmp_path / "m.onnx", nodes, [one]))
    kept = sum(one.numel() for one in (*made.parameters(), *made.buffers()))
    assert kept < 1 << 13  # the last of them alone has 2^18
    torch.testing.assert_close(made(torch.ones(4, 4)), torch.full((4, 4), 1.0 + 2**18))


@pytest.mark.parametrize(
    "nodes",
    [
        [
            helper.make_node("ConstantOfShape", ["n"], ["many"]),
            helper.make_node("ReduceSum", ["many"], ["t"], keepdims=0),
            helper.make_node("Cast", ["t"], ["b"], to=TensorProto.BOOL),
        ],
        [helper.make_node("Not", ["b"], ["c"]), helper.make_node("Not", ["c"], ["b"])],
    ],
    ids=["of three thousand million numbers", "made of itself"],
)
def test_a_condition_that_is_not_worth_it_is_not_known(nodes: list[Any], tmp_path: Path):
    path = saved(
        tmp_path / "m.onnx", [*nodes, IF], [numpy_helper.from_array(np.array([3_000_000_000]), "n")]
    )
    with pytest.raises(OperatorError, match="If"):
        from_onnx(path)
    with pytest.raises(OperatorError, match="If"):
        pack_onnx(path, tmp_path / "m.shoe")


def test_nodes_out_of_order_are_named(tmp_path: Path):
    path = saved(
        tmp_path / "m.onnx",
        [helper.make_node("Add", ["x", "b"], ["y"]), helper.make_node("Relu", ["x"], ["b"])],
    )
    with pytest.raises(OperatorError, match="Add: it takes 'b', which nothing before it gives"):
        from_onnx(path)


@pytest.mark.parametrize(
    "name", ["__debug__", "def", "a b", "x'); import os; ('", "_take", "forward", ""]
)
def test_names_are_names_and_nothing_else(name: str, tmp_path: Path):
    if name:
        given = helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 4])
        made = from_onnx(
            saved(tmp_path / "m.onnx", [helper.make_node("Relu", [name], ["y"])], inputs=[given])
        )
        assert made(torch.ones(4, 4)).shape == (4, 4)
    weight = numpy_helper.from_array(np.full((4, 4), 2, np.float32), name or "w")
    made = from_onnx(
        saved(tmp_path / "n.onnx", [helper.make_node("Mul", ["x", name or "w"], ["y"])], [weight])
    )
    torch.testing.assert_close(made(torch.ones(4, 4)), torch.full((4, 4), 2.0))


def test_data_that_lie_nowhere_are_named(tmp_path: Path):
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    path = tmp_path / "m.onnx"
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])], "graph", [X], [Y], [weight]
    )
    path.write_bytes(
        helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9
        ).SerializeToString()
    )
    with pytest.raises(
        ValueError, match="keeps the tensor 'w' in another file and does not say which"
    ):
        from_onnx(path)
