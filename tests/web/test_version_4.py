"""Files of version 4 in the decoder in web/: blocks, planes, lanes, names, notes and signatures.

Both decoders accept the same files, and give the same bits for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_blocks import (
    SHORT,
    InBlocks,
    Parts,
    checkpoint,
    framed,
    mutant,
    with_tensor,
)
from test_decoder import MAX_BYTES, NODE, inspect, nested_graph, two_entries
from tiers import EVERYTHING, repetitions
from told import stripped, told

from shoestring.artifact.coding import lanes_loop
from shoestring.artifact.format import blocks, entries
from shoestring.artifact.format.blocks import LEVELS, PLANES, SPARSE
from shoestring.artifact.format.file import Checkpoint, Content, Entries, pack, unpack_any
from shoestring.artifact.format.tensors import ELEMENTS, Tensor, tensor, unsigned
from shoestring.artifact.wire import ShoeError, Writer

pytestmark = pytest.mark.skipif(
    NODE is None, reason="node is not installed: the decoder in JavaScript cannot be tested"
)
KINDS = (PLANES, SPARSE, LEVELS)


@pytest.fixture(scope="module", autouse=True)
def _loops_that_are_loaded() -> None:
    """Many small blocks are decoded here, which the loops in numpy take ten times as long for."""
    if lanes_loop.available():
        lanes_loop.compiled()


def compared(files: Sequence[bytes], folder: Path, options: Sequence[str] = ()) -> list[bool]:
    """Whether each file is accepted, by both decoders or by neither, with the same contents."""
    paths = [folder / f"{i}.shoe" for i in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    accepted = []
    for data, line in zip(files, inspect(paths, *options, collect=False), strict=True):
        assert "crash" not in line, line
        try:
            content = unpack_any(data, MAX_BYTES if options else 1 << 30)
        except ShoeError as error:
            assert "error" in line, (line["file"], f"Python: {error}")
            accepted.append(False)
            continue
        assert "tensors" in line, line
        assert stripped(line) == told(content), line["file"]
        accepted.append(True)
    return accepted


def drawn(rng: np.random.Generator, element: int, kind: int, count: int) -> np.ndarray:
    """Bits of an element type that a kind of block can hold, neither too plain nor too random."""
    name, width = ELEMENTS[element]
    bits = unsigned(element)
    if name == "bool":
        return (rng.random(count) < 0.2).astype(bits)
    if kind == LEVELS:
        levels = rng.integers(0, 1 << 8 * width, int(rng.integers(1, 100)), np.uint64).astype(bits)
        return rng.choice(levels, count)
    numbers = (rng.standard_normal(count) * 3).astype(np.float64)
    if name in ("float32", "float64", "float16"):
        made = numbers.astype(name).view(bits)
    elif name == "bfloat16":
        made = (numbers.astype(np.float32).view(np.uint32) >> 16).astype(bits)
    else:
        made = numbers.astype(np.int64).astype(bits)
    made[rng.integers(count, size=9)] = np.iinfo(bits).max  # NaN, -1
    made[rng.integers(count, size=9)] = 1 << 8 * width - 1  # -0.0, the least integer
    if kind == SPARSE:
        made[rng.random(count) < 0.8] = 0
    return made


def one(element: int, bits: np.ndarray, shape: tuple[int, ...] | None = None) -> Tensor:
    return Tensor(element, bits.reshape(shape or bits.shape), 0)


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_of_every_element_type(kind: int, tmp_path: Path):
    """A block that is full and one that is not, of 1 to 8 tables, with planes of every kind."""
    rng = np.random.default_rng(kind)
    files = []
    for _ in range(repetitions(1, 8)):
        for element in ELEMENTS:
            count = (1 << 14) + int(rng.choice([0, 1, 5, 2048, 3 << 14]))
            bits = drawn(rng, element, kind, count)
            power = int(rng.integers(14, 17))
            files.append(checkpoint(rng, [one(element, bits)], [kind], power).made())
    assert all(compared(files, tmp_path))


def test_blocks_that_have_nothing_in_them_and_nothing_but_given_elements(tmp_path: Path):
    rng = np.random.default_rng(0)
    count = (1 << 14) + 3
    zeros, ones = np.zeros(count, np.uint16), np.ones(count, np.uint16)
    files = [
        checkpoint(rng, [one(16, bits)], [kind], 14).made()
        for bits in (zeros, ones)
        for kind in KINDS
        for _ in range(4)
    ]
    assert all(compared(files, tmp_path))


@pytest.mark.slow
def test_large_blocks_have_all_2048_lanes(tmp_path: Path):
    rng = np.random.default_rng(0)
    counts = rng.binomial(255, 0.3, (1 << 22) + 4097).astype(np.uint8)
    floats = rng.standard_normal(3 << 20).astype(np.float32).view(np.uint32)
    files = [
        checkpoint(rng, [one(2, counts)], [PLANES], 22).made(),
        checkpoint(rng, [one(2, counts)], [SPARSE], 21).made(),
        checkpoint(rng, [one(1, floats)], [PLANES], 21).made(),
        pack(Checkpoint([one(2, counts.reshape(1, -1)), Tensor(1, floats, 1)], ("a", "b"))),
    ]
    assert all(data[4] == 4 for data in files)
    assert all(compared(files, tmp_path))


def of_our_writer(rng: np.random.Generator) -> list[Checkpoint | Content | Entries]:
    """A checkpoint, models with a graph and with two; large and small tensors, names and notes."""
    many = (1 << 16) + 77
    sparse = np.where(rng.random(many) < 0.1, rng.standard_normal(many), 0)
    values = [
        rng.standard_normal((3, 5)).astype(np.float32),
        rng.standard_normal((1 << 10, 65)).astype(np.float32),
        rng.standard_normal(many).astype(np.float16),
        np.zeros((2, 3)),
        rng.standard_normal(many),
        sparse.astype(np.float32),
        rng.integers(0, 1000, many),
        rng.random(many) < 0.5,
    ]
    tensors = [tensor(each, place) for place, each in enumerate(values)]
    names = tuple(f"größe {place}" for place in range(len(tensors)))
    notes = {"licence": "MIT", "note": "", "__proto__": "x"}
    graph, graphs = nested_graph().graph, two_entries().graphs
    one_tensor, name = [tensor(values[1], 0)], ("constructor",)
    return [
        Checkpoint(tensors, names, notes),
        Checkpoint([tensor(values[2], 0)], ("",)),
        Content(graph, one_tensor),
        Content(graph, one_tensor, names=name, notes=notes),
        Content(graph, [tensor(values[0], 0)], notes=notes),
        Content(graph, [tensor(values[0], None)], names=name),
        Entries(graphs, one_tensor, names=name),
        Entries(graphs, [tensor(values[0], 0)], notes=notes),
    ]


def test_files_of_our_writer(tmp_path: Path):
    files = [pack(content) for content in of_our_writer(np.random.default_rng(0))]
    assert all(data[4] == 4 for data in files)
    assert all(compared(files, tmp_path))


def test_a_signature_is_given_and_a_file_without_one_has_none(tmp_path: Path):
    signed = small()
    kept = bytes(range(64))
    files = [replace(signed, signature=kept + b"\1").made(), signed.made(), pack(nested_graph())]
    assert all(compared(files, tmp_path))
    lines = inspect([tmp_path / f"{i}.shoe" for i in range(3)])
    assert [line["signature"] for line in lines] == [{"kind": 1, "bytes": kept.hex()}, None, None]


def small() -> Parts:
    """A file of a few hundred bytes with blocks of all kinds, and planes of all kinds but stored
    ones that are long.
    """
    rng = np.random.default_rng(7)
    count = (1 << 14) + 3
    sparse = np.zeros(count, np.uint16)
    sparse[[5, 77, 9000, 9001, 9002, 16385]] = 0x3F80, 0xBF00, 0x3F81, 0x4000, 0x3FC0, 0x3F00
    levels = np.zeros(count, np.uint32)
    levels[3000:3010] = 0x3F800000
    flags = np.zeros(count, np.uint8)
    flags[12345] = 1
    tensors = [
        one(16, sparse, (1, count)),
        tensor(np.array([1, 2, 3], np.int8), 1),
        one(1, levels),
        one(9, flags),
    ]
    made = checkpoint(rng, tensors, [SPARSE, None, LEVELS, SPARSE], 14, SHORT)
    assert len(made.made()) < 1200
    return made


def test_each_byte_of_a_small_file_changed(tmp_path: Path):
    """As it is, and with checksums that fit again: of a block, and of the index.

    A third of the bytes, by default.
    """
    rng = np.random.default_rng(0)
    parts = small()
    whole, index = parts.made(), parts.index()
    step = 1 if EVERYTHING else 3
    plain = [flipped(rng, whole, at) for at in range(1, len(whole), step)]
    assert not any(compared(plain, tmp_path, (f"--max-bytes={MAX_BYTES}",)))
    mended = [
        with_tensor(parts, i, replace(tensor, blocks=(*blocks[:j], made, *blocks[j + 1 :]))).made()
        for i, tensor in enumerate(parts.in_blocks)
        for blocks in [tensor.blocks]
        for j, data in enumerate(blocks)
        for made in (flipped(rng, data, at) for at in range(0, len(data), step))
    ]
    mended += [framed(parts.region, flipped(rng, index, at)) for at in range(0, len(index), step)]
    accepted = compared(mended, tmp_path, (f"--max-bytes={MAX_BYTES}",))
    assert 0 < sum(accepted) < len(accepted) / 2


def flipped(rng: np.random.Generator, data: bytes, at: int) -> bytes:
    """The data with one byte changed."""
    return data[:at] + bytes([data[at] ^ int(rng.integers(1, 256))]) + data[at + 1 :]


def test_each_length_of_a_small_file_changed(tmp_path: Path):
    parts = small()
    sections = parts.sections()
    files = []
    for place in range(5):
        for change in (-len(sections[place]), -1, 1, 200, 1 << 40, 1 << 63):
            out = Writer()
            for i, section in enumerate(sections[:-1]):
                out.varint(max(len(section) + change * (i == place), 0))
            index = bytes(out) + b"".join(sections)
            files.append(framed(parts.region, index))
    body, tail = parts.made()[:-13], parts.made()[-13:]
    for length in (0, 1, len(parts.index()) + 1, len(body) - 5, len(body), 1 << 63):
        files.append(body + length.to_bytes(8, "little") + tail[8:])
    files += [parts.made()[:length] for length in range(0, len(parts.made()), 7)]
    accepted = compared(files, tmp_path, (f"--max-bytes={MAX_BYTES}",))
    # The graphs and the code stream are empty, so that two changes to each leave them as they were.
    assert sum(accepted) == 4


def odd_files() -> dict[str, tuple[bytes, bool]]:
    """Files at the borders of what the page allows, and whether it does."""
    rng = np.random.default_rng(1)
    parts = small()
    few = checkpoint(rng, [one(2, np.zeros((1 << 14) - 1, np.uint8))], [PLANES], 14)
    flags = np.zeros(1 << 14, np.uint8)
    bools = checkpoint(rng, [one(9, flags)], [PLANES], 14)
    (in_blocks,) = bools.in_blocks
    empty = Parts(b"\0")
    graph = entries.encode({"": nested_graph().graph}, unnamed=True)
    body = graph[3:] if graph[2] < 128 else graph[4:]
    one_graph = Parts(b"\1\x48\1\3", plain=bytes(12), graphs=graph)
    named = b"\1\4Step" + graph[2:]
    twice = b"\2\0" + graph[2:] + b"\1a" + graph[2:]
    assert body

    def with_block(data: bytes) -> bytes:
        return replace(bools, in_blocks=(InBlocks(0, 14, (data,)),)).made()

    return {
        "nothing in it": (empty.made(), True),
        "names of nothing": (replace(empty, names=b"\0\0").made(), True),
        "a table of nothing": (replace(empty, table=b"\0").made(), True),
        "bytes before the index": (framed(b"\0", empty.index()), False),
        "a checkpoint without names": (replace(parts, names=None).made(), False),
        "a checkpoint with no names": (replace(parts, names=b"\0\0").made(), False),
        "too few elements": (few.made(), False),
        "a constant plane": (with_block(b"\0\1\1"), True),
        "bools of 2": (with_block(b"\0\1\2"), False),
        "a level of 2 that no element has": (with_block(b"\2\1\0\2\1\0"), False),
        "a level that is not there": (with_block(b"\2\0\0\1\1"), False),
        "levels twice": (with_block(b"\2\2\0\1\1\1\2"), True),
        "a mask that is stored": (with_block(b"\1\0\1\1" + bytes(1 << 14)), False),
        "a mask of 2": (with_block(b"\1\1\2\1\1"), False),
        "nothing given, a stored plane": (with_block(b"\1\1\0\0"), True),
        "nothing given, a constant plane": (with_block(b"\1\1\0\1\5"), True),
        "nothing given, a coded plane": (with_block(b"\1\1\0\2\0\0\0\x80\x20\0"), False),
        "a byte too many": (with_block(b"\0\1\1\0"), False),
        "no block": (replace(bools, in_blocks=(InBlocks(0, 14, ()),)).made(), False),
        "an empty block": (with_block(b""), False),
        "larger blocks than the tensor": (
            replace(bools, in_blocks=(replace(in_blocks, power=22),)).made(),
            True,
        ),
        "blocks of 2^23": (replace(bools, in_blocks=(replace(in_blocks, power=23),)).made(), False),
        "blocks of 2^13": (replace(bools, in_blocks=(replace(in_blocks, power=13),)).made(), False),
        "a graph without a name": (one_graph.made(), True),
        "a graph with a name": (replace(one_graph, graphs=named).made(), True),
        "two graphs, one without a name": (replace(one_graph, graphs=twice).made(), False),
        "a graph and one name": (replace(one_graph, names=b"\1\1a\0").made(), True),
        "a graph and notes": (replace(one_graph, names=b"\0\1\1a\1b").made(), True),
        "a graph and two names": (replace(one_graph, names=b"\2\1a\1b\0").made(), False),
        "a note twice": (replace(one_graph, names=b"\0\2\1a\1b\1a\1c").made(), False),
        "a name twice": (replace(parts, names=b"\4\1a\1b\1c\1a\0").made(), False),
        "a signature of kind 2": (replace(empty, signature=b"\2").made(), False),
        "a signature too short": (replace(empty, signature=bytes(63) + b"\1").made(), False),
        "a signature of 64 bytes": (replace(empty, signature=bytes(64) + b"\1").made(), True),
    }


def lanes_by_hand(**changes: bytes) -> bytes:
    """A block of 2^14 bytes that all are 7, in a coded plane; its parts may be others."""
    fields = {
        "values": b"\7\0\0",
        "frequencies": b"\x80\x20",
        "segments": b"",
        "words": b"\0",
        "states": b"\0\0\1\0" * 16,
        "rest": b"",
    }
    return b"\0\2" + b"".join({**fields, **changes}.values())


def odd_lanes() -> dict[str, tuple[bytes, bool]]:
    """Coded planes at the borders of what the page allows, and whether it does."""
    two, unused = b"\x80\x20" * 2, b"\x80\x20\0"
    return {
        "one value": (lanes_by_hand(), True),
        "two tables": (
            lanes_by_hand(values=b"\7\0\1", frequencies=two, segments=b"\0\1\1\0"),
            True,
        ),
        "a table that is not there": (
            lanes_by_hand(values=b"\7\0\1", frequencies=two, segments=b"\0\1\2\0"),
            False,
        ),
        "a value that never occurs": (lanes_by_hand(values=b"\7\1\0", frequencies=unused), True),
        "eight tables": (
            lanes_by_hand(values=b"\7\0\7", frequencies=two * 4, segments=b"\7\6\5\0"),
            True,
        ),
        "nine tables": (
            lanes_by_hand(values=b"\7\0\x08", frequencies=b"\x80\x20" * 9, segments=bytes(4)),
            False,
        ),
        "a value of 256": (lanes_by_hand(values=b"\xff\1\0", frequencies=unused), False),
        "the value 255": (lanes_by_hand(values=b"\xff\0\0"), True),
        "frequencies of 4095": (lanes_by_hand(frequencies=b"\xff\x1f"), False),
        "frequencies of 4097": (lanes_by_hand(values=b"\7\1\0", frequencies=b"\x80\x20\1"), False),
        "a frequency of 2^32 + 4096": (lanes_by_hand(frequencies=b"\x80\xa0\x80\x80\x10"), False),
        "a word too many": (lanes_by_hand(words=b"\1", rest=b"\0\0"), False),
        "a word too few": (lanes_by_hand(words=b"\1"), False),
        "2^63 words": (lanes_by_hand(words=b"\x80" * 9 + b"\1"), False),
        "a state too small": (lanes_by_hand(states=b"\xff\xff\0\0" * 16), False),
        "states that do not come down": (lanes_by_hand(states=b"\0\0\2\0" * 16), False),
        "states that carry": (lanes_by_hand(states=b"\1\0\1\0" * 16), False),
        "a lane too few": (lanes_by_hand(states=b"\0\0\1\0" * 15), False),
        "a byte too many": (lanes_by_hand(rest=b"\0"), False),
    }


@pytest.mark.parametrize("files", [odd_files, odd_lanes])
def test_the_borders_of_what_is_allowed(files, tmp_path: Path):
    made = files()
    if files is odd_lanes:
        bytes_only = Parts(b"\1\x48\2\x80\x80\1", b"\1\1a\0")
        made = {
            why: (replace(bytes_only, in_blocks=(InBlocks(0, 14, (data,)),)).made(), allowed)
            for why, (data, allowed) in made.items()
        }
    found = compared([data for data, _ in made.values()], tmp_path)
    assert dict(zip(made, found, strict=True)) == {why: ok for why, (_, ok) in made.items()}


def test_memory_is_claimed_before_a_block_is_read(tmp_path: Path):
    """A tensor of 2^24 bytes, which count 4 bytes each, and one of 2^40 without its blocks.

    Decoding a block of 2^22 takes 2^25 bytes for a while.
    """
    most = (1 << 26) + (1 << 25)
    blocks_of_fives = InBlocks(0, 22, (b"\0\1\5",) * 4)
    made = Parts(b"\1\x48\2\x80\x80\x80\x08", b"\1\1a\0", in_blocks=(blocks_of_fives,)).made()
    path = tmp_path / "large.shoe"
    path.write_bytes(made)
    unpack_any(made, most)
    with pytest.raises(ShoeError):
        unpack_any(made, most - 1)
    limits = [most - 1, most]
    errors = ["error" in inspect([path], f"--max-bytes={limit}")[0] for limit in limits]
    assert errors == [True, False]
    larger = Parts(b"\1\x48\2" + b"\x80" * 5 + b"\x20", b"\1\1a\0", in_blocks=(blocks_of_fives,))
    assert compared([larger.made()], tmp_path) == [False]


def test_changed_files_are_accepted_by_both_decoders_or_by_neither(tmp_path: Path):
    compare_mutants(200, tmp_path)


@pytest.mark.slow
def test_many_changed_files_are_accepted_by_both_decoders_or_by_neither(tmp_path: Path):
    compare_mutants(2400, tmp_path)


def compare_mutants(count: int, folder: Path) -> None:
    rng = np.random.default_rng(count)
    whole = [small()]
    for element in (1, 2, 9, 11, 16):
        tensors = [
            one(element, drawn(rng, element, kind, (1 << 14) + 9)) for kind in KINDS for _ in "ab"
        ]
        whole.append(checkpoint(rng, tensors[:2] + tensors[4:], [*KINDS[:1] * 2, LEVELS, None], 14))
    graph = entries.encode({"": nested_graph().graph}, unnamed=True)
    values = np.float32(rng.standard_normal(15)).tobytes()
    whole.append(Parts(b"\1\x50\1\3\5", b"\0\1\4note\1x", graph, plain=values))
    files = [mutant(rng, whole[int(rng.integers(len(whole)))]) for _ in range(count)]
    accepted = compared(files, folder, (f"--max-bytes={MAX_BYTES}",))
    assert count / 20 < sum(accepted) < count / 2


def test_the_parts_of_a_file_are_those_of_our_writer():
    """What these tests make is laid out as `pack` lays it out."""
    rng = np.random.default_rng(0)
    bits = rng.standard_normal(1 << 16).astype(np.float16).view(np.uint16)
    ours = pack(Checkpoint([one(10, bits)], ("a",)))
    data = blocks.encode(bits, 10)
    made = Parts(b"\1\x48\x0a\x80\x80\4", b"\1\1a\0", in_blocks=(InBlocks(0, 22, (data,)),))
    assert made.made() == ours
