"""The baseline of counts beside LightRNN: by hand, against a plain one, its sums and its files."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import pairwise
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
import torch
from made_texts import sentences, text

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from word_counts import WordCounts, counted, estimated, holds_text, packed, repeated, unpacked

WORDS = 1500  # so many that some come once, twice and three times, as discounts need
TEXT = text(WORDS, 12_000, 0).numpy()


def plain(ids: list[int], words: int, longest: int, gram: tuple[int, ...]) -> float:
    """The probability of the last word of a gram, from dictionaries, n-gram by n-gram."""
    counts = [Counter(zip(*(ids[i:] for i in range(n)), strict=False)) for n in range(longest + 1)]
    for n in range(1, longest):
        counts[n] = Counter(longer[1:] for longer in counts[n + 1])
    likely = 1 / words
    for n in range(1, len(gram) + 1):
        own = gram[len(gram) - n :]
        follow = [count for other, count in counts[n].items() if other[:-1] == own[:-1]]
        if not follow:
            break
        taken = (0.0, *estimated(np.array(list(counts[n].values()))))
        spare = sum(taken[min(count, 3)] for count in follow)
        count = counts[n][own]
        likely = (count - taken[min(count, 3)] + spare * likely) / sum(follow)
    return likely


def test_by_hand():
    # a b a b a c: pairs ab 2, ba 2, ac 1; a comes after 1 word, b after 1, c after 1.
    model = counted(np.array([0, 1, 0, 1, 0, 2]), 4, 2, (0.5, 1.0, 1.5))
    single = [(1 - 0.5) / 3 + 1.5 / 3 / 4] * 3 + [1.5 / 3 / 4]  # the fourth word is never seen
    after_a = [
        1.5 / 3 * single[0],
        (2 - 1) / 3 + 1.5 / 3 * single[1],
        (1 - 0.5) / 3 + 1.5 / 3 * single[2],
        1.5 / 3 * single[3],
    ]
    found = model(torch.tensor([[0, word] for word in range(4)])).exp()[:, 0]
    assert found.tolist() == pytest.approx(after_a)
    # After words that were never seen, those of single words.
    assert model(torch.tensor([[3, 1]])).exp().item() == pytest.approx(single[1])


def test_discounts_by_hand():
    counts = np.array([1] * 8 + [2] * 4 + [3] * 2 + [4] + [9])
    # The ratio is 8 / (8 + 8).
    wanted = (1 - 2 * 0.5 * 4 / 8, 2 - 3 * 0.5 * 2 / 4, 3 - 4 * 0.5 * 1 / 2)
    assert estimated(counts) == pytest.approx(wanted)
    with pytest.raises(ValueError, match="0 twice"):
        estimated(np.array([1, 1, 3]))
    with pytest.raises(ValueError, match="cannot grow"):
        estimated(np.array([1] * 8 + [2] + [3] + [4] * 9))


@pytest.mark.parametrize("longest", [1, 2, 3, 4])
def test_probabilities_sum_to_one(longest: int):
    model = counted(TEXT, WORDS, longest)
    windows = text(WORDS, 40, 7).view(8, 1, 5).repeat(1, WORDS, 1)
    windows[..., -1] = torch.arange(WORDS)
    sums = model(windows.view(-1, 5))[:, -1].exp().view(8, WORDS).sum(1)
    assert sums.tolist() == pytest.approx([1.0] * 8)


def test_like_a_plain_one():
    model, window = counted(TEXT, WORDS, 3), text(WORDS, 12, 5)
    found = model(window[None])[0].exp().tolist()
    ids = window.tolist()
    wanted = [
        plain(TEXT.tolist(), WORDS, 3, tuple(ids[max(0, end - 2) : end + 1]))
        for end in range(1, 12)
    ]
    assert found == pytest.approx(wanted)


def test_it_is_scored_as_networks_are():
    task = sentences(WORDS)
    model = counted(task.train.numpy(), task.words, 2)
    merits = task.merits(model, "validation")
    assert len(merits) == len(task.validation) - 1  # every word but the first, once
    ids = task.validation.tolist()
    pairs = model(torch.tensor(list(pairwise(ids))))
    assert merits == pytest.approx(pairs[:, 0].numpy() / log(2))
    assert 5 < exp(-pairs.mean().item()) < WORDS


@pytest.mark.parametrize(("often", "longest", "as_text"), [(60_000, 2, False), (100, 3, True)])
def test_files_make_the_same_model(often: int, longest: int, as_text: bool):
    ids = np.concatenate([text(100, often, 0).numpy(), TEXT])
    model = counted(ids, WORDS, longest)
    data = packed(model, ids)
    assert holds_text(data) == as_text
    again = unpacked(data)
    windows = text(WORDS, 500, 3).view(10, 50)
    assert torch.equal(again(windows), model(windows))
    assert again.numbers() == model.numbers() and again.memory() == model.memory()


def test_repeated_passages():
    known = np.array([1, 2, 300, 4, 5])
    found = repeated(np.array([9, 2, 300, 4, 1, 2, 9, 4, 5]), known, 3)
    assert found.nonzero()[0].tolist() == [1, 2, 3]
    assert repeated(known[:2], known, 3).tolist() == [False, False]
    assert repeated(known, known, 3).all()


def test_what_is_refused():
    with pytest.raises(ValueError, match="from 0 to 3"):
        counted(np.array([0, 4, 1]), 4, 1)
    with pytest.raises(ValueError, match="70000 words"):
        counted(np.array([0, 4, 1]), 70_000, 1)
    with pytest.raises(ValueError, match="from 1 to 3"):
        counted(np.array([0, 4, 1]), 5, 4)
    assert isinstance(counted(np.array([0, 4, 1]), 5, 3, (0.5, 1.0, 1.5)), WordCounts)
