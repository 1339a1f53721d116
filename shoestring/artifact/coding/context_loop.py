"""The context model one number at a time, in plain loops over integers.

It follows the rules of `context.py`. numba compiles it where it is installed (the extra `fast`).
Without numba, Python runs it some fifty times more slowly. All state is in one flat array of
integers, the memory, so that both can run it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from shoestring.artifact.coding.context import (
    FIRST,
    RATES,
    REACH,
    SHARES,
    SQUASH,
    STRENGTHS,
    STRETCH,
    Choice,
)
from shoestring.artifact.coding.entropy import Decoder

# The layout of the memory. CELLS, PLACES and FEATURES are scratch space: the cells around a number,
# the indices of its contexts and their features.
WORDS, HIGH, LOW, DECODING, COUNT = 0, 1, 2, 3, 4
ROWS, COLUMNS, WIDTH, DIGITS, STRENGTH, RATE, GROUPS, SIZE = 5, 6, 7, 8, 9, 10, 11, 12
CELLS, PLACES, FEATURES = 16, 28, 34
TOTALS, WEIGHTS, NODES, SEEN = 40, 80, 160, 448
"""There are 17 planes of 2 totals and 5 weights, 16 lengths of 8 nodes, and SIZE counts a plane."""


def memory(choice: Choice, rows: int, columns: int) -> np.ndarray:
    """The memory before the first number."""
    groups = (columns - 1) // choice.width + 1 if choice.width else 1
    size = 2 * (rows + columns + groups + 27 + 21)
    m = np.zeros(SEEN + choice.planes * size, np.int64)
    m[ROWS : SIZE + 1] = (
        rows,
        columns,
        choice.width,
        choice.digits,
        STRENGTHS[choice.strength],
        RATES[choice.rate],
        groups,
        size,
    )
    for plane in range(choice.planes):
        m[TOTALS + 2 * plane : TOTALS + 2 * plane + 2] = FIRST[min(plane, 2)]
        m[WEIGHTS + 5 * plane : WEIGHTS + 5 * plane + 5] = SHARES[choice.share]
    m[NODES:SEEN] = 1
    return m


def _cell(m: Any, numbers: Any, row: int, column: int) -> int:
    if row < 0 or column < 0 or column >= m[COLUMNS]:
        return 0
    return numbers[row * m[COLUMNS] + column]


def _look(m: Any, numbers: Any, row: int, column: int) -> None:
    """Read nine earlier cells around a number: above, left, a width before, and six others."""
    width = m[WIDTH]
    m[CELLS] = _cell(m, numbers, row - 1, column)
    m[CELLS + 1] = _cell(m, numbers, row, column - 1)
    m[CELLS + 3] = _cell(m, numbers, row - 1, column + 1)
    m[CELLS + 4] = _cell(m, numbers, row, column - 2)
    if width > 0:
        m[CELLS + 2] = _cell(m, numbers, row, column - width)
        m[CELLS + 5] = _cell(m, numbers, row - 1, column + width)
        m[CELLS + 6] = _cell(m, numbers, row, column - 2 * width)
        m[CELLS + 7] = _cell(m, numbers, row, column - width - 1)
        m[CELLS + 8] = _cell(m, numbers, row, column - width + 1) if width > 1 else 0


def _neighbourhood(m: Any, start: int, signs: bool) -> None:
    """Find the near and far contexts in a plane whose counts begin at `start`."""
    others = 0
    if signs:
        a, b, c = _sign(m[CELLS]), _sign(m[CELLS + 1]), _sign(m[CELLS + 2])
        for cell in range(3, 9):
            others += _sign(m[CELLS + cell])
        near, far = 9 * a + 3 * b + c + 13, 3 * (min(max(others, -2), 2) + 2) + b + 1
    else:
        a, b, c = min(abs(m[CELLS]), 2), min(abs(m[CELLS + 1]), 2), min(abs(m[CELLS + 2]), 2)
        for cell in range(3, 9):
            if m[CELLS + cell] != 0:
                others += 1
        near, far = 9 * a + 3 * b + c, 3 * others + min(b + c, 2)
    m[PLACES + 3] = start + m[SIZE] - 96 + 2 * near
    m[PLACES + 4] = start + m[SIZE] - 42 + 2 * far


def _sign(number: int) -> int:
    return 1 if number > 0 else -1 if number < 0 else 0


def _decide(
    m: Any, plane: int, row: int, column: int, bit: int, tables: Any, words: Any, notes: Any
) -> int:
    """Code one bit of a plane, learn from it, and return it.

    `bit`: its value, when encoding.
    """
    width, start = m[WIDTH], SEEN + plane * m[SIZE]
    m[PLACES] = start + 2 * row
    m[PLACES + 1] = start + 2 * (m[ROWS] + column)
    m[PLACES + 2] = start + 2 * (m[ROWS] + m[COLUMNS] + (column // width if width > 0 else 0))
    _neighbourhood(m, start, plane == 1)
    zeros, ones, strength = m[TOTALS + 2 * plane], m[TOTALS + 2 * plane + 1], m[STRENGTH]
    average = min(max((ones << 16) // (zeros + ones), 1), 65535)
    base, mixed, weights = tables[average], 0, WEIGHTS + 5 * plane
    for context in range(5):
        feature = 0
        zeros, ones = m[m[PLACES + context]], m[m[PLACES + context] + 1]
        if zeros + ones > 0 and (context != 2 or width > 0):
            probability = ((ones << 16) + strength * average) // (zeros + ones + strength)
            feature = tables[min(probability, 65535)] - base
        m[FEATURES + context] = feature
        mixed += m[weights + context] * feature
    probability = tables[65536 + min(max((mixed >> 16) + base + REACH, 0), 2 * REACH)]
    bit = _code(m, probability, bit, words, notes)
    error, rate = (bit << 16) - probability, m[RATE]
    for context in range(5):
        weight = m[weights + context] + (
            (error * m[FEATURES + context] + (1 << (rate - 1))) >> rate
        )
        m[weights + context] = min(max(weight, -524288), 524288)
        m[m[PLACES + context] + bit] += 1
    m[TOTALS + 2 * plane + bit] += 16
    return bit


def _code(m: Any, probability: int, bit: int, words: Any, notes: Any) -> int:
    """Decode a bit from the stream, or note a bit for the encoder.

    The coder is range asymmetric numeral systems. Its state of 64 bits is in two halves, so that no
    product is longer than 64 bits.
    """
    if not m[DECODING]:
        notes[m[COUNT]] = probability << 1 | bit
        m[COUNT] += 1
        return bit
    first = 1 + (((65536 - probability) * 16777214) >> 16)
    rest = m[LOW] & 16777215
    bit = 1 if rest >= first else 0
    size = 16777216 - first if bit else first
    if bit:
        rest -= first
    upper = (m[HIGH] << 8) + (m[LOW] >> 24)
    large = (upper >> 16) * size
    small = ((large & 65535) << 16) + (upper & 65535) * size + rest
    m[LOW], m[HIGH] = small & 4294967295, (large >> 16) + (small >> 32)
    if m[HIGH] == 0 and m[WORDS] > 0:
        m[WORDS] -= 1
        m[HIGH], m[LOW] = m[LOW], words[m[WORDS]]
    return bit


def _number(m: Any, row: int, column: int, known: int, tables: Any, words: Any, notes: Any) -> int:
    """Code one number; `known` is its value, when encoding."""
    magnitude, digits = abs(known), m[DIGITS]
    if not _decide(m, 0, row, column, 1 if known else 0, tables, words, notes):
        return 0
    positive = _decide(m, 1, row, column, 1 if known > 0 else 0, tables, words, notes)
    length = 1
    while length < digits and _decide(
        m, length + 1, row, column, 1 if magnitude >> length else 0, tables, words, notes
    ):
        length += 1
    prefix = 1
    for digit in range(1, length):
        node = NODES + 2 * (8 * length + prefix) if digit <= 3 else 0
        probability = (m[node + 1] << 16) // (m[node] + m[node + 1]) if node else 32768
        bit = _code(m, probability, magnitude >> (length - 1 - digit) & 1, words, notes)
        if node:
            m[node + bit] += 1
        prefix = 2 * prefix + bit
    return prefix if positive else -prefix


def _loop(m: Any, numbers: Any, tables: Any, words: Any, notes: Any) -> int:
    """Decode the matrix, or note its bits; returns the number of notes."""
    for row in range(m[ROWS]):
        for column in range(m[COLUMNS]):
            index = row * m[COLUMNS] + column
            _look(m, numbers, row, column)
            numbers[index] = _number(m, row, column, numbers[index], tables, words, notes)
    return m[COUNT]


@cache
def compiled() -> Any:
    """The loop as machine code, or None where numba is not installed."""
    try:
        from numba import njit
    except ModuleNotFoundError:
        return None
    scope = dict(globals())
    for name in (
        "_cell",
        "_sign",
        "_look",
        "_neighbourhood",
        "_code",
        "_decide",
        "_number",
        "_loop",
    ):
        function = globals()[name]
        made = type(function)(function.__code__, scope, name)
        scope[name] = njit(cache=True)(made)
    return scope["_loop"]


def _loop_for(count: int) -> Any:
    """The compiled loop for a matrix of `count` numbers.

    None where numba is missing, or where loading it would take longer than running Python.
    """
    if count < SOME and not compiled.cache_info().currsize:
        return None
    return compiled()


SOME = 20_000
"""So many numbers take Python as long as the compiled loop takes to load."""
TABLES = np.concatenate([STRETCH, SQUASH])


@cache
def _listed() -> list[int]:
    """The tables as a list, made once: many tensors are small."""
    return TABLES.tolist()


def notes(choice: Choice, matrix: np.ndarray) -> np.ndarray:
    """The bits that an encoder writes for the matrix, in decoding order.

    Each note is the probability of a 1 (× 65,536) × 2, plus the bit.
    """
    m = memory(choice, *matrix.shape)
    numbers = matrix.astype(np.int64).ravel()
    room = np.zeros(numbers.size + 2 * choice.digits * int(np.count_nonzero(numbers)) + 1, np.int64)
    nothing = np.zeros(1, np.int64)
    if (loop := _loop_for(numbers.size)) is not None:
        return room[: loop(m, numbers, TABLES, nothing, room)]
    listed = room.tolist()
    count = _loop(m.tolist(), numbers.tolist(), _listed(), [], listed)
    return np.array(listed[:count], np.int64)


def numbers(choice: Choice, rows: int, columns: int, decoder: Decoder) -> np.ndarray:
    """The next matrix (rows × columns) in the stream."""
    m = memory(choice, rows, columns)
    left, state = decoder.position()
    # One word a bit is enough; the stream may be much longer.
    count = min(left, rows * columns * 2 * choice.digits)
    words = decoder.words[left - count : left].astype(np.int64)
    m[WORDS], m[HIGH], m[LOW], m[DECODING] = count, state >> 32, state & 0xFFFFFFFF, 1
    decoded = np.zeros(rows * columns, np.int64)
    if (loop := _loop_for(decoded.size)) is not None:
        loop(m, decoded, TABLES, words, np.zeros(1, np.int64))
    else:
        listed, values = m.tolist(), decoded.tolist()
        _loop(listed, values, _listed(), words.tolist(), [])
        decoded, m = np.array(values, np.int64), listed
    decoder.go(left - count + int(m[WORDS]), int(m[HIGH]) << 32 | int(m[LOW]))
    return decoded.reshape(rows, columns)
