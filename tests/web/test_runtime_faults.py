"""Graphs that are not as ONNX says: a sentence, and never an answer made of other bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from runs import Case, evaluate, graph, loaded, needs_node, run

from shoestring.artifact.format.graph import FLOAT, FLOATS, INT, INTS, STRINGS, Node, Port
from shoestring.artifact.format.tensors import NUMBERS, tensor

pytestmark = needs_node
ONES = np.ones((1, 4), np.float32)
HIDDEN = (("hidden_size", INT, 2),)
LSTM = (np.ones((1, 8, 3), np.float32), np.ones((1, 8, 2), np.float32))
STEPS = np.ones((2, 1, 3), np.float32)
IMAGE = np.ones((1, 1, 4, 4), np.float32)


def case_of(*nodes: Node, inputs: tuple[np.ndarray, ...], constants: tuple = ()):
    """Inputs by name and a graph of them."""
    names = dict(zip("abc", inputs, strict=False))
    ports = tuple(Port(name, NUMBERS[x.dtype.name], x.shape) for name, x in names.items())
    held = tuple(tensor(np.asarray(one)) for one in constants)
    result = len(inputs) + len(held) + len(nodes) - 1
    return names, graph(*nodes, inputs=ports, constants=held, result=result)


CASES = {
    "a product with integers": (
        case_of(
            Node("MatMul", (0, 1), 1),
            inputs=(ONES, np.ones((4, 64), np.int8)),
        ),
        "MatMul: its input 1 is of int8, and float32 is wanted",
    ),
    "a scale of integers": (
        case_of(
            Node("LayerNormalization", (0, 1), 1),
            inputs=(ONES,),
            constants=(np.ones(4, np.int8),),
        ),
        "LayerNormalization: its input 1 is of int8",
    ),
    "integers quantised and back": (
        case_of(
            Node("QuantizeLinear", (0, 1, 2), 1),
            Node("DequantizeLinear", (3, 1, 2), 1),
            inputs=(np.arange(4, dtype=np.int32),),
            constants=(np.float32(0.5), np.uint8(3)),
        ),
        "QuantizeLinear: its input 0 is of int32",
    ),
    "a state that is too large": (
        case_of(
            Node("LSTM", (0, 2, 3, None, None, 1), 1, HIDDEN),
            inputs=(STEPS, np.ones((1, 9, 2), np.float32)),
            constants=LSTM,
        ),
        "LSTM: its input 5 has 18 elements, and 2 are wanted",
    ),
    "activations with numbers of their own": (
        case_of(
            Node(
                "LSTM",
                (0, 1, 2),
                1,
                (
                    *HIDDEN,
                    ("activations", STRINGS, ("HardSigmoid", "Tanh", "Tanh")),
                    ("activation_alpha", FLOATS, (0.1,)),
                ),
            ),
            inputs=(STEPS,),
            constants=LSTM,
        ),
        "LSTM: this runtime has it without activation_alpha and activation_beta",
    ),
    "a sequence that is too long": (
        case_of(
            Node("LSTM", (0, 2, 3, None, 1), 1, HIDDEN),
            inputs=(STEPS, np.array([7], np.int32)),
            constants=LSTM,
        ),
        "LSTM: a sequence is 7 long, and the input 2",
    ),
    "a convolution of large integers": (
        case_of(
            Node("ConvInteger", (0, 1), 1),
            inputs=(np.ones((1, 1, 4, 4), np.int32),),
            constants=(np.ones((1, 1, 2, 2), np.int32),),
        ),
        "ConvInteger: its input 0 is of int32, and int8, uint8 is wanted",
    ),
    "a bias that is too short": (
        case_of(
            Node("Conv", (0, 1, 2), 1),
            inputs=(IMAGE,),
            constants=(np.ones((3, 1, 2, 2), np.float32), np.ones(2, np.float32)),
        ),
        "Conv: its input 2 has 2 elements, and 3 are wanted",
    ),
    "groups of unlike size": (
        case_of(
            Node("GroupNormalization", (0, 1, 1), 1, (("num_groups", INT, 2),)),
            inputs=(np.ones((1, 3, 4), np.float32),),
            constants=(np.ones(3, np.float32),),
        ),
        "3 channels are not 2 groups",
    ),
    "a choice by numbers": (
        case_of(Node("Where", (0, 0, 0), 1), inputs=(ONES,)),
        "Where: its input 0 is of float32, and bool is wanted",
    ),
    "places that are floats": (
        case_of(Node("Gather", (0, 0), 1), inputs=(ONES,)),
        "Gather: its input 1 is of float32, and int64, int32 is wanted",
    ),
    "axes that are not there": (
        case_of(Node("Transpose", (0,), 1, (("perm", INTS, (0, 5)),)), inputs=(ONES,)),
        "Transpose: the order [0,5] is not one of 2 axes",
    ),
    **{
        f"{operator} with {name} {value}": (
            case_of(
                Node(operator, (0,) * count, 1, ((name, kind, value),)),
                inputs=(IMAGE,),
            ),
            f"{operator}: its attribute {name} is of the type {kind} of ONNX",
        )
        for operator, count, name, kind, value in (
            ("Softmax", 1, "axis", FLOAT, 0.5),
            ("Concat", 2, "axis", FLOAT, 0.5),
            ("Conv", 2, "strides", FLOATS, (1.5, 1.5)),
            ("Conv", 2, "auto_pad", INT, 1),
            ("Gelu", 1, "approximate", INT, 1),
            ("Elu", 1, "alpha", INT, 1),
        )
    },
    **{
        f"groups: {groups}": (
            case_of(
                Node("GroupNormalization", (0, 1, 1), 1, (("num_groups", INT, groups),)),
                inputs=(np.ones((1, 4, 4), np.float32),),
                constants=(np.ones(4, np.float32),),
            ),
            f"4 channels are not {groups} groups",
        )
        for groups in (0, -1, 2**31 - 1)
    },
    **{
        f"kernel: {size}": (
            case_of(Node("MaxPool", (0,), 1, (("kernel_shape", INTS, size),)), inputs=(IMAGE,)),
            f"MaxPool: a kernel of [{','.join(map(str, size))}] does not fit",
        )
        for size in ((0, 1), (-3, 1), (2,))
    },
    **{
        f"reshape: {shape}": (
            case_of(
                Node("Reshape", (0, 1), 1),
                inputs=(np.ones((2, 4, 3), np.float32),),
                constants=(np.array(shape),),
            ),
            f"Reshape: an output would have the shape [{told}]",
        )
        for shape, told in (
            ([-1, 16], "1.5,16"),
            ([-2, -12], "-2,-12"),
            ([-1, -1], "-24,-1"),
        )
    },
    "parts without end": (
        case_of(Node("Split", (0,), 1, (("num_outputs", INT, 2**31 - 1),)), inputs=(ONES,)),
        "Split: it has 1 outputs, and num_outputs is 2147483647",
    ),
    "an axis without end": (
        case_of(
            Node("ConstantOfShape", (1,), 1),
            Node("Add", (2, 0), 1),
            inputs=(ONES,),
            constants=(np.array([2**40, 0]),),
        ),
        "ConstantOfShape: an output would have the shape [1099511627776,0]",
    ),
    "a million axes": (
        case_of(
            Node("ConstantOfShape", (1,), 1),
            Node("Transpose", (2,), 1),
            inputs=(ONES,),
            constants=(np.ones(100_000, np.int64),),
        ),
        "ConstantOfShape: an output would have 100000 axes, and this runtime has 64",
    ),
    "more axes than are": (
        case_of(Node("Unsqueeze", (0, 1), 1), inputs=(ONES,), constants=(np.arange(99_999),)),
        "Unsqueeze: an output would have 99999 axes, and this runtime has 64",
    ),
}


@pytest.mark.parametrize(
    ("nodes", "shapes"),
    [
        ((Node("Concat", (3, 3), 1, (("axis", INT, 1),)),), ([2**30, 0], [0])),
        ((Node("MatMul", (3, 4), 1),), ([2**30, 0, 1], [1, 1, 5])),
        ((Node("Gemm", (3, 4), 1, (("transA", INT, 1),)),), ([0, 2**30], [0, 0])),
        ((Node("ReduceSum", (3,), 1, (("keepdims", INT, 0),)),), ([2**30, 0], [0])),
    ],
)
def test_long_axes_without_elements_take_no_time(nodes, shapes, tmp_path: Path):
    """Within the second that is allowed."""
    empty = (Node("ConstantOfShape", (1,), 1), Node("ConstantOfShape", (2,), 1))
    _, content = case_of(
        *empty,
        *nodes,
        Node("Shape", (5,), 1),
        inputs=(ONES,),
        constants=tuple(np.array(one) for one in shapes),
    )
    script = """
    const model = await m.load(given[0], { maxSeconds: 1 });
    const start = performance.now();
    model.run(new Float32Array(4));
    console.log(JSON.stringify(performance.now() - start));
    """
    assert evaluate(script, loaded(content, tmp_path)) < 1000


@pytest.mark.parametrize("name", CASES)
def test_what_is_not_as_onnx_says_is_told(name: str, tmp_path: Path):
    (inputs, content), message = CASES[name]
    file = Path(loaded(content, tmp_path))
    cases = [
        Case(file=file, inputs=inputs, backend=backend) for backend in ("webassembly", "javascript")
    ]
    for answer in run(cases, tmp_path / "out"):
        assert answer.get("kind") == "RunError", answer
        assert message in answer["error"]


def test_whatever_fails_within_a_run_is_a_sentence(tmp_path: Path):
    """A kernel that traps, memory that cannot grow, and an input that throws when it is read."""
    file = loaded(case_of(Node("Softmax", (0,), 1), inputs=(ONES,))[1], tmp_path)
    script = """
    const said = [];
    const fails = (of) => {
      try { of(); } catch (error) { said.push([error instanceof m.RunError, error.message]); }
    };
    const model = await m.load(given[0]);
    model.kernels.softmax = () => { throw new WebAssembly.RuntimeError("out of bounds"); };
    fails(() => model.run([1, 2, 3, 4]));
    fails(() => model.run([1, 2, 3, 4]));
    const other = await m.load(given[0]);
    other.kernels.grow = () => { throw new RangeError("no memory"); };
    fails(() => other.run([1, 2, 3, 4]));
    const third = await m.load(given[0]);
    fails(() => third.run({ get a() { throw new Error("mine"); } }));
    console.log(JSON.stringify(said));
    """
    said = evaluate(script, file)
    assert [known for known, _ in said] == [True] * 4
    assert said[0][1].startswith("Softmax: ") and "out of bounds" in said[0][1]
    assert "no memory" in said[2][1] and "run fewer examples" in said[2][1]
    assert "mine" in said[3][1]
