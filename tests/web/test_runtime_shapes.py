"""One model that meets inputs of many shapes: nothing that a shape changes is kept for the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from runs import FILES, Case, beside, evaluate, graph, loaded, needs_node

from shoestring.artifact.format.graph import INT, INTS, Node, Port
from shoestring.artifact.format.tensors import tensor

pytestmark = needs_node
X = (Port("x", 1, ("N", "T")),)
CONSTANTS = tuple(
    tensor(np.array(value, kind))
    for value, kind in (
        (1, np.int64),
        (0, np.int64),
        ([1], np.int64),
        ([0], np.int64),
        ([0, 1], np.int64),
        (np.linspace(-1, 1, 4).reshape(1, 4, 1), np.float32),
    )
)
ONE, ZERO, SECOND, FIRST, BOTH, FOUR = range(1, 7)
SHAPE, T, RANGE, ROW, LENGTH, COLUMN = range(7, 13)
NEXT = 13
FROM_SHAPE = (
    Node("Shape", (0,), 1),
    Node("Gather", (SHAPE, ONE), 1),
    Node("Range", (ZERO, T, ONE), 1),
    Node("Cast", (RANGE,), 1, (("to", INT, 1),)),  # 0, 1, ... T - 1
    Node("Cast", (T,), 1, (("to", INT, 1),)),
    Node("Unsqueeze", (ROW, SECOND), 1),
)
GRAPHS = {
    "matmul": (Node("MatMul", (0, COLUMN), 1),),
    "matmul of two inputs": (
        Node("Transpose", (0,), 1),
        Node("MatMul", (NEXT, 0), 1),
    ),
    "gemm": (Node("Gemm", (0, COLUMN), 1),),
    "gemm with a bias": (Node("Gemm", (0, 0, LENGTH), 1, (("transB", INT, 1),)),),
    "gemm of a product": (Node("Gemm", (0, 0, ROW), 1, (("transA", INT, 1),)),),
    "attention": (
        Node("Unsqueeze", (0, SECOND), 1),
        Node("Transpose", (NEXT,), 1, (("perm", INTS, (0, 2, 1)),)),
        Node("MatMul", (NEXT + 1, NEXT), 1),
        Node("Softmax", (NEXT + 2,), 1),
        Node("MatMul", (NEXT + 3, COLUMN), 1),
    ),
    "conv": (
        Node("Unsqueeze", (0, SECOND), 1),
        Node("Unsqueeze", (ROW, BOTH), 1),
        Node("Concat", (NEXT + 1, NEXT + 1, NEXT + 1), 1, (("axis", INT, 0),)),
        Node("Conv", (NEXT, NEXT + 2), 1),
    ),
    "conv, depthwise": (
        Node("Unsqueeze", (0, SECOND), 1),
        Node("Unsqueeze", (ROW, BOTH), 1),
        Node("Conv", (NEXT, NEXT + 1), 1),
    ),
    "layer norm": (Node("LayerNormalization", (0, ROW, ROW), 1),),
    "layer norm without a bias": (Node("LayerNormalization", (0, ROW), 1),),
    "batch norm": (Node("BatchNormalization", (0, ROW, ROW, ROW, ROW), 1),),
    "lstm": (
        Node("Unsqueeze", (0, FIRST), 1),
        Node("Mul", (ROW, FOUR), 1),
        Node("LSTM", (NEXT, NEXT + 1, FOUR), 1, (("hidden_size", INT, 1),)),
    ),
    "sum": (Node("Add", (0, ROW), 1), Node("MatMul", (NEXT, COLUMN), 1)),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_weights_computed_from_the_shape(name: str, tmp_path: Path):
    """Five lengths in one model, of which the first comes again."""
    nodes = (*FROM_SHAPE, *GRAPHS[name])
    result = NEXT + len(GRAPHS[name]) - 1
    file = Path(loaded(graph(*nodes, inputs=X, constants=CONSTANTS, result=result), tmp_path))
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(2, t)).astype(np.float32) for t in (3, 5, 4, 40, 3)]
    cases = [
        Case(file=file, inputs={"x": x}, backend=backend)
        for backend in ("webassembly", "javascript")
        for x in inputs
    ]
    for answer, wanted in beside(cases, tmp_path / "out"):
        np.testing.assert_allclose(answer, wanted, rtol=1e-4, atol=1e-4)


def test_telling_the_outputs_changes_no_answer(tmp_path: Path):
    nodes = (*FROM_SHAPE, Node("MatMul", (0, COLUMN), 1))
    file = loaded(graph(*nodes, inputs=X, constants=CONSTANTS, result=NEXT), tmp_path)
    script = """
    const model = await m.load(given[0]);
    const { shape } = model.outputs[0];
    const ones = (t) => ({ data: new Float32Array(t).fill(1), shape: [1, t] });
    const found = [3, 5, 4].map((t) => model.run(ones(t)).y.data[0]);
    console.log(JSON.stringify([shape, found]));
    """
    assert evaluate(script, file) == [["N", 1], [3, 10, 6]]


def test_the_text_encoder_answers_growing_texts_as_a_fresh_one():
    script = """
    const model = await m.load(given[0]);
    const answer = (one, t) => {
      const data = Array.from({ length: t }, (_, i) => 3 + ((i * 37) % 500));
      const outputs = one.run({ ids: { data, shape: [1, t] } });
      return Object.values(outputs).map((y) => Array.from(y.data));
    };
    const pairs = [];
    for (const t of [4, 16, 48, 5]) {
      pairs.push([answer(model, t), answer(await m.load(given[0]), t)]);
    }
    console.log(JSON.stringify(pairs));
    """
    for ours, fresh in evaluate(script, str(FILES / "baseline_text_encoder.shoe")):
        assert ours == fresh


def test_memory_over_forty_shapes():
    """Of the text encoder: what is counted goes down again when plans are forgotten, twice over."""
    script = """
    const model = await m.load(given[0]);
    const { store } = model;
    const answers = [[], []];
    const counted = [];
    for (const round of answers) {
      for (let t = 20; t < 60; t++) {
        const ids = { data: Array(t).fill(5), shape: [1, t] };
        round.push(Object.values(model.run({ ids })).map(({ data }) => Array.from(data)));
        counted.push(store.outside);
      }
    }
    model.forget();
    const kept = store.outside;
    const inMemory = [];
    for (let i = 0; i < 3; i++) {
      model.single.shapes = undefined;
      model.outputs;
      inMemory.push([store.outside, store.end]);
    }
    console.log(JSON.stringify([answers, Math.max(...counted), kept, inMemory]));
    """
    (first, second), most, kept, told = evaluate(script, str(FILES / "baseline_text_encoder.shoe"))
    assert first == second
    assert kept <= most <= kept + 2**21
    assert all(one == told[0] for one in told)
    assert told[0][0] == kept


def test_copies_count_against_max_bytes(tmp_path: Path):
    """Tensors of 64 bits and of float16, and outputs, which are copies: refused before they are."""
    n = 2**17
    ints = tensor(np.arange(n, dtype=np.int64))
    halves = tensor(np.ones(n, np.float16))
    x = (Port("x", 1, (1,)),)
    files = [
        graph(
            Node("Cast", (1,), 1, (("to", INT, 1),)),
            Node("Add", (0, 2), 1),
            inputs=x,
            constants=(c,),
            result=3,
        )
        for c in (ints, halves)
    ]
    shape = tensor(np.array([n], np.int64))
    files.append(graph(Node("Expand", (0, 1), 1), inputs=x, constants=(shape,), result=2))
    script = """
    const said = [];
    for (const maxBytes of JSON.parse(given[1])) {
      const model = await m.load(given[0], { maxBytes });
      for (let again = 0; again < 3; again++) {
        try {
          said.push(model.run([1]).y.data.length);
        } catch (error) {
          said.push(error.message.slice(0, 48));
        }
      }
    }
    console.log(JSON.stringify(said));
    """
    refused = "running this file takes more memory than maxBytes"[:48]
    # A copy of int64 (8 bytes) or float16 (4), float32 outside and within, the sum, the output.
    for content, each in zip(files, (24, 20, 8), strict=True):
        folder = tmp_path / str(each)
        folder.mkdir()
        limits = f"[{n * (each - 2)}, {n * each + 2**18 + 2**16}]"
        found = evaluate(script, loaded(content, folder), limits)
        assert found == [refused] * 3 + [n] * 3, (each, found)
