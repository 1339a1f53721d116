"""A file is called as the module was, teaches when it is called wrong, and needs neither torch nor
onnx.
"""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from samples import linear, nested

from shoestring.artifact import Content, Loaded, ShoeError, load, save
from shoestring.artifact.format import file
from shoestring.artifact.format.graph import Node, Port
from shoestring.artifact.runtime.loaded import as_input


@pytest.fixture(scope="module")
def plain():
    return Loaded(linear(), threads=1)


@pytest.fixture(scope="module")
def tree():
    return Loaded(nested(), threads=1)


A = np.array([[1, 2, 3, 4]], np.float32)
S = np.float32(10)


def check(result):
    assert list(result) == ["sum", "rest", "none"]
    assert result["none"] is None
    assert isinstance(result["rest"], list)
    assert np.array_equal(result["sum"], [[2, 4, 6, 8]])
    assert np.array_equal(result["rest"][0], [[40, 30]])
    assert np.array_equal(result["rest"][1], [[3, 2]])


def test_calls(plain, tree):
    x = np.ones((2, 3), np.float32)
    y = plain(x)
    assert y.shape == (2, 2)
    assert np.array_equal(plain(x=x), y)
    assert np.array_equal(plain.run({"x": x})["y"], y)
    assert np.array_equal(plain(x.tolist()), y)
    assert np.array_equal(plain(x.astype(np.float64)), y)
    assert np.array_equal(plain(np.asfortranarray(x)[::-1]), y)


def test_nested_calls(tree):
    check(tree(A, (A, None), scale=S))
    check(tree(A, [A, "fixed"], S))
    check(tree(A, (A, None), scale=[[10.0]][0][0]))
    check(tree(a=A, scale=S, **{"pair.0": A}))
    assert set(tree.run({"a": A, "pair.0": A, "scale": S})) == {"sum", "rest.0", "rest.1"}


def test_signature(plain, tree):
    assert plain.signature() == "x: float32[N, 3]"
    assert tree.signature() == "a: float32[N, 4], pair.0: float32[N, 4], scale: float32[]"


@pytest.mark.parametrize(
    ("args", "kwargs", "kind", "why"),
    [
        ((), {}, TypeError, "'a' is missing; this file takes a: float32"),
        ((A, (A, None)), {}, TypeError, "'scale' is missing"),
        ((A, (A, None), S, 1), {}, TypeError, "4 arguments were given"),
        (
            (A, (A, None)),
            {"scale": S, "other": 1},
            TypeError,
            "no argument 'other'; this file takes",
        ),
        ((A, (A, None), S), {"scale": S}, TypeError, "'scale' is given twice"),
        ((A, (A, None)), {"scale": S, "a": A}, TypeError, "'a' is given twice"),
        ((A, A), {"scale": S}, TypeError, "argument 2 must be a list or tuple of 2"),
        ((A, (A,)), {"scale": S}, TypeError, "argument 2 must be a list or tuple of 2"),
        (
            (A[:, :3], (A, None), S),
            {},
            ValueError,
            r"'a' has shape \[1, 3\] and \[N, 4\] is wanted",
        ),
        ((A[0], (A, None), S), {}, ValueError, r"'a' has shape \[4\]"),
        ((A, (np.tile(A, (2, 1)), None), S), {}, ValueError, r"'pair.0' has shape \[2, 4\]"),
        (
            (A.astype(int), (A, None), S),
            {},
            TypeError,
            "'a' is of type int64 and float32 is wanted",
        ),
        ((A > 1, (A, None), S), {}, TypeError, "'a' is of type bool and float32 is wanted"),
        (("text", (A, None), S), {}, TypeError, "'a' is of type str"),
        (([[1.0], [1.0, 2.0]], (A, None), S), {}, TypeError, "'a' is no array"),
        ((None, (A, None), S), {}, TypeError, "'a' is of type object"),
    ],
)
def test_wrong_calls_teach(tree, args, kwargs, kind, why):
    with pytest.raises(kind, match=why):
        tree(*args, **kwargs)


def test_wrong_runs_teach(plain):
    with pytest.raises(TypeError, match="no input 'z'; this file takes x"):
        plain.run({"x": A[:, :3], "z": A})
    with pytest.raises(TypeError, match="'x' is missing"):
        plain.run({})


def takes(element):
    graph = dataclasses.replace(
        linear().graph,
        inputs=(Port("x", element, ("N",)),),
        weights=0,
        nodes=(Node("Identity", (0,), 1),),
        outputs=(Port("y", element),),
        results=(1,),
        arguments=(({"ids": 0},), {}),
    )
    return Loaded(Content(graph, []), threads=1)


def test_whole_numbers_are_converted_if_they_fit():
    small = takes(2)
    assert small({"ids": [1, 255]}).dtype == np.uint8
    assert small({"ids": np.array([], np.int64)}).shape == (0,)
    with pytest.raises(ValueError, match=r"uint8 cannot hold .* 256"):
        small({"ids": [1, 256]})
    with pytest.raises(ValueError, match="uint8 cannot hold"):
        small({"ids": [-1]})
    with pytest.raises(TypeError, match="argument 1 must be a dictionary with the keys 'ids'"):
        small({"id": [1]})
    with pytest.raises(TypeError, match="uint8 is wanted"):
        small({"ids": [0.5]})


@pytest.mark.parametrize("kind", [">f4", ">f8", "<f8"])
def test_numbers_are_read_in_the_order_of_their_bytes(plain, kind):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(plain(np.asfortranarray(x.astype(kind))), plain(x))
    assert as_input(np.asfortranarray(x.astype(kind)), "x", "float32").flags.c_contiguous


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads(threads):
    with pytest.raises(ValueError, match=f"threads is {threads}: give 1 or more, or None"):
        Loaded(linear(), threads=threads)


def test_torch_tensors_are_taken():
    torch = pytest.importorskip("torch")
    x = torch.ones(2, 3, requires_grad=True)
    assert np.array_equal(
        Loaded(linear(), threads=1)(x), Loaded(linear(), threads=1)(np.ones((2, 3), np.float32))
    )


def test_a_graph_that_the_runtime_refuses():
    graph = dataclasses.replace(linear().graph, nodes=(Node("Gemm", (0,), 1),))
    with pytest.raises(ShoeError, match="cannot run this graph"):
        Loaded(Content(graph, linear().tensors))


def test_a_graph_that_fails_while_it_runs(plain):
    graph = dataclasses.replace(linear().graph, inputs=(Port("x", 1, ("N", "M")),))
    loaded = Loaded(Content(graph, linear().tensors), threads=1)
    with pytest.raises(ShoeError, match="failed while it ran"):
        loaded(np.ones((2, 7), np.float32))


ALONE = """
import sys
class Forbid:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("torch", "onnx", "onnxscript"):
            raise ImportError(f"{name} is not installed here")
sys.meta_path.insert(0, Forbid())
import numpy as np
from shoestring.artifact import bill, load
loaded = load(sys.argv[1], threads=1)
print(loaded(np.ones((2, 3), np.float32)).sum().round(3), len(bill(open(sys.argv[1], "rb").read())))
assert not {"torch", "onnx", "onnxscript"} & set(sys.modules)
"""


def test_running_needs_neither_torch_nor_onnx(tmp_path):
    path = tmp_path / "model.shoe"
    save(path, file.pack(linear()))
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0.8", "4"]
    assert load(path)(np.ones((2, 3), np.float32)).sum() == pytest.approx(0.8)


def test_the_nearest_name_is_told(plain, tree):
    with pytest.raises(
        TypeError,
        match=r"there is no input 'xx' \(did you mean 'x'\?\); this file takes x: float32\[N, 3\]",
    ):
        plain.run({"xx": A})
    with pytest.raises(
        TypeError,
        match=r"there is no argument 'scales' \(did you mean 'scale'\?\); this file takes a: ",
    ):
        tree(A, (A, None), scales=S)
