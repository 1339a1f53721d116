"""Takes numbers apart into planes of bytes and joins them again, in loops that numba compiles."""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import Any

import numpy as np

_compiling = Lock()


def _loops(width: int) -> tuple[Any, Any]:
    with _compiling:  # or each thread of the first call would compile them
        return _compiled(width)


@cache
def _compiled(width: int) -> tuple[Any, Any]:
    """(split, join) as machine code, for numbers of `width` bytes; they release the lock.

    They are compiled for arrays that may only be read: there is one version, whatever mix of arrays
    a file leads to. Raises ModuleNotFoundError where numba is not installed.
    """
    from numba import njit, types

    number = {2: types.uint16, 4: types.uint32, 8: types.uint64}[width]
    read = types.Array(types.uint8, 1, "C", readonly=True)
    written = types.Array(types.uint8, 1, "C")
    splits, joins = {2: (_split_2, _join_2), 4: (_split_4, _join_4), 8: (_split_8, _join_8)}[width]
    numbers = types.Array(number, 1, "C", readonly=True)
    of_split = types.void(numbers, *[written] * width, types.boolean)
    of_join = types.void(*[read] * width, types.Array(number, 1, "C"), types.boolean)
    return (
        njit(of_split, cache=True, nogil=True)(splits),
        njit(of_join, cache=True, nogil=True)(joins),
    )


def split(bits: np.ndarray, rotate: bool) -> list[np.ndarray]:
    """The planes of numbers, from the highest to the lowest.

    `bits`: unsigned numbers of 2, 4 or 8 bytes.
    `rotate`: whether the highest bit of a number becomes the lowest first.
    """
    planes = [np.empty(len(bits), np.uint8) for _ in range(bits.itemsize)]
    run, _ = _loops(bits.itemsize)
    run(np.ascontiguousarray(bits), *planes, rotate)
    return planes


def join(planes: list[np.ndarray], out: np.ndarray, rotate: bool) -> None:
    """Put the numbers with these planes, from the highest to the lowest, into `out`.

    `rotate`: whether the lowest bit of a number becomes the highest.
    """
    _, run = _loops(out.itemsize)
    run(*(np.ascontiguousarray(plane) for plane in planes), out, rotate)


def _split_2(bits: Any, a: Any, b: Any, rotate: bool) -> None:
    for i in range(len(bits)):
        number = np.uint32(bits[i])
        if rotate:
            number = (number << np.uint32(1)) | (number >> np.uint32(15))
        a[i] = number >> np.uint32(8)
        b[i] = number


def _join_2(a: Any, b: Any, out: Any, rotate: bool) -> None:
    for i in range(len(out)):
        number = (np.uint32(a[i]) << np.uint32(8)) | np.uint32(b[i])
        if rotate:
            number = (number >> np.uint32(1)) | (number << np.uint32(15))
        out[i] = number


def _split_4(bits: Any, a: Any, b: Any, c: Any, d: Any, rotate: bool) -> None:
    for i in range(len(bits)):
        number = np.uint32(bits[i])
        if rotate:
            number = (number << np.uint32(1)) | (number >> np.uint32(31))
        a[i] = number >> np.uint32(24)
        b[i] = number >> np.uint32(16)
        c[i] = number >> np.uint32(8)
        d[i] = number


def _join_4(a: Any, b: Any, c: Any, d: Any, out: Any, rotate: bool) -> None:
    for i in range(len(out)):
        high = (np.uint32(a[i]) << np.uint32(24)) | (np.uint32(b[i]) << np.uint32(16))
        number = high | (np.uint32(c[i]) << np.uint32(8)) | np.uint32(d[i])
        if rotate:
            number = (number >> np.uint32(1)) | (number << np.uint32(31))
        out[i] = number


def _split_8(
    bits: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any, rotate: bool
) -> None:
    for i in range(len(bits)):
        number = np.uint64(bits[i])
        if rotate:
            number = (number << np.uint64(1)) | (number >> np.uint64(63))
        a[i], b[i] = number >> np.uint64(56), number >> np.uint64(48)
        c[i], d[i] = number >> np.uint64(40), number >> np.uint64(32)
        e[i], f[i] = number >> np.uint64(24), number >> np.uint64(16)
        g[i], h[i] = number >> np.uint64(8), number


def _join_8(
    a: Any,
    b: Any,
    c: Any,
    d: Any,
    e: Any,
    f: Any,
    g: Any,
    h: Any,
    out: Any,
    rotate: bool,
) -> None:
    for i in range(len(out)):
        number = (np.uint64(a[i]) << np.uint64(56)) | (np.uint64(b[i]) << np.uint64(48))
        number |= (np.uint64(c[i]) << np.uint64(40)) | (np.uint64(d[i]) << np.uint64(32))
        number |= (np.uint64(e[i]) << np.uint64(24)) | (np.uint64(f[i]) << np.uint64(16))
        number |= (np.uint64(g[i]) << np.uint64(8)) | np.uint64(h[i])
        if rotate:
            number = (number >> np.uint64(1)) | (number << np.uint64(63))
        out[i] = number
