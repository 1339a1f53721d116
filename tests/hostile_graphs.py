"""Small files whose graphs ask for much, written by hand: no writer of ours would write them."""

from __future__ import annotations

from shoestring.artifact.format import about, file
from shoestring.artifact.format.dictionary import DICTIONARY
from shoestring.artifact.format.graph_limits import MOST, MOST_ITEMS, MOST_NAME
from shoestring.artifact.format.operators import ATTRIBUTES, OPERATORS
from shoestring.artifact.wire import Writer, squeeze

ADD, CONCAT, ABS = (OPERATORS.index(name) for name in ("Add", "Concat", "Abs"))
AXES, EQUATION, VALUE = (ATTRIBUTES.index(name) for name in ("axes", "equation", "value"))
ONE_INPUT = (1, "x", 1, 1, 1, 1, "N")
CALL = (2, 2, 2, 1, 1, 4, 0, 1)  # a tuple of a tuple of a tensor and {}; a tensor comes back


def laid_out(*fields: int | str | bytes) -> bytes:
    """Numbers as varints, texts with their lengths, bytes as they are."""
    out = Writer()
    for field in fields:
        if isinstance(field, int):
            out.varint(field)
        elif isinstance(field, str):
            out.text(field)
        else:
            out += field
    return bytes(out)


def whole(graph: bytes) -> bytes:
    """A file of a graph without tensors."""
    return file.framed({1: squeeze(graph, DICTIONARY), 2: b"\0\0", 3: b"", 4: b"", 5: b""})


def with_nodes(count: int, nodes: bytes, constants: tuple[int | bytes, ...] = (0,)) -> bytes:
    """A file of y = the newest value, after these nodes."""
    return whole(laid_out(20, *ONE_INPUT, 0, *constants, count, nodes, 1, "y", 1, 2, *CALL))


def repeated(count: int, *fields: int | str | bytes) -> bytes:
    return laid_out(*fields) * count


def ports(count: int) -> bytes:
    return b"".join(laid_out(f"x{k}", 1, 0) for k in range(count))


def outputs(count: int) -> bytes:
    """y0, y1, ... which are the input."""
    return b"".join(laid_out(f"y{k}", 1, 1 if k == 0 else 3) for k in range(count))


def made() -> dict[str, tuple[bytes, str]]:
    """(a file, what is said when it is refused) by a name of what it has too much of."""
    add = laid_out(ADD, 2, 2, 2, 2, 0)
    most = MOST["inputs"] + 1
    inputs = laid_out(20, most, ports(most), 0, 0, 0, 0, 0)
    named = b"".join(laid_out(f"n{k}") for k in range(MOST["axis names"] + 1))
    length, too_long = MOST_ITEMS + 1, "n" * (MOST_NAME + 1)
    bits = MOST["elements of constants"] + 1
    tree = laid_out(2, MOST["parts of structures"], bytes(MOST["parts of structures"]))
    outside = laid_out(20, *ONE_INPUT, 0, 0, 0, MOST["outputs"] + 1, outputs(MOST["outputs"] + 1))
    ends = (1, "y", 1, 1)
    first = laid_out(ABS, 1, 1, 2)
    return {
        "inputs": (whole(inputs), "1,025 inputs"),
        "outputs": (whole(outside), "1,025 outputs"),
        "axis names": (whole(laid_out(20, 0, MOST["axis names"] + 1, named)), "1,025 axis names"),
        "nodes": (
            with_nodes(MOST["nodes"] + 1, laid_out(ADD, 2, 1, 3, 2, 0) + add * MOST["nodes"]),
            "16,385 nodes",
        ),
        "inputs of one node": (
            with_nodes(1, laid_out(CONCAT, 2_000_000, 1, b"\3" * 1_999_999, 2, 0)),
            "2,000,000 references",
        ),
        "inputs of all nodes": (
            with_nodes(17, repeated(17, CONCAT, 4096, b"\0" * 4096, 2, 0)),
            "69,632 references",
        ),
        "outputs of nodes": (
            with_nodes(517, repeated(517, ABS, 1, 0, 254, 0)),
            "65,659 outputs of nodes",
        ),
        "attributes": (
            with_nodes(1, first + laid_out(65_537, AXES, b"\7", bytes(65_536 * 2))),
            "65,537 attributes",
        ),
        "items of a list": (
            with_nodes(1, first + laid_out(1, AXES, b"\7", length, bytes(length))),
            "1,025 items",
        ),
        "items of all lists": (
            with_nodes(65, laid_out(ABS, 1, 0, 2, 1, AXES, b"\7", 1024, bytes(1024)) * 65),
            "attributes and items",
        ),
        "constants": (
            with_nodes(0, b"", (16_385, b"\2\0\0" * 16_385)),
            "16,385 constants",
        ),
        "tensors of attributes": (
            with_nodes(1, first + laid_out(1, VALUE, b"\4\2\0\0"), (16_384, b"\2\0\0" * 16_384)),
            "16,385 constants",
        ),
        "elements of constants": (
            with_nodes(0, b"", (1, b"\7\1" + laid_out(bits, bytes(bits)))),
            "131,073 elements of constants",
        ),
        "a long name": (whole(laid_out(20, 1, too_long, 1, 0)), "257"),
        "a long text": (
            with_nodes(1, first + laid_out(1, EQUATION, b"\3", too_long)),
            "257",
        ),
        "parts of structures": (
            whole(laid_out(20, *ONE_INPUT, 0, 0, 0, *ends, 2, 2, 2, 1, 1, 4, 0, tree)),
            "8,195 parts of structures",
        ),
        "notes": (notes(), "65,?537"),
    }


def notes() -> bytes:
    """A checkpoint of no tensors with a note too many."""
    text = b"".join(laid_out(f"k{k}", "") for k in range(about.MOST_NOTES + 1))
    names = squeeze(laid_out(about.MOST_NOTES + 1) + text)
    return file.framed({1: b"", 2: b"\0\0", 3: b"", 4: b"", 5: names})


def fullest() -> bytes:
    """A file whose graph has the most of everything that takes time to read."""
    count, nodes = MOST["constants"] // 2, MOST["nodes"]
    each = MOST["elements of constants"] // count
    constants = laid_out(b"\7\1", each, b"\xff\xff\xff\xff\1" * each) * count
    listed = MOST["attributes and items"] // nodes - 1
    node = laid_out(CONCAT, 4, b"\3\2\2\2", 8, 1, AXES, b"\7", listed, b"\2" * listed)
    return with_nodes(
        nodes, laid_out(CONCAT, 4, b"\1\3\3\3", 8, 0) + node * (nodes - 1), (count, constants)
    )
