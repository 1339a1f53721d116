"""What there is no C for is said by name; names of any kind become C."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from c_compiled import build, needs_gcc, outputs
from c_graphs import Made

from shoestring.artifact.plain_c.c_text import identifier, plain
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.export import export_c
from shoestring.artifact.runtime.loaded import Loaded


def test_an_operator_without_c_is_named_with_its_place():
    made = Made(x=(1, 3, 4))
    made.node("Relu", "x", to="r")
    made.node("Acosh", "r", to="y")
    with pytest.raises(
        NoPlainC, match=r"no C for Acosh \(node 1\), which gives float32 of 1 × 3 × 4"
    ):
        export_c(made.content("y"))


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes", "said"),
    [
        ("Conv", ("x", np.ones((2, 3, 1, 1, 1))), {}, "3 axes"),
        ("Gemm", (np.ones((3, 3)), "y"), {}, "is computed or has more than 2 axes"),
        ("MaxPool", ("x",), {"kernel_shape": (1, 1, 1)}, "pools 3 axes"),
        ("Pad", ("x", np.array([0, 0, 1, 1, 1] * 2)), {"mode": "reflect"}, "mode reflect"),
    ],
)
def test_what_an_operator_cannot_do_is_said(operator, inputs, attributes, said):
    made = Made(x=(1, 3, 4, 4, 4), y=(3, 3))
    made.node(operator, *inputs, **attributes, to="z")
    with pytest.raises(NoPlainC, match=rf"{operator} \(node 0\).*{said}"):
        export_c(made.content("z"))


def test_shapes_that_vary_are_fixed_and_said():
    made = Made(x=("N", "T (2 to 16)", 4))
    made.node("MatMul", "x", np.eye(4), to="y")
    content = made.content("y")
    with pytest.raises(NoPlainC, match=r"axis T \(axis 1 of the input x\) varies.*--axis T=LENGTH"):
        export_c(content)
    with pytest.raises(ValueError, match=r"T \(2 to 16\) cannot be 17 long"):
        export_c(content, axes={"T": 17})
    with pytest.raises(ValueError, match=r"no axis 'U' that varies: it has N, T"):
        export_c(content, axes={"U": 3, "T": 3})
    made_c = export_c(content, axes={"T": 3})
    assert made_c.said()[0] == "The shape is fixed: N = 1, T = 3."
    assert made_c.emitted.inputs[0].shape == (1, 3, 4)
    assert "N = 1, T = 3" in made_c.text


def test_numbers_that_c_does_not_have():
    made = Made(x=(1, 3))
    made.types["x"] = "float64"
    made.node("Relu", "x", to="y")
    made.types["y"] = "float64"
    with pytest.raises(NoPlainC, match="input x is float64"):
        export_c(made.content("y"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("images", "images"),
        ("int", "int_"),
        ("class", "class_"),
        ("my-input.1", "my_input_1"),
        ("3", "input_3"),
        ("", "input"),
        ("ÄÖ*/", "input"),
        ("x" * 100, "x" * 40),
        ("uint8_t", "uint8_t_"),
    ],
)
def test_names_become_c(text, name):
    assert identifier(text, fallback="input") == name


def test_texts_cannot_end_a_comment():
    assert plain("a */ int x; /* b ??/") == "a * / int x; / * b ? ?/"
    assert plain("line\nnext\\") == "line?next"


@needs_gcc
def test_names_that_are_words_of_c_or_alike_compile(tmp_path):
    made = Made(**{"int": (1, 2), "in*/t": (1, 2), "while 1": (1, 2), "reader": (1, 2)})
    value = "int"
    for other in list(made.inputs)[1:]:
        value = made.node("Add", value, other)
    content = made.content(value, value)
    made_c = export_c(content, name="9 lives*/-", header=True)
    assert made_c.name == "model_9_lives"
    program = build(made_c, tmp_path)
    case = [np.full((1, 2), 2.0**n, np.float32) for n in range(4)]
    for got in outputs(made_c, program, [case])[0]:
        np.testing.assert_array_equal(got, [[15, 15]])


@needs_gcc
def test_an_input_that_is_an_output_too_and_one_that_is_not_read(tmp_path):
    made = Made(x=(1, 3), unread=(1, 2))
    made.node("Relu", "x", to="y")
    content = made.content("y", "x")
    for reuse in (False, True):
        made_c = export_c(content, name=f"n{int(reuse)}", reuse_inputs=reuse)
        program = build(made_c, tmp_path / str(reuse))
        case = [np.array([[-1, 2, -3]], np.float32), np.zeros((1, 2), np.float32)]
        got = outputs(made_c, program, [case])[0]
        wanted = Loaded(content, threads=1)(*case)
        np.testing.assert_array_equal(got[0], wanted[0])
        np.testing.assert_array_equal(got[1], wanted[1])


@needs_gcc
def test_indices_beyond_a_table_read_nothing_outside(tmp_path):
    made = Made(x=(1, 4))
    made.types["x"] = "int64"
    made.node("Gather", np.arange(6).reshape(3, 2).astype(np.float32), "x", to="y")
    made_c = export_c(made.content("y"), name="n")
    case = [np.array([[1, -1, 7, -2147483648]])]
    got = outputs(made_c, build(made_c, tmp_path), [case])[0][0]
    np.testing.assert_array_equal(got, [[[2, 3], [4, 5], [4, 5], [0, 1]]])


def test_integers_beyond_32_bits_are_refused():
    made = Made(x=(1, 2))
    made.types |= {"x": "int64", "y": "int64"}
    made.node("Mul", "x", np.array([2654435761]), to="y")
    with pytest.raises(NoPlainC, match="reads the constant 2654435761: C has integers of 32 bits"):
        export_c(made.content("y"))


@needs_gcc
def test_limits_that_cross_give_the_upper_one(tmp_path):
    made = Made(x=(1, 3))
    made.node("Clip", "x", np.float32(2), np.float32(-2), to="y")
    made_c = export_c(made.content("y"), name="n")
    case = [np.array([[-5, 0, 5]], np.float32)]
    got = outputs(made_c, build(made_c, tmp_path), [case])[0][0]
    np.testing.assert_array_equal(got, [[-2, -2, -2]])


@needs_gcc
def test_names_that_differ_in_case_only_or_are_macros_compile(tmp_path):
    made = Made(**{"x": (1, 2), "X": (1, 3), "PI": (1, 4), "???/": (1, 5)})
    outs = [made.node("ReduceSum", name, to=f"v{at}") for at, name in enumerate(made.inputs)]
    made_c = export_c(made.content(*outs), name="n", header=True)
    build(made_c, tmp_path)  # warnings are errors
    sizes = [port.macro for port in (*made_c.emitted.inputs, *made_c.emitted.outputs)]
    assert len(set(sizes)) == len(sizes)
    assert identifier("INPUT") == "INPUT_" and identifier("X", ["x"]) == "X_"


def test_an_output_named_input_has_a_macro_of_its_own():
    made = Made(x=(1, 4))
    content = made.content(made.node("Relu", "x"), made.node("ReduceSum", "x"))
    ports = (replace(content.graph.outputs[0], name="input"), content.graph.outputs[1])
    content = replace(content, graph=replace(content.graph, outputs=ports))
    emitted = export_c(content, name="n").emitted
    assert [port.macro for port in (*emitted.inputs, *emitted.outputs)] == [
        "N_INPUT_SIZE",
        "N_INPUT__SIZE",
        "N_OUT_VALUE1_SIZE",
    ]
