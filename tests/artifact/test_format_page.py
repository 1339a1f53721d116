"""docs/format.md cannot go stale: its example is a file, and its numbers are the code's."""

import re
from pathlib import Path

import pytest
from samples import linear, same
from test_entropy import slow_table

from shoestring.artifact import file, tensors
from shoestring.artifact import graph as graphs
from shoestring.artifact.operators import ATTRIBUTES, OPERATORS
from shoestring.artifact.wire import unsqueeze

PAGE = (Path(__file__).parents[2] / "docs" / "format.md").read_text()


def block(name: str) -> list[str]:
    found = re.search(rf"```{name}\n(.*?)```", PAGE, re.DOTALL)
    assert found, name
    return found[1].splitlines()


def numbers(lines: list[str]) -> bytes:
    """The hexadecimal bytes at the beginning of each line."""
    return bytes.fromhex("".join(re.match(r"([0-9a-f]{2}( |$))+", line)[0] for line in lines))  # pyright: ignore


def test_the_example_is_a_file():
    data = numbers(block("file"))
    assert same(file.unpack(data), linear())
    ours, bodies = file.sections(file.pack(linear())), file.sections(data)
    for kind, name in ((1, "graph"), (2, "list")):
        inflated = numbers(block(name))
        assert unsqueeze(bodies[kind], name, 1000) == inflated
        assert unsqueeze(ours[kind], name, 1000) == inflated
    assert bodies[3] == ours[3]
    assert bodies[4] == ours[4]


def test_the_example_is_decoded_as_the_page_says():
    table = slow_table([1, 3, 2])
    assert ", ".join(map(str, table)) in PAGE
    state, lines = int.from_bytes(file.sections(numbers(block("file")))[3], "little"), []
    for _ in range(6):
        quantile = state % (1 << 24)
        symbol = max(i for i in range(3) if sum(table[:i]) <= quantile)
        lines.append(f"{state:<24} q = {quantile}, symbol {symbol}")
        state = (state >> 24) * table[symbol] + quantile - sum(table[:symbol])
    assert block("states") == [*lines, str(state)]


def test_the_tables_and_limits_of_the_page():
    for number, (name, width) in tensors.ELEMENTS.items():
        assert f"| {number} | {name} | {width} |" in PAGE
    assert f"operator {OPERATORS.index('Gemm')}, Gemm" in PAGE
    assert f"more than {graphs.MOST_NODES:,} nodes or {tensors.MOST_TENSORS:,} tensors" in PAGE
    assert (
        f"graph of more than {file._LARGEST_GRAPH >> 20} MiB or a tensor list of more than {file._LARGEST_LIST >> 20} MiB"
        in PAGE
    )
    assert f"`.shoe` file, version {file.VERSION}" in PAGE
    assert file.MAX_BYTES == 1 << 30
    assert tensors.MOST_AXES == 32
    assert (graphs.FLOAT, graphs.INT, graphs.STRING, graphs.TENSOR) == (1, 2, 3, 4)
    assert (graphs.FLOATS, graphs.INTS, graphs.STRINGS) == (6, 7, 8)


@pytest.mark.parametrize("names", [OPERATORS, ATTRIBUTES])
def test_lists_are_plain_names(names):
    assert all(re.fullmatch(r"[A-Za-z_0-9]+", name) for name in names)
