"""The context model one number at a time, in Python without a compiler.

It follows the rules of `context.py`. Calls and look-ups are what Python spends its time on, so the
loop is one function whose parts are put together here: with groups of columns or without, decoding
or noting. Tests hold it to the slow model of the format's page.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from shoestring.artifact.coding.context import (
    FARS,
    FIRST,
    NEARS,
    RATES,
    REACH,
    SHARES,
    SQUASH,
    STRENGTHS,
    STRETCH,
    Choice,
)
from shoestring.artifact.coding.entropy import bit_frequencies

# Counts are kept as sums: of zeros and ones plus the strength, and of ones times 65,536. A context
# that has seen nothing then has the average, and its feature is 0.
_DECISION = """
average = {ones} // {total} or 1
base = stretch[average]
shared = strength * average
f0 = stretch[({row_ones} + shared) // {row}] - base
f1 = stretch[({column_ones}[c] + shared) // {column}[c]] - base
f2 = stretch[({group_ones}[g] + shared) // {group}[g]] - base
f3 = stretch[({near_ones}[{near_at}] + shared) // {near}[{near_at}]] - base
f4 = stretch[({far_ones}[{far_at}] + shared) // {far}[{far_at}]] - base
x = (({w}0 * f0 + {w}1 * f1 + {w}2 * f2 + {w}3 * f3 + {w}4 * f4) >> 16) + base
if x > REACH:
    x = REACH
elif x < -REACH:
    x = -REACH
{code}
    bit = 1
    error = errors_of_ones[x]
    {ones} += 1048576
    {row_ones} += 65536
    {column_ones}[c] += 65536
    {group_ones}[g] += 65536
    {near_ones}[{near_at}] += 65536
    {far_ones}[{far_at}] += 65536
{refill}
{total} += 16
{row} += 1
{column}[c] += 1
{group}[g] += 1
{near}[{near_at}] += 1
{far}[{far_at}] += 1
{w}0 += (error * f0 + half) >> rate
{w}1 += (error * f1 + half) >> rate
{w}2 += (error * f2 + half) >> rate
{w}3 += (error * f3 + half) >> rate
{w}4 += (error * f4 + half) >> rate
if not -524288 <= {w}0 <= 524288:
    {w}0 = 524288 if {w}0 > 0 else -524288
if not -524288 <= {w}1 <= 524288:
    {w}1 = 524288 if {w}1 > 0 else -524288
if not -524288 <= {w}2 <= 524288:
    {w}2 = 524288 if {w}2 > 0 else -524288
if not -524288 <= {w}3 <= 524288:
    {w}3 = 524288 if {w}3 > 0 else -524288
if not -524288 <= {w}4 <= 524288:
    {w}4 = 524288 if {w}4 > 0 else -524288
"""
_DECODE = """
first = firsts[x]
rest = state & 16777215
if rest < first:
    state = (state >> 24) * first + rest
    bit = 0
    error = errors_of_zeros[x]
else:
    state = (state >> 24) * (16777216 - first) + rest - first
"""
_REFILL = """
if state < 4294967296 and left:
    left -= 1
    state = state << 32 | words[left]
"""
_NOTE = """
bit = 1 if {known} else 0
note(notes_of_zeros[x] + bit)
if not bit:
    error = errors_of_zeros[x]
else:
"""
_DIGIT = """
if place <= 3:
    node = 8 * length + prefix
    chance = node_ones[node] // node_totals[node]
else:
    chance = 32768
{code}
if place <= 3:
    node_totals[node] += 1
    if bit:
        node_ones[node] += 65536
prefix = 2 * prefix + bit
"""
_DECODE_DIGIT = """
first = 1 + (((65536 - chance) * 16777214) >> 16)
rest = state & 16777215
if rest < first:
    state = (state >> 24) * first + rest
    bit = 0
else:
    state = (state >> 24) * (16777216 - first) + rest - first
    bit = 1
"""
_NOTE_DIGIT = """
bit = magnitude >> (length - 1 - place) & 1
note(chance * 2 + bit)
"""
_LOOP = """
def loop(rows, columns, width, digits, strength, rate, share, numbers, coder, most):
    firsts, errors_of_zeros, errors_of_ones, notes_of_zeros, stretch = TABLES
    half, size = 1 << (rate - 1), columns + 2 * width + 3
    {begin}
    used = rows * columns
    zeros_total, zeros_ones = starts[0]
    signs_total, signs_ones = starts[1]
    v0 = v1 = v2 = v3 = v4 = w0 = w1 = w2 = w3 = w4 = share
    groups = (columns - 1) // width + 1 if width else 1
    zeros_column, zeros_column_ones = [strength] * columns, [0] * columns
    signs_column, signs_column_ones = [strength] * columns, [0] * columns
    zeros_group, zeros_group_ones = [strength] * groups, [0] * groups
    signs_group, signs_group_ones = [strength] * groups, [0] * groups
    zeros_near, zeros_near_ones = [strength] * {nears}, [0] * {nears}
    signs_near, signs_near_ones = [strength] * {nears}, [0] * {nears}
    zeros_far, zeros_far_ones = [strength] * {fars}, [0] * {fars}
    signs_far, signs_far_ones = [strength] * {fars}, [0] * {fars}
    longer = [None] * 16
    node_totals, node_ones = [2] * 128, [65536] * 128
    nears, fars, before = [0] * size, [0] * size, [0] * size
    next_nears, next_fars = [0] * size, [0] * size
    empty = True
    for r in range(rows):
        start = r * columns
        b = b2 = b3 = 0
        zeros_row, zeros_row_ones = strength, 0
        signs_row, signs_row_ones = strength, 0
        was_empty, empty = empty, True
        for c in range(columns):
            {context}
            {known}
            {zeros}
            if not bit:
                b = b2 = b3 = 0
                continue
            if empty:
                empty = False
                for plane in longer:
                    if plane and plane[13] != r:
                        plane[2], plane[3], plane[13] = strength, 0, r
            {around}
            {signs}
            positive = bit
            length = 1
            while length < digits:
                plane = longer[length]
                if plane is None:
                    plane = longer[length] = [
                        *starts[2], strength, 0, [strength] * columns, [0] * columns,
                        [strength] * groups, [0] * groups, [strength] * {nears}, [0] * {nears},
                        [strength] * {fars}, [0] * {fars}, (share,) * 5, r,
                    ]
                (total, ones, row, row_ones, column, column_ones, group, group_ones, near_seen,
                 near_ones, far_seen, far_ones, (u0, u1, u2, u3, u4), _) = plane
                {lengths}
                plane[0], plane[1], plane[2], plane[3] = total, ones, row, row_ones
                plane[12] = (u0, u1, u2, u3, u4)
                if not bit:
                    break
                length += 1
            prefix = 1
            for place in range(1, length):
                {digit}
            used += length + length + 1 - (length == digits)
            if used > most:
                return None
            b = prefix if positive else -prefix
            {keep}
            b2 = 2 if prefix > 1 else 1
            b3 = 3 * b2
            next_nears[c] += 9 * b2
            fars[c + 2] += 3
            if c:
                next_fars[c - 1] += 3
            {scatter}
        nears, next_nears = next_nears, nears
        fars, next_fars = next_fars, fars
        if not (empty and was_empty):
            next_nears, next_fars = [0] * size, [0] * size
        {next_row}
    return used, left, state
"""
_CONTEXT = """
near = nears[c] + b3
far = fars[c] + b2
"""
_CONTEXT_WIDE = """
g = c // width
near = nears[c] + b3
far = fars[c] + min(b2 + before[c], 2)
"""
_AROUND = """
at = start + c
above = numbers[at - columns] if r else 0
near_sign = (9 if above > 0 else -9 if above < 0 else 0) + 13
left_sign = (b > 0) - (b < 0)
others = 0
if r and c + 1 < columns:
    others = numbers[at - columns + 1]
    others = (others > 0) - (others < 0)
if c > 1:
    other = numbers[at - 2]
    others += (other > 0) - (other < 0)
{wide}
near_sign += 3 * left_sign
far_sign = 3 * min(max(others, -2), 2) + left_sign + 7
"""
_AROUND_WIDE = """
if r and c + width < columns:
    other = numbers[at - columns + width]
    others += (other > 0) - (other < 0)
for back in (2 * width, width + 1, width - 1):
    if 0 < back <= c:
        other = numbers[at - back]
        others += (other > 0) - (other < 0)
if c >= width:
    other = numbers[at - width]
    near_sign += (other > 0) - (other < 0)
"""
_SCATTER_WIDE = """
nears[c + width] += b2
before[c + width] = b2
fars[c + 2 * width] += 3
fars[c + width + 1] += 3
if width > 1:
    fars[c + width - 1] += 3
if c >= width:
    next_fars[c - width] += 3
"""
_NEXT_ROW_WIDE = """
if not empty:
    before = [0] * size
"""


def _filled(template: str, parts: dict[str, str]) -> str:
    """The template with its parts; one that is alone in its line is indented as the line is."""
    lines: list[str] = []
    for line in template.strip("\n").split("\n"):
        name = line.strip()
        if name.startswith("{") and name.endswith("}") and name[1:-1] in parts:
            indent = line[: len(line) - len(line.lstrip())]
            lines += [indent + each for each in parts[name[1:-1]].split("\n") if each]
        else:
            lines.append(line.format_map(parts))
    return "\n".join(lines)


def _decision(prefix: str, wide: bool, decoding: bool, known: str, weight: str) -> str:
    """The lines of a decision of a plane: of zeros, of signs, or of a length (no prefix)."""
    names = ("total", "ones", "row", "row_ones", "column", "column_ones", "group", "group_ones")
    parts = {name: prefix + name for name in (*names, "near_ones", "far_ones")}
    signs = prefix == "signs_"
    parts |= {
        "near": prefix + "near" if prefix else "near_seen",
        "far": prefix + "far" if prefix else "far_seen",
        "near_at": "near_sign" if signs else "near",
        "far_at": "far_sign" if signs else "far",
        "w": weight,
        "code": _DECODE if decoding else _filled(_NOTE, {"known": known}),
        "refill": _REFILL if decoding else "",
    }
    lines = _filled(_DECISION, parts).split("\n")
    if wide:
        return "\n".join(lines)
    kept: list[str] = []
    skipped = ""
    for line in lines:
        if "[g]" in line or skipped or (f"{weight}2" in line and "x = " not in line):
            skipped = line if line.endswith(":") and not skipped else ""
            continue
        kept.append(line.replace(f" + {weight}2 * f2", ""))
    return "\n".join(kept)


@cache
def loop(wide: bool, decoding: bool) -> Any:
    """The loop for a matrix with groups of columns or without, to decode it or to note its bits.

    It is called with rows, columns, width, digits, strength, rate, share, the matrix (flat, filled
    in when decoding), the coder, and the most decisions that it may make: (words, left, state), or
    what is called with each note. It returns (decisions, left, state), None where there are more.
    A number other than zero counts as one decision more than its bits.
    """
    digit = _DECODE_DIGIT + _REFILL if decoding else _NOTE_DIGIT
    parts = {
        "begin": "words, left, state = coder" if decoding else "note, left, state = coder, 0, 0",
        "nears": str(NEARS),
        "fars": str(FARS),
        "context": _CONTEXT_WIDE if wide else _CONTEXT,
        "known": "" if decoding else "value = numbers[start + c]\nmagnitude = abs(value)",
        "around": _filled(_AROUND, {"wide": _AROUND_WIDE if wide else ""}),
        "zeros": _decision("zeros_", wide, decoding, "value", "v"),
        "signs": _decision("signs_", wide, decoding, "value > 0", "w"),
        "lengths": _decision("", wide, decoding, "magnitude >> length", "u"),
        "digit": _filled(_DIGIT, {"code": digit}),
        "keep": "numbers[at] = b" if decoding else "",
        "scatter": _SCATTER_WIDE if wide else "",
        "next_row": _NEXT_ROW_WIDE if wide else "",
    }
    scope: dict[str, Any] = {
        "REACH": REACH,
        "TABLES": _tables(),
        "starts": [((zeros + ones), ones << 16) for zeros, ones in FIRST],
    }
    exec(compile(_filled(_LOOP, parts), "<the loop of context_python.py>", "exec"), scope)
    return scope["loop"]


@cache
def _tables() -> tuple[list[int], ...]:
    """By logit, where -1 is the last: the frequency of a 0, the errors, the note; and stretch."""
    chances = np.concatenate([SQUASH[REACH:], SQUASH[:REACH]])
    by_logit = (bit_frequencies(chances), -chances, 65536 - chances, 2 * chances)
    return *(table.tolist() for table in by_logit), STRETCH.tolist()


def run(choice: Choice, shape: tuple[int, int], numbers: Any, coder: Any, most: int) -> Any:
    """What `loop` returns for the matrix of this shape under this choice."""
    return loop(choice.width > 0, isinstance(coder, tuple))(
        *shape,
        choice.width,
        choice.digits,
        STRENGTHS[choice.strength],
        RATES[choice.rate],
        SHARES[choice.share],
        numbers,
        coder,
        most,
    )
