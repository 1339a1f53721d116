"""Proposals: new networks within the limits, the best of several by a score, and a collapse."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_networks import Dense, parameters, rings

from shoestring.core import Budget, Cost
from shoestring.kit import Trial
from shoestring.search import (
    AtRandom,
    CountedOperations,
    Course,
    ParameterCount,
    Picks,
    Screening,
    Searcher,
    SearchWarning,
    Space,
)
from shoestring.search.limits import Feasible
from shoestring.search.proposing import Proposals, picks_of

SPACE = Dense()


def proposals(searcher: Searcher, screening: Screening | None = None, limit: str = "") -> Proposals:
    budget = Budget.parse(limit) if limit else Budget()
    feasible = Feasible(SPACE, rings(), budget, (CountedOperations(),))
    return Proposals(feasible, searcher, screening, 0.25, 0)


class Stubborn(Searcher):
    """Proposes one network, whatever it hears, and keeps what it heard."""

    def __init__(self) -> None:
        self.heard = list[tuple[Picks, float]]()
        self.refused = list[Picks]()

    def begun(self, space: Space, seed: int) -> Course:
        searcher = self

        class Same(Course):
            def ask(self) -> Picks:
                return (1, 1, 0)

            def tell(self, picks: Picks, reward: float) -> None:
                searcher.heard.append((picks, reward))

            def refused(self, picks: Picks) -> None:
                searcher.refused.append(picks)

        return Same()


def test_every_network_of_a_small_space_is_proposed_once_and_then_none():
    some, known = proposals(AtRandom(), limit="operations<=40"), set()
    while (picks := some.next(known)) is not None:
        network = SPACE.made(picks).code()
        assert network not in known and some.feasible.keeps(picks)
        known.add(network)
    within = {
        SPACE.made(picks).code()
        for width in range(6)
        for depth in range(3)
        for activation in range(2)
        if some.feasible.keeps(picks := (width, depth, activation))
    }
    assert len(known) >= 0.9 * len(within)


def test_a_searcher_that_repeats_itself_is_named_once_and_others_are_drawn():
    some, known = proposals(Stubborn()), {SPACE.made((1, 1, 0)).code()}
    with pytest.warns(SearchWarning, match="it has collapsed"):
        first = some.next(known)
    assert first is not None and SPACE.made(first).code() not in known
    assert some.next(known) is not None  # no second warning, which would be an error here


def test_picks_that_make_one_network_are_proposed_once():
    """Without layers, Dense has neither a width nor an activation: 12 picks are one network."""
    some = proposals(AtRandom())
    known = {SPACE.made((width, 0, kind)).code() for width in range(6) for kind in range(2)}
    assert len(known) == 1
    while (picks := some.next(known)) is not None:
        assert picks[1] > 0  # a linear network is known
        known.add(SPACE.made(picks).code())


def test_of_several_networks_the_one_with_the_best_score_is_proposed():
    plain = proposals(AtRandom()).next(set())
    best = proposals(AtRandom(), Screening(ParameterCount(), of=30)).next(set())
    assert plain is not None and best is not None
    # of 30 networks that differ, of 36, one is among the seven largest
    sizes = sorted(
        parameters(SPACE.made((w, d, a)).network())
        for w in range(6)
        for d in range(3)
        for a in range(2)
    )
    assert parameters(SPACE.made(best).network()) >= sizes[-7]


def test_what_failed_counts_as_the_worst_so_far_and_each_is_told_once():
    searcher = Stubborn()
    some = proposals(searcher)
    names = [repr(picks) for picks in ((1, 1, 0), (2, 1, 0), (3, 1, 0))]
    trials = [
        Trial(technique=name, fidelity=0.25, score=score)
        for name, score in zip(names, (0.7, 0.4, None), strict=True)
    ]
    longer = Trial(technique=names[0], fidelity=1.0, score=0.9)
    some.tell([*trials, longer])
    some.tell([*trials, longer])
    assert searcher.heard == [((1, 1, 0), 0.7), ((2, 1, 0), 0.4), ((3, 1, 0), 0.4)]


def test_a_network_whose_file_breaks_a_limit_is_refused_once_however_good_it_is():
    searcher = Stubborn()
    some = proposals(searcher, limit="latency<=2ms")  # which no estimate is of
    short = Trial(technique="(2, 1, 0)", seed=0, fidelity=0.25, score=0.9)
    slow = replace(short, fidelity=1.0, score=0.99, cost=Cost(milliseconds=3.0))
    quick = replace(slow, technique="(1, 1, 0)", cost=Cost(milliseconds=1.0))
    some.tell([short])
    for _ in range(2):
        some.tell([short, slow, quick])
    assert searcher.heard == [((2, 1, 0), 0.9)] and searcher.refused == [(2, 1, 0)]


def test_a_name_gives_its_picks():
    assert picks_of("(3, 0, 12)") == (3, 0, 12)
    assert picks_of("(3,)") == (3,)


def test_screening_of_one_is_an_error():
    with pytest.raises(ValueError, match="2 or more"):
        Screening(ParameterCount(), of=1)
