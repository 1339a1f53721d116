"""The ONNX bytes that we write ourselves are those that the onnx package reads, and they compute
what they should.
"""

import dataclasses

import numpy as np
import onnx
import pytest
from samples import attributes, linear, nested, varied

from shoestring.artifact.format.file import Content
from shoestring.artifact.format.graph import Node, Port
from shoestring.artifact.format.protobuf import onnx_bytes
from shoestring.artifact.format.tensors import ELEMENTS, Tensor, tensor, unsigned
from shoestring.artifact.runtime.loaded import Loaded


def parsed(content):
    return onnx.load_from_string(onnx_bytes(content.graph, content.tensors))


def check(model):
    # The checker wants shapes of outputs, which a file does not keep.
    onnx.checker.check_model(
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True), full_check=True
    )


@pytest.mark.parametrize("content", [linear(), nested(), varied()])
def test_the_checker_passes(content):
    model = parsed(content)
    check(model)
    assert model.opset_import[0].version == content.graph.opset
    assert [value.name for value in model.graph.input] == [
        port.name for port in content.graph.inputs
    ]
    assert [node.op_type for node in model.graph.node[: len(content.graph.nodes)]] == [
        n.operator for n in content.graph.nodes
    ]


def test_attributes_and_shapes():
    model = parsed(Content(attributes(), [tensor(np.zeros((1, 1, 8), np.float32))]))
    value, pool, leaky, rnn = (
        {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        for node in model.graph.node[1:5]
    )
    assert onnx.numpy_helper.to_array(value["value"]).tolist() == [1.5]
    assert pool == {"kernel_shape": [2, 2], "auto_pad": b"SAME_UPPER"}
    assert leaky == {"alpha": 0.25}
    assert rnn == {"activations": [b"Tanh"], "activation_alpha": [0.5, -1.0]}
    assert model.graph.node[4].output[0] == ""
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in shape] == ["N", 1, 8, "W"]


@pytest.mark.parametrize("element", list(ELEMENTS))
def test_every_element_type(element):
    bits = np.array([[0, 1, 1]], unsigned(element))
    content = linear()
    graph = dataclasses.replace(content.graph, constants=(Tensor(element, bits),), results=(4,))
    stored = parsed(Content(graph, content.tensors)).graph.initializer[2]
    assert stored.data_type == element
    assert stored.raw_data == bits.tobytes()
    assert list(stored.dims) == [1, 3]


def test_results_equal_numpy():
    content, rng = linear(), np.random.default_rng(0)
    x = rng.normal(size=(5, 3)).astype(np.float32)
    weights, bias = (one.array() for one in content.tensors)
    assert np.allclose(Loaded(content, threads=1)(x), x @ weights + bias, atol=1e-6)


def test_batch_norm_equals_numpy():
    content, rng = varied(), np.random.default_rng(0)
    kernel, scale, shift, mean, variance, sparse, numbers = (one.array() for one in content.tensors)
    x = rng.normal(size=(2, 1, 4, 4)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    y = np.einsum("nchwij,ocij->nohw", windows, kernel)
    scale, shift, mean, variance = (one[:, None, None] for one in (scale, shift, mean, variance))
    y = (
        np.maximum((y - mean) / np.sqrt(variance + 2.0**-10) * scale + shift, 0).reshape(-1, 16)
        @ sparse
    )
    got, same_numbers = Loaded(content, threads=1)(x)
    assert np.allclose(got, y, atol=1e-5)
    assert np.array_equal(same_numbers, numbers)


@pytest.mark.parametrize(
    "names", [("w0", "w0_"), ("c0", "v4"), ("v4", "v4_"), ("y", "y_"), ("y_", "y")]
)
def test_names_that_ours_could_meet(names):
    """Inputs and outputs may be called what the inner values are."""
    graph = dataclasses.replace(
        linear().graph,
        inputs=(Port(names[0], 1, ("N", 3)), Port(names[1], 1, ())),
        constants=(tensor(np.float32(2).reshape(())),),
        nodes=(Node("Gemm", (0, 2, 3), 1), Node("Mul", (5, 4), 1), Node("Add", (6, 1), 1)),
        outputs=(Port("y", 1), Port("y_", 1), Port(names[0] + "v5", 1)),
        results=(7, 1, 7),
        arguments=((0, 1), {}),
        structure=(0, 1, 2),
    )
    content = Content(graph, linear().tensors)
    check(parsed(content))
    x = np.ones((1, 3), np.float32)
    expected = (x @ content.tensors[0].array() + content.tensors[1].array()) * 2 + 3
    y, scalar, again = Loaded(content, threads=1)(x, np.float32(3))
    assert np.allclose(y, expected)
    assert np.array_equal(y, again)
    assert scalar == 3
