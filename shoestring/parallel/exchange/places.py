"""Which of many places are taken: sorted integers in about log2(places / taken) + 2 bits each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def packed_bytes(count: int, total: int) -> int:
    """How many bytes `packed` has for so many of so many places."""
    low = _low_bits(count, total)
    return -(-count * low // 8) + -(-_marks(count, total, low) // 8)


def packed(places: NDArray[np.int64], total: int) -> NDArray[np.uint8]:
    """Places as bytes, always as many for as many places.

    The low bits of each place are written as they are. The high bits grow slowly from place to
    place: a one stands for each place, and a zero before it for each step up.

    Source: Elias 1974 and Fano 1971 (Elias-Fano), as in Vigna 2013, "Quasi-succinct indices",
    section 3.

    `places`: one or more, from the lowest to the highest, none twice, 0 or more and below `total`.
    """
    count = len(places)
    low = _low_bits(count, total)
    bits = (places[:, None] >> np.arange(low)) & 1
    marks = np.zeros(_marks(count, total, low), np.uint8)
    marks[(places >> low) + np.arange(count)] = 1
    return np.concatenate([np.packbits(bits.astype(np.uint8)), np.packbits(marks)])


def unpacked(data: NDArray[np.uint8], count: int, total: int) -> NDArray[np.int64]:
    """The places; raises ValueError for bytes that are none.

    `data`: of `packed_bytes(count, total)` bytes.
    """
    low = _low_bits(count, total)
    begin = -(-count * low // 8)
    bits = np.unpackbits(data[:begin], count=count * low).reshape(count, low)
    marks = np.flatnonzero(np.unpackbits(data[begin:]))
    if len(marks) != count:
        raise ValueError(f"{len(marks)} places came where {count} were due")
    high = marks.astype(np.int64) - np.arange(count)
    places = (high << low) + bits.astype(np.int64) @ (1 << np.arange(low, dtype=np.int64))
    if places[-1] >= total or (np.diff(places) <= 0).any():
        raise ValueError(
            f"places came that are not in order, or not below {total:,}; the last is {places[-1]:,}"
        )
    return places


def _low_bits(count: int, total: int) -> int:
    return max(0, (total // count).bit_length() - 1)


def _marks(count: int, total: int, low: int) -> int:
    return count + ((total - 1) >> low)
