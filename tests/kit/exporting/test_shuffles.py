"""Shuffles of channels become one operator, and nothing else does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from shoestring.artifact import Content, load, read_model
from shoestring.kit import Supervised, from_shoe, write
from shoestring.kit.exporting.editable_graph import EditableGraph
from shoestring.kit.exporting.shuffles import gather_shuffled


def shuffle(
    sizes: list[int | str],
    grouped: list[int],
    joined: list[int],
    permutation: list[int] | None = None,
    split: list[int] | None = None,
) -> onnx.ModelProto:
    """x → Reshape → Transpose → Reshape (→ Split) → outputs."""
    permutation = permutation or [0, 2, 1, *range(3, len(grouped))]
    constants = {"grouped": grouped, "joined": joined} | ({"sizes": split} if split else {})
    nodes = [
        helper.make_node("Reshape", ["x", "grouped"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=permutation),
        helper.make_node("Reshape", ["b", "joined"], ["c"]),
    ]
    outputs = ["c"]
    if split:
        outputs = [f"part{index}" for index in range(len(split))]
        nodes.append(helper.make_node("Split", ["c", "sizes"], outputs, axis=1))
    body = helper.make_graph(
        nodes,
        "shuffle",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.array(value), name) for name, value in constants.items()],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def answers(model: onnx.ModelProto, x: np.ndarray) -> Sequence[Any]:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})


def rewritten(model: onnx.ModelProto) -> tuple[onnx.ModelProto, Counter[str]]:
    """The model after the rewriting, and how often it has each operator."""
    new = onnx.ModelProto()
    new.CopyFrom(model)
    gather_shuffled(EditableGraph(new.graph, []))
    onnx.shape_inference.infer_shapes(new, strict_mode=True)
    return new, Counter(node.op_type for node in new.graph.node)


@given(
    groups=some.integers(1, 5),
    each=some.integers(1, 5),
    rest=some.lists(some.integers(1, 4), min_size=1, max_size=3),
    batch=some.sampled_from([-1, 0]),
    cut=some.integers(0, 24),
)
def test_any_shuffle_is_a_gather_with_the_same_results(
    groups: int, each: int, rest: list[int], batch: int, cut: int
):
    channels = groups * each
    parts = [cut, channels - cut] if 0 < cut < channels else None
    model = shuffle(
        ["N", channels, *rest], [batch, groups, each, *rest], [-1, channels, *rest], split=parts
    )
    new, count = rewritten(model)
    assert count["Gather"] == (len(parts) if parts else 1)
    x = np.arange(3 * channels * int(np.prod(rest)), dtype=np.float32)
    x = x.reshape(3, channels, *rest)
    for one, other in zip(answers(model, x), answers(new, x), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "model",
    [
        # Another permutation.
        shuffle(["N", 6, 2, 2], [-1, 2, 3, 2, 2], [-1, 6, 2, 2], [0, 2, 1, 4, 3]),
        # Two images are one after the reshape.
        shuffle([4, 6, 2, 2], [2, 4, 3, 2, 2], [4, 6, 2, 2]),
        # The pixels are other pixels.
        shuffle(["N", 6, 2, 8], [-1, 2, 3, 4, 4], [-1, 6, 2, 8]),
        # What comes out has other channels than what went in.
        shuffle(["N", 6, 2, 2], [-1, 2, 3, 2, 2], [-1, 3, 4, 2]),
        # The sizes of the pixels vary.
        shuffle(["N", 6, "H", 2], [-1, 2, 3, 2, 2], [-1, 6, 2, 2]),
    ],
)
def test_what_is_no_shuffle_of_channels_stays(model: onnx.ModelProto):
    new = onnx.ModelProto()
    new.CopyFrom(model)
    gather_shuffled(EditableGraph(new.graph, []))
    assert new == model


def test_a_value_that_is_also_an_output_stays():
    model = shuffle(["N", 6, 2, 2], [-1, 2, 3, 2, 2], [-1, 6, 2, 2])
    model.graph.output.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, None))
    assert rewritten(model)[1]["Gather"] == 0


def test_a_shuffle_that_is_split_and_is_an_output_too_stays_whole():
    model = shuffle(["N", 6, 2, 2], [-1, 2, 3, 2, 2], [-1, 6, 2, 2], split=[2, 4])
    model.graph.output.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, None))
    new, count = rewritten(model)
    assert count["Gather"] == 1 and count["Split"] == 1 and count["Transpose"] == 1
    x = np.random.default_rng(0).random((2, 6, 2, 2), np.float32)
    for one, other in zip(answers(model, x), answers(new, x), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_split_of_something_else_than_channels_stays():
    model = shuffle(["N", 6, 2, 2], [-1, 2, 3, 2, 2], [-1, 6, 2, 2], split=[1, 1])
    model.graph.node[-1].attribute[0].i = 2
    new, count = rewritten(model)
    assert count["Gather"] == 1 and count["Split"] == 1
    x = np.random.default_rng(0).random((2, 6, 2, 2), np.float32)
    for one, other in zip(answers(model, x), answers(new, x), strict=True):
        np.testing.assert_array_equal(one, other)


class Shuffling(nn.Module):
    """Two shuffles of one kind, then one whose halves go different ways, and torch's own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(2):
            x = x.unflatten(1, (3, 2)).transpose(1, 2).flatten(1, 2).sin()
        left, right = x.view(-1, 2, 3, 4, 4).transpose(1, 2).reshape(-1, 6, 4, 4).chunk(2, 1)
        return torch.channel_shuffle(torch.cat((left, right.cos()), 1), 2)


@pytest.mark.slow
def test_a_module_that_shuffles(tmp_path: Path):
    images = torch.rand(5, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    split = (images, torch.rand(5, 6, 4, 4))
    task = Supervised(train=split, validation=split, test=split, criterion=nn.functional.mse_loss)
    write(Shuffling(), task, tmp_path / "s.shoe")
    file = load(tmp_path / "s.shoe")
    content = read_model(tmp_path / "s.shoe")
    assert isinstance(content, Content)
    operators = Counter(node.operator for node in content.graph.nodes)
    assert operators["Gather"] == 5 and operators["Range"] == 3
    for count in (1, 5):
        wanted = Shuffling()(images[:count])
        torch.testing.assert_close(torch.as_tensor(file(images[:count])), wanted)
    again = from_shoe(tmp_path / "s.shoe")
    torch.testing.assert_close(again(images), Shuffling()(images))
