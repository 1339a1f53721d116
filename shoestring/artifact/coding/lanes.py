"""Codes bytes in lanes: many streams side by side, which vector operations decode together.

The coder is range asymmetric numeral systems (Duda 2013) with static tables, interleaved (Giesen
2014): symbol i belongs to lane i modulo the number of lanes, each lane has a state of 32 bits, and
all lanes share one list of words of 16 bits, which they take in the order of their symbols.
`docs/format.md` specifies it. A symbol has one of several tables, chosen for each segment of the
symbols, because the rows of a weight differ in scale.

Plain numpy decodes 100 million symbols a second, all lanes at once. Where numba is installed (the
extra `fast`), the loops of `lanes_loop.py` take a fifth of that time. Where the processor has
AVX-512 besides, `lanes_vectors.py` takes a quarter of that for large planes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from shoestring.artifact.coding import lanes_loop, lanes_vectors
from shoestring.artifact.coding.lane_sizes import LOWEST, PRECISION, SEGMENT, TOTAL

MOST_LANES = 1 << 11
STEPS = 1 << 10  # a lane has so many symbols or more, so that a step is worth its time
MOST_TABLES = 8
_ROUNDS = 2  # of clustering
_NOISE = 0.997  # several tables do not help where one saves less than the rest
_NOISE_BITS, _SAMPLED = 7.95, 1 << 14  # bytes of so many bits in a sample of so many are noise
COMPILED_FROM = 1 << 23
"""So many symbols take numpy as long as the compiled loops take to load."""


def lanes_for(count: int) -> int:
    """The number of lanes of `count` symbols, a power of two."""
    return 1 << min(max(count // STEPS, 1).bit_length() - 1, MOST_LANES.bit_length() - 1)


@dataclass(frozen=True)
class Tables:
    """The frequencies of bytes.

    `lowest`: the least byte that has one.
    `frequencies`: tables × bytes from the lowest on, each row with the sum TOTAL.
    `choice`: the table of each segment, an index into the rows.
    `bytes`: about how many bytes the coded bytes and the tables take.
    """

    lowest: int
    frequencies: np.ndarray
    choice: np.ndarray
    bytes: float = 0.0

    def all(self) -> np.ndarray:
        """Tables × 256: the frequency of each byte."""
        whole = np.zeros((len(self.frequencies), 256), np.int64)
        whole[:, self.lowest : self.lowest + self.frequencies.shape[1]] = self.frequencies
        return whole

    def slots(self) -> tuple[np.ndarray, np.ndarray]:
        """(byte, its frequency + 2^16 × distance from its start) of each of TOTAL numbers.

        Both are tables × TOTAL, as uint8 and uint32.
        """
        symbols = np.empty((len(self.frequencies), TOTAL), np.uint8)
        steps = np.empty((len(self.frequencies), TOTAL), np.uint32)
        every, numbers = np.arange(256), np.arange(TOTAL)
        for row, frequencies in enumerate(self.all()):
            symbols[row] = np.repeat(every, frequencies)
            starts = np.cumsum(frequencies) - frequencies
            found = symbols[row]
            steps[row] = frequencies[found] | (numbers - starts[found]) << 16
        return symbols, steps


def is_noise(plane: np.ndarray) -> bool:
    """Whether coding the bytes saves almost nothing, judged on a sample."""
    if len(plane) < 2 * _SAMPLED:
        return False
    counts = np.bincount(plane[:: len(plane) // _SAMPLED], minlength=256)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum()) > _NOISE_BITS


def tables_for(plane: np.ndarray, fast: bool) -> Tables:
    """The tables with which bytes take the fewest bits of those tried: one table, or several.

    `plane`: one byte or more.
    `fast`: whether to use the compiled loops.
    """
    segments = -(-len(plane) // SEGMENT)
    counts = _histograms(plane, segments, fast)
    used = np.flatnonzero(counts.any(0))
    lowest = int(used[0])
    counts = counts[:, lowest : int(used[-1]) + 1]
    one = _weighed(lowest, counts, np.zeros(segments, np.uint8))
    number = min(MOST_TABLES, segments // 8)
    if number < 2 or one.bytes > _NOISE * len(plane):
        return one
    _, choice = np.unique(_clusters(counts, number), return_inverse=True)
    several = _weighed(lowest, counts, choice.astype(np.uint8))
    return min(one, several, key=lambda tables: tables.bytes)


def _weighed(lowest: int, counts: np.ndarray, choice: np.ndarray) -> Tables:
    """The tables for segments with these counts (segments × bytes), given the choice of each."""
    grouped = _grouped(counts, choice, int(choice.max()) + 1)
    frequencies = _normalised(grouped)
    chances = np.maximum(frequencies, 1) / TOTAL
    bits = -(grouped * np.log2(chances)).sum()
    sizes = frequencies.size + np.count_nonzero(frequencies > 127)
    size = bits / 8 + sizes + len(choice) * (len(grouped) > 1)
    return Tables(lowest, frequencies, choice, float(size))


def _histograms(plane: np.ndarray, segments: int, fast: bool) -> np.ndarray:
    """Segments × 256: how often each byte occurs in each segment."""
    if fast:
        return lanes_loop.compiled().histograms(plane, segments, SEGMENT)
    return np.stack(
        [
            np.bincount(plane[start : start + SEGMENT], minlength=256)
            for start in range(0, segments * SEGMENT, SEGMENT)
        ]
    )


def _clusters(counts: np.ndarray, number: int) -> np.ndarray:
    """The table of each segment, where segments with like counts share one of `number` tables."""
    # Products of matrices would start threads in each of our threads, which then wait for each
    # other: `einsum` starts none.
    mean = np.einsum("sb,b->s", counts, np.arange(counts.shape[1])) / counts.sum(1)
    choice = np.argsort(np.argsort(mean, kind="stable"), kind="stable") * number // len(mean)
    exact = counts.astype(np.float64)
    for _ in range(_ROUNDS):
        grouped = _grouped(counts, choice, number) + 0.01
        logs = np.log2(grouped / grouped.sum(1, keepdims=True))
        choice = np.argmax(np.einsum("sb,tb->st", exact, logs), 1)
    return choice


def _grouped(counts: np.ndarray, choice: np.ndarray, number: int) -> np.ndarray:
    """The sum of the counts of all segments that have the same choice, for each of `number`."""
    return np.stack([counts[choice == table].sum(0) for table in range(number)])


def _normalised(counts: np.ndarray) -> np.ndarray:
    """Frequencies in proportion to counts: rows with the sum TOTAL, 1 or more where a count is."""
    made = np.zeros(counts.shape, np.int64)
    for row, count in enumerate(counts):
        exact = count * (TOTAL / count.sum())
        found = np.where(count > 0, np.maximum(exact.astype(np.int64), 1), 0)
        missing = TOTAL - int(found.sum())
        if missing > 0:
            order = np.argsort(found - exact, kind="stable")
            order = order[count[order] > 0]
            found[order[np.arange(missing) % len(order)]] += 1 + (missing // len(order) > 1)
            found[int(np.argmax(found))] += TOTAL - int(found.sum())
        while missing < 0:  # rare symbols took more than their share: common ones give it
            taken = min(-missing, int(found.max()) // 8 + 1)
            found[int(np.argmax(found))] -= taken
            missing += taken
        made[row] = found
    return made


def _compiled(lanes: int, count: int) -> Any:
    """What codes so many symbols in so many lanes the fastest: it has `encode` and `decode`."""
    loops = lanes_loop.compiled()  # also where they are not used: others ask whether they are there
    return lanes_vectors if lanes_vectors.suits(lanes, count) else loops


def encode(
    symbols: np.ndarray, tables: Tables, carried: np.ndarray, fast: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(the state of each lane as uint32, the words as uint16), as a decoder starts with them.

    `symbols`: uint8, each with a frequency in its table.
    `carried`: a number below 2^16 for each lane, which the decoder is left with (uint16).
    """
    states = carried.astype(np.uint32) | np.uint32(LOWEST)
    frequencies = tables.all()
    starts = np.cumsum(frequencies, 1) - frequencies
    if fast:
        coder = _compiled(len(states), len(symbols))
        return coder.encode(symbols, frequencies, starts, tables.choice, states)
    return _encode(symbols, frequencies, starts, tables.choice, states)


def _encode(
    symbols: np.ndarray,
    frequencies: np.ndarray,
    starts: np.ndarray,
    choice: np.ndarray,
    states: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    lanes, at = len(states), len(symbols) + 1
    words = np.empty(at, np.uint16)
    # A symbol's state is divided by its frequency: exact in a double, since both are below 2^32.
    kept = [
        (f.astype(np.uint32), f.astype(np.float64), (TOTAL - f).astype(np.uint32),
         s.astype(np.uint32))
        for f, s in zip(frequencies, starts, strict=True)
    ]  # fmt: skip
    shift, sixteen = np.uint32(32 - PRECISION), np.uint32(16)
    for start in reversed(range(0, len(symbols), lanes)):
        found = symbols[start : start + lanes].astype(np.intp)
        state = states[: len(found)]
        frequency, divisor, rest, first = kept[choice[start // SEGMENT]]
        full = np.flatnonzero((state >> shift) >= frequency.take(found))
        words[at - len(full) : at] = state[full]
        at -= len(full)
        state[full] >>= sixteen
        quotient = (state / divisor.take(found)).astype(np.uint32)
        quotient *= rest.take(found)
        state += quotient
        state += first.take(found)
    return states, words[at:]


def decode(
    words: np.ndarray, states: np.ndarray, tables: Tables, count: int, fast: bool
) -> np.ndarray | None:
    """The symbols as uint8; None where they do not use all the words, or more.

    `words`, `states`: as `encode` made them; `states` is left as `encode` began, which the caller
        checks.
    `count`: how many symbols there are.
    """
    symbols, steps = tables.slots()
    out = np.empty(count, np.uint8)
    if fast or lanes_vectors.pays(len(states), count):
        coder = _compiled(len(states), count) if fast else lanes_vectors
        used = coder.decode(words, states, symbols, steps, tables.choice, out)
        return out if used == len(words) else None
    return _decode(words, states, symbols, steps, tables.choice, out)


def _decode(
    words: np.ndarray,
    states: np.ndarray,
    symbols: np.ndarray,
    steps: np.ndarray,
    choice: np.ndarray,
    out: np.ndarray,
) -> np.ndarray | None:
    lanes, at = len(states), 0
    precision, mask, sixteen = np.uint32(PRECISION), np.uint32(TOTAL - 1), np.uint32(16)
    low, lowest = np.uint32(65535), np.uint32(LOWEST)
    step, factor = np.empty(lanes, np.uint32), np.empty(lanes, np.uint32)
    for start in range(0, len(out), lanes):
        found = out[start : start + lanes]
        table = choice[start // SEGMENT]
        state = states[: len(found)]
        step, factor = step[: len(found)], factor[: len(found)]
        slot = (state & mask).astype(np.intp)
        steps[table].take(slot, out=step, mode="clip")
        symbols[table].take(slot, out=found, mode="clip")
        np.right_shift(state, precision, out=state)
        np.bitwise_and(step, low, out=factor)
        np.multiply(state, factor, out=state)
        np.right_shift(step, sixteen, out=step)
        np.add(state, step, out=state)
        short = np.flatnonzero(state < lowest)
        end = at + len(short)
        if end > len(words):
            return None
        state[short] = state[short] << sixteen | words[at:end]
        at = end
    return out if at == len(words) else None
