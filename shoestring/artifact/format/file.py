"""The `.shoe` file: a magic number, a version, sections and a checksum; see docs/format.md."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from mmap import mmap
from pathlib import Path

import numpy as np

from shoestring.artifact.format import (
    about,
    entries,
    graph_reader,
    indexed,
    list_writer,
    tensor_reader,
    tensor_writer,
)
from shoestring.artifact.format import graph as graphs
from shoestring.artifact.format.dictionary import DICTIONARY
from shoestring.artifact.format.graph import Graph
from shoestring.artifact.format.saving import check_file
from shoestring.artifact.format.tensors import Packed, Tensor
from shoestring.artifact.wire import Reader, ShoeError, Writer, squeeze, unsqueeze

MARK = b"SHOE"
VERSION = 2
ENTRIES_VERSION = 3  # of a file with several entries
GRAPH, HEADERS, STREAM, PLAIN, NAMES, TABLE, REGION = range(1, 8)
SECTIONS = {
    GRAPH: "graph",
    HEADERS: "tensor list",
    STREAM: "code stream",
    PLAIN: "plain values",
    NAMES: "names",
    TABLE: "table of blocks",
    REGION: "blocks",
}
_ORDER = (GRAPH, HEADERS, NAMES, STREAM, PLAIN)
_INDEX = (GRAPH, HEADERS, NAMES, STREAM, TABLE, PLAIN)  # in version 4
MAX_BYTES = 1 << 30  # the default limit on the memory that a file's tensors take
LARGEST_GRAPH, _LARGEST_LIST = 1 << 22, 1 << 24  # in bytes, after inflating


@dataclass(frozen=True)
class Content:
    """A graph and its tensors: the contents of a file that runs.

    `graph`: the graph.
    `tensors`: its tensors, as many as `graph.weights`.
    `packed`: how the file that was read coded each tensor; () if the contents were not read.
    `names`: the name of each tensor, all different; () for a file that does not have them.
    `notes`: texts by key, such as "licence" and "note".
    """

    graph: Graph
    tensors: list[Tensor]
    packed: tuple[Packed, ...] = ()
    names: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entries:
    """Several named graphs over one list of tensors: the contents of a file with several entries.

    `graphs`: the graph of each entry by its name, each over all of the tensors.
    `tensors`, `packed`, `names`, `notes`: as in Content.
    """

    graphs: Mapping[str, Graph]
    tensors: list[Tensor]
    packed: tuple[Packed, ...] = ()
    names: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors and notes: the contents of a file without a graph.

    `tensors`: the tensors, whose `member` is 0, 1, 2, ...
    `names`: the name of each tensor, all different.
    `notes`: texts by key.
    `packed`: as in Content.
    `map`: the memory map that the tensors' bits are in; None if they are in memory.
    """

    tensors: list[Tensor]
    names: tuple[str, ...]
    notes: Mapping[str, str] = field(default_factory=dict)
    packed: tuple[Packed, ...] = ()
    map: mmap | None = None


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
    _check(content)
    packed = tensor_writer.encode(content.tensors, smallest=smallest, advance=advance)
    version = _version(content, in_blocks=bool(packed.blocks))
    named = version == indexed.VERSION or isinstance(content, Checkpoint)
    bodies = {
        GRAPH: _graphs(content, version),
        HEADERS: list_writer.shorter(bytes(packed.headers)),
        NAMES: about.encode(content.names, content.notes, version) if named else b"",
        STREAM: packed.stream,
        PLAIN: bytes(packed.plain),
        TABLE: indexed.write_table(packed.table),
        REGION: b"".join(packed.blocks),
    }
    return framed(bodies, version)


def _check(content: Content | Entries | Checkpoint) -> None:
    """Raises ValueError for contents that do not fit together."""
    count = len(content.tensors)
    if isinstance(content, Checkpoint) or content.names:
        if len(content.names) != count:
            raise ValueError(f"there are {len(content.names)} names for {count} tensors")
        if len(set(content.names)) < count:
            raise ValueError("two tensors have the same name")
    if len(content.notes) > about.MOST_NOTES:
        raise ValueError(
            f"there are {len(content.notes):,} notes and a file holds {about.MOST_NOTES:,} at most"
        )
    if isinstance(content, Checkpoint):
        if [tensor.member for tensor in content.tensors] != list(range(count)):
            raise ValueError("the tensors of a checkpoint must be numbered from 0 by `member`")
        return
    for each in [content.graph] if isinstance(content, Content) else content.graphs.values():
        if each.weights != count:
            raise ValueError(f"the graph wants {each.weights} tensors and there are {count}")


def _version(content: Content | Entries | Checkpoint, *, in_blocks: bool) -> int:
    """The oldest version of the format that can hold the contents."""
    if in_blocks:
        return indexed.VERSION
    if isinstance(content, Checkpoint):
        return VERSION
    if content.names or content.notes:
        return indexed.VERSION
    return ENTRIES_VERSION if isinstance(content, Entries) else VERSION


def _graphs(content: Content | Entries | Checkpoint, version: int) -> bytes:
    """The section of the graphs, deflated; b"" for a checkpoint.

    Raises OperatorError for an operator or attribute that a file cannot hold.
    """
    if isinstance(content, Checkpoint):
        return b""
    if isinstance(content, Content) and version < indexed.VERSION:
        return squeeze(graphs.encode(content.graph), DICTIONARY)
    if isinstance(content, Content):
        return squeeze(entries.encode({"": content.graph}, unnamed=True), DICTIONARY)
    return squeeze(entries.encode(content.graphs), DICTIONARY)


def framed(bodies: Mapping[int, bytes | memoryview], version: int = VERSION) -> bytes:
    """The bytes of a file with these sections, by their number, their lengths and a checksum."""
    if version == indexed.VERSION:
        return indexed.framed(bodies[REGION], [bodies[kind] for kind in _INDEX])
    out = Writer(MARK)
    out.append(version)
    for kind in _ORDER[:-1]:
        out.varint(len(bodies[kind]))
    for kind in _ORDER:
        out += bodies[kind]
    return bytes(out + zlib.crc32(out).to_bytes(4, "little"))


def sections(data: bytes | memoryview) -> dict[int, memoryview]:
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
    if version == indexed.VERSION:
        region, found = indexed.parts(reader.data)
        return {**dict(zip(_INDEX, found, strict=True)), REGION: region}
    if version not in (VERSION, ENTRIES_VERSION):
        raise ShoeError(
            f"this file has version {version} of the format and this program reads versions 1 to "
            f"{indexed.VERSION}: update one"
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
    data: bytes | memoryview,
    max_bytes: int = MAX_BYTES,
    max_seconds: float | None = None,
    read: Callable[[indexed.Blocks], np.ndarray] | None = None,
) -> Content | Entries | Checkpoint:
    """The contents of a file, a model or a checkpoint; otherwise as `unpack`.

    `read`: what reads the bits of a tensor in blocks, in one axis; None: decode them at once.
    """
    bodies, version = sections(data), data[4]
    named = _read_graphs(bodies[GRAPH], version)
    nothing = memoryview(b"")
    region = indexed.Region(bodies.get(TABLE, nothing), bodies.get(REGION, nothing))
    packed = tensor_reader.unpack(
        read_list(bodies[HEADERS], version),
        bodies[STREAM],
        bodies[PLAIN],
        max_bytes,
        version,
        max_seconds,
        region,
        read,
    )
    tensors = [how.tensor for how in packed]
    names, notes = (), dict[str, str]()
    if version == indexed.VERSION or not named:
        names, notes = about.decode(bodies[NAMES], len(tensors), version)
    elif len(bodies[NAMES]):
        raise ShoeError("damaged file: its tensors have names and a graph")
    if not named:
        if [tensor.member for tensor in tensors] != list(range(len(tensors))):
            raise ShoeError(
                "damaged file: the tensors of a checkpoint are not numbered one after the other"
            )
        if len(names) < len(tensors):
            raise ShoeError("damaged file: the tensors of a checkpoint have no names")
        return Checkpoint(tensors, names, notes, tuple(packed))
    for each in named.values():
        if len(packed) != each.weights:
            raise ShoeError(
                f"damaged file: its graph wants {each.weights} tensors and it holds {len(packed)}"
            )
    if "" in named:
        return Content(named[""], tensors, tuple(packed), names, notes)
    _check_copies(named, tensors, max_bytes)
    return Entries(named, tensors, tuple(packed), names, notes)


def _read_graphs(body: memoryview, version: int) -> dict[str, Graph]:
    """The graphs by their entries, the single one under ""; {} for a checkpoint."""
    if version not in (1, ENTRIES_VERSION) and not len(body):
        return {}
    dictionary = DICTIONARY if version > 1 else b""
    inflated = unsqueeze(body, SECTIONS[GRAPH], LARGEST_GRAPH, dictionary)
    if version < ENTRIES_VERSION:
        return {"": graph_reader.decode(inflated, version)}
    return entries.decode(inflated, unnamed=version == indexed.VERSION)


def read_list(headers: memoryview, version: int) -> bytes:
    """The tensor list, inflated where it is deflated."""
    if version == 1 or not len(headers) or headers[0]:
        return unsqueeze(headers, SECTIONS[HEADERS], _LARGEST_LIST)
    if len(headers) - 1 > _LARGEST_LIST:
        raise ShoeError("damaged file: the tensor list is longer than any")
    return bytes(headers[1:])


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
    if path.stat().st_size > max_bytes + LARGEST_GRAPH + _LARGEST_LIST:
        raise ShoeError(f"{path} is larger than allowed; if you trust this file, raise max_bytes")
    return path.read_bytes()
