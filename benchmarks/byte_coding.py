"""Texts coded with a model's probabilities, without loss, and by compressors after other text."""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from random import Random
from typing import Any

import numpy as np
import zstandard
from constriction import stream  # pyright: ignore[reportAttributeAccessIssue]

from shoestring.artifact import Loaded

AT_ONCE = 128  # lines that are coded together
END = 10
_FAMILY = stream.model.Categorical(perfect=False)
_DICTIONARY = 1 << 26  # bytes that xz and zstd look back
_TURNS = 16  # ways to turn the text before a line that is coded alone
Coder = Callable[[bytes, bytes], int]
"""How many bytes a text takes after another one."""


def coded(loaded: Loaded, lines: Sequence[bytes]) -> bytes:
    """Lines, coded in 32-bit words with the probabilities that a file gives; none has a line end.

    Each line is predicted on its own; 128 of them are coded side by side, a byte of each in turn.
    """
    encoder = stream.queue.RangeEncoder()
    for some in _together(lines):
        texts = [np.frombuffer(line + b"\n", np.uint8) for line in some]
        reading = Reading(loaded, len(some))
        while len(reading.rows):
            symbols = np.array([texts[row][reading.at] for row in reading.rows], np.int32)
            encoder.encode(symbols, _FAMILY, reading.probabilities())
            reading.read(symbols)
    words = encoder.get_compressed()
    return len(lines).to_bytes(4, "little") + words.astype("<u4").tobytes()


def decoded(loaded: Loaded, code: bytes) -> list[bytes]:
    """The lines that `coded` has coded, given the same file."""
    count = int.from_bytes(code[:4], "little")
    decoder = stream.queue.RangeDecoder(np.frombuffer(code[4:], "<u4").astype(np.uint32))
    lines = [bytearray() for _ in range(count)]
    for some in _together(lines):
        reading = Reading(loaded, len(some))
        while len(reading.rows):
            found = decoder.decode(_FAMILY, reading.probabilities())
            symbols = np.asarray(found, np.int32)
            for row, symbol in zip(reading.rows.tolist(), symbols.tolist(), strict=True):
                if symbol != END:
                    some[row].append(symbol)
            reading.read(symbols)
    return [bytes(line) for line in lines]


def _together(lines: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for at in range(0, len(lines), AT_ONCE):
        yield lines[at : at + AT_ONCE]


class Reading:
    """Lines that are read side by side.

    `rows`: the numbers of those that have not ended; `at`: how many bytes of them were read.
    """

    def __init__(self, loaded: Loaded, count: int) -> None:
        self.loaded = loaded
        self.rows = np.arange(count)
        self.at = 0
        self._scores, self._state = loaded.stepped(np.full(count, END, np.int64), None)

    def probabilities(self) -> np.ndarray:
        """Those of the next byte of each row, N×256 (float32)."""
        return np.ascontiguousarray(np.exp(self._scores), np.float32)

    def read(self, symbols: np.ndarray) -> None:
        """Go on with a byte of each row; rows end with the byte of a line end."""
        kept = symbols != END
        self.rows = self.rows[kept]
        self.at += 1
        if len(self.rows):
            ids = symbols[kept].astype(np.int64)
            self._scores, self._state = self.loaded.stepped(ids, self._state[kept])


def xz(before: bytes, text: bytes) -> int:
    """By xz at its best settings; the text before stands before it, and is not counted."""
    return _xz(before + text) - (_xz(before) if before else 0)


@lru_cache(4 * _TURNS)
def _xz(text: bytes) -> int:
    best = 9 | lzma.PRESET_EXTREME
    filters = [{"id": lzma.FILTER_LZMA2, "preset": best, "dict_size": _DICTIONARY}]
    return len(lzma.compress(text, format=lzma.FORMAT_RAW, filters=filters))


def zstd(before: bytes, text: bytes) -> int:
    """By zstd at level 22, with the text before as its dictionary."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        22, window_log=26, write_checksum=False, write_content_size=False
    )
    kind = zstandard.DICT_TYPE_RAWCONTENT
    dictionary = zstandard.ZstdCompressionDict(before, dict_type=kind) if before else None
    coder = zstandard.ZstdCompressor(compression_params=parameters, dict_data=dictionary)
    return len(coder.compress(text))


def ppm(order: int) -> Coder:
    """By PPMd, variant H, of an order; raises ImportError where pyppmd is not installed."""
    import pyppmd  # pyright: ignore[reportMissingImports]

    @lru_cache(4 * _TURNS)
    def size(text: bytes) -> int:
        return len(pyppmd.compress(text, max_order=order, mem_size=1 << 28, variant="H"))

    return lambda before, text: size(before + text) - (size(before) if before else 0)


def alone(coder: Coder, before: bytes, lines: Sequence[str]) -> float:
    """Bytes that lines take, each coded alone after the text before; meant for many lines.

    A line takes what it adds to the text before, less what no line at all takes (the frame of
    zstd). That is a whole number of bytes, so what a byte of the text before has left would be
    counted with each line: the text is turned in 16 ways, and each line stands after another one.
    """
    starts = [0, *(place + 1 for place, byte in enumerate(before[:-1]) if byte == END)]
    cuts = [starts[len(starts) * turn // _TURNS] for turn in range(_TURNS)] if before else [0]
    turned = [before[cut:] + before[:cut] for cut in cuts]
    empty = [coder(one, b"") for one in turned]
    return sum(
        coder(turned[number % len(turned)], joined([line])) - empty[number % len(turned)]
        for number, line in enumerate(lines)
    )


def that_fits(lines: Sequence[str], most: int, coder: Coder, seed: int) -> bytes:
    """As many training lines as the coder itself codes in `most` bytes, in an order drawn once."""
    ordered = list(lines)
    Random(seed).shuffle(ordered)
    low, high = 0, len(ordered)
    while low < high:  # the largest number of lines that fits
        middle = (low + high + 1) // 2
        if coder(b"", joined(ordered[:middle])) <= most:
            low = middle
        else:
            high = middle - 1
    return joined(ordered[:low])


def joined(lines: Sequence[str]) -> bytes:
    """Lines in UTF-8, with a line end after each."""
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
