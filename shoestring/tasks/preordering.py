"""Putting the words of sentences into another order, as a Task, and how well it is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shoestring.artifact import BracketedWords, InputChain
from shoestring.artifact.chains.bracketing import SLOTS, TURNS, Decisions, Spans, ordered
from shoestring.core.kinds import Numbers
from shoestring.kit import Supervised

_NO_RANK = -1
_DERIVATIONS = 2  # of a training sentence
_LONGEST = 100  # words of a training sentence


@dataclass(frozen=True, kw_only=True)
class Reordered:
    """A sentence and the order that its words should have.

    `words`: as they are written.
    `order`: the place of each word, from 0, in the new order.

    Raises ValueError where `order` is no order of the words.
    """

    words: tuple[str, ...]
    order: tuple[int, ...]

    def __post_init__(self) -> None:
        if sorted(self.order) != [*range(len(self.words))]:
            raise ValueError(
                f"{self.order[:8]} is no order of the {len(self.words)} words "
                f"{' '.join(self.words[:6])!r}"
            )

    @property
    def ranks(self) -> list[int]:
        """Of each word the place where it goes."""
        return np.argsort(self.order).tolist()


def preordering(
    train: Sequence[Reordered],
    validation: Sequence[Reordered],
    test: Sequence[Reordered],
    *,
    step: BracketedWords,
    words: int = 1024,
    name: str = "preordering",
) -> Supervised:
    """Ids N×T×K of words, and numbers for each, N×T×(2·SLOTS·units), that decide their order.

    The score is the share of pairs of words that are in the right order, 0 to 1, the mean over
    sentences of two words or more: (1 + Kendall's tau) / 2.

    The network learns decisions: of the spans of two ways, drawn at random, to reach the order by
    brackets, the probability of the cuts that keep it reachable; a span that no cut allows is left
    out. Sentences of one word, and in training those of more than 100, are left out.

    `words`: of a batch, about; a batch has sentences of about one length.
    Raises ValueError where no training sentence is left.
    """
    chosen = [one for one in train if 1 < len(one.words) <= _LONGEST]
    if not chosen:
        raise ValueError("no training sentence has two words or more: give longer ones")
    splits = (
        _Batches(chosen, step, words, shuffled=True),
        *(
            _Batches([s for s in some if 1 < len(s.words) <= step.most], step, words)
            for some in (validation, test)
        ),
    )
    return Supervised.from_loaders(
        *splits,
        name=name,
        criterion=_loss,
        merit=_pairs_right,
        kinds=Numbers(2),
        axes={1: "T"},
        input_chain=InputChain(steps=(step,), labels=TURNS),
    )


@dataclass(frozen=True, eq=False)
class _Batches:
    """Batches of (ids N×T×K, targets N×T×(1 + 2·ways)): ranks, and first words and ends of spans.

    Padding has the rank -1; where there is no span its end is 0.
    """

    sentences: Sequence[Reordered]
    step: BracketedWords
    words: int
    shuffled: bool = False
    _targets: list[np.ndarray] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        draw = np.random.default_rng(0)
        for one in self.sentences:
            target = np.zeros((len(one.words), 1 + 2 * _DERIVATIONS), np.int64)
            target[:, 0] = ranks = one.ranks
            for way in range(_DERIVATIONS if self.shuffled else 0):
                spans = derivation(ranks, draw)
                target[: len(spans), 1 + 2 * way : 3 + 2 * way] = spans
            self._targets.append(target)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        numbers = np.arange(len(self.sentences))
        parts = self._parts(torch.randperm(len(numbers)).numpy() if self.shuffled else numbers)
        if self.shuffled:
            parts = [parts[at] for at in torch.randperm(len(parts)).tolist()]
        for part in parts:
            ids = self.step.of_sentences([self.sentences[at].words for at in part])
            targets = np.zeros((*ids.shape[:2], 1 + 2 * _DERIVATIONS), np.int64)
            targets[:, :, 0] = _NO_RANK
            for row, at in enumerate(part.tolist()):
                targets[row, : len(self._targets[at])] = self._targets[at]
            yield torch.from_numpy(ids), torch.from_numpy(targets)

    def _parts(self, order: np.ndarray) -> list[np.ndarray]:
        lengths = np.array([len(self.sentences[at].words) for at in order])
        order = order[np.argsort(lengths, kind="stable")]
        batch = np.cumsum(np.sort(lengths)) // self.words
        return np.split(order, np.flatnonzero(np.diff(batch)) + 1)


def derivation(ranks: Sequence[int], draw: np.random.Generator) -> list[tuple[int, int]]:
    """The spans (first word, the one after the last) of one way to put words in order by brackets.

    Each cut is drawn from those that keep the order reachable. Where none does, the cut is the one
    that leaves the fewest pairs in the wrong order, and the span is not among the answers. Spans of
    one word are not either.

    `ranks`: of each word the place where it goes.
    """
    found: list[tuple[int, int]] = []
    waiting = [(0, len(ranks))]
    while waiting:
        first, end = waiting.pop()
        if end - first < 2:
            continue
        cuts = allowed(ranks[first:end])
        if cuts:
            found.append((first, end))
            cut = cuts[int(draw.integers(len(cuts)))][0]
        else:
            cut = least_wrong(ranks[first:end])[0]
        waiting += [(first, first + cut), (first + cut, end)]
    return found


def allowed(ranks: Sequence[int]) -> list[tuple[int, bool]]:
    """The cuts of a span after which the order can be reached, and whether the parts then turn.

    A cut is the number of words before it.
    """
    low, high = [*accumulate(ranks, min)], [*accumulate(ranks, max)]
    low_after = [*accumulate(reversed(ranks), min)][::-1]
    high_after = [*accumulate(reversed(ranks), max)][::-1]
    cuts = range(1, len(ranks))
    straight = [(cut, False) for cut in cuts if high[cut - 1] < low_after[cut]]
    return straight + [(cut, True) for cut in cuts if low[cut - 1] > high_after[cut]]


def least_wrong(ranks: Sequence[int]) -> tuple[int, bool]:
    """The cut and the turn of a span that leave the fewest pairs of words in the wrong order."""
    ranks_T = np.asarray(ranks)
    wrong_TT = np.triu(ranks_T[:, None] > ranks_T, 1).astype(np.int64)
    cuts = np.arange(1, len(ranks_T))
    # Pairs of a word before the cut and one after it that are in the wrong order.
    before = wrong_TT.cumsum(0)
    wrong = np.array([before[cut - 1, cut:].sum() for cut in cuts])
    pairs = cuts * (len(ranks_T) - cuts)
    both = np.concatenate([wrong, pairs - wrong])
    best = int(both.argmin())
    return int(cuts[best % len(cuts)]), best >= len(cuts)


def nearest(sentence: Reordered) -> list[int]:
    """An order near a sentence's that brackets can reach, cut greedily from the top down.

    It is the sentence's own where brackets can reach that; else brackets may reach a nearer one.
    """
    ranks = sentence.ranks

    def decide(spans: Spans) -> tuple[np.ndarray, np.ndarray]:
        chosen = []
        for first, end in zip(spans.first.tolist(), spans.end.tolist(), strict=True):
            cuts = allowed(ranks[first:end])
            cut, turned = cuts[0] if cuts else least_wrong(ranks[first:end])
            chosen.append((first + cut, turned))
        cuts, turns = zip(*chosen, strict=True)
        return np.array(cuts), np.array(turns)

    return ordered(np.array([len(ranks)]), decide).tolist()


def kendall_tau(wanted: Sequence[int], found: Sequence[int]) -> float:
    """Kendall's tau of two orders of the same words, -1 (one is the other reversed) to 1.

    Raises ValueError for fewer than two words.
    """
    if len(wanted) < 2:
        raise ValueError("Kendall's tau needs two words or more")
    ranks = np.argsort(wanted)[np.asarray(found)]
    right = np.triu(ranks[:, None] < ranks, 1).sum()
    return float(4 * right / (len(ranks) * (len(ranks) - 1)) - 1)


def fuzzy_reordering_score(wanted: Sequence[int], found: Sequence[int]) -> float:
    """1 - (chunks - 1) / (words - 1): 1 for the same order, 0 where no neighbours stay together.

    A chunk is a run of words that stand one after the other in both orders.

    Source: Talbot et al. 2011, section 3. Raises ValueError for fewer than two words.
    """
    if len(wanted) < 2:
        raise ValueError("the fuzzy reordering score needs two words or more")
    ranks = np.argsort(wanted)[np.asarray(found)].tolist()
    together = sum(after == before + 1 for before, after in pairwise(ranks))
    return together / (len(ranks) - 1)


def order_scores(
    wanted: Sequence[Sequence[int]], found: Sequence[Sequence[int]]
) -> dict[str, float]:
    """The means of "tau" and "fuzzy", and the share "exact", of sentences of two words or more."""
    pairs = [(w, f) for w, f in zip(wanted, found, strict=True) if len(w) > 1]
    return {
        "tau": float(np.mean([kendall_tau(*pair) for pair in pairs])),
        "fuzzy": float(np.mean([fuzzy_reordering_score(*pair) for pair in pairs])),
        "exact": float(np.mean([[*w] == [*f] for w, f in pairs])),
    }


def _pairs_right(given_NTC: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """For each sentence the share of pairs of words in the right order."""
    is_word_NT = targets[:, :, 0] != _NO_RANK
    lengths = is_word_NT.sum(1)
    order = ordered(lengths, Decisions(given_NTC[is_word_NT]).best)
    ranks = targets[:, :, 0][is_word_NT]
    found, at = [], 0
    for length in lengths.tolist():
        part = slice(at, at + length)
        wanted = np.argsort(ranks[part])
        found.append((1 + kendall_tau(wanted.tolist(), (order[part] - at).tolist())) / 2)
        at += length
    return np.array(found)


def _loss(given_NTC: Tensor, targets: Tensor) -> Tensor:
    """The mean over spans of -log of the probability of all cuts that keep the order reachable."""
    count, _, width = given_NTC.shape
    ranks_NT = targets[:, :, 0]
    spans = targets[:, :, 1:].reshape(count, -1, 2)
    row_S, place_S = (spans[:, :, 1] > 0).nonzero(as_tuple=True)
    first_S, end_S = spans[row_S, place_S].unbind(1)
    size_S = end_S - first_S - 1
    span_C = torch.repeat_interleave(torch.arange(len(size_S)), size_S)
    cut_C = torch.arange(len(span_C)) - (size_S.cumsum(0) - size_S)[span_C] + first_S[span_C] + 1
    units = width // (len(TURNS) * SLOTS)
    parts = given_NTC.unflatten(2, (len(TURNS), SLOTS, units)).permute(3, 0, 1, 2, 4).flatten(3)
    logits_C2 = _logits(parts, ranks_NT, row_S, first_S, end_S, span_C, cut_C, units)
    right_C2 = _reachable(ranks_NT, row_S, first_S, end_S, span_C, cut_C)
    every = _log_sum(logits_C2, span_C, len(size_S))
    right = _log_sum(logits_C2.masked_fill(~right_C2, -1e9), span_C, len(size_S))
    return (every - right).mean()


def _logits(
    parts: Tensor,
    ranks_NT: Tensor,
    row_S: Tensor,
    first_S: Tensor,
    end_S: Tensor,
    span_C: Tensor,
    cut_C: Tensor,
    units: int,
) -> Tensor:
    """The scores of cuts C×2, as `Decisions.scores` computes them; `parts`: SLOTS×N×T×(2·units)."""
    is_word_NT1 = (ranks_NT != _NO_RANK).unsqueeze(2)
    padded = functional.pad(parts * is_word_NT1, (0, 0, 1, 1))  # zeros around each sentence
    before, first, left, right, last, after, _, _ = padded
    around = before[row_S, first_S] + first[row_S, first_S + 1]
    around = around + last[row_S, end_S] + after[row_S, end_S + 1]
    sums = functional.pad((parts[-2:] * is_word_NT1).cumsum(2), (0, 0, 1, 0))
    row_C, first_C, end_C = row_S[span_C], first_S[span_C], end_S[span_C]
    hidden = around[span_C] + left[row_C, cut_C] + right[row_C, cut_C + 1]
    mean_left = (sums[0][row_C, cut_C] - sums[0][row_C, first_C]) / (cut_C - first_C)[:, None]
    mean_right = (sums[1][row_C, end_C] - sums[1][row_C, cut_C]) / (end_C - cut_C)[:, None]
    hidden = (hidden + mean_left + mean_right).relu().unflatten(1, (len(TURNS), units))
    return hidden[:, :, : units // 2].sum(2) - hidden[:, :, units // 2 :].sum(2)


def _reachable(
    ranks_NT: Tensor,
    row_S: Tensor,
    first_S: Tensor,
    end_S: Tensor,
    span_C: Tensor,
    cut_C: Tensor,
) -> Tensor:
    """Whether the order stays reachable after each cut, straight and inverted: C×2."""
    places_T = torch.arange(ranks_NT.shape[1])
    inside_ST = (places_T >= first_S[:, None]) & (places_T < end_S[:, None])
    ranks_ST = ranks_NT[row_S]
    big = ranks_NT.shape[1] + 1
    low_ST, high_ST = ranks_ST.masked_fill(~inside_ST, big), ranks_ST.masked_fill(~inside_ST, -big)
    low, high = low_ST.cummin(1)[0], high_ST.cummax(1)[0]
    low_after = low_ST.flip(1).cummin(1)[0].flip(1)
    high_after = high_ST.flip(1).cummax(1)[0].flip(1)
    straight = high[span_C, cut_C - 1] < low_after[span_C, cut_C]
    inverted = low[span_C, cut_C - 1] > high_after[span_C, cut_C]
    return torch.stack([straight, inverted], 1)


def _log_sum(logits_C2: Tensor, span_C: Tensor, spans: int) -> Tensor:
    """The log of the sum of exp over all cuts and turns of each span, S."""
    flat, owner = logits_C2.flatten(), span_C.repeat_interleave(2)
    highest = torch.full((spans,), -torch.inf).scatter_reduce(0, owner, flat.detach(), "amax")
    summed = torch.zeros(spans).index_add(0, owner, (flat - highest[owner]).exp())
    return summed.log() + highest
