"""The `.shoe` file: a mark, a version, three checked sections. `docs/format.md` is its page."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shoestring.artifact import graph as graphs
from shoestring.artifact import graph_reader
from shoestring.artifact import tensors as packing
from shoestring.artifact.graph import Graph
from shoestring.artifact.tensors import Packed, Tensor
from shoestring.artifact.wire import Reader, ShoeError, Writer, squeeze, unsqueeze

MARK = b"SHOE"
VERSION = 1
GRAPH, HEADERS, STREAM, PLAIN = range(1, 5)
SECTIONS = {GRAPH: "graph", HEADERS: "tensor list", STREAM: "code stream", PLAIN: "plain values"}
MAX_BYTES = 1 << 30
_LARGEST_GRAPH, _LARGEST_LIST = 1 << 22, 1 << 24  # inflated


@dataclass(frozen=True)
class Content:
    """What a file holds."""

    graph: Graph
    tensors: list[Tensor]
    packed: tuple[Packed, ...] = ()  # how a file that was read kept each of them


@dataclass(frozen=True)
class Line:
    """A line of the bill: what it is, how many bytes of the file it takes, and a word about it."""

    name: str
    bytes: int
    about: str = ""


def pack(content: Content) -> bytes:
    """The bytes of a file."""
    if content.graph.weights != len(content.tensors):
        raise ValueError(f"the graph wants {content.graph.weights} tensors and there are {len(content.tensors)}")
    packed = packing.pack(content.tensors)
    return framed(
        {
            GRAPH: squeeze(graphs.encode(content.graph)),
            HEADERS: squeeze(bytes(packed.headers)),
            STREAM: packed.stream,
            PLAIN: bytes(packed.plain),
        }
    )


def framed(bodies: dict[int, bytes]) -> bytes:
    """A file of these sections, with their lengths and checksums."""
    out = Writer(MARK)
    out.append(VERSION)
    for kind, body in bodies.items():
        section = Writer([kind])
        section.varint(len(body))
        section += body
        out += section
        out += zlib.crc32(section).to_bytes(4, "little")
    return bytes(out)


def sections(data: bytes) -> dict[int, memoryview]:
    """The bodies of the sections, their checksums verified; raises ShoeError."""
    reader = Reader(data, "file")
    if data[:4] != MARK:
        raise ShoeError("this is not a .shoe file: it does not begin with SHOE")
    reader.take(4)
    version = reader.byte()
    if version != VERSION:
        raise ShoeError(f"this file has version {version} of the format and this program reads version {VERSION}: update one")
    found: dict[int, memoryview] = {}
    for kind, name in SECTIONS.items():
        start = reader.at
        if reader.byte() != kind:
            raise reader.fail(f"the {name} is not where it should be")
        found[kind] = reader.take(reader.varint())
        checksum = zlib.crc32(reader.data[start : reader.at])
        if int.from_bytes(reader.take(4), "little") != checksum:
            raise reader.fail(f"the checksum of the {name} is wrong")
    reader.end()
    return found


def unpack(data: bytes, max_bytes: int = MAX_BYTES) -> Content:
    """What a file's bytes hold, if its tensors take at most `max_bytes` in memory; raises ShoeError."""
    bodies = sections(data)
    graph = graph_reader.decode(unsqueeze(bodies[GRAPH], SECTIONS[GRAPH], _LARGEST_GRAPH))
    headers = unsqueeze(bodies[HEADERS], SECTIONS[HEADERS], _LARGEST_LIST)
    packed = packing.unpack(headers, bodies[STREAM], bodies[PLAIN], max_bytes)
    if len(packed) != graph.weights:
        raise ShoeError(f"damaged file: its graph wants {graph.weights} tensors and it holds {len(packed)}")
    return Content(graph, [one.tensor for one in packed], tuple(packed))


def read(path: str | Path, max_bytes: int = MAX_BYTES) -> Content:
    """What the file at `path` holds; raises ShoeError, or OSError where it cannot be read."""
    path = Path(path)
    if path.stat().st_size > max_bytes + _LARGEST_GRAPH + _LARGEST_LIST:
        raise ShoeError(f"{path} is larger than allowed; if you trust this file, raise max_bytes")
    return unpack(path.read_bytes(), max_bytes)


def bill(data: bytes, names: Sequence[str] = (), max_bytes: int = MAX_BYTES) -> list[Line]:
    """What each byte of a file is for, a line per tensor and section; the lines add up to the file exactly.

    A tensor's share of the code stream is in proportion to the bits that its model gives its symbols, and its share of the
    deflated tensor list to its description's length; whole bytes go by the largest remainder. The file has no names for its
    tensors: `names` are those of the module's distinct parameters and buffers, in its order.
    """
    bodies = sections(data)
    content = unpack(data, max_bytes)
    packed = content.packed
    streams = _shares(len(bodies[STREAM]), [one.model_bits for one in packed])
    headers = _shares(len(bodies[HEADERS]), [one.header_bytes for one in packed])
    lines = [
        Line(_name(one.tensor, names) or f"tensor {i}", stream + header + one.raw_bytes, _about(one, stream, header))
        for i, (one, stream, header) in enumerate(zip(packed, streams, headers, strict=True))
    ]
    used = sum(line.bytes for line in lines) + len(bodies[GRAPH])
    graph = Line("graph", len(bodies[GRAPH]), f"{len(content.graph.nodes)} nodes, {len(content.graph.constants)} constants")
    return [*lines, graph, Line("frame", len(data) - used, "mark, version, section lengths and checksums")]


def _name(one: Tensor, names: Sequence[str]) -> str:
    if not names:
        return ""
    return "constant" if one.member is None else names[one.member]


def _about(one: Packed, stream: int, header: int) -> str:
    name, shape = packing.ELEMENTS[one.tensor.element][0], "x".join(map(str, one.tensor.bits.shape)) or "scalar"
    coding = f"{one.levels} levels" if one.coding == packing.LEVELS else packing.CODINGS[one.coding]
    return f"{name} {shape}, {coding}: codes {stream}, values {one.raw_bytes}, description {header}"


def _shares(total: int, weights: list[float]) -> list[int]:
    """Whole numbers in proportion to the weights that add up to `total`, by the largest remainder."""
    whole = sum(weights)
    if not weights:
        return []
    exact = [total * w / whole for w in weights] if whole else [total / len(weights)] * len(weights)
    shares = [int(x) for x in exact]
    order = sorted(range(len(exact)), key=lambda i: exact[i] - shares[i], reverse=True)
    for i in order[: total - sum(shares)]:
        shares[i] += 1
    return shares


def save(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all: beside its place first, then moved there. Raises OSError with what to do."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".shoe-", delete=False) as file:
            temporary = Path(file.name)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        why = (
            f"cannot write {path}: {error.strerror or error}; name a path in a folder that exists, may be written and has room"
        )
        raise type(error)(error.errno, why) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
