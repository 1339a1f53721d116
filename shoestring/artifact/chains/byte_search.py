"""The likeliest ways to go on with a text, by a beam search over bytes.

`web/complete/search.js` is the same search: change both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any

import numpy as np

from shoestring.artifact.wire import ShoeError

Step = Callable[[np.ndarray, Any], tuple[np.ndarray, np.ndarray]]
"""A byte of each beam N (int64) and states N×H, or None for the first ones, to log-probabilities
N×256 in nats and the next states."""

_LINE_END, _SPACE = 0x0A, 0x20
_SURE = log(0.5)
_MOST = 0.01  # of a log-probability: 0, and what rounding adds
# What a piece of text has so far: nothing, a space, characters of a word, or a character that is a
# word of its own.
_NOTHING, _SPACED, _WORD, _SINGLE = range(4)
_ENDS = np.array([byte == _LINE_END for byte in range(256)])


@dataclass(frozen=True)
class Completion:
    """What may follow a text.

    `text`: whole characters, to the end of a word.
    `probability`: that the text goes on so, 0 to 1.
    """

    text: str
    probability: float


@dataclass(slots=True)
class Beam:
    """A beginning of a completion.

    `text`: its bytes.
    `likely`: its log-probability.
    `kind`: what its last piece has so far.
    `lead`: the first byte of a character of which bytes are missing; 0 at the end of one.
    `missing`: how many.
    `before`: the state of the network before its last byte.
    """

    text: bytes
    likely: float
    kind: int
    lead: int
    missing: int
    before: Any

    def longer(self, byte: int, likely: float, before: Any) -> Beam:
        """The beam with one more byte."""
        text = self.text + bytes([byte])
        if self.missing:
            left = self.missing - 1
            return Beam(text, likely, self.kind, self.lead if left else 0, left, before)
        left = int(_MISSING[byte])
        return Beam(text, likely, int(_KIND[byte]), byte if left else 0, left, before)

    @property
    def whole(self) -> bool:
        """Whether it is a character that is a word of its own."""
        return self.kind == _SINGLE and not self.missing


def completions(
    prefix: bytes, step: Step, *, top: int, beams: int, longest: int
) -> list[Completion]:
    """The likeliest completions of a text, the likeliest first; fewer where there are no more.

    A completion is, after a space or none, the rest of a word or a word: letters, digits, ', - and
    _ in a row, or one character of Chinese, Japanese or punctuation. Its probability is that of its
    bytes and of the end of the word. The likeliest `top` are found; then each goes on, word by
    word, where its likeliest next word has a probability of a half or more. None goes over a line's
    end.

    `prefix`: the bytes of the text, 1 or more, which the network reads first.
    `beams`: how many beginnings are followed at a time; `longest`: bytes of a completion, at most.
    """
    state: Any = None
    for byte in prefix[:-1]:
        _, state = step(np.array([byte], np.int64), state)
    live = [Beam(prefix[-1:], 0.0, _NOTHING, 0, 0, None if state is None else state[0])]
    spaced = prefix[-1] not in (_LINE_END, _SPACE)
    found = list[tuple[float, Beam]]()
    while live and not _done(found, live, top):
        scores, states = _run(step, live)
        found += _ended(live, scores)
        longer = _longer(live, scores, states, beams, spaced=spaced)
        found += [(one.likely, one) for one in longer if one.whole]
        found = sorted(found, key=_first, reverse=True)[:top]
        live = [one for one in longer if not one.whole and len(one.text) - 1 < longest]
    grown = sorted(_grown(found, step, longest), key=_first, reverse=True)
    return [Completion(one[1:].decode(), exp(likely)) for likely, one in grown]


def _first(pair: tuple[float, Any]) -> float:
    return pair[0]


def _done(found: Sequence[tuple[float, Beam]], live: Sequence[Beam], top: int) -> bool:
    """Whether no live beam can become one of the likeliest."""
    return len(found) == top and max(one.likely for one in live) <= found[-1][0]


def _run(step: Step, live: Sequence[Beam]) -> tuple[np.ndarray, np.ndarray]:
    """The log-probabilities after each beam (float64), and the states."""
    last = np.array([one.text[-1] for one in live], np.int64)
    before = None if live[0].before is None else np.stack([one.before for one in live])
    scores, states = step(last, before)
    if not (scores <= _MOST).all():
        raise ShoeError("the network gives NaN or numbers above 0, which are no log-probabilities")
    return scores.astype(np.float64), states


def _ended(live: Sequence[Beam], scores: np.ndarray) -> list[tuple[float, Beam]]:
    """The beams that are words, with the log-probability that they end here."""
    return [
        (one.likely + _end(row), one)
        for one, row in zip(live, scores, strict=True)
        if one.kind == _WORD and not one.missing
    ]


def _end(scores: np.ndarray) -> float:
    """The log-probability that a word ends before the next byte."""
    return log(max(float(np.exp(scores[_BREAKS]).sum()), 1e-300))


def _longer(
    live: Sequence[Beam], scores: np.ndarray, states: np.ndarray, beams: int, *, spaced: bool
) -> list[Beam]:
    """The likeliest beams with one more byte. `spaced`: whether the first byte may be a space."""
    allowed = np.stack([_allowed(one, spaced=spaced) for one in live])
    likely = np.where(allowed, scores + [[one.likely] for one in live], -np.inf).reshape(-1)
    order = np.argsort(-likely, kind="stable")[:beams]
    return [
        live[at // 256].longer(at % 256, float(likely[at]), states[at // 256])
        for at in order.tolist()
        if likely[at] > -np.inf
    ]


def _allowed(one: Beam, *, spaced: bool) -> np.ndarray:
    """Which bytes may follow within a piece."""
    if one.missing:
        return _continues(one)
    if one.kind == _NOTHING and not spaced:
        return _STARTS
    return _AFTER[one.kind]


def _continues(one: Beam) -> np.ndarray:
    """Which bytes go on with a character, by the table of well-formed bytes of Unicode."""
    started = one.missing < _MISSING[one.lead]
    return _RANGES.get(0 if started else one.lead, _RANGES[0])


def _grown(
    found: Sequence[tuple[float, Beam]], step: Step, longest: int
) -> list[tuple[float, bytes]]:
    """Completions with the words that follow them almost surely, and their log-probabilities."""
    kept = [(likely, one.text) for likely, one in found]
    growing = [(at, one) for at, (_, one) in enumerate(found)]
    while growing:
        scores, states = _run(step, [one for _, one in growing])
        following = list[tuple[int, Beam]]()
        for (at, one), row, state in zip(growing, scores, states, strict=True):
            likely, text = kept[at]
            if one.kind == _WORD and not one.missing and len(one.text) > len(text):
                ended = one.likely + _end(row)
                if ended >= likely + _SURE:
                    likely, text = kept[at] = ended, one.text
            options = _options(one, len(one.text) == len(text))
            byte = int(np.where(options, row, -np.inf).argmax())
            more = one.longer(byte, one.likely + float(row[byte]), state)
            if byte == _LINE_END or more.likely < likely + _SURE or len(more.text) - 1 > longest:
                continue
            if more.whole:
                kept[at] = more.likely, more.text
            following.append((at, more))
        growing = following
    return kept


def _options(one: Beam, at_end: bool) -> np.ndarray:
    """Which bytes may follow while a completion grows. `at_end`: whether it ends with a word."""
    if one.missing:
        return _continues(one)
    if at_end:  # a new piece begins; after a word, one that is apart from it
        return _BREAKS if one.kind == _WORD else _BREAKS | _STARTS
    return _AFTER[one.kind]


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Of each byte that begins a character: what it is, and how many bytes follow it."""
    kind = np.full(256, -1)
    kind[0x21:0x7F] = _SINGLE
    kind[_SPACE] = _SPACED
    kind[[*b"0123456789'-_"]] = _WORD
    kind[[byte for byte in range(0x41, 0x7B) if chr(byte).isalpha()]] = _WORD
    kind[0xC2] = _SINGLE  # signs
    kind[0xC3:0xE2] = _WORD  # letters of Europe, India and others
    kind[0xE2:0xF5] = _SINGLE
    kind[0xEA:0xEE] = _WORD  # Korean
    missing = np.zeros(256, np.int64)
    missing[0xC2:0xE0], missing[0xE0:0xF0], missing[0xF0:0xF5] = 1, 2, 3
    return kind, missing


def _between(first: int, last: int) -> np.ndarray:
    return (np.arange(256) >= first) & (np.arange(256) <= last)


_KIND, _MISSING = _tables()
_STARTS = (_KIND == _WORD) | (_KIND == _SINGLE)
_BREAKS = _ENDS | (_KIND == _SPACED) | (_KIND == _SINGLE)
_AFTER = {
    _NOTHING: _STARTS | (_KIND == _SPACED),
    _SPACED: _STARTS,
    _WORD: _KIND == _WORD,
    _SINGLE: np.zeros(256, bool),
}
_RANGES = {
    0: _between(0x80, 0xBF),
    0xC2: _between(0xA0, 0xBF),  # without control characters
    0xE0: _between(0xA0, 0xBF),
    0xED: _between(0x80, 0x9F),
    0xF0: _between(0x90, 0xBF),
    0xF4: _between(0x80, 0x8F),
}
