"""OpenVINO answers what ONNX Runtime answers, runs integers as integers, and says what it cannot
do.
"""

import dataclasses
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from samples import linear, nested, quantised

from shoestring.artifact import (
    Content,
    Entries,
    InBFloat16,
    Loaded,
    OnnxRuntime,
    OpenVINO,
    ShoeError,
    load,
    save,
)
from shoestring.artifact.format import file
from shoestring.artifact.format.graph import Node, Port
from shoestring.artifact.format.tensors import tensor
from shoestring.artifact.runtime.openvino import reason

pytest.importorskip(
    "openvino", reason="openvino is not installed: pip install 'shoestring[openvino]'"
)

GOLDEN = sorted((Path(__file__).parents[1] / "format" / "golden").glob("v2_*.shoe"))
FILES = [path for path in GOLDEN if "checkpoint" not in path.stem]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_answers_what_onnx_runtime_answers(path):
    ours, theirs = (
        load(path, threads=1, runtime=OpenVINO()),
        load(path, threads=1, runtime=OnnxRuntime()),
    )
    with np.load(path.with_suffix(".npz")) as kept:
        inputs = {
            name.removeprefix("in "): kept[name] for name in kept.files if name.startswith("in ")
        }
    outputs, expected = ours.run(inputs), theirs.run(inputs)
    assert list(outputs) == list(expected)
    half = "half" in path.stem
    for name, value in outputs.items():
        assert (value.dtype, value.shape) == (expected[name].dtype, expected[name].shape)
        np.testing.assert_allclose(
            value, expected[name], rtol=5e-3 if half else 1e-4, atol=5e-3 if half else 1e-5
        )


def test_it_computes_in_float32_or_in_bfloat16_where_that_is_asked_for():
    # 1 + 2^-12 is no bfloat16: 64 products of it with 1 would sum to 64, and sum to 64 + 2^-6.
    rows = np.full((64, 64), 1 + 2.0**-12, np.float32)
    graph = dataclasses.replace(
        linear().graph,
        inputs=(Port("x", 1, ("N", 64)),),
        weights=1,
        nodes=(Node("MatMul", (0, 1), 1),),
        results=(2,),
    )
    content, ones = Content(graph, [tensor(rows, 0)]), np.ones((1, 64), np.float32)
    loaded = Loaded(content, runtime=OpenVINO())
    assert loaded(ones).tolist() == [[64 + 2.0**-6] * 64]

    import openvino

    has_it = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    rounded = Loaded(content, runtime=OpenVINO(InBFloat16()))
    assert rounded(ones).tolist() == [[64.0 if has_it else 64 + 2.0**-6] * 64]
    with pytest.raises(TypeError, match="floats is 'bf16': give InFloat32"):
        OpenVINO("bf16")  # pyright: ignore[reportArgumentType]


def test_it_is_called_as_the_module_was():
    a, s = np.array([[1, 2, 3, 4]], np.float32), np.float32(10)
    for threads in (1, 2, None):
        found = Loaded(nested(), threads=threads, runtime=OpenVINO())(a, (a, None), scale=s)
        assert list(found) == ["sum", "rest", "none"]
        assert found["sum"].tolist() == [[2, 4, 6, 8]]
        assert [one.tolist() for one in found["rest"]] == [[[40, 30]], [[3, 2]]]


def test_what_it_returned_is_not_overwritten():
    loaded = Loaded(linear(), threads=1, runtime=OpenVINO())
    first = loaded(np.ones((2, 3), np.float32))
    loaded(np.zeros((2, 3), np.float32))
    np.testing.assert_allclose(first, [[0.1, 0.3]] * 2, atol=1e-6)


def test_any_number_of_examples_in_turn():
    loaded, other = (
        Loaded(quantised(), threads=1, runtime=runtime) for runtime in (OpenVINO(), OnnxRuntime())
    )
    for count in (1, 5, 2, 0):
        x = np.random.default_rng(count).uniform(-1, 1, (count, 3, 8, 8)).astype(np.float32)
        np.testing.assert_allclose(loaded(x), other(x), atol=0.2)


def test_bound_inputs_are_run():
    content = linear()
    x = np.array([[1, 2, 3]], np.float32)
    for runtime in (OpenVINO(), OnnxRuntime()):
        run = runtime.start(content.graph, content.tensors, 1).bound({"x": x})
        np.testing.assert_allclose(run()[0], [[-0.9, 1.8]], atol=1e-6)


def test_bound_inputs_live_as_long_as_what_runs_them():
    content = linear()
    x = np.ones((20_000, 3), np.float32)
    seen = weakref.ref(x)
    run = OpenVINO().start(content.graph, content.tensors, 1).bound({"x": x})
    del x
    assert seen() is not None
    np.testing.assert_allclose(run()[0][-1], [0.1, 0.3], atol=1e-6)
    del run
    assert seen() is None


def test_threads_that_share_a_file_get_their_own_answers():
    loaded = Loaded(linear(), threads=1, runtime=OpenVINO())
    examples = [np.full((50_000 + place, 3), place, np.float32) for place in range(4)]
    expected = [loaded(x) for x in examples]

    def ask(place):
        return all(np.array_equal(loaded(examples[place]), expected[place]) for _ in range(50))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(4)))


def test_inputs_that_nothing_reads():
    ports = tuple(Port(name, 1, ("N", 3)) for name in "abc")
    structure = {"arguments": ((0, 1, 2), {}), "structure": (0, 1)}
    graph = dataclasses.replace(
        linear().graph,
        inputs=ports,
        weights=0,
        nodes=(Node("Neg", (2,), 1),),
        outputs=(Port("y", 1), Port("z", 1)),
        results=(3, 1),
        **structure,
    )
    a, b, c = (np.full((2, 3), value, np.float32) for value in (1, 2, 3))
    for runtime in (OpenVINO(), OnnxRuntime()):
        found = Loaded(Content(graph, []), threads=1, runtime=runtime)(a, b, c)
        assert np.array_equal(found[0], -c) and np.array_equal(found[1], b)
        run = runtime.start(graph, [], 1).bound({"a": a, "b": b, "c": c})
        assert np.array_equal(run()[0], -c) and np.array_equal(run()[1], b)


def test_what_fails_while_it_runs_says_why(monkeypatch):
    def fails(inputs):
        raise RuntimeError("Exception from src/a.cpp:1:\nthe weights are gone")

    loaded = Loaded(linear(), threads=1, runtime=OpenVINO())
    monkeypatch.setattr(loaded._session, "_request", SimpleNamespace(infer=fails))
    with pytest.raises(ShoeError, match="the graph failed while it ran: the weights are gone"):
        loaded(np.ones((2, 3), np.float32))


def test_integers_run_as_integers():
    content = quantised()
    kernels = OpenVINO().start(content.graph, content.tensors, 1).kernels()
    heavy = [
        kernel for kind, kernel in kernels if kind in ("Convolution", "FullyConnected", "MatMul")
    ]
    assert len(heavy) == 3
    assert all(kernel.lower().endswith("i8") for kernel in heavy), heavy
    x = np.random.default_rng(1).uniform(-1, 1, (4, 3, 8, 8)).astype(np.float32)
    a, b = (
        Loaded(content, threads=1, runtime=runtime)(x) for runtime in (OpenVINO(), OnnxRuntime())
    )
    assert np.abs(a).max() > 5
    np.testing.assert_allclose(
        a, b, atol=0.2
    )  # a step of the last activations, 0.05, times a column of weights


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (Node("Gemm", (0,), 1), "Gemm.*which is 1"),
        (Node("Transpose", (), 1), "Transpose.*which is 0"),
        (Node("Conv", (0, 1), 1), r"channel count \(3\) does not match"),
        (Node("LinearAttention", (0, 1, 2), 1), "operations: LinearAttention"),
    ],
)
def test_a_graph_that_it_refuses(node, said):
    graph = dataclasses.replace(linear().graph, nodes=(node,))
    with pytest.raises(ShoeError, match=rf"OpenVINO \d{{4}}\.\S+ cannot run this graph: .*{said}"):
        Loaded(Content(graph, linear().tensors), runtime=OpenVINO())


def test_what_would_end_the_process_is_refused_too():
    graph = dataclasses.replace(linear().graph, nodes=(Node("OneHot", (0, 1, 2), 1),))
    with pytest.raises(ShoeError, match="the depth of OneHot"):
        Loaded(Content(graph, linear().tensors), runtime=OpenVINO())


def test_wrong_calls_teach():
    loaded = Loaded(linear(), threads=1, runtime=OpenVINO())
    with pytest.raises(ValueError, match=r"'x' has shape \[2, 4\] and \[N, 3\] is wanted"):
        loaded(np.ones((2, 4), np.float32))


@pytest.mark.parametrize("runtime", ["openvino", None, OpenVINO])
def test_what_is_no_runtime(runtime):
    with pytest.raises(TypeError, match=r"give OnnxRuntime\(\) or OpenVINO\(\)"):
        Loaded(linear(), runtime=runtime)


def test_the_reason_is_not_a_line_of_their_sources():
    error = RuntimeError(
        "Exception from src/a.cpp:1:\nCheck 'false' failed at src/b.cpp:2:\nthe weights are gone\n"
    )
    assert reason(error) == "the weights are gone"
    assert reason(RuntimeError("")) == "RuntimeError"


ABSENT = """
import sys
class Forbid:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("openvino", "torch", "onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Forbid())
from shoestring.artifact import OpenVINO, load
load(sys.argv[1], threads=1)
try:
    load(sys.argv[1], runtime=OpenVINO())
except ModuleNotFoundError as error:
    print(error)
"""


def test_its_absence_names_the_extra(tmp_path):
    path = tmp_path / "model.shoe"
    save(path, file.pack(linear()))
    done = subprocess.run(
        [sys.executable, "-c", ABSENT, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "extra `openvino` (pip install '.[openvino]' in the folder of its source" in done.stdout


def test_it_needs_no_torch(tmp_path):
    code = (
        "import sys\n"
        "from shoestring.artifact import OpenVINO, load\n"
        "load(sys.argv[1], threads=1, runtime=OpenVINO())\n"
        "assert not {'torch', 'onnx'} & set(sys.modules)\n"
    )
    path = tmp_path / "model.shoe"
    save(path, file.pack(linear()))
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=900)


def test_entries_run_on_it_too():
    content, x = linear(), np.ones((2, 3), np.float32)
    named = Loaded(
        Entries({"a": content.graph, "b": content.graph}, content.tensors), runtime=OpenVINO()
    )
    for name in ("a", "b"):
        np.testing.assert_allclose(named[name](x), Loaded(content)(x), rtol=1e-5)
