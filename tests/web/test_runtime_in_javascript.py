"""The runtime in web/ against ONNX Runtime, on committed files, real inputs and bad ones."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from runs import (
    FILES,
    ROOT,
    SAID,
    Case,
    beside,
    evaluate,
    graph,
    int8,
    loaded,
    needs_node,
    real,
)

from shoestring.artifact import Loaded, load
from shoestring.artifact.format.file import Content, Entries, read_model
from shoestring.artifact.format.graph import FLOAT, Node, Port
from shoestring.artifact.format.tensors import ELEMENTS, tensor

pytestmark = needs_node
GOLDEN = [
    path
    for path in sorted((ROOT / "tests" / "artifact" / "format" / "golden").glob("*.shoe"))
    if "checkpoint" not in path.name
]
COMMITTED = sorted(path.name for path in FILES.glob("*.shoe"))


@pytest.mark.by_default("lenet5_rate_3e-05*", "lenet300_rate_8e-06*", "baseline_tabular*")
@pytest.mark.parametrize("name", COMMITTED)
def test_committed_files_answer_as_onnx_runtime(name: str, tmp_path: Path):
    """Batches of 1 and more, in one model; both kinds of kernels."""
    file = FILES / name
    sizes = (("webassembly", 1), ("webassembly", 33), ("webassembly", 1), ("javascript", 3))
    cases = [Case(file=file, inputs=real(file, n, 5), backend=backend) for backend, n in sizes]
    for answer, wanted in beside(cases, tmp_path):
        assert answer.dtype == wanted.dtype
        np.testing.assert_allclose(answer, wanted, rtol=0, atol=1e-4)
        assert (answer.argmax(-1) == wanted.argmax(-1)).all()


@pytest.mark.by_default("lenet5-*")
@pytest.mark.parametrize(("network", "most"), [("lenet5", 1e-4), ("resnet20", 0.3)])
def test_int8_files_answer_as_onnx_runtime(network: str, most: float, tmp_path: Path):
    """Labels are the same.

    Where a sum lies half-way between two integers, it is rounded up here and down there, or the
    other way round: the steps of all later layers make of that what `most` allows.
    """
    file = int8(network, tmp_path)
    cases = [
        Case(file=file, inputs=real(FILES / f"baseline_{network}.shoe", n, 9), backend=backend)
        for backend, n in (("webassembly", 1), ("webassembly", 65), ("javascript", 2))
    ]
    for answer, wanted in beside(cases, tmp_path / "out"):
        np.testing.assert_allclose(answer, wanted, rtol=0, atol=most)
        assert (answer.argmax(-1) == wanted.argmax(-1)).all()


def test_every_committed_file_has_its_operators():
    needed = {
        node.operator
        for name in COMMITTED
        for content in [read_model(FILES / name)]
        if isinstance(content, Content)
        for node in content.graph.nodes
    }
    assert needed <= set(evaluate("console.log(JSON.stringify(Object.keys(m.OPERATIONS)))"))
    assert len(needed) > 30


def test_the_page_lists_the_operators():
    has = evaluate("console.log(JSON.stringify(Object.keys(m.OPERATIONS)))")
    page = (ROOT / "web" / "README.md").read_text()
    found = re.search(r"(\d+) operators of ONNX:\n\n(.*?)\n\n", page, re.DOTALL)
    assert found
    assert re.findall(r"`(\w+)`", found[2]) == sorted(has)
    assert int(found[1]) == len(has)


@pytest.mark.by_default("v2_lstm_coded*", "v2_bert_coded*", "v2_half_coded*", "v3_two_entries*")
@pytest.mark.parametrize("name", [path.name for path in GOLDEN])
def test_old_files_run(name: str, tmp_path: Path):
    """Of every version: convolutions of all kinds, BERT, an LSTM, float16, several entries."""
    file = tmp_path / name
    file.write_bytes((GOLDEN[0].parent / name).read_bytes())
    loaded = load(file, threads=1)
    rng = np.random.default_rng(0)
    cases = [
        Case(file=file, inputs=drawn(rng, loaded[entry] if entry else loaded), entry=entry)
        for entry in loaded.entries or [""]
    ]
    for answer, wanted in beside(cases, tmp_path / "out"):
        most = 1e-3 if wanted.dtype == np.float16 else 1e-5
        np.testing.assert_allclose(answer, wanted, rtol=0, atol=most)


def test_limits_of_old_files_are_attributes(tmp_path: Path):
    """As Clip had them before opset 11: of an input, and of what a kernel could limit itself."""
    limits = (("min", FLOAT, -0.5), ("max", FLOAT, 0.75))
    alone = (Node("Clip", (0,), 1, limits),)
    for folder, nodes in (("alone", alone), ("after", (Node("Mul", (0, 0), 1), *alone))):
        (tmp_path / folder).mkdir()
        nodes = tuple(replace(node, inputs=(i, *node.inputs[1:])) for i, node in enumerate(nodes))
        content = graph(*nodes, result=len(nodes))
        content = replace(content, graph=replace(content.graph, opset=10))
        file = Path(loaded(content, tmp_path / folder))
        case = Case(file=file, inputs={"x": np.array([[-1, -0.25, 0.5, 2]], np.float32)})
        [(answer, wanted)] = beside([case], tmp_path / folder)
        np.testing.assert_array_equal(answer, wanted)


def drawn(rng: np.random.Generator, loaded: Loaded) -> dict[str, np.ndarray]:
    """Inputs in which axes that vary are 5 long."""
    found = {}
    for port in loaded.inputs:
        shape = [size if isinstance(size, int) else 5 for size in port.shape]
        kind = np.dtype(ELEMENTS[port.element][0])
        values = rng.normal(size=shape) if kind.kind == "f" else rng.integers(0, 2, shape)
        found[port.name] = values.astype(kind)
    return found


LENET = str(FILES / "lenet5_rate_3e-05.shoe")
TABULAR = str(FILES / "baseline_tabular.shoe")


@pytest.mark.parametrize(
    ("file", "given", "message"),
    [
        (LENET, "{}", 'the input "images" is missing; this file takes images: float32[N, 1, 28'),
        (LENET, "{image: []}", 'there is no input "image"; this file takes images'),
        (LENET, "undefined", "run was given undefined: this file takes images"),
        (LENET, "'x'", "run was given string"),
        (
            LENET,
            "new Float32Array(783)",
            "783 numbers in one row, which do not make [N, 1, 28, 28]",
        ),
        (LENET, "{images: {data: new Float32Array(784), shape: [1, 784]}}", "the shape [1,784]"),
        (LENET, "{images: {data: new Float32Array(5), shape: [1, 1, 28, 28]}}", "has 784"),
        (LENET, "{images: {data: ['<script>'], shape: [1]}}", "the shape [1]"),
        (LENET, "Array(784).fill('<script>')", "has <script> at place 0, which is no float32"),
        (LENET, "[[1, 2], [3]]", "arrays of different lengths"),
        (LENET, "new ArrayBuffer(3136)", "bytes without a type"),
        (LENET, "{images: 5}", "is no array"),
        (LENET, "{data: new Uint8ClampedArray(3136), width: 28, height: 28}", "bytes of a canvas"),
        (LENET, "new Uint8ClampedArray(3136)", "four for each pixel: give the numbers that"),
        (LENET, "{data: new Uint8ClampedArray(784), shape: [1, 1, 28, 28]}", ""),
        (TABULAR, "[1, 2, 3]", "run was given one array, and this file takes ids"),
        (
            TABULAR,
            "{ids: {data: Array(16).fill(0), shape: [2, 8]},"
            " numbers: {data: Array(6).fill(0), shape: [1, 6]}}",
            'the input "numbers" has the shape [1,6], and [N, 6] is wanted, where N is 2',
        ),
        (TABULAR, "{ids: Array(8).fill(0.5), numbers: Array(6).fill(0)}", "0.5 at place 0"),
        (TABULAR, "{ids: new Float32Array(8), numbers: Array(6).fill(0)}", "is a Float32Array"),
        (
            TABULAR,
            "{ids: Array(8).fill(2n**60n), numbers: Array(6).fill(0)}",
            "1152921504606846976",
        ),
        (TABULAR, "{ids: Array(8).fill(99999), numbers: Array(6).fill(0)}", "no index 99"),
    ],
)
def test_bad_inputs_are_told(file: str, given: str, message: str):
    [said] = evaluate(SAID.replace("INPUTS", f"[{given}]"), file)
    assert message in said and bool(message) == bool(said), said


def test_inputs_of_many_kinds_mean_the_same():
    script = """
    const model = await m.load(given[0]);
    const flat = Float32Array.from({ length: 784 }, (_, i) => i / 784);
    const row = (r) => Array.from(flat.subarray(28 * r, 28 * r + 28));
    const rows = Array.from({ length: 28 }, (_, r) => row(r));
    const kinds = [flat, { images: flat }, { images: { data: flat, shape: [1, 1, 28, 28] } }];
    kinds.push(Array.from(flat), [[rows]], { images: [[rows]] });
    kinds.push({ data: flat }, { data: [[rows]] });
    kinds.push(Float64Array.from(flat));
    const found = kinds.map((one) => Array.from(model.run(one).output.data));
    const two = model.run([[rows], [rows]]).output;
    console.log(JSON.stringify([found, two.shape, Array.from(two.data)]));
    """
    found, shape, two = evaluate(script, LENET)
    assert all(one == found[0] for one in found)
    assert len(set(found[0])) == 10
    assert shape == [2, 10]
    np.testing.assert_allclose(two, found[0] * 2, atol=1e-6)


def test_a_model_tells_what_it_takes_and_gives():
    script = """
    const model = await m.load(given[0]);
    const { inputs, outputs, entries, unsupported, bytes, tensors } = model;
    const told = { inputs, outputs, entries, unsupported, bytes, tensors: tensors.length };
    console.log(JSON.stringify(told));
    """
    told = evaluate(script, LENET)
    assert told["inputs"] == [{"name": "images", "type": "float32", "shape": ["N", 1, 28, 28]}]
    assert told["outputs"] == [{"name": "output", "type": "float32", "shape": ["N", 10]}]
    assert (told["entries"], told["unsupported"], told["tensors"]) == ([], [], 8)
    assert told["bytes"] == Path(LENET).stat().st_size


def test_an_operator_that_is_not_there_is_named(tmp_path: Path):
    file = loaded(graph(Node("Det", (0,), 1), result=1), tmp_path)
    script = "const model = await m.load(given[0]); console.log(JSON.stringify(model.unsupported))"
    assert evaluate(script, file) == ["Det"]
    [said] = evaluate(SAID.replace("INPUTS", "[[1, 2, 3, 4]]"), file)
    assert said.startswith("this runtime has no operator Det, which the file needs")


def test_entries_are_run_by_name(tmp_path: Path):
    double = graph(Node("Add", (0, 0), 1), result=1).graph
    square = graph(Node("Mul", (0, 0), 1), result=1).graph
    file = loaded(Entries({"double": double, "square": square}, []), tmp_path)
    script = """
    const model = await m.load(given[0]);
    const run = (name) => Array.from(model.entry(name).run([1, 2, 3, 4]).y.data);
    const found = model.entries.map(run);
    const said = [() => model.run([1]), () => model.entry("other")].map((of) => {
      try { of(); } catch (error) { return error.message; }
    });
    console.log(JSON.stringify([model.entries, found, said]));
    """
    names, found, said = evaluate(script, file)
    assert names == ["double", "square"]
    assert found == [[2, 4, 6, 8], [1, 4, 9, 16]]
    assert 'model.entry("double").run' in said[0]
    assert 'no entry "other"; it has double, square' in said[1]


def test_shapes_that_depend_on_numbers(tmp_path: Path):
    """Range to the sum of the inputs; then a run of another length."""
    nodes = (
        Node("ReduceSum", (0,), 1, (("keepdims", 2, 0),)),
        Node("Range", (1, 3, 2), 1),
        Node("Mul", (4, 2), 1),
    )
    constants = (tensor(np.array(0, np.float32)), tensor(np.array(1, np.float32)))
    content = graph(*nodes, constants=constants, result=5)
    script = """
    const model = await m.load(given[0]);
    const found = [[1, 2, 3, 0], [1, 1, 0, 0]].map((x) => Array.from(model.run(x).y.data));
    console.log(JSON.stringify([found, model.outputs[0].shape]));
    """
    found, shape = evaluate(script, loaded(content, tmp_path))
    assert found == [[0, 1, 2, 3, 4, 5], [0, 1]]
    assert shape is None


def test_memory_and_work_are_bounded(tmp_path: Path):
    """A file that asks for 16 GB, one that asks for hours, and one whose constants do."""
    shape = tensor(np.array([60000, 70000], np.int64))
    large = graph(
        Node("Expand", (0, 1), 1), inputs=(Port("x", 1, (1,)),), constants=(shape,), result=2
    )
    ones = graph(
        Node("Expand", (0, 1), 1),
        *(Node("MatMul", (2 + i, 2 + i), 1) for i in range(40)),
        inputs=(Port("x", 1, (1,)),),
        constants=(tensor(np.array([4000, 4000], np.int64)),),
        result=42,
    )
    still = graph(
        Node("ConstantOfShape", (1,), 1),
        Node("Add", (2, 0), 1),
        inputs=(Port("x", 1, (1,)),),
        constants=(shape,),
        result=3,
    )
    said = []
    for content in (large, ones, still):
        script = SAID.replace("INPUTS", "[[1]]")
        said += evaluate(script, loaded(content, tmp_path))
    assert "more memory than maxBytes, 1073741824" in said[0] or "are allowed" in said[0], said[0]
    assert "by the account of this runtime, and 20 s are allowed" in said[1]
    assert "maxBytes" in said[2] or "maxSeconds" in said[2]


def test_memory_of_a_run_is_given_back():
    """Ten shapes, each run twice, then the first again: memory stays below the limit."""
    script = """
    const model = await m.load(given[0], { maxBytes: 2 ** 24 });
    const first = model.run(new Float32Array(784).fill(0.5)).output.data.join();
    for (let n = 1; n < 40; n++) for (let k = 0; k < 2; k++) model.run(new Float32Array(784 * n));
    const again = model.run(new Float32Array(784).fill(0.5)).output.data.join();
    let said = "";
    try { model.run(new Float32Array(784 * 4000)); } catch (error) { said = error.message; }
    const third = model.run(new Float32Array(784).fill(0.5)).output.data.join();
    const same = first === again && again === third;
    console.log(JSON.stringify([same, model.kernels.memory.buffer.byteLength, said]));
    """
    same, size, said = evaluate(script, LENET)
    assert same
    assert size <= 2**24 + 2**16
    assert "run fewer examples at once, or raise maxBytes" in said


def test_sources_of_load():
    """Bytes, a buffer, a path, a file: address, a Response; and what is none."""
    script = """
    const { readFileSync } = await import("node:fs");
    const { pathToFileURL } = await import("node:url");
    const bytes = Uint8Array.from(readFileSync(given[0]));
    const url = pathToFileURL(given[0]);
    const sizes = [];
    for (const one of [bytes, bytes.buffer, given[0], url, url.href, new Response(bytes)]) {
      sizes.push((await m.load(one)).bytes);
    }
    const bad = [
      () => m.load(new Response("no", { status: 404 })),
      () => m.load(5),
      () => m.load(new Response(bytes), { maxBytes: 100 }),
      () => m.load(new Uint8Array(9)),
      () => m.load("missing.shoe"),
      () => m.load("http://127.0.0.1:9/x.shoe"),
      () => m.load(bytes, { maxbytes: 100 }),
      () => m.load(bytes, { backend: "js" }),
    ];
    const said = [];
    const keep = (error) => said.push(`${error instanceof m.ShoeError} ${error.message}`);
    for (const one of bad) await one().catch(keep);
    console.log(JSON.stringify([sizes, said]));
    """
    sizes, said = evaluate(script, LENET)
    assert sizes == [Path(LENET).stat().st_size] * 6
    parts = ("answered 404", "load was given number", "maxBytes", "not a .shoe file")
    parts += ("missing.shoe could not be read (ENOENT", "9/x.shoe could not be read (")
    parts += ("no option maxbytes: give maxBytes", "no backend js: give webassembly or javascript")
    for one, message in zip(said, parts, strict=True):
        assert one.startswith("true") and message in one, said


def test_checkpoints_load_and_do_not_run(tmp_path: Path):
    from shoestring.artifact.format.file import Checkpoint

    held = Checkpoint([tensor(np.arange(6, dtype=np.float32), 0)], ("a",), {"by": "a test"})
    script = """
    const model = await m.load(given[0]);
    let said;
    try { model.run([1]); } catch (error) { said = error.message; }
    console.log(JSON.stringify([model.graph, model.names, model.notes, model.entries, said]));
    """
    found = evaluate(script, loaded(held, tmp_path))
    assert found[:4] == [None, ["a"], {"by": "a test"}, []]
    assert "this file is a checkpoint" in found[4]
