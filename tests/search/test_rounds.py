"""Successive halving: who is scored on how much, and who comes out first."""

from __future__ import annotations

import pytest

from shoestring.search import CollapsedError, RankingRounds, Standing

NINE = [(number,) for number in range(9)]


def test_a_third_reaches_the_next_round():
    """By hand: 9, 3 and 1; on 10 examples 3 is ahead of 8, on all it is not."""
    asked = list[tuple[int, int | None]]()

    def score(picks: tuple[int, ...], examples: int | None) -> float:
        asked.append((picks[0], examples))
        return 8.5 if picks == (3,) and examples == 10 else float(picks[0])

    rounds = RankingRounds(examples=(10, 30, None))
    ranked = rounds.ranked(NINE, score)
    assert rounds.counts(9) == [9, 3, 1]
    assert asked[:9] == [(number, 10) for number in range(9)]
    assert asked[9:] == [(3, 30), (8, 30), (7, 30), (8, None)]
    assert ranked[:3] == [Standing((8,), 8, None), Standing((7,), 7, 30), Standing((3,), 3, 30)]
    assert [one.picks[0] for one in ranked[3:]] == [6, 5, 4, 2, 1, 0]
    assert sum(rounds.counts(9)) == len(asked)


def test_one_candidate_at_least_is_scored_on_all():
    assert RankingRounds().counts(2) == [2, 1, 1]
    only = RankingRounds(examples=(5, None)).ranked([(4,), (4,)], lambda picks, examples: 0.5)
    assert only == [Standing((4,), 0.5, None)]  # the same candidate twice is one


def test_scores_that_tell_nothing():
    with pytest.raises(CollapsedError, match=r"all 9 candidates score 0\.1 on 200 examples"):
        RankingRounds().ranked(NINE, lambda picks, examples: 0.1)
    with pytest.raises(ValueError, match=r"the score of \(0,\) is NaN on 200 examples"):
        RankingRounds().ranked(NINE, lambda picks, examples: float("nan"))
    with pytest.raises(ValueError, match="no candidates"):
        RankingRounds().ranked([], lambda picks, examples: 0.1)


@pytest.mark.parametrize("examples", [(), (0, 5), (10, 5), (None, 5), (5, 5)])
def test_rounds_out_of_range(examples: tuple[int | None, ...]):
    with pytest.raises(ValueError, match="rising"):
        RankingRounds(examples=examples)


@pytest.mark.parametrize("kept", [0.0, 1.0, float("nan")])
def test_shares_out_of_range(kept: float):
    with pytest.raises(ValueError, match="above 0 and below 1"):
        RankingRounds(kept=kept)
