"""The records in the pages of a SQLite file, read without SQLite: for files that are damaged.

Source: the SQLite file format, sections 1.6 (pages) and 2.1 (records). Only leaves of tables are
read, and each by itself, so that damage in one page hides no other. The work is proportional to the
size of the file, whatever its bytes are.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from typing import Any

_LEAF = 0x0D
_HEADER = 100  # bytes of the file before its first page begins
_SIZES = [1 << power for power in range(9, 17)]
_BYTES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8, 8: 0, 9: 0}  # by serial type
_LONGEST = 1_000_000  # bytes of a record
_LONGEST_HEADER = 1_000  # bytes of the header of a record: one or more for each column
_CLAIMS = 4  # of records to one page: one of them is right
_STEPS = 3  # for each byte of a page: one that is whole takes two at most


def records(data: bytes) -> list[tuple[int, list[Any]]]:
    """Each (row id, values) in a file; what cannot be a record is left out.

    Of the sizes that a page may have, the one that gives the most records counts, since the one in
    the file's header may be damaged. Bytes that are no UTF-8 become U+FFFD. A record may come
    twice. Records of more than 1 MB are left out. Of a page whose records overlap, the first ones
    are read.
    """
    return max((_Pages(data, size).records() for size in _SIZES), key=len)


class _Pages:
    """A file as pages of one size in bytes."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data, self._size = data, size
        self._claims = Counter[int]()
        self._steps = 0  # in the page that is read

    def records(self) -> list[tuple[int, list[Any]]]:
        """Each (row id, values)."""
        starts = range(0, len(self._data), self._size)
        return [one for start in starts for one in self._of_page(start)]

    def _of_page(self, start: int) -> Iterator[tuple[int, list[Any]]]:
        data, size = self._data, self._size
        head = start + (_HEADER if start == 0 else 0)
        if data[head : head + 1] != bytes([_LEAF]):
            return
        count = min(int.from_bytes(data[head + 3 : head + 5], "big"), size // 4)
        pointers = data[head + 8 : head + 8 + 2 * count]
        cells = [start + one for (one,) in struct.iter_unpack(">H", pointers[: len(pointers) & ~1])]
        self._steps = 0
        for cell in dict.fromkeys(cells):
            if self._steps >= _STEPS * size:
                return
            self._steps += 4  # the fewest bytes of a cell
            try:
                if start < cell < start + size:
                    yield self._cell(cell)
            except (ValueError, IndexError):
                continue

    def _cell(self, at: int) -> tuple[int, list[Any]]:
        data, size = self._data, self._size
        length, at = _varint(data, at)
        number, at = _varint(data, at)
        if length > min(len(data), _LONGEST):
            raise ValueError("the record is larger than the file or than any of a ledger")
        most, least = size - 35, (size - 12) * 32 // 255 - 23
        if length <= most:
            local, (payload, begin) = length, (data, at)
        else:
            local = least + (length - least) % (size - 4)
            local = local if local <= most else least
            rest = self._overflow(at + local, length - local)  # may fail, before anything is copied
            payload, begin = data[at : at + local] + rest, 0
        values = self._values(payload, begin, begin + length)
        self._steps += local
        return number, values

    def _overflow(self, at: int, left: int) -> bytes:
        """The last `left` bytes of a record, from a chain of pages whose first number is at `at`.

        A page that many records claim is in none of them, or each could take the whole file.
        """
        data, size = self._data, self._size
        parts, seen = list[bytes](), set[int]()
        while left > 0:
            page = int.from_bytes(data[at : at + 4], "big")
            if not 1 < page <= len(data) // size:
                raise ValueError("a page of the record is missing")
            self._claims[page] += 1
            if page in seen or self._claims[page] > _CLAIMS:
                raise ValueError("a page of the record belongs to another place")
            seen.add(page)
            at = (page - 1) * size
            parts.append(data[at + 4 : at + min(size, 4 + left)])
            left -= size - 4
        return b"".join(parts)

    def _values(self, payload: bytes, begin: int, end: int) -> list[Any]:
        """The values of the record from `begin` to `end`; none is read unless all fit."""
        body, at = _varint(payload, begin)
        if not 0 < body <= min(end - begin, _LONGEST_HEADER) or end > len(payload):
            raise ValueError("the header or the record is cut short, or too long")
        self._steps += body
        place, kinds = begin + body, list[int]()
        while at < begin + body:
            kind, at = (payload[at], at + 1) if payload[at] < 0x80 else _varint(payload, at)
            kinds.append(kind)
        if place + sum(map(_bytes_of, kinds)) != end:
            raise ValueError("the record is not as long as its values")
        values = list[Any]()
        for kind in kinds:
            after = place + _bytes_of(kind)
            values.append(_value(payload[place:after], kind))
            place = after
        return values


def _bytes_of(kind: int) -> int:
    """How many bytes a value of a serial type takes; raises ValueError where there is none."""
    if kind >= 12:
        return (kind - 12) // 2
    if kind not in _BYTES:
        raise ValueError(f"there is no serial type {kind}")
    return _BYTES[kind]


def _value(found: bytes, kind: int) -> Any:
    """The value of a serial type in its bytes."""
    if kind >= 12:
        return found.decode(errors="replace") if kind % 2 else found
    if kind == 0:
        return None
    if kind == 7:
        return struct.unpack(">d", found)[0]
    return kind - 8 if kind in (8, 9) else int.from_bytes(found, "big", signed=True)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The integer of 1 to 9 bytes at a position, and the position after it."""
    value = 0
    for index in range(9):
        byte = data[at + index]
        if index == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    raise AssertionError("the ninth byte ends it")
