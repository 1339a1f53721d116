"""The `.shoe` file: a mark, a version, five sections, a checksum. `docs/format.md` is its page."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shoestring.artifact.format import entries, graph_reader, tensor_reader, tensor_writer
from shoestring.artifact.format import graph as graphs
from shoestring.artifact.format import tensors as packing
from shoestring.artifact.format.dictionary import DICTIONARY
from shoestring.artifact.format.graph import Graph
from shoestring.artifact.format.saving import check_file
from shoestring.artifact.format.tensors import Packed, Tensor
from shoestring.artifact.wire import Reader, ShoeError, Writer, squeeze, unsqueeze

MARK = b"SHOE"
VERSION = 2
ENTRIES_VERSION = 3  # of a file with named graphs
GRAPH, HEADERS, STREAM, PLAIN, NAMES = range(1, 6)
SECTIONS = {
    GRAPH: "graph",
    HEADERS: "tensor list",
    STREAM: "code stream",
    PLAIN: "plain values",
    NAMES: "names",
}
_ORDER = (GRAPH, HEADERS, NAMES, STREAM, PLAIN)
MAX_BYTES = 1 << 30
_LARGEST_GRAPH, _LARGEST_LIST = 1 << 22, 1 << 24  # inflated


@dataclass(frozen=True)
class Content:
    """What a file that runs holds: a graph and its tensors."""

    graph: Graph
    tensors: list[Tensor]
    packed: tuple[Packed, ...] = ()  # how a file that was read kept each of them


@dataclass(frozen=True)
class Entries:
    """What a file with several entries holds.

    Their graphs by name, each of which sees all of the tensors.
    """

    graphs: Mapping[str, Graph]
    tensors: list[Tensor]
    packed: tuple[Packed, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """What a file without a graph holds.

    Tensors (numbered from 0 by `member`) with a name each, and notes by key.
    """

    tensors: list[Tensor]
    names: tuple[str, ...]
    notes: Mapping[str, str] = field(default_factory=dict)
    packed: tuple[Packed, ...] = ()


@dataclass(frozen=True)
class Line:
    """A line of the bill: what it is, how many bytes of the file it takes, and a word about it."""

    name: str
    bytes: int
    about: str = ""


def by_entry(content: Content | Entries) -> dict[str, Content]:
    """What each entry runs: its graph with none but the tensors that it reads.

    The only graph of other files is called "".
    """
    if isinstance(content, Content):
        return {"": content}
    found: dict[str, Content] = {}
    for name, graph in content.graphs.items():
        places = entries.used(graph)
        packed = tuple(content.packed[place] for place in places) if content.packed else ()
        found[name] = Content(
            entries.alone(graph), [content.tensors[place] for place in places], packed
        )
    return found


def pack(
    content: Content | Entries | Checkpoint,
    *,
    smallest: bool = False,
    advance: Callable[[str], None] = lambda note: None,
) -> bytes:
    """The bytes of a file; `smallest` allows codings that take long to decode where numba is not
    installed. `advance` is told of each tensor.
    """
    graph = names = b""
    if isinstance(content, Checkpoint):
        if len(content.names) != len(content.tensors):
            raise ValueError(
                f"there are {len(content.names)} names for {len(content.tensors)} tensors"
            )
        if len(set(content.names)) < len(content.names):
            raise ValueError("two tensors have the same name")
        if [one.member for one in content.tensors] != list(range(len(content.tensors))):
            raise ValueError("the tensors of a checkpoint must be numbered from 0 by `member`")
        names = _named(content)
    else:
        for one in [content.graph] if isinstance(content, Content) else content.graphs.values():
            if one.weights != len(content.tensors):
                raise ValueError(
                    f"the graph wants {one.weights} tensors and there are {len(content.tensors)}"
                )
        encoded = (
            graphs.encode(content.graph)
            if isinstance(content, Content)
            else entries.encode(content.graphs)
        )
        graph = squeeze(encoded, DICTIONARY)
    packed = tensor_writer.encode(content.tensors, smallest=smallest, advance=advance)
    headers = _shorter(bytes(packed.headers))
    bodies = {
        GRAPH: graph,
        HEADERS: headers,
        NAMES: names,
        STREAM: packed.stream,
        PLAIN: bytes(packed.plain),
    }
    return framed(bodies, ENTRIES_VERSION if isinstance(content, Entries) else VERSION)


def _shorter(data: bytes) -> bytes:
    """As it is, after a 0 (deflated, nothing is 0 bytes long), or deflated."""
    return min(b"\0" + data, squeeze(data), key=len)


def _named(content: Checkpoint) -> bytes:
    out = Writer()
    for name in content.names:
        out.text(name)
    out.varint(len(content.notes))
    for key, note in content.notes.items():
        out.text(key)
        out.text(note)
    return squeeze(bytes(out))


def framed(bodies: Mapping[int, bytes], version: int = VERSION) -> bytes:
    """A file of these sections, with their lengths and a checksum."""
    out = Writer(MARK)
    out.append(version)
    for kind in _ORDER[:-1]:
        out.varint(len(bodies[kind]))
    for kind in _ORDER:
        out += bodies[kind]
    return bytes(out + zlib.crc32(out).to_bytes(4, "little"))


def sections(data: bytes) -> dict[int, memoryview]:
    """The bodies of the sections, the checksum verified; raises ShoeError."""
    reader = Reader(data, "file")
    if data[:4] != MARK:
        raise ShoeError("this is not a .shoe file: it does not begin with SHOE")
    reader.take(4)
    version = reader.byte()
    if version == 1:
        return _sections_1(reader)
    if version not in (VERSION, ENTRIES_VERSION):
        raise ShoeError(
            f"this file has version {version} of the format and this program reads versions 1 to "
            f"{ENTRIES_VERSION}: update one"
        )
    if reader.left() < 4 or zlib.crc32(reader.data[:-4]) != int.from_bytes(
        reader.data[-4:], "little"
    ):
        raise reader.fail("the checksum is wrong")
    reader.data = reader.data[:-4]
    lengths = {kind: reader.varint() for kind in _ORDER[:-1]}
    found = {kind: reader.take(length) for kind, length in lengths.items()}
    return {**found, PLAIN: reader.take(reader.left())}


def _sections_1(reader: Reader) -> dict[int, memoryview]:
    found: dict[int, memoryview] = {NAMES: memoryview(b"")}
    for kind in (GRAPH, HEADERS, STREAM, PLAIN):
        name, start = SECTIONS[kind], reader.at
        if reader.byte() != kind:
            raise reader.fail(f"the {name} is not where it should be")
        found[kind] = reader.take(reader.varint())
        checksum = zlib.crc32(reader.data[start : reader.at])
        if int.from_bytes(reader.take(4), "little") != checksum:
            raise reader.fail(f"the checksum of the {name} is wrong")
    reader.end()
    return found


def unpack(data: bytes, max_bytes: int = MAX_BYTES) -> Content:
    """What the bytes of a file with one graph hold, if its tensors take at most `max_bytes` in
    memory; raises ShoeError.
    """
    content = unpack_model(data, max_bytes)
    if isinstance(content, Entries):
        raise ShoeError(
            f"this file has several entries ({', '.join(content.graphs)}), and one graph is "
            "wanted here: what can be done with "
            "such a file is in docs/tasks.md"
        )
    return content


def unpack_model(data: bytes, max_bytes: int = MAX_BYTES) -> Content | Entries:
    """What the bytes of a file that runs hold, with one graph or with several; as `unpack`."""
    content = unpack_any(data, max_bytes)
    if isinstance(content, Checkpoint):
        raise ShoeError(
            "this is a packed checkpoint: it has no graph to run; `shoestring unpack` gives the "
            "checkpoint back"
        )
    return content


def unpack_any(data: bytes, max_bytes: int = MAX_BYTES) -> Content | Entries | Checkpoint:
    """What the bytes of a file hold, be it a model or a checkpoint; as `unpack`."""
    bodies, version = sections(data), data[4]
    dictionary = DICTIONARY if version > 1 else b""
    graph, named = None, dict[str, Graph]()
    if version in (1, ENTRIES_VERSION) or len(bodies[GRAPH]):
        inflated = unsqueeze(bodies[GRAPH], SECTIONS[GRAPH], _LARGEST_GRAPH, dictionary)
        if version == ENTRIES_VERSION:
            named = entries.decode(inflated)
        else:
            graph = graph_reader.decode(inflated, version)
    headers = bodies[HEADERS]
    plainly = version > 1 and len(headers) > 0 and not headers[0]
    if plainly and len(headers) > _LARGEST_LIST:
        raise ShoeError("damaged file: the tensor list is longer than any")
    listed = bytes(headers[1:]) if plainly else unsqueeze(headers, SECTIONS[HEADERS], _LARGEST_LIST)
    packed = tensor_reader.unpack(listed, bodies[STREAM], bodies[PLAIN], max_bytes, version)
    tensors = [one.tensor for one in packed]
    if graph is None and not named:
        if [one.member for one in tensors] != list(range(len(tensors))):
            raise ShoeError(
                "damaged file: the tensors of a checkpoint are not numbered one after the other"
            )
        return Checkpoint(tensors, *_read_names(bodies[NAMES], len(tensors)), tuple(packed))
    for one in named.values() if graph is None else [graph]:
        if len(packed) != one.weights:
            raise ShoeError(
                f"damaged file: its graph wants {one.weights} tensors and it holds {len(packed)}"
            )
    if len(bodies[NAMES]):
        raise ShoeError("damaged file: its tensors have names and a graph")
    if graph is not None:
        return Content(graph, tensors, tuple(packed))
    _check_copies(named, tensors, max_bytes)
    return Entries(named, tensors, tuple(packed))


def _check_copies(named: Mapping[str, Graph], tensors: Sequence[Tensor], max_bytes: int) -> None:
    """Raises ShoeError where the entries take too much together.

    Each that runs has a copy of the tensors that it reads.
    """
    copies = sum(
        tensors[place].bits.nbytes for graph in named.values() for place in entries.used(graph)
    )
    if copies > max_bytes:
        raise ShoeError(
            f"the {len(named)} entries of this file read {copies:,} bytes of tensors together, "
            f"more than the {max_bytes:,} that "
            "are allowed; if you trust this file, raise max_bytes"
        )


def _read_names(body: memoryview, count: int) -> tuple[tuple[str, ...], dict[str, str]]:
    reader = Reader(unsqueeze(body, SECTIONS[NAMES], _LARGEST_LIST), SECTIONS[NAMES])
    names = tuple(reader.text() for _ in range(count))
    notes = [(reader.text(), reader.text()) for _ in range(reader.count())]
    reader.end()
    if len(set(names)) < len(names) or len(dict(notes)) < len(notes):
        raise reader.fail("two tensors or two notes have the same name")
    return names, dict(notes)


def read(path: str | Path, max_bytes: int = MAX_BYTES) -> Content:
    """What the file at `path` holds, which has one graph.

    Raises ShoeError, or OSError where it cannot be read.
    """
    return unpack(_bytes(Path(path), max_bytes), max_bytes)


def read_model(path: str | Path, max_bytes: int = MAX_BYTES) -> Content | Entries:
    """What the file at `path` holds, with one graph or with several; as `read`."""
    return unpack_model(_bytes(Path(path), max_bytes), max_bytes)


def _bytes(path: Path, max_bytes: int) -> bytes:
    check_file(path)
    if path.stat().st_size > max_bytes + _LARGEST_GRAPH + _LARGEST_LIST:
        raise ShoeError(f"{path} is larger than allowed; if you trust this file, raise max_bytes")
    return path.read_bytes()


def bill(data: bytes, names: Sequence[str] = (), max_bytes: int = MAX_BYTES) -> list[Line]:
    """What each byte of a file is for, a line per tensor and section.

    The lines add up to the file exactly.
    A tensor's share of the code stream is in proportion to the bits that its model gives its
    symbols, and its share of the deflated tensor list to its description's length, a graph's of all
    graphs likewise; whole bytes go by the largest remainder. The file has no names for its tensors:
    `names` are those of the module's distinct parameters and buffers, in its order.
    """
    bodies = sections(data)
    content = unpack_any(data, max_bytes)
    packed = content.packed
    names = content.names if isinstance(content, Checkpoint) else names
    streams = _shares(len(bodies[STREAM]), [one.model_bits for one in packed])
    headers = _shares(len(bodies[HEADERS]), [one.header_bytes for one in packed])
    lines = [
        Line(
            _name(one.tensor, names) or f"tensor {i}",
            stream + header + one.raw_bytes,
            _about(one, stream, header),
        )
        for i, (one, stream, header) in enumerate(zip(packed, streams, headers, strict=True))
    ]
    if isinstance(content, Checkpoint):
        rest = [
            Line(
                "names",
                len(bodies[NAMES]),
                f"{len(content.names)} names, {len(content.notes)} notes",
            )
        ]
    elif isinstance(content, Content):
        rest = [Line("graph", len(bodies[GRAPH]), _size(content.graph))]
    else:
        lengths = [float(len(graphs.encode(one))) for one in content.graphs.values()]
        shares = _shares(len(bodies[GRAPH]), lengths)
        pairs = zip(content.graphs.items(), shares, strict=True)
        rest = [Line(f"graph {name}", share, _size(one)) for (name, one), share in pairs]
    used = sum(line.bytes for line in [*lines, *rest])
    return [
        *lines,
        *rest,
        Line("frame", len(data) - used, "mark, version, section lengths and checksum"),
    ]


def _size(graph: Graph) -> str:
    return f"{len(graph.nodes)} nodes, {len(graph.constants)} constants"


def _name(one: Tensor, names: Sequence[str]) -> str:
    if not names:
        return ""
    if one.member is None:
        return "constant"
    return names[one.member] if one.member < len(names) else ""


def _about(one: Packed, stream: int, header: int) -> str:
    name, shape = (
        packing.ELEMENTS[one.tensor.element][0],
        "x".join(map(str, one.tensor.bits.shape)) or "scalar",
    )
    coding = packing.CODINGS[one.coding]
    coding = f"{one.levels} {coding}" if coding == "levels" else coding
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
