"""Whatever is in a file, it loads or raises ShoeError, soon and in little memory."""

import dataclasses
import os
import random
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import attributes, checkpoint, linear, nested, varied
from test_golden import GOLDEN
from tiers import repetitions

from shoestring.artifact import Checkpoint, Content, Loaded, ShoeError, bill
from shoestring.artifact.format import file
from shoestring.artifact.format.dictionary import DICTIONARY
from shoestring.artifact.format.graph import Node, Port
from shoestring.artifact.format.tensors import ZEROS, tensor
from shoestring.artifact.runtime.session import _limits
from shoestring.artifact.wire import Writer, squeeze, unsqueeze

resource = pytest.importorskip("resource")  # not on Windows

LIMIT = 1 << 20
BATCH, EXAMPLES = 100, repetitions(15, 150)  # of mutations, each for two tests
CONTENTS = [
    linear(),
    nested(),
    varied(),
    Content(attributes(), [tensor(np.zeros((1, 1, 8), np.float32))]),
    checkpoint(),
]
SEEDS = [file.pack(content) for content in CONTENTS] + [
    file.pack(content, smallest=True) for content in CONTENTS[2:]
]
OLD = [
    path.read_bytes()
    for path in (GOLDEN / "v1_half_coded.shoe", GOLDEN / "v1_dict_output_plain.shoe")
]
GRAPH, LIST, STREAM, PLAIN, NAMES = range(1, 6)


def survives(data: bytes) -> bool:
    """Whether the bytes are a file.

    Anything but a Content or a ShoeError fails the test, and so does taking long.
    """
    start = time.process_time()
    try:
        content = file.unpack_any(data, LIMIT)
    except ShoeError as error:
        assert str(error)
        return False
    finally:
        assert time.process_time() - start < 5
    assert isinstance(content, Content | Checkpoint)
    return True


def mutate(draw: random.Random, data: bytes) -> bytes:
    """A bit, a byte, a number, a cut, a repeat, an insertion or a splice."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        at, to = draw.randrange(len(out) + 1), draw.randrange(len(out) + 1)
        match draw.randrange(8):
            case 0 if out:
                out[at % len(out)] ^= 1 << draw.randrange(8)
            case 1 if out:
                out[at % len(out)] = draw.choice((0, 1, 2, 127, 128, 254, 255, draw.randrange(256)))
            case 2:
                number = Writer()
                number.varint(draw.choice(((1 << 64) - 1, 1 << 63, 1 << 40, 1 << 32, 65536, 300)))
                out[at : at + draw.randrange(3)] = number
            case 3:
                del out[min(at, to) : min(at, to) + draw.choice((1, 2, 4, 50))]
            case 4:
                out[at:at] = out[min(at, to) : max(at, to)][:40]
            case 5:
                out[at:at] = draw.randbytes(draw.choice((1, 2, 4, 9)))
            case 6:
                other = draw.choice(SEEDS + OLD)
                begin = draw.randrange(len(other))
                out[at : at + draw.randrange(20)] = other[begin : begin + draw.randrange(20)]
            case _:
                del out[at:]
    return bytes(out)


def inner(data: bytes) -> dict[int, bytes]:
    """The sections of a file, inflated."""
    bodies = {kind: bytes(body) for kind, body in file.sections(data).items()}
    dictionary = DICTIONARY if data[4] > 1 else b""
    bodies[GRAPH] = bodies[GRAPH] and unsqueeze(memoryview(bodies[GRAPH]), "", 1 << 24, dictionary)
    plainly = data[4] > 1 and bodies[LIST][0] == 0
    bodies[LIST] = bodies[LIST][1:] if plainly else unsqueeze(memoryview(bodies[LIST]), "", 1 << 24)
    bodies[NAMES] = bodies[NAMES] and unsqueeze(memoryview(bodies[NAMES]), "", 1 << 24)
    return bodies


def outer(bodies: dict[int, bytes], plainly: bool = False) -> bytes:
    """A file of these sections; the list as it is, or deflated."""
    graph = bodies[GRAPH] and squeeze(bodies[GRAPH], DICTIONARY)
    listed = b"\0" + bodies[LIST] if plainly else squeeze(bodies[LIST])
    return file.framed(
        {**bodies, GRAPH: graph, LIST: listed, NAMES: bodies[NAMES] and squeeze(bodies[NAMES])}
    )


def outer_1(bodies: dict[int, bytes]) -> bytes:
    """A file of version 1 of these sections."""
    out = Writer(b"SHOE\1")
    for kind in (GRAPH, LIST, STREAM, PLAIN):
        body = squeeze(bodies[kind]) if kind in (GRAPH, LIST) else bodies[kind]
        section = Writer([kind])
        section.varint(len(body))
        out += section + body + zlib.crc32(section + body).to_bytes(4, "little")
    return bytes(out)


INNER = [inner(seed) for seed in SEEDS]
INNER_1 = [inner(seed) for seed in OLD]


@settings(derandomize=True, database=None, deadline=None, max_examples=EXAMPLES)
@given(st.integers(0, 1 << 32))
def test_mutated_files(seed):
    draw = random.Random(seed)
    for _ in range(BATCH):
        survives(mutate(draw, draw.choice(SEEDS + OLD)))


@settings(derandomize=True, database=None, deadline=None, max_examples=EXAMPLES)
@given(st.integers(0, 1 << 32))
def test_mutated_insides(seed):
    """Behind right checksums and deflate.

    The graph, the tensor list, the code stream and the values themselves.
    """
    draw = random.Random(seed)
    for _ in range(BATCH):
        old = draw.random() < 0.2
        bodies = dict(draw.choice(INNER_1 if old else INNER))
        for kind in draw.sample((1, 1, 1, 2, 2, 2, 3, 4, 5), draw.choice((1, 1, 2))):
            bodies[kind] = mutate(draw, bodies[kind])
        if draw.random() < 0.1:
            kind = draw.randrange(1, 6)
            bodies[kind] = draw.choice(INNER)[kind]
        if draw.random() < 0.1:
            bodies[draw.randrange(1, 6)] = draw.randbytes(draw.randrange(40))
        survives(outer_1(bodies) if old else outer(bodies, draw.random() < 0.5))


@settings(derandomize=True, database=None, deadline=None, max_examples=repetitions(60, 300))
@given(st.lists(st.binary(max_size=60), min_size=5, max_size=5), st.booleans())
def test_random_sections(parts, deflated):
    bodies = dict(enumerate(parts, 1))
    survives(outer(bodies) if deflated else file.framed(bodies))


@settings(derandomize=True, database=None, deadline=None, max_examples=repetitions(60, 300))
@given(st.binary(max_size=100))
def test_random_bytes(data):
    assert not survives(data)
    for version in (b"\1", b"\2", b"\3"):
        assert not survives(b"SHOE" + version + data)
    whole = b"SHOE\2" + data
    survives(whole + zlib.crc32(whole).to_bytes(4, "little"))


def test_mutations_reach_the_inside():
    """A good part of the mutated insides are files again, or the tests above would test checksums
    only.
    """
    draw = random.Random(0)
    sound = 0
    for _ in range(500):
        bodies = dict(draw.choice(INNER))
        kind = draw.choice((1, 2, 4, 5) if bodies[NAMES] else (1, 2, 4))
        bodies[kind] = mutate(draw, bodies[kind])
        sound += survives(outer(bodies))
    assert sound > 25
    assert all(survives(outer(bodies, plainly)) for bodies in INNER for plainly in (False, True))
    assert all(outer_1(bodies)[4] == 1 and survives(outer_1(bodies)) for bodies in INNER_1)


def content(constants, nodes, tensors=(), opset=20):
    """A file that adds to x the largest element of what the nodes compute of constants.

    Values count from 1.
    """
    last = len(constants) + len(tensors) + sum(node.outputs for node in nodes)
    nodes = (
        *nodes,
        Node("ReduceMax", (last,), 1, (("keepdims", 2, 0),)),
        Node("Add", (0, last + 1), 1),
    )
    graph = dataclasses.replace(
        linear().graph,
        opset=opset,
        inputs=(Port("x", 1, ("N",)),),
        weights=len(tensors),
        constants=tuple(constants),
        nodes=nodes,
        results=(last + 2,),
    )
    return Content(graph, list(tensors))


def whole(*numbers):
    return tensor(np.array(numbers, np.int64))


def zeros(*shape):
    return tensor(np.zeros(shape, np.float32))


HUGE = whole(1 << 14, 1 << 14)  # a gigabyte of float32
GREEDY = {
    "ConstantOfShape": content([HUGE], [Node("ConstantOfShape", (1,), 1)]),
    "Expand": content([zeros(1), HUGE], [Node("Expand", (1, 2), 1)]),
    "Tile": content([zeros(1, 1), HUGE], [Node("Tile", (1, 2), 1)]),
    "hidden": content([zeros(1, 1), HUGE], [Node("Abs", (2,), 1), Node("Tile", (1, 3), 1)]),
    "Range": content(
        [tensor(np.float32(n).reshape(())) for n in (0, 1e8, 1)],
        [Node("Range", (1, 2, 3), 1)],
    ),
    "Pad": content([zeros(1, 1), whole(0, 0, 1 << 14, 1 << 14)], [Node("Pad", (1, 2), 1)]),
    "Resize": content(
        [zeros(1, 1, 1, 1), whole(1, 1, 1 << 14, 1 << 14)], [Node("Resize", (1, None, None, 2), 1)]
    ),
    "doubling": content(
        [zeros(1)], [Node("Concat", (i, i), 1, (("axis", 2, 0),)) for i in range(1, 29)]
    ),
    "broadcast": content([], [Node("Add", (1, 2), 1)], [zeros(1 << 14, 1), zeros(1, 1 << 14)]),
    "MatMul": content([], [Node("MatMul", (1, 2), 1)], [zeros(1 << 14, 1), zeros(1, 1 << 14)]),
    "shape of a shape": content(
        [HUGE],
        [Node("Expand", (0, 1), 1), Node("Shape", (2,), 1), Node("ConstantOfShape", (3,), 1)],
    ),
    "unknown shape": content(
        [HUGE, whole(0)],
        [
            Node("NonZero", (1,), 1),
            Node("ReduceMax", (3,), 1, (("keepdims", 2, 0),)),
            Node("Mul", (4, 2), 1),
            Node("Add", (5, 1), 1),
            Node("ConstantOfShape", (6,), 1),
        ],
    ),
    "slow": content(
        [],
        [Node("MatMul", (1, 1), 1), *(Node("MatMul", (i, 1), 1) for i in range(2, 200))],
        [zeros(1500, 1500)],
    ),
    "many copies": content(
        [],
        [Node("MatMul", (0, 1), 1), *(Node("MatMul", (i, 1), 1) for i in range(2, 400))],
        [zeros(1500, 1500)],
    ),
    "many reads": content(
        [],
        [Node("Abs", (1,), 1), *(Node("ReduceMax", (1,), 1) for _ in range(5000))],
        [zeros(1500, 1500)],
    ),
}

LOAD = """
import resource, sys, time
from shoestring.artifact import ShoeError, load
import onnxruntime
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
for path in sys.argv[1:]:
    try:
        load(path, threads=1)
    except ShoeError as error:
        pass
    now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(path.split("/")[-1], (now - base) >> 10, round(time.process_time() - start, 2))
    start = time.process_time()
"""


def test_graphs_that_would_compute_huge_constants(tmp_path):
    """Each file is of a few kilobytes and wants a gigabyte or minutes if it is let."""
    paths = []
    for name, one in GREEDY.items():
        paths.append(tmp_path / name.replace(" ", "_"))
        paths[-1].write_bytes(file.pack(one))
        assert paths[-1].stat().st_size < 5_000
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == len(GREEDY)
    for name, megabytes, seconds in lines:
        assert int(megabytes) < 700, f"{name} took {megabytes} MB"
        assert float(seconds) < 20, f"{name} took {seconds} s"


def test_honest_graphs_are_folded_and_packed():
    for one in (linear(), nested(), varied()):
        assert _limits(one.graph, one.tensors)[1:] == (True, True)
    transposed = content(
        [], [Node("Transpose", (1,), 1), Node("MatMul", (0, 2), 1)], [zeros(2000, 2000)]
    )
    limits = _limits(transposed.graph, transposed.tensors)
    assert limits.fold
    assert limits.largest >= 2000 * 2000 * 4


@pytest.mark.parametrize("name", ["slow", "many reads"])
def test_slow_constants_are_left_for_the_run(name):
    assert not _limits(GREEDY[name].graph, GREEDY[name].tensors).fold


def test_copies_of_weights_are_bounded():
    assert not _limits(GREEDY["many copies"].graph, GREEDY["many copies"].tensors).prepack


@pytest.mark.parametrize(
    "nodes",
    [
        [Node("OneHot", (2, 1, 2), 1)],
        [Node("Split", (2,), 3, (("num_outputs", 2, 2),))],
    ],
)
def test_what_would_end_the_process_is_refused(nodes):
    """ONNX Runtime 1.31 aborts on these while it loads them.

    Test_graph.py has the numbers that do the same.
    """
    one = content([whole(), zeros(2, 2), whole(0, 0)], nodes)
    with pytest.raises(ShoeError):
        Loaded(file.unpack(file.pack(one)))


def test_a_tensor_of_many_elements_from_few_bytes():
    headers = Writer()
    for number in (1, 1, 1, 1, 1 << 40, 1, 1, 0):
        headers.varint(number)
    with pytest.raises(ShoeError, match="raise max_bytes"):
        file.unpack(outer_1({**INNER_1[0], 2: bytes(headers), 3: b"", 4: bytes(4)}), 1 << 40)
    headers = Writer([1, 1 << 3 | ZEROS])
    headers.varint(1 << 40)
    with pytest.raises(ShoeError, match="raise max_bytes"):
        file.unpack(outer({**INNER[0], 2: bytes(headers), 3: b"", 4: b""}), 1 << 40)


def checked(data):
    return data + zlib.crc32(data).to_bytes(4, "little")


def test_lengths_beyond_the_file():
    for length in (1 << 20, 1 << 32, (1 << 64) - 1):
        number = Writer()
        number.varint(length)
        with pytest.raises(ShoeError, match="wanted"):
            file.unpack(b"SHOE\1\1" + number + b"more")
        for place in range(4):
            with pytest.raises(ShoeError, match="wanted"):
                file.unpack(checked(b"SHOE\2" + bytes(place) + number + bytes(3 - place) + b"more"))
        for kind in (GRAPH, LIST, NAMES):
            empty = dict.fromkeys(range(1, 6), b"")
            sound = {**empty, LIST: b"\0\0"} if kind == NAMES else empty
            with pytest.raises(ShoeError, match=r"over|inflate"):
                file.unpack(file.framed({**sound, kind: bytes(number)}))
    with pytest.raises(ShoeError, match="shortest"):
        file.unpack(checked(b"SHOE\2\x80\0\0\0\0"))
    with pytest.raises(ShoeError, match="wanted"):
        file.unpack(checked(b"SHOE\2\0\0\0"))


def named(*names, notes=(), more=b"", count=None):
    out = Writer()
    for name in names:
        out.text(name)
    out.varint(len(notes) // 2 if count is None else count)
    for text in notes:
        out.text(text)
    return squeeze(bytes(out) + more)


@pytest.mark.parametrize(
    ("listed", "names", "why"),
    [
        (b"\2\7\7", named("a", "a"), "have the same name"),
        (b"\2\7\7", named("a"), "left"),
        (b"\2\7\7", named("a", "b", "c"), r"left|too many|longer"),
        (b"\1\7", named("a", notes=("k",), count=1), "1 bytes are wanted"),
        (b"\1\7", named("a", notes=("k", "v", "k", "w")), "have the same name"),
        (b"\1\7", named("a", count=1 << 40), "the number 1099511627776 is over 65536"),
        (b"\1\7", named("a", more=b"!"), "1 bytes too many"),
        (b"\1\7", b"", "1 bytes are wanted"),
        (b"\1\x87\0", named("a"), "not numbered one after the other"),
        (b"\1\x87\2", named("a"), "not numbered one after the other"),
        (b"\2\7\x87\2", named("a", "b"), "not numbered one after the other"),
    ],
)
def test_hostile_names(listed, names, why):
    bodies = {GRAPH: b"", LIST: b"\0" + listed, STREAM: b"", PLAIN: b"", NAMES: names}
    with pytest.raises(ShoeError, match=why):
        file.unpack_any(file.framed(bodies))
    with pytest.raises(ShoeError):
        bill(file.framed(bodies))


def test_names_and_a_graph():
    bodies = file.sections(SEEDS[0])
    with pytest.raises(ShoeError, match="names and a graph"):
        file.unpack(file.framed({**bodies, NAMES: named("w", "b")}))
    with pytest.raises(ShoeError, match=r"names.*1 bytes are wanted|1 bytes are wanted.*names"):
        file.unpack_any(file.framed({**bodies, GRAPH: b""}))


def test_a_deflate_bomb():
    """4 MB of nodes in 4 KB: refused in about a second, without gigabytes."""
    graph = bytes(bytes([20, 0, 0, 0, 0])) + b"\x80\x80\x01" + b"\0\0\2\0" * (1 << 14)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert not survives(outer({**INNER[0], 1: graph + bytes(1 << 21)}))
    assert not survives(outer({**INNER[0], 1: bytes(1 << 23)}))
    assert not survives(outer({**INNER[0], 2: b"\x80\x80\x02" + bytes(1 << 22)}))
    assert not survives(outer({**INNER[0], 2: b"\x80\x80\x02" + bytes(1 << 25)}))
    assert not survives(
        outer({**INNER[4], NAMES: b"\1a\1b\1c\0" + b"\xff\xff\xff\7" + bytes(1 << 23)})
    )
    assert not survives(outer({**INNER[4], NAMES: bytes(1 << 25)}))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10


RUN = """
import sys
import numpy as np
from shoestring.artifact import ShoeError, load
loaded = 0
for path in sys.argv[1:]:
    print(path, file=sys.stderr, flush=True)
    try:
        model = load(path, threads=1, max_bytes=1 << 20)
        loaded += 1
    except ShoeError:
        pass
print(loaded)
"""


def test_mutated_files_do_not_crash_the_runtime(tmp_path):
    """Files whose insides were changed and that decode are loaded in a process of their own."""
    draw, paths = random.Random(0), []
    while len(paths) < repetitions(60, 300):
        old = draw.random() < 0.2
        bodies = dict(draw.choice(INNER_1 if old else [one for one in INNER if one[GRAPH]]))
        bodies[1] = mutate(draw, bodies[1])
        data = outer_1(bodies) if old else outer(bodies)
        if survives(data) and data not in SEEDS + OLD:
            paths.append(tmp_path / f"{len(paths)}.shoe")
            paths[-1].write_bytes(data)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr.splitlines()[-1]
    assert int(done.stdout) > len(paths) // 30
