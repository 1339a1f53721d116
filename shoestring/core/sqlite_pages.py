"""The records in the pages of a SQLite file, read without SQLite: for files that are damaged.

Source: the SQLite file format, sections 1.6 (pages) and 2.1 (records). Only leaves of tables are
read, and each by itself, so that damage in one page hides no other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

_LEAF = 0x0D
_HEADER = 100  # bytes of the file before its first page begins
_SIZES = [1 << power for power in range(9, 17)]
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}  # bytes by serial type


def records(data: bytes) -> list[tuple[int, list[Any]]]:
    """Each (row id, values) in a file; what cannot be a record is left out.

    Of the sizes that a page may have, the one that gives the most records counts, since the one in
    the file's header may be damaged. Bytes that are no UTF-8 become U+FFFD. A record may come
    twice.
    """
    found = (
        [one for start in range(0, len(data), size) for one in _of_page(data, start, size)]
        for size in _SIZES
    )
    return max(found, key=len)


def _of_page(data: bytes, start: int, size: int) -> Iterator[tuple[int, list[Any]]]:
    head = start + (_HEADER if start == 0 else 0)
    if data[head : head + 1] != bytes([_LEAF]):
        return
    count = int.from_bytes(data[head + 3 : head + 5], "big")
    for index in range(min(count, size // 4)):
        pointer = head + 8 + 2 * index
        cell = start + int.from_bytes(data[pointer : pointer + 2], "big")
        try:
            yield _cell(data, cell, start, size)
        except (ValueError, IndexError, struct.error):
            continue


def _cell(data: bytes, at: int, start: int, size: int) -> tuple[int, list[Any]]:
    if not start < at < start + size:
        raise ValueError("the cell is not in its page")
    length, at = _varint(data, at)
    number, at = _varint(data, at)
    if length > len(data):
        raise ValueError("the record is larger than the file")
    most, least = size - 35, (size - 12) * 32 // 255 - 23
    if length <= most:
        return number, _values(data[at : at + length], length)
    local = least + (length - least) % (size - 4)
    local = local if local <= most else least
    parts, page = [data[at : at + local]], int.from_bytes(data[at + local : at + local + 4], "big")
    left = length - local
    while left > 0:
        if not 1 < page <= len(data) // size:
            raise ValueError("a page of the record is missing")
        begin = (page - 1) * size
        parts.append(data[begin + 4 : begin + min(size, 4 + left)])
        left -= size - 4
        page = int.from_bytes(data[begin : begin + 4], "big")
    return number, _values(b"".join(parts), length)


def _values(payload: bytes, length: int) -> list[Any]:
    if len(payload) != length:
        raise ValueError("the record is cut short")
    body, at = _varint(payload, 0)
    end, values = body, list[Any]()
    if not 0 < body <= length:
        raise ValueError("the record's header is longer than the record")
    while at < end:
        kind, at = _varint(payload, at)
        value, body = _value(payload, body, kind)
        values.append(value)
    if body != length:
        raise ValueError("the record is not as long as its values")
    return values


def _value(payload: bytes, at: int, kind: int) -> tuple[Any, int]:
    """The value of a serial type at a position, and the position after it."""
    if kind == 0:
        return None, at
    if kind in (8, 9):
        return kind - 8, at
    if kind == 7:
        return struct.unpack(">d", payload[at : at + 8])[0], at + 8
    if kind in _INTEGERS:
        end = at + _INTEGERS[kind]
        return int.from_bytes(payload[at:end], "big", signed=True), end
    if kind < 12:
        raise ValueError(f"there is no serial type {kind}")
    end = at + (kind - 12) // 2
    if end > len(payload):
        raise ValueError("the value is cut short")
    return (payload[at:end].decode(errors="replace") if kind % 2 else payload[at:end]), end


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
