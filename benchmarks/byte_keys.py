"""Typing, simulated: how many characters need not be typed when completions are taken."""

from __future__ import annotations

import lzma
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from random import Random

Completer = Callable[[str], Sequence[str]]
"""What may follow a text, the likeliest first."""
_LONGEST = 80  # characters of a line that is typed
_UNITS = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]|[\w'-]+|[^\w\s]")
_TOGETHER = 6  # units of a phrase, at most


def typed(lines: Sequence[str], count: int, seed: int) -> list[str]:
    """Lines that are typed: drawn of those of up to 80 characters."""
    short = [line for line in lines if len(line) <= _LONGEST]
    return Random(seed).sample(short, min(count, len(short)))


def saved(lines: Sequence[str], complete: Completer, shown: int) -> tuple[float, float]:
    """Shares of the characters of lines, each at most 1: (not typed, keys saved).

    Before each key the `shown` likeliest completions are looked at. Where the line goes on with
    one, the longest such is taken: its characters are not typed. For the keys that are saved,
    taking it counts as one.
    """
    keys = characters = taken = 0
    for line in lines:
        at = 0
        while at < len(line):
            fits = [len(one) for one in complete(line[:at])[:shown] if line.startswith(one, at)]
            longest = max(fits, default=0)
            taken += longest
            at += max(longest, 1)
            keys += 1
        characters += len(line)
    return taken / characters, 1 - keys / characters


class Phrases:
    """A prefix tree of the most frequent phrases of training lines, in a given number of bytes.

    A phrase is one to six words, or characters of Chinese, in a row; a whole line is one too.

    `most`: bytes that the phrases may take, with their counts, compressed by xz.
    """

    def __init__(self, lines: Sequence[str], most: int) -> None:
        counts: Counter[str] = Counter()
        for line in lines:
            spans = [match.span() for match in _UNITS.finditer(line)]
            for first in range(len(spans)):
                for last in range(first, min(first + _TOGETHER, len(spans))):
                    counts[line[spans[first][0] : spans[last][1]]] += 1
            counts[line] += 1
        ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        ordered = [one for one in ordered if one[1] > 1]
        low, high = 0, len(ordered)
        while low < high:
            middle = (low + high + 1) // 2
            if _size(ordered[:middle]) <= most:
                low = middle
            else:
                high = middle - 1
        self.bytes = _size(ordered[:low])
        self.phrases = low
        self._after: dict[str, list[str]] = defaultdict(list)  # the most frequent first
        for phrase, _ in ordered[:low]:
            for cut in range(len(phrase)):
                rest = self._after[phrase[:cut]]
                if len(rest) < 3:
                    rest.append(phrase[cut:])

    def __call__(self, text: str) -> list[str]:
        """Three completions: of the longest end of the text that begins one, then of others."""
        found: list[str] = []
        for start in _starts(text):
            for rest in self._after.get(text[start:], ()):
                if rest not in found:
                    found.append(rest)
            if len(found) >= 3:
                break
        return found[:3]


def _starts(text: str) -> list[int]:
    """Where an end of a text may begin a phrase: the last six units and the text's end."""
    places = [match.start() for match in _UNITS.finditer(text[-200:])]
    before = max(0, len(text) - 200)
    return [before + place for place in places[-_TOGETHER:]] + [len(text)]


def _size(phrases: Sequence[tuple[str, int]]) -> int:
    """The bytes of phrases in alphabetical order with their counts, compressed by xz."""
    text = "\n".join(f"{phrase}\t{count}" for phrase, count in sorted(phrases))
    return len(lzma.compress(text.encode("utf-8", "replace"), preset=9))
