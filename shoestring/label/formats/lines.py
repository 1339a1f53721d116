"""The lines of a table: their cells, and the text in which they are written."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from shoestring.label.formats.format import FormatError

_SEPARATORS = ("\t", ",", ";", "|")
_MOST_CHARACTERS = 1 << 28  # of a cell; csv allows 131,072, which a book is longer than


@final
@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a table, which is several of its file where a cell has ends of lines.

    `number`: of its last line in the file, from 1.
    `cells`: what it says.
    `written`: the text of the file, with the end of the line.
    """

    number: int
    cells: list[str]
    written: str

    @property
    def is_empty(self) -> bool:
        return not any(cell.strip() for cell in self.cells)


def lines_of(source: Path, text: str, separator: str) -> list[Line]:
    """All lines of a table, also those that are empty; together they are the text.

    Raises FormatError for quotes that do not end.
    """
    taken: list[str] = []

    def read() -> Iterator[str]:
        for one in io.StringIO(text, newline=""):
            taken.append(one)
            yield one

    found: list[Line] = []
    with long_cells():
        reader = csv.reader(read(), delimiter=separator, strict=True)
        try:
            for cells in reader:
                found.append(Line(number=reader.line_num, cells=cells, written="".join(taken)))
                taken.clear()
        except csv.Error as error:
            raise FormatError(
                f"line {reader.line_num:,} of {source} is no line of a table: {error}. A quote in "
                'a cell is written twice (""), with quotes around the cell'
            ) from None
    return found


@contextmanager
def long_cells() -> Iterator[None]:
    """Let cells be as long as a book."""
    before = csv.field_size_limit(_MOST_CHARACTERS)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def separator_of(text: str) -> str:
    """The separator that the first line has most of; a comma where it has none."""
    first = text.lstrip("\r\n").partition("\n")[0]
    return max(_SEPARATORS, key=lambda one: (first.count(one), one == ","))


def with_cell(line: Line, place: int, value: str, separator: str) -> str:
    """The text of a line in which one cell says something else; all else is as it was."""
    cell = re.compile(rf'"(?:[^"]|"")*"|[^{re.escape(separator)}\r\n]*')
    at = 0
    for _ in range(place):
        found = cell.match(line.written, at)
        assert found is not None  # it matches the empty text too
        at = found.end() + len(separator)
    found = cell.match(line.written, at)
    assert found is not None
    said = as_line([value, "x"], separator).removesuffix(f"{separator}x\n")
    return line.written[:at] + said + line.written[found.end() :]


def as_line(cells: Sequence[str], separator: str = ",") -> str:
    """A line of a table, with its end; whatever could be taken for an end is in quotes."""
    buffer = io.StringIO(newline="")
    # The writer puts quotes around what is in its end of a line, and both of these end lines.
    csv.writer(buffer, delimiter=separator, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().removesuffix("\r\n") + "\n"
