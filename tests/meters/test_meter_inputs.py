import subprocess
import sys

import numpy as np
import pytest
import torch

from shoestring.artifact import Content, Entries, read, read_model, save
from shoestring.artifact.format import file
from shoestring.artifact.format.graph import INT, Graph, Node, Port
from shoestring.artifact.format.tensors import tensor
from shoestring.core import Task, Vary
from shoestring.meters import Latency, Memory, Operations, Size
from shoestring.meters.apart import timed
from shoestring.meters.exchange import Work, encode
from shoestring.meters.inputs import feeds, runner
from shoestring.meters.latency import _parcel


def content(*shapes, arguments=None, elements=(1, 1, 1)):
    """A graph that hands its first input on; only what it says of its inputs matters."""
    ports = tuple(
        Port(name, element, shape)
        for name, element, shape in zip("abc", elements, shapes, strict=False)
    )
    tree = arguments or (tuple(range(len(ports))), {})
    return Content(
        Graph(
            20, ports, 0, (), (Node("Identity", (0,), 1),), (Port("y", 1),), (len(ports),), tree, 0
        ),
        [],
    )


@pytest.mark.parametrize(
    "wrap", [lambda x: x, Vary, torch.from_numpy, lambda x: Vary(torch.from_numpy(x))]
)
def test_arrays_and_tensors_wrapped_or_not(call, wrap):
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    found = feeds(content(("N", 2)), call(wrap(x)))
    assert list(found) == ["a"]
    np.testing.assert_array_equal(found["a"], x[:1])


def test_repeated_where_the_example_is_too_short(call):
    x = np.array([[1.0], [2.0]], np.float32)
    assert feeds(content(("N", 1)), call(x), batch=5)["a"].ravel().tolist() == [1, 2, 1, 2, 1]


def test_nests_and_keywords(call):
    tree = ((None, {"pair": [0, 1]}), {"mask": 2})
    one, two, mask = (np.full((2, n), n, np.float32) for n in (1, 2, 3))
    task = call(5, {"pair": [one, Vary(two)], "unused": 1}, mask=mask)
    found = feeds(content(("N", 1), ("N", 2), ("N", 3), arguments=tree), task)
    assert [value.tolist() for value in found.values()] == [[[1]], [[2, 2]], [[3, 3, 3]]]


def test_examples_are_along_the_axis_called_n_wherever_it_is(call):
    steps, vector = np.zeros((7, 2, 4), np.float32), np.zeros(7, np.float32)
    found = feeds(content(("T", "N", 4), ("T",)), call(steps, vector), batch=3)
    assert (found["a"].shape, found["b"].shape) == ((7, 3, 4), (7,))


def test_examples_are_along_the_first_axis_0_that_varies_where_none_is_called_n(call):
    found = feeds(
        content((2,), ("B", 3)),
        call(np.zeros(2, np.float32), np.zeros((2, 3), np.float32)),
        batch=4,
    )
    assert (found["a"].shape, found["b"].shape) == ((2,), (4, 3))


def test_numbers_of_the_same_kind_become_the_files(call):
    found = feeds(content(("N",), elements=(1,)), call(np.ones(2, np.float64)))
    assert found["a"].dtype == np.float32


@pytest.mark.parametrize("args", [(), (np.ones(2, np.int64),), ({"x": 1},)])
def test_an_example_of_another_model(call, args):
    with pytest.raises(ValueError, match=r"does not fit the file, which takes a: float32\[N\]"):
        feeds(content(("N",)), call(*args))


def test_an_example_without_an_example(call):
    with pytest.raises(ValueError, match="length 0"):
        feeds(content(("N",)), call(np.zeros(0, np.float32)))


@pytest.mark.parametrize("threads", [1, 2, None])
def test_a_run_is_a_run(linear, threads):
    found = read(linear.path)
    inputs = feeds(found, linear.task, 2)
    expected = (
        linear.module(*(torch.from_numpy(value) for value in inputs.values())).detach().numpy()
    )
    np.testing.assert_allclose(runner(found, inputs, threads)()[0], expected, atol=1e-6)


def test_weighing_a_file_needs_no_torch(linear):
    code = (
        "import sys, numpy as np\n"
        "from shoestring.core import Task, Vary\n"
        "from shoestring.meters import Latency, Operations, Size\n"
        "class One(Task):\n"
        "    def example(self): return (Vary(np.ones((2, 8), np.float32), {0: 'N'}),), {}\n"
        "for meter in (Size(), Latency(repeats=3), Operations()): assert meter(sys.argv[1], "
        "One()).measured()\n"
        "assert not {'torch', 'onnx'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(linear.path)], check=True, timeout=900)


@pytest.fixture
def forked(tmp_path):
    """A file with two entries that read one weight, 8 to 4 and 4 to 8, and its task."""
    weight = tensor(np.ones((8, 4), np.float32), 0)
    graphs = {
        name: Graph(
            opset=20,
            inputs=(Port("x", 1, ("N", size)),),
            weights=1,
            constants=(),
            nodes=(Node("Gemm", (0, 1), 1, attributes),),
            outputs=(Port("y", 1),),
            results=(2,),
            arguments=((0,), {}),
            structure=0,
        )
        for name, size, attributes in (("down", 8, ()), ("up", 4, (("transB", INT, 1),)))
    }
    path = tmp_path / "forked.shoe"
    save(path, file.pack(Entries(graphs, [weight])))
    return path, Forked()


class Forked(Task):
    def example(self):
        return {
            name: ((np.zeros((2, size), np.float32),), {})
            for name, size in (("down", 8), ("up", 4))
        }


def test_inputs_of_entries_have_their_names(forked):
    path, task = forked
    found = feeds(read_model(path), task, batch=3)
    assert {name: value.shape for name, value in found.items()} == {
        "down.x": (3, 8),
        "up.x": (3, 4),
    }


def test_meters_run_each_entry_once(forked):
    path, task = forked
    assert Operations()(path, task).operations == 2 * 8 * 4 * 2
    assert Size()(path, task).bytes == path.stat().st_size
    assert Latency(repeats=3)(path, task).milliseconds > 0
    assert Memory().why_not() or Memory()(path, task).memory_bytes >= 0
    sent = Work(
        files=_parcel([path], task, 1)[0], order=[0], threads=1, rounds=2, warm_up=1, seconds=1.0
    )
    assert len(timed(encode(sent), 1 << 20, 10.0)) == 1


def test_each_run_is_one_of_each_entry(forked, monkeypatch):
    path, task = forked
    ran: list[str] = []

    class Counts:
        def start(self, graph, tensors, threads):
            return self

        def bound(self, feeds):
            return lambda: ran.append(str(feeds["x"].shape[1]))

    content = read_model(path)
    run = runner(content, feeds(content, task), 1, Counts())
    run()
    run()
    assert ran == ["8", "4"] * 2


def test_a_task_of_other_entries_is_refused(forked, linear):
    path, task = forked
    with pytest.raises(ValueError, match=r"other entries than the file has .no names; down, up."):
        feeds(read_model(path), linear.task)
    with pytest.raises(ValueError, match=r"other entries than the file has .down, up; no names."):
        feeds(read(linear.path), task)
