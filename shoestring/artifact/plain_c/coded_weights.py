"""Weights in flash as the stream of an adaptive binary range coder, decoded one after the other.

The decoder, `coded_weights.c`, has 600 bytes of Thumb code or less, and about 170 bytes of memory,
and an eighth of a byte for each column. It works in integers and needs no division. A weight is
coded as decisions: is it zero, its sign, how many digits its magnitude has, and these digits. Each
decision has an adaptive probability, chosen by the two weights before it in its row and by the one
a `period` before it, which is often the row above in an image or in a kernel. Rows and columns
without weights are told beforehand, and cost nothing later.

On our files such a stream is as long as what a `.shoe` file takes, or up to 6 % longer; what it has
not is the mixing of many contexts.

Source: the range coder with carry is that of LZMA (Pavlov), the binarisation like that of CABAC
(Marpe, Schwarz & Wiegand 2003). Differs: probabilities have 16 bits, and learn fast first,
then slowly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shoestring.artifact.plain_c.weight_source import Codes, Stream, c_bytes

MOST_COLUMNS, MOST_PERIOD, MOST_DIGITS = 65535, 64, 15
# Where the probabilities of each kind of decision begin, as in coded_weights.c; what follows
# depends on the digits of the largest magnitude.
ROW, NONZERO, NEGATIVE, LONGER = 0, 1, 19, 28
_STEPS = 64  # more than the decisions about one weight


@dataclass(frozen=True)
class Coded:
    """Weights as a range coder's stream, decoded whenever they are used: the least flash.

    They are integers from -32,767 to 32,767, in rows of 65,535 columns at most. A stream that is
    cut off or damaged gives wrong weights, and nothing is read outside it.
    """

    def stream(self, tensors: Sequence[Codes], prefix: str) -> Stream:
        """The integers of these tensors as C; it needs <stdint.h>.

        Raises ValueError for integers and shapes that are out of range.
        """
        matrices = [_checked(codes) for codes in tensors]
        coded = encode(matrices)
        columns = [matrix.shape[1] for matrix in matrices]
        rows = "\n".join(
            f"    {{{count}, {period}}},"
            for count, period in zip(columns, coded.periods, strict=True)
        )
        text = _CONSTANTS.format(prefix=prefix, data=c_bytes(coded.data or b"\0"), tensors=rows)
        decoder = Path(__file__).with_name("coded_weights.c").read_text(encoding="utf-8")
        live, period = (max(columns) + 7) // 8, max(coded.periods)
        for mark, number in (("DIGITS", coded.digits), ("LIVE", live), ("PERIOD", period)):
            decoder = decoder.replace(f"@{mark}@", str(number))
        weights = sum(matrix.size for matrix in matrices)
        return Stream(
            text=text + "\n" + decoder.replace("NAME", prefix),
            flash_bytes=len(coded.data) + 4 * len(matrices),
            ram_bytes=3 * (LONGER + 2 * coded.digits + 1) + live + period + 24,
            about=f"{weights:,} weights in {len(coded.data):,} bytes",
        )


_CONSTANTS = """\
static const FLASH uint8_t {prefix}_data[] = {{
{data}
}};

/* The columns and the period of each tensor. */
static const FLASH uint16_t {prefix}_tensors[][2] = {{
{tensors}
}};
"""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Tensors in one stream.

    `periods`: of each tensor, 1 to 64: the weight so many columns before is a neighbour.
    `digits`: of the largest magnitude after its first one, 1 or more.
    """

    data: bytes
    periods: tuple[int, ...]
    digits: int


def encode(matrices: Sequence[np.ndarray]) -> Encoded:
    """The stream of some matrices of integers, the same on every machine.

    They are decoded in this order, each row by row. Probabilities begin anew with each.
    """
    most = max(int(np.abs(matrix.astype(np.int64)).max()) for matrix in matrices)
    digits = max(most.bit_length() - 1, 1)
    periods, writer = [], _Writer(digits)
    for matrix in matrices:
        weights = matrix.astype(np.int32)
        periods.append(_best_period(weights))
        writer.code(*_decisions(weights, periods[-1], digits))
    return Encoded(data=writer.finish(), periods=tuple(periods), digits=digits)


def _checked(codes: Codes) -> np.ndarray:
    """The integers of a layer, if they can be coded."""
    matrix = codes.integers
    if matrix.ndim != 2 or 0 in matrix.shape or matrix.shape[1] > MOST_COLUMNS:
        raise ValueError(
            f"{codes.name}: weights of shape {matrix.shape} cannot be coded: at least one row and "
            f"one column are needed, and {MOST_COLUMNS:,} columns are the most"
        )
    if max(-codes.lowest, codes.highest) >= 1 << MOST_DIGITS:
        raise ValueError(
            f"{codes.name}: integers from {codes.lowest} to {codes.highest} cannot be coded: the "
            f"largest magnitude is {(1 << MOST_DIGITS) - 1:,}"
        )
    return matrix


def _before(weights: np.ndarray, by: int) -> np.ndarray:
    """The weight `by` columns before each; 0 before the first column."""
    shifted = np.zeros_like(weights)
    shifted[:, by:] = weights[:, : max(weights.shape[1] - by, 0)]
    return shifted


def _zero_contexts(weights: np.ndarray, period: int) -> np.ndarray:
    """The context of "is it zero" for each weight."""
    sizes = np.minimum(np.abs(weights), 2)
    near = np.minimum(2 * _before(sizes, 1) + _before(sizes, 2), 5)
    return NONZERO + 3 * near + _before(sizes, period)


def _sign_contexts(weights: np.ndarray, period: int) -> np.ndarray:
    signs = np.where(weights > 0, 1, np.where(weights < 0, 2, 0))
    return NEGATIVE + 3 * _before(signs, 1) + _before(signs, period)


def _best_period(weights: np.ndarray) -> int:
    """The period with which zeros and signs take the fewest bits by their counts."""
    columns = weights.shape[1]
    kept = weights[weights.any(1)]
    if not len(kept):
        return 1
    live = np.broadcast_to(kept.any(0), kept.shape)
    nonzero = kept != 0
    least, best = np.inf, 1
    for period in range(1, min(MOST_PERIOD + 1, max(columns, 2))):
        bits = _length(_zero_contexts(kept, period)[live], nonzero[live])
        bits += _length(_sign_contexts(kept, period)[nonzero], (kept < 0)[nonzero])
        # Whole bits, so that the last digits of a logarithm do not choose.
        if np.ceil(bits) < least:
            least, best = np.ceil(bits), period
    return best


def _length(contexts: np.ndarray, decisions: np.ndarray) -> float:
    """About how many bits decisions take, if each context has a probability of its own."""
    counts = np.bincount(2 * contexts + decisions, minlength=2 * LONGER).reshape(-1, 2)
    known = counts.sum(1)
    share = np.log2((counts + 0.5) / (known + 1.0)[:, None])
    return float(-(counts * share).sum() + 4 * (known > 0).sum())


def _decisions(weights: np.ndarray, period: int, most_digits: int) -> tuple[np.ndarray, np.ndarray]:
    """(context, bit) of each decision of a tensor, in the order of the decoder."""
    rows, columns = weights.shape
    full, live = (np.count_nonzero(weights, axis) > 0 for axis in (1, 0))
    column = live.astype(np.int64)[None]
    # Columns come first, and their probabilities then begin anew as others': numbers of their own.
    first = LONGER + 2 * most_digits + 1
    contexts = [(first + _before(column, 1) + 2 * _before(column, period))[0]]
    bits, keys = [column[0]], [np.arange(columns)]

    def add(context: np.ndarray, bit: np.ndarray, key: np.ndarray) -> None:
        contexts.append(context)
        bits.append(bit.astype(np.int64))
        keys.append(key)

    starts = columns + np.arange(rows) * (columns * _STEPS + 1)
    add(np.full(rows, ROW), ~full, starts)
    coded = full[:, None] & live[None]
    places = (starts[:, None] + 1 + _STEPS * np.arange(columns))[coded]
    add(_zero_contexts(weights, period)[coded], weights[coded] != 0, places)

    nonzero = weights != 0
    places = (starts[:, None] + 1 + _STEPS * np.arange(columns))[nonzero]
    values = weights[nonzero].astype(np.int64)
    add(_sign_contexts(weights, period)[nonzero], values < 0, places + 1)
    magnitudes = np.abs(values)
    lengths = _digits(magnitudes)
    for digit in range(most_digits):
        asked = lengths >= digit
        add(np.full(asked.sum(), LONGER + digit), lengths[asked] > digit, places[asked] + 2 + digit)
        longer = lengths > digit
        bit = magnitudes[longer] >> (lengths[longer] - 1 - digit) & 1
        context = LONGER + most_digits - 1 + lengths[longer]  # of the digit after the first
        if digit:
            context[:] = LONGER + 2 * most_digits
        add(context, bit, places[longer] + 20 + digit)
    order = np.argsort(np.concatenate(keys), kind="stable")
    return np.concatenate(contexts)[order], np.concatenate(bits)[order]


def _digits(magnitudes: np.ndarray) -> np.ndarray:
    """How many binary digits follow the first of each."""
    return np.searchsorted(1 << np.arange(1, MOST_DIGITS), magnitudes, side="right")


class _Writer:
    """The range coder; a carry may still run through the bytes that are held back."""

    def __init__(self, digits: int) -> None:
        self.probabilities = LONGER + 2 * digits + 1 + 4
        self.low, self.range, self.data = 0, 1 << 24, bytearray()
        self.held, self.nines = -1, 0  # the last byte, and how many bytes 255 follow it

    def code(self, contexts: np.ndarray, bits: np.ndarray) -> None:
        """Code decisions, whose probabilities begin anew."""
        probabilities, slowness = [32768] * self.probabilities, [32] * self.probabilities
        for context, bit in zip(contexts.tolist(), bits.tolist(), strict=True):
            probability, slow = probabilities[context], slowness[context]
            while self.range < 1 << 24:
                self.range <<= 8
                self._shift()
            bound = (self.range >> 16) * probability
            if bit:
                self.low += bound
                self.range -= bound
                probabilities[context] = probability - (probability >> (slow >> 5))
            else:
                self.range = bound
                probabilities[context] = probability + ((65536 - probability) >> (slow >> 5))
            if slow < 224:
                slowness[context] = slow + (64 >> (slow >> 5))

    def _shift(self) -> None:
        """Move the top byte of `low` out."""
        top = self.low >> 24
        self.low = (self.low & 0xFFFFFF) << 8
        if top == 255:
            self.nines += 1
            return
        carry = top >> 8
        if self.held >= 0:
            self.data.append(self.held + carry)
        self.data.extend([(255 + carry) & 255] * self.nines)
        self.held, self.nines = top & 255, 0

    def finish(self) -> bytes:
        """The stream, without the zeros at its end, which the decoder adds."""
        for bits in range(32, -1, -8):  # the roundest number in the range
            ceiling = -(-self.low >> bits) << bits
            if ceiling < self.low + self.range:
                self.low = ceiling
                break
        for _ in range(6):
            self._shift()
        return bytes(self.data[1:]).rstrip(b"\0")  # the first byte is always 0
