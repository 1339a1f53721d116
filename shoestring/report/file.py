"""What a `.shoe` file says of itself: its bill and its layers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from shoestring.artifact import Line, bill
from shoestring.artifact.checkpoints.checkpoint import room
from shoestring.artifact.format.names import names_beside
from shoestring.artifact.format.saving import check_file
from shoestring.report.document import Bill, BillRow, Layer


@dataclass(frozen=True, kw_only=True)
class FileContents:
    """A file that was read: its digest, its size in bytes, its bill and its layers.

    `entries`: the names of its graphs; ("",) for the single one of most files, () for a packed
        checkpoint, which has none.
    """

    sha256: str
    bytes: int
    bill: Bill
    layers: tuple[Layer, ...]
    entries: tuple[str, ...]


def contents_of(path: Path) -> FileContents:
    """What the file at a path holds.

    Raises OSError where it cannot be read, ShoeError where it is damaged or too new.
    """
    check_file(path)
    data = path.read_bytes()
    lines = bill(data, names_beside(path, data), max_bytes=room(len(data)))
    graphs = [line.name for line in lines if not line.parts and line.name.startswith("graph")]
    rows = tuple(row for line in lines for row in _rows(line))
    return FileContents(
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        bill=Bill(total=len(data), rows=rows),
        layers=tuple(_layer(line) for line in lines if line.numbers),
        entries=tuple(name.removeprefix("graph").strip() for name in graphs),
    )


def _rows(line: Line) -> list[BillRow]:
    """The rows of a line of a bill: one for each section in which a tensor has bytes."""
    if not line.parts:
        section = line.name.partition(" ")[0]
        return [BillRow(tensor="", section=section, bytes=line.bytes, words=_words(line))]
    return [
        BillRow(tensor=line.name, section=section, bytes=size, words=_kind(line))
        for section, size in line.parts.items()
        if size
    ]


def _words(line: Line) -> str:
    """The words of a line that is of no tensor; the name tells which graph of several it is."""
    _, _, rest = line.name.partition(" ")
    return f"{rest}: {line.about}" if rest else line.about


def _kind(line: Line) -> str:
    """The type, shape and coding of a tensor."""
    return line.about.partition(":")[0]


def _layer(line: Line) -> Layer:
    return Layer(
        tensor=line.name,
        numbers=line.numbers,
        bits=8 * line.bytes / line.numbers,
        zeros=None if line.zeros is None else line.zeros / line.numbers,
        bytes=line.bytes,
        kind=_kind(line),
    )
