"""Head-final order by hand, the scores of orders, and the task against the file's arithmetic."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from shoestring.artifact import BracketedWords
from shoestring.artifact.chains.bracketing import SLOTS, TURNS, Decisions, Spans
from shoestring.core.kinds import Numbers
from shoestring.kit.corpora.conllu import read_conllu
from shoestring.tasks import (
    Reordered,
    Sentence,
    fuzzy_reordering_score,
    head_final,
    kendall_tau,
    order_scores,
    preordering,
)
from shoestring.tasks.preordering import _logits, allowed, derivation, least_wrong, nearest


def tree(text: str) -> Sentence:
    """A sentence from words like `dog/3/nsubj`: the word, its head (0: root), its relation."""
    words, heads, relations = zip(*(one.rsplit("/", 2) for one in text.split()), strict=True)
    return Sentence(
        words=words, tags=("X",) * len(words), heads=tuple(map(int, heads)), relations=relations
    )


def final(text: str) -> str:
    one = tree(text)
    return " ".join(one.words[place] for place in head_final(one))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("He/2/nsubj saw/0/root dogs/2/obj ./2/punct", "He dogs saw ."),
        (
            "He/4/nsubj would/4/aux have/4/aux seen/0/root it/4/obj in/7/case Rome/4/obl ./4/punct",
            "He it Rome in seen have would .",
        ),
        ("Bob/3/nmod:poss 's/1/case dog/0/root", "Bob 's dog"),
        ("that/3/mark he/3/nsubj left/4/ccomp hurt/0/root", "he left that hurt"),
        # The preposition of the first conjunct belongs to both, unless the second has its own.
        ("in/2/case Paris/0/root and/4/cc Rome/2/conj", "Paris and Rome in"),
        ("in/2/case Paris/0/root and/5/cc in/5/case Rome/2/conj", "Paris in and Rome in"),
        ("He/2/nsubj ate/0/root pie/2/obj and/5/cc left/2/conj", "He pie ate and left"),
        ("Bush/0/root ,/4/punct the/4/det president/1/appos", "Bush , the president"),
        ("New/0/root York/1/flat", "New York"),
        ("(/2/punct see/0/root it/2/obj )/2/punct", "( it see )"),
        ("Now/3/advmod ,/3/punct go/0/root home/3/advmod", "Now , home go"),
        ("is/2/cop fine/0/root :/2/punct -/2/punct", "fine is : -"),
        ("one/0/root two/0/root", "one two"),
    ],
)
def test_words_in_head_final_order(given: str, wanted: str) -> None:
    assert final(given) == wanted


def test_a_chain_of_any_length_is_reversed() -> None:
    count = 3000  # deeper than Python's recursion
    heads = " ".join(f"w/{place}/obj" for place in range(count))
    assert head_final(tree(heads)) == tuple(reversed(range(count)))


def test_conllu_gives_heads_and_relations() -> None:
    lines = "1\tin\t_\tADP\t_\t_\t2\tcase\t_\t_\n2\tRome\t_\tPROPN\t_\t_\t0\troot\t_\t_\n"
    (one,) = read_conllu(lines.encode(), "x")
    assert one.heads == (2, 0) and one.relations == ("case", "root")
    assert head_final(one) == (1, 0)
    (none,) = read_conllu(lines.replace("\t2\tcase", "\t_\t_").encode(), "x")
    assert none.heads == none.relations == ()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("a/2/x b/1/x", "circle"),
        ("a/0/root b/2/x", "circle"),
        ("a/0/root b/3/x", "a head 3 and 2 words"),
    ],
)
def test_heads_that_are_no_tree_are_refused(given: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        head_final(tree(given))


def test_a_sentence_without_heads_is_refused() -> None:
    with pytest.raises(ValueError, match="has no heads"):
        head_final(Sentence(words=("a",), tags=("X",)))


def test_scores_of_orders() -> None:
    assert kendall_tau([0, 1, 2], [0, 1, 2]) == 1
    assert kendall_tau([2, 1, 0], [0, 1, 2]) == -1
    assert kendall_tau([1, 0, 2], [0, 1, 2]) == pytest.approx(1 / 3)  # 2 of 3 pairs
    assert fuzzy_reordering_score([3, 0, 1, 2], [0, 1, 2, 3]) == pytest.approx(2 / 3)  # 2 chunks
    assert fuzzy_reordering_score([1, 0], [0, 1]) == 0
    scores = order_scores([[0], [1, 0], [0, 1]], [[0], [0, 1], [0, 1]])
    assert scores == {"tau": 0, "fuzzy": 0.5, "exact": 0.5}
    for score in (kendall_tau, fuzzy_reordering_score):
        with pytest.raises(ValueError, match="two words"):
            score([0], [0])


def test_brackets_reach_all_orders_of_four_words_but_two() -> None:
    out_of_reach = [
        order
        for order in permutations(range(4))
        if nearest(Reordered(words=(*"abcd",), order=order)) != [*order]
    ]
    assert out_of_reach == [(1, 3, 0, 2), (2, 0, 3, 1)]


def test_the_cut_that_leaves_the_fewest_pairs_wrong() -> None:
    assert allowed([2, 3, 0, 1]) == [(2, True)]
    assert allowed([0, 1]) == [(1, False)]
    assert allowed([1, 3, 0, 2]) == []
    assert least_wrong([1, 3, 0, 2]) == (1, False)  # 1 before 0, of the three pairs
    draw = np.random.default_rng(0)
    assert derivation([1, 3, 0, 2], draw)[:1] != [(0, 4)]
    spans = derivation([3, 0, 1, 2], draw)
    assert spans[0] == (0, 4) and len(spans) == 3 and (1, 4) in spans


def test_an_order_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no order of the 2 words"):
        Reordered(words=("a", "b"), order=(0, 0))


def test_training_computes_the_scores_that_a_file_computes() -> None:
    draw = torch.Generator().manual_seed(0)
    units, lengths = 4, (5, 3)
    given = torch.randn(2, 5, len(TURNS) * SLOTS * units, generator=draw)
    ranks = torch.tensor([[0, 1, 2, 3, 4], [0, 1, 2, -1, -1]])
    row, first, end = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]), torch.tensor([5, 4, 3])
    size = end - first - 1
    span = torch.repeat_interleave(torch.arange(3), size)
    cut = torch.tensor([1, 2, 3, 4, 2, 3, 1, 2])
    parts = given.unflatten(2, (len(TURNS), SLOTS, units)).permute(3, 0, 1, 2, 4).flatten(3)
    found = _logits(parts, ranks, row, first, end, span, cut, units)
    stream = torch.cat([one[:length] for one, length in zip(given, lengths, strict=True)])
    at = np.array([0, 0, 5])
    spans = Spans(
        first=first.numpy() + at,
        end=end.numpy() + at,
        begin=at,
        stop=at + np.array([5, 5, 3]),
    )
    wanted, _, cut_C = Decisions(stream.numpy()).scores(spans)
    assert (cut_C - at[span.numpy()]).tolist() == cut.tolist()
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_the_task_scores_pairs_and_its_loss_is_that_of_the_cuts_that_reach_the_order() -> None:
    step = BracketedWords(units=2)
    right = Reordered(words=("a", "b", "c"), order=(0, 1, 2))
    task = preordering([right], [right], [right], step=step)
    (((ids,), targets),) = task.batches("train")
    assert ids.shape == (1, 3, 10)
    nothing = torch.zeros(1, 3, step.scores(2))
    # All cuts and turns alike: of 4 in the whole span 2 are right, and of 2 in the rest 1.
    assert task.criterion(nothing, targets).item() == pytest.approx(np.log(2))
    assert task.kinds == Numbers(2)  # a teacher's numbers are no classes
    # Nothing said, so parts stay as they are.
    assert task.score(lambda _: nothing, "validation") == 1
    turned = Reordered(words=("a", "b", "c"), order=(2, 1, 0))
    assert (
        preordering([right], [turned], [right], step=step).score(lambda _: nothing, "validation")
        == 0
    )
    with pytest.raises(ValueError, match="two words or more"):
        preordering([Reordered(words=("a",), order=(0,))], [right], [right], step=step)
