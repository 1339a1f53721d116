"""The order of words by brackets: a span is cut in two, which stay as they are or change places.

This is bracketing transduction grammar (BTG; Wu 1997), decided from the top down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shoestring.artifact.wire import ShoeError

SLOTS = 8
"""What a decision sees: the words before a span, its first, the one before the cut, the one after
it, its last and the one after the span, and the means of both parts."""
TURNS = ("straight", "inverted")
"""What becomes of the two parts of a span."""
_LARGEST = 1e30
_BEFORE, _FIRST, _LEFT, _RIGHT, _LAST, _AFTER, _MEAN_LEFT, _MEAN_RIGHT = range(SLOTS)


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Spans of words of sentences that stand one after the other.

    `first`, `end`: each span's first word, and the one after its last, S.
    `begin`, `stop`: the same of its sentence, S.
    """

    first: np.ndarray
    end: np.ndarray
    begin: np.ndarray
    stop: np.ndarray

    def __len__(self) -> int:
        """How many spans there are."""
        return len(self.first)

    def kept(self, which: np.ndarray) -> Spans:
        """Some of the spans."""
        return Spans(
            first=self.first[which],
            end=self.end[which],
            begin=self.begin[which],
            stop=self.stop[which],
        )


class Decisions:
    """Decides where spans are cut, from what a network gave for each word.

    The score of a cut and a turn is the sum of hidden units, of which the first half count for it
    and the second half against it. A hidden unit is the positive part of a sum over the slots: of
    what the network gave the word in the slot.

    `given`: P×(2·SLOTS·units): for each turn, for each slot, the units.
    Raises ShoeError where a number is NaN or 1e30 and more: of such no cut is the best.
    """

    def __init__(self, given: np.ndarray) -> None:
        if not (np.abs(given) < _LARGEST).all():
            raise ShoeError("the network gives NaN or numbers of 1e30 and more: no order follows")
        places, width = given.shape
        self.units = width // (len(TURNS) * SLOTS)
        parts = given.reshape(places, len(TURNS), SLOTS, self.units).transpose(2, 0, 1, 3)
        flat = parts.reshape(SLOTS, places, len(TURNS) * self.units)
        # No word stands before the first and after the last: zeros, at the place -1.
        self.slots = [np.concatenate([one, np.zeros((1, one.shape[1]), one.dtype)]) for one in flat]
        self.sums = []
        for one in flat[[_MEAN_LEFT, _MEAN_RIGHT]]:
            sums = np.zeros((places + 1, one.shape[1]))
            np.cumsum(one, 0, out=sums[1:])
            self.sums.append(sums)
        sign_U = np.ones(self.units, np.float32)
        sign_U[self.units // 2 :] = -1
        self.sign_U = sign_U

    def scores(self, spans: Spans) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The scores of all cuts of all spans, C×2; of each its span, and the word after it (C)."""
        first, end = spans.first, spans.end
        counts = end - first - 1
        span_C = np.repeat(np.arange(len(spans)), counts)
        cut_C = np.arange(len(span_C)) - np.repeat(np.cumsum(counts) - counts, counts)
        cut_C += first[span_C] + 1
        around = self.slots[_BEFORE][np.where(first > spans.begin, first - 1, -1)]
        around = around + self.slots[_FIRST][first]
        around += self.slots[_LAST][end - 1]
        around += self.slots[_AFTER][np.where(end < spans.stop, end, -1)]
        left, right = self.sums
        hidden = around[span_C]
        hidden += self.slots[_LEFT][cut_C - 1]
        hidden += self.slots[_RIGHT][cut_C]
        first_C, end_C = first[span_C], end[span_C]
        hidden += (left[cut_C] - left[first_C]) / (cut_C - first_C)[:, None]
        hidden += (right[end_C] - right[cut_C]) / (end_C - cut_C)[:, None]
        np.maximum(hidden, 0, out=hidden)
        return hidden.reshape(-1, len(TURNS), self.units) @ self.sign_U, span_C, cut_C

    def best(self, spans: Spans) -> tuple[np.ndarray, np.ndarray]:
        """Of each span the cut with the highest score, and whether its parts change places (S)."""
        scores_C2, span_C, cut_C = self.scores(spans)
        inverted_C = scores_C2[:, 1] > scores_C2[:, 0]
        highest_C = np.where(inverted_C, scores_C2[:, 1], scores_C2[:, 0])
        starts = np.searchsorted(span_C, np.arange(len(spans)))
        best = np.flatnonzero(highest_C == np.maximum.reduceat(highest_C, starts)[span_C])
        chosen = best[np.searchsorted(span_C[best], np.arange(len(spans)))]  # of equals the first
        return cut_C[chosen], inverted_C[chosen]


Decide = Callable[[Spans], tuple[np.ndarray, np.ndarray]]
"""Spans of two words or more to the cut of each, and whether its parts change places."""


def ordered(lengths: np.ndarray, decide: Decide) -> np.ndarray:
    """The words of sentences that stand one after the other, in their new order: P places.

    The spans of all sentences are decided together, the largest first.

    `lengths`: of each sentence in words, N.
    """
    stop = np.cumsum(lengths)
    spans = Spans(first=stop - lengths, end=stop, begin=stop - lengths, stop=stop)
    spans = spans.kept(lengths > 0)
    target = spans.first.copy()  # the place where the span's words go
    order = np.zeros(int(lengths.sum()), np.int64)
    while len(spans):
        single = spans.end - spans.first == 1
        order[target[single]] = spans.first[single]
        spans, target = spans.kept(~single), target[~single]
        if not len(spans):
            break
        cut, inverted = decide(spans)
        after_left = target + np.where(inverted, spans.end - cut, 0)
        after_right = target + np.where(inverted, 0, cut - spans.first)
        spans = Spans(
            first=np.concatenate([spans.first, cut]),
            end=np.concatenate([cut, spans.end]),
            begin=np.concatenate([spans.begin, spans.begin]),
            stop=np.concatenate([spans.stop, spans.stop]),
        )
        target = np.concatenate([after_left, after_right])
    return order
