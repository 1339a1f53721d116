"""docs/format.md cannot go stale: its example is a file, and its numbers are the code's."""

import re
import zlib
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from samples import linear, same
from slow_blocks import SlowBlock
from slow_context import Slow, first_frequency
from test_entropy import SlowDecoder

from shoestring.artifact.coding import context, entropy, lanes, work
from shoestring.artifact.coding import matrices as context_coding
from shoestring.artifact.format import about, blocks, entries, file, graph_limits, indexed, tensors
from shoestring.artifact.format import graph as graphs
from shoestring.artifact.format.dictionary import DICTIONARY
from shoestring.artifact.format.operators import ATTRIBUTES, OPERATORS
from shoestring.artifact.runtime import load_limits
from shoestring.artifact.wire import Reader, unsqueeze

PAGE = (Path(__file__).parents[3] / "docs" / "format.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())


def block(name: str) -> list[str]:
    found = re.search(rf"```{name}\n(.*?)```", PAGE, re.DOTALL)
    assert found, name
    return found[1].splitlines()


def numbers(lines: list[str]) -> bytes:
    """The hexadecimal bytes at the beginning of each line."""
    return bytes.fromhex("".join(re.match(r"([0-9a-f]{2}( |$))+", line)[0] for line in lines))  # pyright: ignore


def test_the_example_is_a_file():
    data = numbers(block("file"))
    assert f"The file, {len(data)} bytes" in PAGE
    assert same(file.unpack(data), linear())
    ours, bodies = file.sections(file.pack(linear(), smallest=True)), file.sections(data)
    graph = numbers(block("graph"))
    assert unsqueeze(bodies[file.GRAPH], "graph", 1000, DICTIONARY) == graph
    assert unsqueeze(ours[file.GRAPH], "graph", 1000, DICTIONARY) == graph
    assert bodies[file.HEADERS] == ours[file.HEADERS] == b"\0" + numbers(block("list"))
    assert bodies[file.NAMES] == b""
    assert bodies[file.STREAM] == ours[file.STREAM]
    assert bodies[file.PLAIN] == ours[file.PLAIN]


def test_the_entries_are_graphs_as_the_page_lays_them_out():
    found = entries.decode(data := numbers(block("entries")))
    assert list(found) == ["a", "b"] and found["a"] == found["b"]
    assert entries.encode(found) == data
    assert f"1 to {entries.MOST_ENTRIES}." in WORDS and entries._NAME.pattern in WORDS


def test_the_example_is_laid_out_by_its_parts():
    """A line each: the mark, the lengths, the graph, the list, the stream, the plain values, the
    checksum.
    """
    bodies = file.sections(numbers(block("file")))
    mark, lengths, *rest = (numbers([line]) for line in block("file"))
    assert mark == b"SHOE\2"
    assert list(lengths) == [
        len(bodies[kind]) for kind in (file.GRAPH, file.HEADERS, file.NAMES, file.STREAM)
    ]
    assert rest[:-1] == [
        bodies[kind] for kind in (file.GRAPH, file.HEADERS, file.STREAM, file.PLAIN)
    ]


def test_the_example_is_decoded_as_the_page_says():
    """From the page's bytes alone, by the slow model and the slow stream."""
    stream = SlowDecoder(bytes(file.sections(numbers(block("file")))[file.STREAM]))
    lines = []

    def take(chance, _):
        state, first = stream.state, first_frequency(chance)
        bit = stream.decode([first, (1 << 24) - first], 1)[0]
        lines.append(f"{state:<16} p = {chance}, bit {bit}")
        return bit

    reader = Reader(numbers(block("list"))[4:], "list")
    choice, form = context_coding.read(reader, 2)
    assert (choice.across, form) == (True, tensors.HALF)
    found = Slow(0, 0, choice.strength, choice.rate, choice.share, choice.digits).run(2, 3, take)
    assert list(found.values()) == [1, 0, -1, -1, 1, 1]
    reader.take(2)
    choice, form = context_coding.read(reader, 2)
    assert (choice.across, form) == (False, tensors.INTEGER_FORM)
    found = Slow(0, 0, choice.strength, choice.rate, choice.share, choice.digits).run(1, 2, take)
    assert list(found.values()) == [1, -2]
    assert block("bits") == [*lines, str(stream.state)]


def test_the_example_of_version_4_is_a_file_laid_out_by_its_parts():
    data = numbers(lines := block("file4"))
    assert f"The file, {len(data)} bytes" in PAGE
    checkpoint = file.unpack_any(data)
    assert isinstance(checkpoint, file.Checkpoint)
    (one,) = checkpoint.tensors
    assert (checkpoint.names, dict(checkpoint.notes)) == (("w",), {"licence": "MIT"})
    assert (one.element, one.bits.shape) == (1, (128, 128))
    expected = np.zeros(128 * 128, np.float32)
    expected[[5, 21, 9001]] = 1, -0.5, 2
    assert one.bits.tobytes() == expected.tobytes()
    bodies, parts = file.sections(data), [numbers([line]) for line in lines]
    assert parts[0] == indexed.HEAD
    assert bodies[file.REGION] == b"".join(parts[1:7])
    kinds = (file.GRAPH, file.HEADERS, file.NAMES, file.STREAM, file.TABLE)
    assert list(parts[7]) == [len(bodies[kind]) for kind in kinds]
    assert parts[8:11] == [bodies[kind] for kind in (file.HEADERS, file.NAMES, file.TABLE)]
    assert unsqueeze(bodies[file.NAMES], "names", 1000) == numbers(block("names4"))
    assert f"The only block, {len(bodies[file.REGION])} bytes" in PAGE
    assert f"The index, {int.from_bytes(parts[11], 'little')} bytes" in PAGE
    assert len(parts[7:11]) == 4 and sum(map(len, parts[7:11])) == parts[11][0]


def test_the_block_of_the_example_is_decoded_as_the_page_says():
    """From the page's bytes alone, by the slow lanes."""
    data = bytes(file.sections(numbers(block("file4")))[file.REGION])
    steps: dict[int, str] = {}
    words: dict[int, int] = {}

    def seen(place: int, before: int, after: int, symbol: int, word: int | None) -> None:
        steps[place] = f"{place:<6} {before:<13} {symbol}   {after}"
        if word is not None:
            words[place] = word

    assert data[0] == blocks.SPARSE
    slow = SlowBlock(data[1:], seen)
    given = slow.plane(128 * 128)
    assert given is not None and [i for i, one in enumerate(given) if one] == [5, 21, 9001]
    for _ in range(4):
        slow.plane(3)
    assert block("lanes4") == [steps[place] for place in (0, 5, 21, 9001, 16383)]
    assert words == {5: 45055} and "The word, 45055." in PAGE
    assert slow.carried[:6].hex(" ") in PAGE and not any(slow.carried[6:])
    planes = slow.end()[1:]
    rotated = [int.from_bytes(bytes(one), "big") for one in zip(*planes, strict=True)]
    assert "{:08x}, {:08x} and {:08x} are rotated".format(*rotated) in WORDS
    bits = [number >> 1 | (number & 1) << 31 for number in rotated]
    assert "{:08x}, {:08x} and {:08x}.".format(*bits) in WORDS


def test_the_numbers_of_version_4():
    version = indexed.VERSION
    assert f"versions {file.VERSION} to {version}" in PAGE.splitlines()[0]
    assert f"| `{indexed.HEAD.hex(' ')}` | the magic number, and the version |" in PAGE
    assert f"a byte k, {blocks.LEAST_BITS} to {blocks.MOST_BITS};" in WORDS
    assert f"blocks has at least 2^{blocks.LEAST_BITS} elements" in WORDS
    assert f"the number of tables (at most {lanes.MOST_TABLES})" in WORDS
    assert f"each segment of {lanes.SEGMENT} symbols" in WORDS
    assert f"add up to {lanes.TOTAL}" in WORDS
    assert f"⌊n / {lanes.STEPS}⌋))⌋, but at most {lanes.MOST_LANES.bit_length() - 1}." in WORDS
    assert f"All states are at least {lanes.LOWEST} at the beginning" in WORDS
    for name, kind in (("planes", blocks.PLANES), ("sparse", blocks.SPARSE),
                       ("levels", blocks.LEVELS), ("stored", blocks.STORED),
                       ("constant", blocks.CONSTANT), ("coded", blocks.CODED)):  # fmt: skip
        assert f"- `{kind:02x}` **{name}**" in PAGE


def test_the_dictionary_of_the_page():
    assert b64decode("".join(block("base64"))) == DICTIONARY
    assert f"{len(DICTIONARY):,} bytes, in base 64" in PAGE
    assert f"Its CRC-32 is {zlib.crc32(DICTIONARY):08x}." in PAGE


def test_the_codings_of_the_page():
    found = re.findall(r"^   - (\d) \*\*([a-z ]+)\*\*", PAGE, re.MULTILINE)
    assert [(int(number), name) for number, name in found] == [
        (tensors.RAW, "raw"),
        (tensors.LEVELS, "levels"),
        (tensors.SPARSE, "sparse"),
        (tensors.PLANES, "planes"),
        (tensors.CONTEXT, "levels in context"),
        (tensors.GRID, "grid"),
        (tensors.GRIDS, "grid of slices"),
        (tensors.ZEROS, "zeros"),
    ]


def places(values) -> str:
    return f"(0 to {len(values) - 1}: {', '.join(map(str, values))})"


def test_the_numbers_of_the_context_model():
    knots = context.SQUASH[::128]
    assert (
        f"through {len(knots)} points, at x = -{context.REACH}, -{context.REACH - 128}, ... "
        f"{context.REACH}." in WORDS
    )
    assert f"are {' '.join(map(str, knots[:23]))} and the others mirror them" in WORDS
    assert f"clipped to -{context.REACH} .. {context.REACH}" in WORDS
    assert f"the *strength* {places(context.STRENGTHS)}" in WORDS
    assert f"the *rate* {places(context.RATES)}" in WORDS
    assert f"the *share* (0: {context.SHARES[0]}, 1: {context.SHARES[1]})" in WORDS
    assert f"in binary (1 to {context.MOST_DIGITS})" in WORDS
    assert f"(0 one by one, 1 to {len(context.BLOCKS)} in tiles" in WORDS
    assert "With b = {}, {}, {} or {}".format(*context.BLOCKS) in WORDS
    first = "(zeros, ones) = {} for plane 0, {} for plane 1, {} for the others".format(
        *context.FIRST
    )
    assert first in WORDS
    assert f"if place ≤ {context.ADAPTIVE}, and a chance of 32768" in WORDS
    assert f"at most 2^{np.log2(context_coding.MOST_ONE_BY_ONE):.0f} numbers" in WORDS
    assert f"in tiles, at most 2^{np.log2(context_coding.MOST_COLUMNS):.0f} columns" in WORDS
    assert f"M = max(1, ⌊2^{np.log2(work.LARGEST_BLOCK):.0f} / C⌋)" in WORDS


def test_the_tables_and_limits_of_the_page():
    for number, (name, width) in tensors.ELEMENTS.items():
        assert f"| {number} | {name} | {width} |" in PAGE
    assert f"operator {OPERATORS.index('Gemm')}, Gemm" in PAGE
    assert f"more than {tensors.MOST_TENSORS:,} tensors" in PAGE
    assert f"number of notes, at most {about.MOST_NOTES:,};" in PAGE
    assert f"at most {graph_limits.MOST['nodes']:,}. Of each" in PAGE
    assert f"constants, at most {graph_limits.MOST['constants']:,}. Of each" in PAGE
    rows = re.findall(r"\| (.+?) \| ([0-9,]+)(?: each)? \|\n", PAGE)
    for what, most in graph_limits.MOST.items():
        phrase = "lists and dictionaries of trees" if what == "parts of structures" else what
        assert any(phrase.split(" and ")[0] in row and f"{most:,}" == n for row, n in rows), what
    assert f"A text has at most {graph_limits.MOST_NAME} bytes" in PAGE
    assert f"a list of an attribute {graph_limits.MOST_ITEMS:,} items" in WORDS
    assert f"the number of levels L (1 to {entropy.MOST_SYMBOLS:,}" in PAGE
    assert (
        f"graph of more than {file.LARGEST_GRAPH >> 20} MiB or a tensor list of more than "
        f"{file._LARGEST_LIST >> 20} MiB" in PAGE
    )
    assert f"`.shoe` file, versions {file.VERSION} to {indexed.VERSION}" in PAGE
    assert f"a byte k, {blocks.LEAST_BITS} to {blocks.MOST_BITS}" in WORDS
    assert f"at least 2^{blocks.LEAST_BITS} elements" in WORDS
    assert f"tables (at most {lanes.MOST_TABLES})" in WORDS
    assert f"those of a table add up to {lanes.TOTAL}" in WORDS
    assert f"each segment of {lanes.SEGMENT} symbols" in WORDS
    assert f"⌊n / {lanes.STEPS}⌋))⌋, but at most {lanes.MOST_LANES.bit_length() - 1}" in WORDS
    assert (
        f"| `{file.VERSION:02x}` | the version: {file.ENTRIES_VERSION:02x} where there are several "
        "entries |" in PAGE
    )
    assert file.MAX_BYTES == 1 << 30
    assert tensors.MOST_AXES == 32
    assert (tensors.INTEGER_FORM, tensors.HALF, tensors.BFLOAT16) == (0, 1, 2)
    assert (graphs.FLOAT, graphs.INT, graphs.STRING, graphs.TENSOR) == (1, 2, 3, 4)
    assert (graphs.FLOATS, graphs.INTS, graphs.STRINGS) == (6, 7, 8)


def test_the_limits_of_what_runs_a_graph():
    assert f"more than {load_limits.FEW_PARTS:,} × √(1 + M) parts is not optimised" in WORDS
    assert f"More than {load_limits.MOST_PARTS:,} × (1 + M) parts" in WORDS
    assert f"more than {load_limits.MOST_TENSORS:,} × √(1 + M) tensors and constants" in WORDS
    assert f"could have more than {tensors.MOST_AXES} axes is refused" in WORDS
    for operator, nodes in load_limits._NODES.items():
        assert re.search(f"`{operator}`(?: and `[A-Za-z]+`)? {nodes}\\b", WORDS), operator


@pytest.mark.parametrize("names", [OPERATORS, ATTRIBUTES])
def test_lists_are_plain_names(names):
    assert all(re.fullmatch(r"[A-Za-z_0-9]+", name) for name in names)


def test_the_page_lists_operators_and_attributes():
    section = PAGE[PAGE.index("### Operators and attributes") :]
    lists = re.findall(r"```\n(.*?)```", section, re.DOTALL)[:2]
    assert [one.split() for one in lists] == [list(OPERATORS), list(ATTRIBUTES)]
