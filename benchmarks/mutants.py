"""Small files that are changed field by field, to see what goes wrong when they are read.

A seed file is read once, and each field that the reader asks for is noted: a number, a length of a
list, a text, some bytes. A mutant changes, repeats, removes or moves a few fields of a seed, or
takes fields of another; then its lengths and checksums are mended. So most mutants reach the checks
behind them, and about one in seven is a sound file. Needs nothing but the package.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from shoestring.artifact import Checkpoint, Content
from shoestring.artifact.format import file
from shoestring.artifact.format.dictionary import DICTIONARY
from shoestring.artifact.format.graph import Graph, Node, Port
from shoestring.artifact.format.tensors import Tensor, tensor
from shoestring.artifact.wire import Reader, ShoeError, Writer, squeeze

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "artifact" / "format" / "golden"
_LARGEST_SEED = 1500  # bytes: what is larger takes longer and says nothing new
_FIELDS = ("varint", "signed", "count", "text", "byte", "take")
_NUMBERS = (0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 31, 32, 33, 63, 64, 127, 128, 255, 256, 257, 1023)
_NUMBERS += (1024, 1025, 4096, 16384, 32768, 65535, 65536, 1 << 20, 1 << 24, 1 << 31, 1 << 32)
_NUMBERS += ((1 << 32) + 1, 1 << 40, 1 << 41, 1 << 53, 1 << 62, 1 << 63, (1 << 64) - 1)
Field = tuple[str, bytes]
"""(what the reader asked for, the bytes)."""


@dataclass(frozen=True)
class Seed:
    """A file in its fields.

    `version`: its version.
    `parts`: (the name of the entry, the fields) of each graph; the name is b"" outside version 3.
    `listed`, `names`: the fields of the tensor list and of the names.
    `stream`, `plain`: the code stream and the plain values.
    """

    version: int
    parts: tuple[tuple[bytes, tuple[Field, ...]], ...]
    listed: tuple[Field, ...]
    names: tuple[Field, ...]
    stream: bytes
    plain: bytes


@contextmanager
def _noted() -> Iterator[list[tuple[Reader, str, int, int]]]:
    """(the reader, what was asked, from where, to where) of each field that is read meanwhile."""
    notes: list[tuple[Reader, str, int, int]] = []
    depth = [0]
    methods = {name: getattr(Reader, name) for name in _FIELDS}

    def noting(name: str, self: Reader, *rest: Any) -> Any:
        start = self.at
        depth[0] += 1
        try:
            return methods[name](self, *rest)
        finally:
            depth[0] -= 1
            if not depth[0] and self.at > start:
                notes.append((self, name, start, self.at))

    for name in _FIELDS:
        setattr(Reader, name, _method(partial(noting, name)))
    try:
        yield notes
    finally:
        for name, method in methods.items():
            setattr(Reader, name, method)


def _method(function: Any) -> Any:
    return lambda self, *rest: function(self, *rest)


def seed(data: bytes) -> Seed:
    """A file in its fields; raises ShoeError for what is no file."""
    with _noted() as notes:
        file.unpack_any(data)
    fields: dict[int, list[Field]] = {}
    readers: dict[int, Reader] = {}
    for reader, name, start, end in notes:
        readers[id(reader)] = reader
        fields.setdefault(id(reader), []).append((name, bytes(reader.data[start:end])))
    by_name: dict[str, list[tuple[Field, ...]]] = {}
    for key, found in fields.items():
        by_name.setdefault(readers[key].what, []).append(tuple(found))
    graphs = by_name.get("graph", [])[1:]  # the first is what inflates
    entries = [field[1] for field in by_name.get("graphs", [()])[0][1::3]]
    bodies = file.sections(data)
    return Seed(
        data[4],
        tuple(zip(entries or [b""] * len(graphs), graphs, strict=True)),
        by_name["tensor list"][-1],
        by_name.get("names", [()])[-1],
        bytes(bodies[file.STREAM]),
        bytes(bodies[file.PLAIN]),
    )


def whole(one: Seed, deflated: bool = False) -> bytes:
    """The file of these fields, with right lengths and checksums.

    `deflated`: whether the tensor list is deflated; it always is in version 1.
    """
    listed, names = _joined(one.listed), _joined(one.names)
    graph = b"".join(_joined(fields) for _, fields in one.parts)
    if one.version == file.ENTRIES_VERSION:
        out = Writer()
        out.varint(len(one.parts))
        for name, fields in one.parts:
            body = _joined(fields)
            out += name
            out.varint(len(body))
            out += body
        graph = bytes(out)
    if one.version == 1:
        return _whole_1((squeeze(graph), squeeze(listed), one.stream, one.plain))
    bodies = {
        file.GRAPH: squeeze(graph, DICTIONARY) if graph else b"",
        file.HEADERS: squeeze(listed) if deflated else b"\0" + listed,
        file.NAMES: squeeze(names) if names else b"",
        file.STREAM: one.stream,
        file.PLAIN: one.plain,
    }
    return file.framed(bodies, one.version)


def _whole_1(bodies: tuple[bytes, ...]) -> bytes:
    out = Writer(b"SHOE\1")
    for number, body in enumerate(bodies, 1):
        section = Writer([number])
        section.varint(len(body))
        section += body
        out += section + crc32(section).to_bytes(4, "little")
    return bytes(out)


def _joined(fields: tuple[Field, ...]) -> bytes:
    return b"".join(data for _, data in fields)


def seeds() -> list[Seed]:
    """The small golden files, and files that are built so that they have every coding."""
    golden = [path.read_bytes() for path in sorted(GOLDEN.glob("*.shoe"))]
    small = [data for data in golden if len(data) < _LARGEST_SEED]
    built = [file.pack(one, smallest=smallest) for one in _built() for smallest in (False, True)]
    return [seed(data) for data in dict.fromkeys(small + built)]


def _built() -> list[Content | Checkpoint]:
    rng = np.random.default_rng(0)
    few = np.array([0.1, 0.37, 0.51], "f4")
    arrays = [
        rng.integers(-2, 3, (6, 7)).astype("f4") * np.float32(0.1) + np.float32(0),
        np.array([[1, 0, -1, 0, 2, 0, 0, 1, 0, 0]] * 5, "f4") * rng.random((5, 1), np.float32),
        few[rng.integers(0, 3, 40)],
        few[np.arange(40) * 3 // 40].reshape(4, 10),
        np.where(rng.random(60) < 0.05, rng.normal(size=60), 0).astype("f4"),
        rng.normal(size=20),
        np.arange(60, dtype=np.int32) * 401 + 70_000,
        rng.integers(-3, 3, (9, 8)).astype(np.int8),
        rng.random(20) < 0.1,
        np.zeros((2, 3)),
        rng.normal(size=3).astype("f2"),
        np.array(3, np.float32),
    ]
    names = tuple(f"t{i}" for i in range(len(arrays)))
    tensors = [tensor(one, place) for place, one in enumerate(arrays)]
    alone = [Checkpoint([tensor(one, 0)], ("t",), {"k": "v"}) for one in arrays]
    return [Checkpoint(tensors, names, {"format": "pt"}), *alone, _graph()]


def _graph() -> Content:
    """A graph with something of everything."""
    weight, scale = tensor(np.ones((3, 2), "f4"), 0), tensor(np.array(2, np.float32))
    nodes = (
        Node("MatMul", (0, 2), 1),
        Node("Split", (5, None, 4), 3, (("axis", 2, -1), ("num_outputs", 2, 3)), (1,)),
        Node("Einsum", (6, 8), 1, (("equation", 3, "ij,ij->i"),)),
        Node("Cast", (9,), 1, (("to", 2, 1), ("saturate", 2, 1))),
        Node("Pad", (10, 3), 1, (("pads", 7, (0, 1)), ("value", 4, scale), ("scales", 6, (1.5,)))),
        Node("LSTM", (11, 1), 2, (("activations", 8, ("Tanh", "Relu")), ("alpha", 1, 0.5))),
    )
    ports = (Port("x", 1, ("N", 3)), Port("mask", 9, ("N", "T (2 to 16)")))
    held = (Tensor(7, np.array([3, 1 << 40], np.uint64)), scale)
    outputs = (Port("y", 1), Port("z", 1), Port("w", 7))
    tree = {"a": [0, None], "b": (1, {"c": 2})}
    return Content(
        Graph(20, ports, 1, held, nodes, outputs, (12, 0, 13), ((0,), {"mask": 1}), tree), [weight]
    )


class Mutants:
    """An endless row of mutants, the same for the same number.

    `start`: the number.
    `seeds`: the files to change.
    """

    def __init__(self, start: int, seeds: list[Seed]) -> None:
        self._draw, self._seeds = random.Random(start), seeds

    def __next__(self) -> bytes:
        """The next file."""
        draw = self._draw
        one = draw.choice(self._seeds)
        for _ in range(draw.choice((1, 1, 1, 2, 2, 3, 6))):
            one = self._changed(one)
        data = whole(one, draw.random() < 0.2)
        if draw.random() < 0.03 and len(data) > 9:  # the frame itself, with a right checksum
            at = draw.randrange(4, min(len(data) - 4, 24))
            data = data[:at] + bytes([draw.randrange(256)]) + data[at + 1 : -4]
            data += crc32(data).to_bytes(4, "little")
        return data

    def _changed(self, one: Seed) -> Seed:
        draw, other = self._draw, self._draw.choice(self._seeds)
        parts, listed, names = list(one.parts), one.listed, one.names
        version, stream, plain = one.version, one.stream, one.plain
        match draw.randrange(12):
            case 0 | 1 | 2 | 3 if parts:
                at = draw.randrange(len(parts))
                taken = draw.choice(other.parts)[1] if other.parts else ()
                parts[at] = parts[at][0], self._fields(parts[at][1], taken)
            case 4 | 5 | 6 | 7:
                listed = self._fields(listed, other.listed)
            case 8 if names:
                names = self._fields(names, other.names)
            case 8 | 9:
                stream = self._bytes(stream, 4)
            case 10:
                plain = self._bytes(plain, 1)
            case _:
                return self._exchanged(one, other)
        return Seed(version, tuple(parts), listed, names, stream, plain)

    def _exchanged(self, one: Seed, other: Seed) -> Seed:
        """A part of one file in another, or another version."""
        draw = self._draw
        match draw.randrange(5):
            case 0:
                return Seed(
                    draw.choice((1, 2, 3)), one.parts, one.listed, one.names, one.stream, one.plain
                )
            case 1:
                return Seed(one.version, one.parts, one.listed, one.names, b"", one.plain)
            case 2:
                return Seed(
                    one.version, one.parts, other.listed, one.names, other.stream, other.plain
                )
            case 3:
                return Seed(
                    other.version, other.parts, one.listed, other.names, one.stream, one.plain
                )
            case _:
                both = (one.parts + other.parts)[: draw.choice((1, 2, 9))]
                named = tuple(
                    (name or bytes([1, 97 + k % 26]), fields)
                    for k, (name, fields) in enumerate(both)
                )
                return Seed(3, named, one.listed, (), one.stream, one.plain)

    def _fields(self, fields: tuple[Field, ...], other: tuple[Field, ...]) -> tuple[Field, ...]:
        """The fields with a change: of one, or of a few in a row."""
        draw = self._draw
        if not fields:
            return other[: draw.randrange(8)]
        at = draw.randrange(len(fields))
        end = min(len(fields), at + draw.choice((1, 1, 2, 3, 4, 8, 16)))
        match draw.randrange(10):
            case 0:
                return fields[:at] + fields[end:]
            case 1:
                return fields[:end] + fields[at:end] * draw.choice((1, 1, 2, 9)) + fields[end:]
            case 2 if other:
                begin = draw.randrange(len(other))
                return fields[:at] + other[begin : begin + end - at] + fields[end:]
            case 3:  # one more in a list: its length, and an item like the next
                name, data = fields[at]
                if name in ("count", "varint") and len(data) == 1 and data[0] < 127:
                    more = (name, bytes([data[0] + 1]))
                    return (*fields[:at], more, *fields[at + 1 : end], *fields[at + 1 :])
                return fields
            case 4:
                to = draw.randrange(len(fields))
                changed = list(fields)
                changed[at], changed[to] = changed[to], changed[at]
                return tuple(changed)
            case _:
                return (*fields[:at], self._field(fields[at]), *fields[at + 1 :])

    def _field(self, field: Field) -> Field:
        draw, (name, data) = self._draw, field
        if name == "text":
            texts = (b"", b"\0", b"a", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbfx", b"\xc0\x80")
            text = draw.choice((*texts, b"__proto__", b"T (2 to 16)", b"n" * 256, b"n" * 257))
            return name, _varint(len(text)) + text
        if name == "take":
            return name, self._bytes(data, 1)
        if name == "byte":
            return name, bytes(
                [draw.choice((data[0] ^ 1 << draw.randrange(8), draw.randrange(256)))]
            )
        number = _number(data)
        near = (number + 1, number - 1, number + 2, number - 2, number ^ 1, number * 2)
        number = draw.choice((*near, draw.choice(_NUMBERS), draw.randrange(256)))
        if draw.random() < 0.02:
            return name, b"\x80" * draw.randrange(1, 11) + bytes([draw.randrange(128)])
        return name, _varint(number % (1 << 64))

    def _bytes(self, data: bytes, unit: int) -> bytes:
        """Other bytes, of which there may be more or fewer.

        `unit`: how many bytes are added or removed at a time, as a rule.
        """
        draw, out = self._draw, bytearray(data)
        at = draw.randrange(len(out) + 1)
        size = unit if draw.random() < 0.9 else 1
        match draw.randrange(6):
            case 0:
                del out[at : at + size * draw.choice((1, 1, 2, 4))]
            case 1:
                out[at:at] = draw.randbytes(size * draw.choice((1, 1, 2, 4)))
            case 2:
                out += bytes(size * draw.choice((1, 1, 2, 16)))
            case 3:
                del out[draw.randrange(len(out) + 1) // unit * unit :]
            case _ if out:
                out[at % len(out)] = draw.choice((0, 1, 127, 128, 255, draw.randrange(256)))
        return bytes(out)


def _number(data: bytes) -> int:
    return sum((byte & 127) << 7 * place for place, byte in enumerate(data))


def _varint(number: int) -> bytes:
    out = Writer()
    out.varint(number)
    return bytes(out)


__all__ = ["Mutants", "Seed", "ShoeError", "seed", "seeds", "whole"]
