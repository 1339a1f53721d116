"""The `.shoe` file: a magic number, a version, five sections and a checksum; see docs/format.md."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shoestring.artifact.format import entries, graph_reader, tensor_reader, tensor_writer
from shoestring.artifact.format import graph as graphs
from shoestring.artifact.format.dictionary import DICTIONARY
from shoestring.artifact.format.graph import Graph
from shoestring.artifact.format.saving import check_file
from shoestring.artifact.format.tensors import Packed, Tensor
from shoestring.artifact.wire import Reader, ShoeError, Writer, squeeze, unsqueeze

MARK = b"SHOE"
VERSION = 2
ENTRIES_VERSION = 3  # of a file with several entries
GRAPH, HEADERS, STREAM, PLAIN, NAMES = range(1, 6)
SECTIONS = {
    GRAPH: "graph",
    HEADERS: "tensor list",
    STREAM: "code stream",
    PLAIN: "plain values",
    NAMES: "names",
}
_ORDER = (GRAPH, HEADERS, NAMES, STREAM, PLAIN)
MAX_BYTES = 1 << 30  # the default limit on the memory that a file's tensors take
MOST_NOTES = 1 << 16
_LARGEST_GRAPH, _LARGEST_LIST = 1 << 22, 1 << 24  # in bytes, after inflating


@dataclass(frozen=True)
class Content:
    """A graph and its tensors: the contents of a file that runs.

    `graph`: the graph.
    `tensors`: its tensors, as many as `graph.weights`.
    `packed`: how the file that was read coded each tensor; () if the contents were not read.
    """

    graph: Graph
    tensors: list[Tensor]
    packed: tuple[Packed, ...] = ()


@dataclass(frozen=True)
class Entries:
    """Several named graphs over one list of tensors: the contents of a file with several entries.

    `graphs`: the graph of each entry by its name, each over all of the tensors.
    `tensors`, `packed`: as in Content.
    """

    graphs: Mapping[str, Graph]
    tensors: list[Tensor]
    packed: tuple[Packed, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors and notes: the contents of a file without a graph.

    `tensors`: the tensors, whose `member` is 0, 1, 2, ...
    `names`: the name of each tensor, all different.
    `notes`: texts by key.
    `packed`: as in Content.
    """

    tensors: list[Tensor]
    names: tuple[str, ...]
    notes: Mapping[str, str] = field(default_factory=dict)
    packed: tuple[Packed, ...] = ()


def by_entry(content: Content | Entries) -> dict[str, Content]:
    """The contents of each entry by its name: its graph and only the tensors that it reads.

    A file without entries has one graph, under the name "".
    """
    if isinstance(content, Content):
        return {"": content}
    contents: dict[str, Content] = {}
    for name, graph in content.graphs.items():
        indices = entries.used(graph)
        packed = tuple(content.packed[index] for index in indices) if content.packed else ()
        tensors = [content.tensors[index] for index in indices]
        contents[name] = Content(entries.alone(graph), tensors, packed)
    return contents


def pack(
    content: Content | Entries | Checkpoint,
    *,
    smallest: bool = False,
    advance: Callable[[str], None] = lambda note: None,
) -> bytes:
    """The bytes of a file with these contents.

    `smallest`: allow codings that take long to decode where numba is not installed.
    `advance`: called with "" after each tensor.
    Raises ValueError for contents that do not fit together, and OperatorError for an operator or
    attribute that a file cannot hold.
    """
    graph = names = b""
    if isinstance(content, Checkpoint):
        if len(content.names) != len(content.tensors):
            raise ValueError(
                f"there are {len(content.names)} names for {len(content.tensors)} tensors"
            )
        if len(set(content.names)) < len(content.names):
            raise ValueError("two tensors have the same name")
        if len(content.notes) > MOST_NOTES:
            raise ValueError(
                f"there are {len(content.notes):,} notes and a file holds {MOST_NOTES:,} at most"
            )
        if [tensor.member for tensor in content.tensors] != list(range(len(content.tensors))):
            raise ValueError("the tensors of a checkpoint must be numbered from 0 by `member`")
        names = _named(content)
    else:
        for each in [content.graph] if isinstance(content, Content) else content.graphs.values():
            if each.weights != len(content.tensors):
                raise ValueError(
                    f"the graph wants {each.weights} tensors and there are {len(content.tensors)}"
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
    """The data after a byte 00, or squeezed, which never begins with 00: whichever is shorter."""
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
    """The bytes of a file with these sections, by their number, their lengths and a checksum."""
    out = Writer(MARK)
    out.append(version)
    for kind in _ORDER[:-1]:
        out.varint(len(bodies[kind]))
    for kind in _ORDER:
        out += bodies[kind]
    return bytes(out + zlib.crc32(out).to_bytes(4, "little"))


def sections(data: bytes) -> dict[int, memoryview]:
    """The body of each section, by its number, after the checksum is verified.

    Raises ShoeError for bytes that are not a complete file of a known version.
    """
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
    bodies = {kind: reader.take(length) for kind, length in lengths.items()}
    return {**bodies, PLAIN: reader.take(reader.left())}


def _sections_1(reader: Reader) -> dict[int, memoryview]:
    """The bodies of the sections of a file of version 1, each with its own checksum."""
    bodies: dict[int, memoryview] = {NAMES: memoryview(b"")}
    for kind in (GRAPH, HEADERS, STREAM, PLAIN):
        name, start = SECTIONS[kind], reader.at
        if reader.byte() != kind:
            raise reader.fail(f"the {name} is not where it should be")
        bodies[kind] = reader.take(reader.varint())
        checksum = zlib.crc32(reader.data[start : reader.at])
        if int.from_bytes(reader.take(4), "little") != checksum:
            raise reader.fail(f"the checksum of the {name} is wrong")
    reader.end()
    return bodies


def unpack(data: bytes, max_bytes: int = MAX_BYTES, max_seconds: float | None = None) -> Content:
    """The contents of a file with one graph, given its bytes.

    `max_bytes`: the most memory that the tensors may take, in bytes.
    `max_seconds`: the most work that decoding may be, by the account in docs/format.md; None: 1 s,
        and 1 s for each MB of tensors.
    Raises ShoeError for a damaged file, one that asks for more, and one of another kind.
    """
    content = unpack_model(data, max_bytes, max_seconds)
    if isinstance(content, Entries):
        raise ShoeError(
            f"this file has several entries ({', '.join(content.graphs)}), and one graph is wanted "
            "here: what can be done with such a file is in docs/tasks.md"
        )
    return content


def unpack_model(
    data: bytes, max_bytes: int = MAX_BYTES, max_seconds: float | None = None
) -> Content | Entries:
    """The contents of a file that runs, with one graph or several; otherwise as `unpack`."""
    content = unpack_any(data, max_bytes, max_seconds)
    if isinstance(content, Checkpoint):
        raise ShoeError(
            "this is a packed checkpoint: it has no graph to run; `shoestring unpack` gives the "
            "checkpoint back"
        )
    return content


def unpack_any(
    data: bytes, max_bytes: int = MAX_BYTES, max_seconds: float | None = None
) -> Content | Entries | Checkpoint:
    """The contents of a file, a model or a checkpoint; otherwise as `unpack`."""
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
    stored = version > 1 and len(headers) > 0 and not headers[0]  # the list is not deflated
    if stored and len(headers) - 1 > _LARGEST_LIST:
        raise ShoeError("damaged file: the tensor list is longer than any")
    listed = bytes(headers[1:]) if stored else unsqueeze(headers, SECTIONS[HEADERS], _LARGEST_LIST)
    packed = tensor_reader.unpack(
        listed, bodies[STREAM], bodies[PLAIN], max_bytes, version, max_seconds
    )
    tensors = [how.tensor for how in packed]
    if graph is None and not named:
        if [tensor.member for tensor in tensors] != list(range(len(tensors))):
            raise ShoeError(
                "damaged file: the tensors of a checkpoint are not numbered one after the other"
            )
        return Checkpoint(tensors, *_read_names(bodies[NAMES], len(tensors)), tuple(packed))
    for each in named.values() if graph is None else [graph]:
        if len(packed) != each.weights:
            raise ShoeError(
                f"damaged file: its graph wants {each.weights} tensors and it holds {len(packed)}"
            )
    if len(bodies[NAMES]):
        raise ShoeError("damaged file: its tensors have names and a graph")
    if graph is not None:
        return Content(graph, tensors, tuple(packed))
    _check_copies(named, tensors, max_bytes)
    return Entries(named, tensors, tuple(packed))


def _check_copies(named: Mapping[str, Graph], tensors: Sequence[Tensor], max_bytes: int) -> None:
    """Raises ShoeError where the tensors of all entries take more than `max_bytes` together.

    Each entry that runs has a copy of the tensors that it reads.
    """
    copies = sum(
        tensors[index].bits.nbytes for graph in named.values() for index in entries.used(graph)
    )
    if copies > max_bytes:
        raise ShoeError(
            f"the {len(named)} entries of this file read {copies:,} bytes of tensors together, "
            f"more than the {max_bytes:,} that are allowed; if you trust this file, raise max_bytes"
        )


def _read_names(body: memoryview, count: int) -> tuple[tuple[str, ...], dict[str, str]]:
    """(the names of `count` tensors, the notes by key)."""
    reader = Reader(unsqueeze(body, SECTIONS[NAMES], _LARGEST_LIST), SECTIONS[NAMES])
    names = tuple(reader.text() for _ in range(count))
    notes = [(reader.text(), reader.text()) for _ in range(reader.varint(MOST_NOTES))]
    reader.end()
    if len(set(names)) < len(names) or len(dict(notes)) < len(notes):
        raise reader.fail("two tensors or two notes have the same name")
    return names, dict(notes)


def read(path: str | Path, max_bytes: int = MAX_BYTES, max_seconds: float | None = None) -> Content:
    """The contents of the file at `path`, which has one graph.

    `max_bytes`, `max_seconds`: as in `unpack`.
    Raises ShoeError as `unpack` does, OSError where the file cannot be read.
    """
    return unpack(_bytes(Path(path), max_bytes), max_bytes, max_seconds)


def read_model(
    path: str | Path, max_bytes: int = MAX_BYTES, max_seconds: float | None = None
) -> Content | Entries:
    """The contents of the file at `path`, with one graph or several; otherwise as `read`."""
    return unpack_model(_bytes(Path(path), max_bytes), max_bytes, max_seconds)


def _bytes(path: Path, max_bytes: int) -> bytes:
    check_file(path)
    if path.stat().st_size > max_bytes + _LARGEST_GRAPH + _LARGEST_LIST:
        raise ShoeError(f"{path} is larger than allowed; if you trust this file, raise max_bytes")
    return path.read_bytes()
