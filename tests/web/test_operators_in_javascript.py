"""Every operator of the runtime in web/ answers as ONNX Runtime does.

Both kinds of kernels are tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from operator_cases import One, cases
from operator_corners import corners, refused
from runs import Case, evaluate, needs_node, run

from shoestring.artifact.format.file import pack
from shoestring.artifact.format.protobuf import onnx_bytes

pytestmark = needs_node

UNKNOWN_TO_RUNTIME = {
    "RMSNormalization",
    "Swish",
}
"""Operators that some versions of ONNX Runtime have no kernel for: they are compared with numpy."""


def by_numpy(one: One) -> dict[str, np.ndarray]:
    """What these operators are, from their definition."""
    x = one.inputs["x0"].astype(np.float64)
    if one.operator == "Swish":
        return {"y0": x / (1 + np.exp(-one.attributes["alpha"] * x))}
    scale = one.constants[0]
    assert scale is not None
    return {"y0": x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * scale}


def wanted(one: One) -> dict[str, np.ndarray]:
    """What ONNX Runtime answers."""
    if one.operator in UNKNOWN_TO_RUNTIME:
        return by_numpy(one)
    content = one.content()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    names = [port.name for port in content.graph.outputs]
    try:
        session = onnxruntime.InferenceSession(
            onnx_bytes(content.graph, content.tensors), options, providers=["CPUExecutionProvider"]
        )
        return dict(zip(names, session.run(names, one.inputs), strict=True))
    except Exception as error:
        raise AssertionError(f"{one.operator} {one.attributes}: {error}") from error


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> Iterator[list[tuple[One, str, dict, dict]]]:
    """(case, kernels, the answer of JavaScript, that of ONNX Runtime) of all cases."""
    folder: Path = tmp_path_factory.mktemp("operators")
    every = [*cases(), *corners()]
    for k, one in enumerate(every):
        (folder / f"{k}.shoe").write_bytes(pack(one.content()))
    runs = [
        (one, Case(file=folder / f"{k}.shoe", inputs=one.inputs, backend=backend))
        for backend in ("webassembly", "javascript")
        for k, one in enumerate(every)
    ]
    found = run([case for _, case in runs], folder / "out")
    expected = {id(one): wanted(one) for one in every}
    yield [
        (one, case.backend, answer, expected[id(one)])
        for (one, case), answer in zip(runs, found, strict=True)
    ]


def test_every_operator_has_a_case():
    has = evaluate("console.log(JSON.stringify(Object.keys(m.OPERATIONS)))")
    assert set(has) == {one.operator for one in cases()}


def test_answers_are_those_of_onnx_runtime(answers):
    wrong = []
    for one, backend, answer, expected in answers:
        told = (one.operator, backend, one.attributes, [x.shape for x in one.inputs.values()])
        if "error" in answer:
            wrong.append((*told, answer["error"]))
            continue
        for name, values in expected.items():
            if answer[name].shape != values.shape:
                wrong.append((*told, name, answer[name].shape, values.shape))
            elif not np.allclose(answer[name], values, rtol=2e-5, atol=2e-5, equal_nan=True):
                apart = np.abs(answer[name].astype(float) - values.astype(float)).max()
                wrong.append((*told, name, apart))
    assert not wrong, "\n".join(map(str, wrong[:40]))


def test_both_kinds_of_kernels_were_run(answers):
    assert {backend for _, backend, _, _ in answers} == {"webassembly", "javascript"}
    assert len(answers) > 500


@pytest.mark.parametrize("backend", ["webassembly", "javascript"])
def test_what_has_no_answer_is_told(tmp_path: Path, backend: str):
    """Integers of more bits than the runtime computes with, and what no element is there for."""
    every = list(refused())
    runs = []
    for k, (one, _) in enumerate(every):
        path = tmp_path / f"{k}.shoe"
        path.write_bytes(pack(one.content()))
        runs.append(Case(file=path, inputs=one.inputs, backend=backend))
    wrong = []
    for (one, said), answer in zip(every, run(runs, tmp_path / "out"), strict=True):
        told = answer.get("error", "") if answer.get("kind", "RunError") == "RunError" else answer
        if said not in told or bool(said) != bool(told):
            wrong.append((one.operator, one.constants, one.inputs, said, told))
    assert not wrong, "\n".join(map(str, wrong))
