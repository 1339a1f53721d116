"""The context model one number at a time, as machine code where numba is installed.

The functions are written for numba alone: without it, `context_python.py` is faster. Quotients are
exact in doubles: below 2^17, of a divisor below 2^35, rounding lifts none to a whole number.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from shoestring.artifact.coding import context
from shoestring.artifact.coding.context import REACH, SQUASH, Choice
from shoestring.artifact.coding.entropy import bit_frequencies

_LIMIT = 524288
# Where the counts of a plane are: of this row, the near, the far contexts, then columns and groups.
_NEARS, _FARS, _COLUMNS = 1, 28, 49
_FIRSTS = 65536 + 2 * REACH + 1
_TABLES = np.concatenate([context.STRETCH, SQUASH, bit_frequencies(SQUASH)]).astype(np.int32)
"""The stretched chances, the chances by logit, and from _FIRSTS on the frequencies of a 0."""
_BEGINNING = np.array([(65536.0 * ones, zeros + ones) for zeros, ones in context.FIRST])
_MASK, _WORD, _SIZE = np.uint64(16777215), np.uint64(4294967296), np.uint64(16777216)
_24, _32 = np.uint64(24), np.uint64(32)


def _code(known: int, first: int, state: Any, left: int, words: Any) -> Any:
    """(the bit, the state, the words that are left); `known`: the bit, or -1 when decoding."""
    if known >= 0:
        return known, state, left
    rest, size = state & _MASK, np.uint64(first)
    if rest < size:
        bit, state = 0, (state >> _24) * size + rest
    else:
        bit, state = 1, (state >> _24) * (_SIZE - size) + (rest - size)
    if state < _WORD and left > 0:
        left -= 1
        state = state << _32 | np.uint64(words[left])
    return bit, state, left


def _feature(seen: Any, plane: int, at: int, shared: float, base: int, tables: Any) -> int:
    return tables[int((seen[plane, at, 0] + shared) / seen[plane, at, 1])] - base


def _learned(weights: Any, plane: int, kind: int, sum_: int, rate: int) -> None:
    weight = weights[plane, kind] + ((sum_ + (1 << (rate - 1))) >> rate)
    weights[plane, kind] = min(max(weight, -_LIMIT), _LIMIT)


def _counted(seen: Any, plane: int, at: int, add: float) -> None:
    seen[plane, at, 0] += add
    seen[plane, at, 1] += 1


def _decide(
    seen: Any,
    totals: Any,
    weights: Any,
    plane: int,
    column: int,
    group: int,
    near: int,
    far: int,
    strength: float,
    rate: int,
    known: int,
    state: Any,
    left: int,
    words: Any,
    tables: Any,
) -> Any:
    """(bit, state, words left, chance) of one bit of a plane, which learns from it.

    `column`, `group`, `near`, `far`: where the counts of its contexts are; no group: 0.
    """
    average = max(int(totals[plane, 0] / totals[plane, 1]), 1)
    base, shared = tables[average], strength * average
    f0 = _feature(seen, plane, 0, shared, base, tables)
    f1 = _feature(seen, plane, column, shared, base, tables)
    f3 = _feature(seen, plane, near, shared, base, tables)
    f4 = _feature(seen, plane, far, shared, base, tables)
    mixed = (weights[plane, 0] * f0 + weights[plane, 1] * f1) + (
        weights[plane, 3] * f3 + weights[plane, 4] * f4
    )
    f2 = 0
    if group > 0:
        f2 = _feature(seen, plane, group, shared, base, tables)
        mixed += weights[plane, 2] * f2
    x = min(max((mixed >> 16) + base + REACH, 0), 2 * REACH)
    chance = tables[65536 + x]
    bit, state, left = _code(known, tables[_FIRSTS + x], state, left, words)
    error, add = 65536 * bit - chance, 65536.0 * bit
    _learned(weights, plane, 0, error * f0, rate)
    _learned(weights, plane, 1, error * f1, rate)
    _learned(weights, plane, 3, error * f3, rate)
    _learned(weights, plane, 4, error * f4, rate)
    if group > 0:
        _learned(weights, plane, 2, error * f2, rate)
        _counted(seen, plane, group, add)
    _counted(seen, plane, 0, add)
    _counted(seen, plane, column, add)
    _counted(seen, plane, near, add)
    _counted(seen, plane, far, add)
    totals[plane, 0] += 16 * add
    totals[plane, 1] += 16
    return bit, state, left, chance


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def _signs(numbers: Any, row: int, column: int, columns: int, width: int) -> Any:
    """(near, far) contexts of the sign of a number."""
    at, others, near = row * columns + column, 0, 13
    left = _sign(numbers[at - 1]) if column > 0 else 0
    if row > 0:
        near += 9 * _sign(numbers[at - columns])
        if column + 1 < columns:
            others += _sign(numbers[at - columns + 1])
        if width > 0 and column + width < columns:
            others += _sign(numbers[at - columns + width])
    if column > 1:
        others += _sign(numbers[at - 2])
    if width > 0:
        if column >= width:
            near += _sign(numbers[at - width])
        if column >= 2 * width:
            others += _sign(numbers[at - 2 * width])
        if column >= width + 1:
            others += _sign(numbers[at - width - 1])
        if width > 1 and column >= width - 1:
            others += _sign(numbers[at - width + 1])
    return near + 3 * left, 3 * min(max(others, -2), 2) + left + 7


def _scatter(nears: Any, fars: Any, row: int, column: int, width: int, size: int) -> None:
    """Tell the numbers around one that is not zero, which has `size`: 1, or 2 for more.

    `nears`, `fars`: of rows with even numbers and odd ones; in nears[2] the sizes a width before.
    """
    this = row & 1
    nears[1 - this, column] += 9 * size
    fars[this, column + 2] += 3
    if column > 0:
        fars[1 - this, column - 1] += 3
    if width > 0:
        nears[this, column + width] += size
        nears[2, column + width] = size
        fars[this, column + 2 * width] += 3
        fars[this, column + width + 1] += 3
        if width > 1:
            fars[this, column + width - 1] += 3
        if column >= width:
            fars[1 - this, column - width] += 3


# With an argument to a line, these would be mostly arguments.
# fmt: off
def _rest(
    seen: Any, totals: Any, weights: Any, nodes: Any, column: int, group: int, near: int, far: int,
    strength: float, rate: int, digits: int, known: int, state: Any, left: int, words: Any,
    tables: Any, notes: Any, used: int,
) -> Any:
    """(magnitude, state, words left, decisions) after the sign: lengths, then digits."""
    magnitude, length, prefix, decoding = abs(known), 1, 1, len(notes) == 0
    while length < digits:
        told = -1 if decoding else (1 if magnitude >> length else 0)
        bit, state, left, chance = _decide(
            seen, totals, weights, length + 1, column, group, near, far, strength, rate, told,
            state, left, words, tables,
        )
        if not decoding:
            notes[used] = 2 * chance + bit
        used += 1
        if bit == 0:
            break
        length += 1
    for place in range(1, length):
        chance = 32768
        if place <= 3:
            chance = int(65536.0 * nodes[length, prefix, 1] / nodes[length, prefix, 0])
        first = 1 + (((65536 - chance) * 16777214) >> 16)
        told = -1 if decoding else magnitude >> (length - 1 - place) & 1
        bit, state, left = _code(told, first, state, left, words)
        if not decoding:
            notes[used] = 2 * chance + bit
        used += 1
        if place <= 3:
            nodes[length, prefix, 0] += 1
            nodes[length, prefix, 1] += bit
        prefix = 2 * prefix + bit
    return prefix, state, left, used


def _full(
    seen: Any, totals: Any, weights: Any, nodes: Any, place: int, group: int, near: int, far: int,
    near_sign: int, far_sign: int, strength: float, rate: int, digits: int, known: int, state: Any,
    left: int, words: Any, tables: Any, notes: Any, used: int,
) -> Any:
    """(number, state, words left, decisions) of a number that is not zero."""
    decoding = len(notes) == 0
    positive, state, left, chance = _decide(
        seen, totals, weights, 1, place, group, _NEARS + near_sign, _FARS + far_sign, strength,
        rate, -1 if decoding else (1 if known > 0 else 0), state, left, words, tables,
    )
    if not decoding:
        notes[used] = 2 * chance + positive
    magnitude, state, left, used = _rest(
        seen, totals, weights, nodes, place, group, near, far, strength, rate, digits, known, state,
        left, words, tables, notes, used + 1,
    )
    return magnitude if positive else -magnitude, state, left, used


def _loop(
    shape: Any, strength: float, rate: int, digits: int, seen: Any, totals: Any, weights: Any,
    nodes: Any, nears: Any, fars: Any, numbers: Any, words: Any, left: int, state: Any, notes: Any,
    tables: Any, most: int,
) -> Any:
    """Decode the matrix, or note its bits: (decisions, words left, state).

    A number other than zero counts as one decision more than its bits. It stops early where more
    than `most` decisions are made.
    """
    (rows, columns, width), used, full = shape, 0, 0
    decoding, known, told, group = len(notes) == 0, 0, -1, 0
    for row in range(rows):
        size, empty, this = 0, True, row & 1
        for plane in range(len(seen)):
            seen[plane, 0, 0], seen[plane, 0, 1] = 0, strength
        for column in range(columns):
            at, place = row * columns + column, _COLUMNS + column
            near, far = _NEARS + nears[this, column] + 3 * size, _FARS + fars[this, column] + size
            if width > 0:
                group = _COLUMNS + columns + column // width
                far += min(nears[2, column], 2 - size)
            if not decoding:
                known = numbers[at]
                told = 1 if known != 0 else 0
            bit, state, left, chance = _decide(
                seen, totals, weights, 0, place, group, near, far, strength, rate, told, state,
                left, words, tables,
            )
            if not decoding:
                notes[used] = 2 * chance + bit
            used, size = used + 1, 0
            if bit == 0:
                continue
            empty = False
            near_sign, far_sign = _signs(numbers, row, column, columns, width)
            number, state, left, used = _full(
                seen, totals, weights, nodes, place, group, near, far, near_sign, far_sign,
                strength, rate, digits, known, state, left, words, tables, notes, used,
            )
            if decoding:
                numbers[at] = number
            size = 2 if abs(number) > 1 else 1
            _scatter(nears, fars, row, column, width, size)
            full += 1
            if used + full > most:
                return used + full, left, state
        nears[this], fars[this] = 0, 0
        if not empty:
            nears[2] = 0
    return used + full, left, state


# fmt: on


@cache
def loop() -> Any:
    """The loop as machine code, or None where numba is not installed."""
    try:
        from numba import njit
    except ModuleNotFoundError:
        return None
    scope = dict(globals())
    names = ("_sign", "_signs", "_scatter", "_code", "_feature", "_learned", "_counted")
    for name in (*names, "_decide", "_rest", "_full", "_loop"):
        function = globals()[name]
        made = type(function)(function.__code__, scope, name)
        scope[name] = njit(cache=True, error_model="numpy")(made)
    return scope["_loop"]


def run(
    choice: Choice, shape: tuple[int, int], numbers: np.ndarray, coder: Any, most: int
) -> tuple[int, int, int] | None:
    """(decisions, words left, state) after the matrix of this shape under this choice.

    `numbers`: int16, flat; filled in when decoding.
    `coder`: (words, left, state), or the array for the notes.
    `most`: the most decisions that it may make; None where there are more.
    """
    (rows, columns), width = shape, choice.width
    groups = (columns - 1) // width + 1 if width else 0
    seen = np.zeros((choice.planes, _COLUMNS + columns + groups, 2))
    seen[:, :, 1] = context.STRENGTHS[choice.strength]
    nodes = np.ones((16, 8, 2), np.int64)
    nodes[:, :, 0] = 2
    around = np.zeros((5, columns + 2 * width + 3), np.int32)
    decoding = isinstance(coder, tuple)
    words, left, state = coder if decoding else (np.zeros(0, np.uint32), 0, 0)
    notes = np.zeros(0, np.int64) if decoding else coder
    machine_code = loop()
    assert machine_code is not None, "the caller has seen that there is machine code"
    used, left, state = machine_code(
        (rows, columns, width),
        float(context.STRENGTHS[choice.strength]),
        context.RATES[choice.rate],
        choice.digits,
        seen,
        _BEGINNING[np.minimum(np.arange(choice.planes), 2)],
        np.full((choice.planes, 5), context.SHARES[choice.share]),
        nodes,
        around[:3],
        around[3:],
        numbers,
        words,
        left,
        np.uint64(state),
        notes,
        _TABLES,
        most,
    )
    return None if used > most else (int(used), int(left), int(state))
