"""The largest difference between C and the runtime, and the layers that are named for it."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from c_compiled import needs_gcc
from c_graphs import Made
from test_integers import network

from shoestring import cli
from shoestring.artifact.format.file import pack
from shoestring.artifact.plain_c.board.targets import ToolError
from shoestring.artifact.plain_c.comparing import Compared, compared
from shoestring.artifact.plain_c.export import export_c
from shoestring.artifact.plain_c.promises import not_promised
from shoestring.artifact.plain_c.recording import recorded


@needs_gcc
def test_integers_are_the_same_and_floats_are_not_quite() -> None:
    content = network(2).content("y")
    made = export_c(content, name="whole")
    assert compared(made, recorded(content, made)).said() == (
        "Compared with ONNX Runtime on 10 inputs: the same, bit for bit."
    )
    floats = Made(x=(1, 400))
    drawn = np.random.default_rng(0)
    floats.node("Gemm", "x", drawn.normal(size=(30, 400)), drawn.normal(size=30), transB=1, to="y")
    content = floats.content("y")
    made = export_c(content, name="floats", header=True)
    found = compared(made, recorded(content, made))
    assert 0 < found.apart < 1e-4 < found.largest and found.cases == 10
    assert "the largest difference is " in found.said()


@needs_gcc
@pytest.mark.parametrize("answer", [np.nan, 1000.0])
def test_a_difference_is_not_overlooked(answer: float) -> None:
    """Answers that the C does not give: as if it were wrong."""
    content = network(2).content("y")
    made = export_c(content, name="whole")
    cases = recorded(content, made)
    wrong = [[array.copy() for array in row] for row in cases.outputs]
    wrong[7][0].reshape(-1)[3] = answer
    found = compared(made, replace(cases, outputs=tuple(map(tuple, wrong))))
    assert found.apart == np.inf if np.isnan(answer) else 900 < found.apart < 1100


@needs_gcc
def test_integer_inputs_and_outputs_are_compared() -> None:
    content = network(1).content("y")
    made = export_c(content, name="whole", integer_inputs=True)
    assert compared(made, recorded(content, made)).apart == 0
    classes = Made(x=(1, 6))
    classes.types["y"] = "int64"
    classes.node("ArgMax", "x", axis=1, to="y")
    content = classes.content("y")
    made = export_c(content, name="classes")
    assert compared(made, recorded(content, made)) == Compared(cases=10, apart=0, largest=5)


def test_layers_that_may_differ_are_named() -> None:
    assert not_promised(export_c(network(2).content("y")).network) == []
    (said,) = not_promised(export_c(network(2, "int8").content("y")).network)
    assert "read signed integers" in said and said.count("Conv (node ") == 2
    made = Made(x=(1, 8))
    value = "x"
    for place in range(9):
        value = made.node("Gemm", value, np.eye(8) + place / 7, to="y" if place == 8 else None)
    (said,) = not_promised(export_c(made.content("y")).network)
    assert "compute in floats" in said and said.count("Gemm (node ") == 6 and "3 more" in said


@needs_gcc
def test_the_command_says_it(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "whole.shoe").write_bytes(pack(network(2).content("y")))

    def said(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["shoestring", "export", "whole.shoe", "whole.c", *words])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert not stop.value.code
        return capsys.readouterr().out

    assert "Compared with ONNX Runtime on 10 inputs: the same, bit for bit." in said()
    assert "the same, bit for bit." in said("--project", "board")
    readme = (tmp_path / "board" / "README.md").read_text()
    assert "the same, bit for bit." in readme and "random" in readme

    def missing(*_: object) -> None:
        raise ToolError("there is no gcc here\nmore")

    monkeypatch.setattr("shoestring.artifact.plain_c.comparing.measure", missing)
    assert "Not compared with ONNX Runtime: there is no gcc here more\n" in said()
