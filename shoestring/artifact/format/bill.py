"""The bill of a file: what each of its bytes is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np

from shoestring.artifact import html
from shoestring.artifact.format import graph as graphs
from shoestring.artifact.format.file import (
    GRAPH,
    HEADERS,
    MAX_BYTES,
    NAMES,
    STREAM,
    TABLE,
    Checkpoint,
    Content,
    Entries,
    sections,
    unpack_any,
)
from shoestring.artifact.format.graph import Graph
from shoestring.artifact.format.tensors import CODINGS, ELEMENTS, FLOATS, Packed, Tensor


@dataclass(frozen=True)
class Line:
    """A line of the bill.

    `name`: what takes the bytes: a tensor, "graph", "names" or "frame".
    `bytes`: how many bytes of the file it takes.
    `about`: a few words about it.
    `parts`: of a tensor, its bytes in each section: "codes", "values" and "description".
    `numbers`: of a tensor, how many it holds; 0 for what is no tensor.
    `zeros`: how many of them are 0; None for unsigned integers, whose zero the graph decides.
    """

    name: str
    bytes: int
    about: str = ""
    parts: Mapping[str, int] = field(default_factory=dict)
    numbers: int = 0
    zeros: int | None = None


@dataclass(frozen=True)
class Bill(Sequence[Line]):
    """The bill of a file: its lines, which add up to its size. A notebook shows it as a table."""

    lines: tuple[Line, ...]

    @overload
    def __getitem__(self, index: int) -> Line: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Line]: ...
    def __getitem__(self, index: int | slice) -> Line | Sequence[Line]:
        return self.lines[index]

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def bytes(self) -> int:
        """The size of the file."""
        return sum(line.bytes for line in self.lines)

    def _repr_html_(self) -> str:
        lengths = html.shares([line.bytes for line in self.lines])
        rows = [
            [line.name, html.Bar(text=f"{line.bytes:,}", share=share), line.about]
            for line, share in zip(self.lines, lengths, strict=True)
        ]
        return html.table(("what", "bytes", ""), rows, f"{self.bytes:,} bytes in all", (0, 2))


def bill(
    data: bytes,
    names: Sequence[str] = (),
    max_bytes: int = MAX_BYTES,
    max_seconds: float | None = None,
) -> Bill:
    """What each byte of a file is for: a line for each tensor, for the graph and for the frame.

    The bytes of the lines add up to the size of the file.
    A tensor's share of the code stream is in proportion to the bits that its model gives its
    symbols, its share of the tensor list to the length of its description. A graph's share of the
    graphs is in proportion to its encoded length. Shares are rounded to whole bytes by the method
    of the largest remainder.
    `names`: the names of the module's distinct parameters and buffers, in its order, for a file
        that has no names for its tensors; (): the tensors are called "tensor 0" and so on.
    `max_bytes`: the most memory that the tensors may take, in bytes.
    `max_seconds`: the most work that decoding may be, as `load` takes it. Raises ShoeError.
    """
    bodies = sections(data)
    content = unpack_any(data, max_bytes, max_seconds)
    packed = content.packed
    named = content.names
    streams = _shares(len(bodies[STREAM]), [how.model_bits for how in packed])
    headers = _shares(len(bodies[HEADERS]), [how.header_bytes for how in packed])
    lines = [
        Line(
            (named[i] if named else _name(how.tensor, names)) or f"tensor {i}",
            stream + header + how.raw_bytes,
            _about(how, stream, header),
            {"codes": stream, "values": how.raw_bytes, "description": header},
            how.tensor.bits.size,
            _zeros(how.tensor),
        )
        for i, (how, stream, header) in enumerate(zip(packed, streams, headers, strict=True))
    ]
    rest = _graph_lines(content, len(bodies[GRAPH]))
    if len(bodies[NAMES]):
        about = f"{len(content.names)} names, {len(content.notes)} notes"
        rest.append(Line("names", len(bodies[NAMES]), about))
    if len(table := bodies.get(TABLE, b"")):
        rest.append(Line("table of blocks", len(table), "lengths and checksums"))
    used = sum(line.bytes for line in [*lines, *rest])
    frame = Line("frame", len(data) - used, "mark, version, section lengths and checksum")
    return Bill((*lines, *rest, frame))


def _graph_lines(content: Content | Entries | Checkpoint, length: int) -> list[Line]:
    """A line for each graph, which share the bytes of their section."""
    if isinstance(content, Checkpoint):
        return []
    if isinstance(content, Content):
        return [Line("graph", length, _size(content.graph))]
    shares = _shares(length, [float(len(graphs.encode(one))) for one in content.graphs.values()])
    pairs = zip(content.graphs.items(), shares, strict=True)
    return [Line(f"graph {name}", share, _size(graph)) for (name, graph), share in pairs]


def _size(graph: Graph) -> str:
    return f"{len(graph.nodes)} nodes, {len(graph.constants)} constants"


def _name(tensor: Tensor, names: Sequence[str]) -> str:
    """The name of a tensor in the bill; "" if it is not known."""
    if not names:
        return ""
    if tensor.member is None:
        return "constant"
    return names[tensor.member] if tensor.member < len(names) else ""


def _about(how: Packed, stream: int, header: int) -> str:
    """Type, shape and coding of a tensor, and how many bytes it has in each section."""
    name = ELEMENTS[how.tensor.element][0]
    shape = "x".join(map(str, how.tensor.bits.shape)) or "scalar"
    coding = CODINGS[how.coding]
    coding = f"{how.levels} {coding}" if coding == "levels" else coding
    return f"{name} {shape}, {coding}: codes {stream}, values {how.raw_bytes}, description {header}"


def _zeros(tensor: Tensor) -> int | None:
    """How many numbers of a tensor are 0; None for a type of unsigned integers."""
    name = ELEMENTS[tensor.element][0]
    if name.startswith("uint"):
        return None
    # Without its sign bit, since -0 is 0 too.
    bits = tensor.bits << tensor.bits.dtype.type(1) if name in FLOATS else tensor.bits
    return tensor.bits.size - int(np.count_nonzero(bits))


def _shares(total: int, weights: list[float]) -> list[int]:
    """Integers that add up to `total`, in proportion to `weights`, by the largest remainder."""
    weight = sum(weights)
    if not weights:
        return []
    exact = (
        [total * w / weight for w in weights] if weight else [total / len(weights)] * len(weights)
    )
    shares = [int(x) for x in exact]
    order = sorted(range(len(exact)), key=lambda i: exact[i] - shares[i], reverse=True)
    for i in order[: total - sum(shares)]:
        shares[i] += 1
    return shares
