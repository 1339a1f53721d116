"""The decoder in web/, written from docs/format.md alone, against ours.

Same bits, same graphs, errors for what is damaged.
Node checks a whole list of files in one process, since starting it takes longer than decoding most
of them.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from hostile_graphs import fullest, made
from tiers import EVERYTHING, repetitions
from told import crc, stripped, told, told_graph

from shoestring.artifact.coding.work import Work
from shoestring.artifact.format import tensor_reader
from shoestring.artifact.format.file import (
    ENTRIES_VERSION,
    GRAPH,
    NAMES,
    Checkpoint,
    Content,
    Entries,
    framed,
    pack,
    sections,
    unpack_any,
)
from shoestring.artifact.format.graph import Graph, Node, Port
from shoestring.artifact.format.operators import ATTRIBUTES, OPERATORS
from shoestring.artifact.format.tensors import Tensor, tensor
from shoestring.artifact.wire import ShoeError

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(
    NODE is None, reason="node is not installed: the decoder in JavaScript cannot be tested"
)

ROOT = Path(__file__).parents[2]
GOLDEN = sorted((ROOT / "tests" / "artifact" / "format" / "golden").glob("*.shoe"))
PAGE = (ROOT / "docs" / "format.md").read_text()
MAX_BYTES = (
    1 << 26
    # what damaged files may take, so that one that asks for 1 GiB of zeros does not take the
    # seconds for it
)


def inspect(paths: list[Path], *options: str, timeout: float = 600) -> list[dict]:
    """What web/inspect.js prints of each file."""
    command = [str(NODE), "--expose-gc", str(ROOT / "web" / "inspect.js"), "--stdin-list", *options]
    text = "".join(f"{path}\n" for path in paths)
    ran = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=timeout, encoding="utf-8"
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [line["file"] for line in lines] == [str(path) for path in paths]
    return lines


def evaluate(script: str) -> object:
    """What a module of JavaScript in the folder web/ prints, from JSON."""
    ran = subprocess.run(
        [str(NODE), "--input-type=module", "-e", script],
        cwd=ROOT / "web",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout)


def example() -> bytes:
    found = re.search(r"```file\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return bytes.fromhex("".join(found[1].split()))


def test_golden_files_decode_to_the_same_bits_and_graphs():
    for path, line in zip(GOLDEN, inspect(GOLDEN), strict=True):
        assert line["version"] == int(path.stem.split("_")[0][1:])
        assert stripped(line) == told(unpack_any(path.read_bytes())), path


def test_graphs_with_everything_in_them(tmp_path):
    """Attributes of all types, absent inputs and outputs, nests, checkpoints with names and notes,
    and several entries.
    """
    contents = [nested_graph(), checkpoint(), two_entries()]
    paths = [tmp_path / f"{i}.shoe" for i in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(pack(content))
    for content, line in zip(contents, inspect(paths), strict=True):
        assert stripped(line) == told(content)


def nested_graph() -> Content:
    rng = np.random.default_rng(0)
    value = tensor(np.array([1.5, -0.0, np.nan], np.float32))
    graph = Graph(
        opset=21,
        inputs=(Port("x", 1, ("N", 1, 8, "W")), Port("é", 10, ()), Port("third", 7, ("N", 2**39))),
        weights=1,
        constants=(
            tensor(np.array([[-(2**63), -1, 0], [1, 2**62, 2**63 - 1]])),
            tensor(np.array([True, False])),
            tensor(np.empty((0, 5), np.float16)),
        ),
        nodes=(
            Node("Shape", (0,), 1),
            Node("ConstantOfShape", (7,), 1, (("value", 4, value),)),
            Node(
                "AveragePool",
                (0,),
                1,
                (("kernel_shape", 7, (2, -(2**31))), ("auto_pad", 3, "SAME_UPPER")),
            ),
            Node("LeakyRelu", (9,), 1, (("alpha", 1, 0.25),)),
            Node("Elu", (10,), 1, (("alpha", 1, -0.0),)),
            Node(
                "RNN",
                (9, 3, 3, None, None),
                2,
                (("activations", 8, ("Tanh", "é")), ("activation_alpha", 6, (0.5, -1.0))),
                (0,),
            ),
            Node("Add", (13, 2), 1),
        ),
        outputs=(Port("y", 1), Port("z", 1), Port("same", 1)),
        results=(13, 8, 0),
        arguments=(({"x": 0, "__proto__": 1}, [2, None]), {"flag": None}),
        structure=(0, [1, {"a": 2}]),
    )
    return Content(graph, [tensor(rng.normal(size=(3, 5)).astype(np.float32), 0)])


def two_entries() -> Entries:
    one = nested_graph()
    other = Graph(**{**vars(ONE_NODE), "weights": 1, "results": (2,)})
    return Entries({"constructor": one.graph, "Step_2": other}, one.tensors)


def checkpoint() -> Checkpoint:
    rng = np.random.default_rng(1)
    tensors = [
        tensor(rng.integers(-2, 3, (4, 6)).astype(np.float32), 0),
        tensor(rng.normal(size=7), 1),
    ]
    return Checkpoint(tensors, ("a.weight", "é.bias"), {"made by": "a test", "": "__proto__"})


ONE_NODE = Graph(
    opset=20,
    inputs=(Port("x", 1, ("N", 3)),),
    weights=0,
    constants=(),
    nodes=(Node("Identity", (0,), 1),),
    outputs=(Port("y", 1),),
    results=(0,),
    arguments=((0,), {}),
    structure=0,
)


def of_tensors(tensors: list[Tensor]) -> Content:
    """A content with a graph of one node that has these tensors."""
    last = 1 + len(tensors)
    graph = Graph(**{**vars(ONE_NODE), "weights": len(tensors), "results": (last,)})
    return Content(graph, tensors)


def random_values(rng: np.random.Generator, count_most: int) -> np.ndarray:
    """A random array in one of the styles that the codings are for."""
    axes = int(rng.choice([0, 1, 2, 2, 2, 3, 4, 8]))
    most = max(1.0, count_most ** (1 / max(axes, 1)))
    shape = tuple(
        int(most ** rng.random() + rng.random()) if rng.random() > 0.01 else 0 for _ in range(axes)
    )
    style = int(rng.integers(12))
    if style == 0:
        return np.zeros(shape, rng.choice([np.float32, np.float16, np.int64, np.uint8]))
    if style == 1:  # few levels, of any width
        levels = rng.normal(size=int(rng.integers(1, 9))).astype(
            rng.choice([np.float32, np.float16, np.float64])
        )
        return rng.choice(levels, shape)
    if style == 2:  # sparse
        return np.where(rng.random(shape) < 0.1, rng.normal(size=shape), 0).astype(
            rng.choice([np.float32, np.float64])
        )
    if style == 3:  # raw, with everything that a float can be
        return rng.integers(0, 1 << 32, shape, np.uint32).view(np.float32)
    if style == 4:
        kind = rng.choice(
            [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
        )
        return rng.integers(0, 100, shape).astype(kind) - kind(int(rng.integers(0, 50)))
    if style == 5:
        return rng.random(shape) < rng.random()
    if style == 6:  # values that share their exponents
        return rng.normal(size=shape).astype(rng.choice([np.float32, np.float16, np.float64]))
    spread = float(rng.choice([0.3, 0.7, 2, 30, 3000]))
    whole = np.clip(np.rint(rng.laplace(size=shape) * spread), -32767, 32767)
    if (
        axes > 1 and rng.random() < 0.5
    ):  # rows and columns of different sizes, for the contexts to find
        whole = np.rint(
            whole
            * (rng.random(shape[:1] + (1,) * (axes - 1)) < 0.6)
            * (rng.random(shape[-1:]) < 0.7)
        )
    if style < 10:
        return (whole * np.float32(rng.random() * 0.1 + 1e-3)).astype(np.float32)
    if style == 10 and axes:  # a step for each slice
        steps = (rng.random(shape[:1] + (1,) * (axes - 1)) * 0.1 + 1e-3).astype(np.float32)
        return (whole.astype(np.float32) * steps).astype(np.float32)
    return np.clip(whole, -3, 3).astype(np.int64)


def random_tensor(rng: np.random.Generator, member: int | None, most: int) -> Tensor:
    values = random_values(rng, most)
    if (
        values.dtype == np.float32 and rng.random() < 0.15
    ):  # the upper half of a float32 is a bfloat16
        return Tensor(16, (values.view(np.uint32) >> 16).astype(np.uint16), member)
    return tensor(values, member)


def random_content(rng: np.random.Generator, most: int) -> Content:
    tensors, member = [], 0
    for _ in range(int(rng.integers(1, 5))):
        constant = rng.random() < 0.2
        tensors.append(random_tensor(rng, None if constant else member, most))
        member += 0 if constant else int(rng.integers(1, 3))
    return of_tensors(tensors)


def large_content(rng: np.random.Generator) -> Content:
    """A sparse grid of 150 by 150 whose rows differ."""
    chances = 0.1 * np.exp(rng.normal(size=(150, 1)))
    whole = np.where(
        rng.random((150, 150)) < chances, np.rint(rng.laplace(size=(150, 150)) * 2.5), 0
    )
    return of_tensors([tensor((whole / 64).astype(np.float32), 0)])


def test_random_models(tmp_path):
    rng = np.random.default_rng(0)
    paths, expected = [], []
    for i in range(repetitions(300, 1000)):
        # Small ones mostly come one by one, large ones in tiles.
        content = (
            large_content(rng)
            if i % 250 == 0
            else random_content(rng, 20_000 if i % 50 == 0 else 300)
        )
        path = tmp_path / f"{i}.shoe"
        path.write_bytes(pack(content, smallest=i % 4 == 1))
        paths.append(path)
        expected.append(told(content))
    rare = {"planes", "grid of slices"}  # few of these are met in a part of the files
    codings, tiled = set(), set()
    for line, one in zip(inspect(paths), expected, strict=True):
        assert "tensors" in line, line
        codings |= {coded["coding"] for coded in line["tensors"]}
        tiled |= {coded["model"]["order"] > 0 for coded in line["tensors"] if coded["model"]}
        assert stripped(line) == one, line["file"]
    every = {"raw", "levels", "sparse", "levels in context", "grid", "zeros", *rare}
    assert every - (set() if EVERYTHING else rare) <= codings <= every
    assert tiled == {True, False}


def test_models_that_our_writer_does_not_choose(tmp_path):
    """Matrices with any model, written from JavaScript.

    Widths, rates, cut blocks, nodes whose chance of a 1 has come to 0.
    """
    count = repetitions(60, 300)
    command = [str(NODE), str(Path(__file__).with_name("recorded.mjs")), str(tmp_path), str(count)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr[-2000:]
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(lines) > count
    assert sum(line["zero_chance"] for line in lines) >= 2
    for line in lines:
        assert line["same"], line
        content = unpack_any(Path(line["path"]).read_bytes())
        assert [crc(one.bits) for one in content.tensors] == [line["crc"]], line


def damaged(rng: np.random.Generator, data: bytes) -> bytes:
    """The data with a few bits the other way, or cut.

    Of files after version 1, half of them with a CRC that fits again.
    """
    made = bytearray(data)
    if rng.random() < 0.2:
        made = made[: int(rng.integers(len(made)))]
    else:
        for _ in range(int(rng.integers(1, 4))):
            made[int(rng.integers(5 if rng.random() < 0.9 else 0, len(made)))] ^= 1 << int(
                rng.integers(8)
            )
    if data[4] >= 2 and len(made) > 8 and rng.random() < 0.6:
        made[-4:] = zlib.crc32(made[:-4]).to_bytes(4, "little")
    return bytes(made)


def test_damaged_files_are_errors_in_bounded_time_and_memory(tmp_path):
    rng = np.random.default_rng(0)
    whole = [path.read_bytes() for path in GOLDEN] + [
        example(),
        pack(nested_graph()),
        pack(checkpoint()),
        pack(two_entries()),
    ]
    whole += [pack(random_content(rng, 300), smallest=bool(i % 2)) for i in range(40)]
    paths = []
    count = repetitions(80, 300)
    for i in range(count):
        # Mostly files that are made here: the CRC of version 1 lets nothing through.
        data = (
            whole[int(rng.integers(len(GOLDEN)))]
            if i % 10 == 0
            else whole[int(rng.integers(len(GOLDEN), len(whole)))]
        )
        paths.append(tmp_path / f"{i}.shoe")
        paths[-1].write_bytes(damaged(rng, data))
    lines = inspect(paths, f"--max-bytes={MAX_BYTES}")
    assert not [line for line in lines if "crash" in line]
    assert len([line for line in lines if "error" in line]) > count // 2
    assert max(line["milliseconds"] for line in lines) < 5000
    peak = max(line["peak_kilobytes"] for line in lines)
    assert peak < 400_000, peak


def test_a_file_of_a_few_bytes_cannot_ask_for_much(tmp_path):
    """A tensor of 2^40 zeros, and one of 2^30 that the limit just does not allow."""
    paths = []
    for i, axis in enumerate((b"\x80\x80\x80\x80\x80\x20", b"\x80\x80\x80\x80\x04")):
        listed = b"\x00\x01" + bytes([6 | 1 << 3]) + axis
        names = squeezed(b"\x01a\x00")
        data = b"SHOE\x02\x00" + bytes([len(listed), len(names), 0]) + listed + names
        paths.append(tmp_path / f"{i}.shoe")
        paths[-1].write_bytes(data + zlib.crc32(data).to_bytes(4, "little"))
    for line in inspect(paths):
        assert "more than 1073741824 bytes" in line["error"]


def squeezed(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return bytes([len(data)]) + deflate.compress(data) + deflate.flush()


@pytest.mark.parametrize(
    ("graphs", "message"),
    [
        (b"\0", "there is no entry"),
        (b"\x09", "the number of entries: 9 is more than 8"),
        (b"\1\x01_\0", "the name of an entry is not a letter"),
        (b"\1\x02a.\0", "the name of an entry is not a letter"),
        (b"\1\x02a\n\0", "the name of an entry is not a letter"),
        (b"\1\x41" + b"a" * 65 + b"\0", "the name of an entry is not a letter"),
        (b"\1\x01a\0", "the graph of a: it ends too early"),
        (b"\1\x01a\x05", "5 bytes are wanted and 0 are left"),
        (b"TWICE", "two entries are called a"),
        (b"MORE", "1 bytes are left over at its end"),
    ],
)
def test_entries_that_are_none(graphs: bytes, message: str, tmp_path: Path):
    from shoestring.artifact.format.dictionary import DICTIONARY
    from shoestring.artifact.format.graph import encode
    from shoestring.artifact.wire import squeeze

    body = encode(ONE_NODE)
    one = b"\x01a" + bytes([len(body)]) + body
    graphs = {b"TWICE": b"\2" + one * 2, b"MORE": b"\1" + one + b"\0"}.get(graphs, graphs)
    bodies = {**sections(pack(of_tensors([]))), GRAPH: squeeze(graphs, DICTIONARY)}
    path = tmp_path / "entries.shoe"
    path.write_bytes(framed(bodies, ENTRIES_VERSION))
    (line,) = inspect([path])
    assert message in line["error"]
    with pytest.raises(ShoeError):
        unpack_any(path.read_bytes())


def test_entries_with_names_of_tensors_or_without_graphs(tmp_path: Path):
    whole = sections(pack(two_entries()))
    made = [
        {**whole, GRAPH: b""},
        {**whole, NAMES: squeezed(b"\x01a\0")},
        {**whole, GRAPH: b"", NAMES: squeezed(b"\x01a\0")},
    ]
    paths = [tmp_path / f"{place}.shoe" for place in range(len(made))]
    for path, bodies in zip(paths, made, strict=True):
        path.write_bytes(framed(bodies, ENTRIES_VERSION))
        with pytest.raises(ShoeError):
            unpack_any(path.read_bytes())
    assert all("error" in line for line in inspect(paths))


def test_the_lists_and_the_dictionary_are_those_of_the_format():
    found = evaluate(
        "import { OPERATORS, ATTRIBUTES } from './operators.js'; import { DICTIONARY } from "
        "'./dictionary.js';console.log(JSON.stringify([OPERATORS, ATTRIBUTES, [...DICTIONARY]]))"
    )
    page = re.search(r"```base64\n(.*?)```", PAGE, re.DOTALL)
    assert page
    assert found == [list(OPERATORS), list(ATTRIBUTES), list(base64.b64decode(page[1]))]


def test_the_example_of_the_page():
    script = "import { decode, values } from './shoe.js'; const file = decode(Uint8Array.from(%s));"
    script += (
        "console.log(JSON.stringify(file.tensors.map((one) => [one.shape, "
        "Array.from(values(one))])))"
    )
    w, b = evaluate(script % list(example()))  # pyright: ignore
    assert w == [[3, 2], [0.5, -0.5, 0, 0.5, -0.5, 0.5]]
    assert b == [[2], [float(np.float32(0.1)), float(np.float32(-0.2))]]


def test_the_bits_of_the_example():
    """The chances that the model gives, and the state before each bit, are those of the page."""
    found = re.search(r"```bits\n(.*?)```", PAGE, re.DOTALL)
    assert found
    script = """
        import { decode } from './shoe.js'; import { Stream } from './stream.js';
        const lines = [], take = Stream.prototype.bit;
        const state = (stream) => String(stream.state[1] * 2 ** 32 + stream.state[0]);
        let last;
        Stream.prototype.bit = function (p) {
          const before = state(last = this), bit = take.call(this, p);
          lines.push(`${before.padEnd(17)}p = ${p}, bit ${bit}`);
          return bit;
        };
        decode(Uint8Array.from(%s));
        console.log(JSON.stringify([...lines, state(last)]));
    """
    assert evaluate(script % list(example())) == found[1].splitlines()


def test_numbers_of_every_type(tmp_path):
    kinds = [
        np.float16,
        np.float32,
        np.float64,
        np.int8,
        np.uint8,
        np.int16,
        np.uint16,
        np.int32,
        np.uint32,
        np.int64,
        np.uint64,
    ]
    tensors = [tensor(np.array([0, 1, 2, 77, 100], kind), i) for i, kind in enumerate(kinds)]
    tensors += [
        tensor(np.array([True, False]), 11),
        Tensor(16, np.array([0x3F80, 0xC000], np.uint16), 12),
    ]
    tensors += [tensor(np.array([6e-8, -65504, 0.1, np.inf, -2e-5], np.float16), 13)]
    path = tmp_path / "kinds.shoe"
    path.write_bytes(pack(of_tensors(tensors)))
    found = evaluate(
        "import { readFileSync } from 'node:fs'; import { decode, values } from './shoe.js';"
        f"const file = decode(new Uint8Array(readFileSync({json.dumps(str(path))})));"
        "console.log(JSON.stringify(file.tensors.map((one) => Array.from(values(one), String))))"
    )
    assert isinstance(found, list)
    assert [[float(x) for x in one] for one in found[:11]] == [[0, 1, 2, 77, 100]] * 11
    assert found[11:13] == [["1", "0"], ["1", "-2"]]
    assert [float(x) for x in found[13]] == [
        float(x) for x in np.array([6e-8, -65504, 0.1, np.inf, -2e-5], np.float16)
    ]


def test_graphs_that_have_too_much_are_refused_by_both(tmp_path):
    """And the fullest graph is read by both."""
    hostile = {name: data for name, (data, _) in made().items()}
    paths = []
    for name, data in {**hostile, "fullest": fullest()}.items():
        paths.append(tmp_path / f"{name.replace(' ', '_')}.shoe")
        paths[-1].write_bytes(data)
    *lines, last = inspect(paths)
    for line, (_, why) in zip(lines, made().values(), strict=True):
        assert "error" in line, line["file"]
        assert re.search(why.replace(",", ""), line["error"]), line["error"]
        assert line["milliseconds"] < 10_000
    assert stripped(last)["graph"] == told_graph(unpack_any(paths[-1].read_bytes()).graph)


def test_both_decoders_count_the_same_work(tmp_path, monkeypatch):
    """With just the seconds that a file asks for it is read; with a nanosecond less it is not."""
    accounts: list[Work] = []

    class Kept(Work):
        def __init__(self, allowed: int) -> None:
            super().__init__(allowed)
            accounts.append(self)

    monkeypatch.setattr(tensor_reader, "Work", Kept)
    rng = np.random.default_rng(1)
    files = [path.read_bytes() for path in GOLDEN]
    files += [
        pack(random_content(rng, 300), smallest=bool(i % 2)) for i in range(repetitions(20, 200))
    ]
    asked = []
    for number, data in enumerate(files):
        (tmp_path / f"{number}.shoe").write_bytes(data)
        unpack_any(data)
        asked.append(accounts[-1].asked)
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    found = evaluate(f"""
        import {{ readFileSync }} from "node:fs";
        import {{ decode }} from "./shoe.js";
        const folder = {json.dumps(str(tmp_path))};
        const asked = JSON.parse(readFileSync(`${{folder}}/asked.json`, "utf8"));
        const said = asked.map((nanoseconds, i) => [0, 1].map((less) => {{
          try {{
            const bytes = new Uint8Array(readFileSync(`${{folder}}/${{i}}.shoe`));
            decode(bytes, {{ maxSeconds: (nanoseconds - less) / 1e9 }});
            return "";
          }} catch (error) {{
            return error.message;
          }}
        }}));
        console.log(JSON.stringify(said));
    """)
    assert isinstance(found, list)
    wrong = [
        (number, said)
        for number, said in enumerate(found)
        if asked[number] and (said[0] or "maxSeconds" not in said[1])
    ]
    assert not wrong, wrong[:5]
