"""Scores of small runs carried on: what comes out, what is refused, what is left undecided."""

from __future__ import annotations

import math
from statistics import fmean

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tiers import repetitions

from shoestring.label import CurvePoint, label_forecast
from shoestring.plan import ScalingPoint, affordable, scaling

SIZES = (100, 180, 320, 560, 1000)


def points_of(law, *, noise=0.0, seeds=1, draw=0, sizes=SIZES, best=1.0):
    """Points whose error follows a law, with noise that is a share of the error."""
    generator = np.random.default_rng(draw)
    return [
        (size, best - law(size) * math.exp(noise * generator.standard_normal()), seed)
        for size in sizes
        for seed in range(seeds)
    ]


def power(size):
    return 0.005 + 1.9 * size**-0.5


def with_floor(size):
    return 0.1 + 2.0 * size**-0.7


def test_a_power_law_is_carried_on():
    found = scaling(points_of(power))
    assert found.undecided == "" and found.largest == 1000
    there = found.at(10_000)  # the error is 0.005 + 1.9 / 100
    assert there.low < 0.976 < there.high and there.high - there.low < 0.01
    # How low the floor is nobody can know from these points.
    floor = found.floor()
    assert floor.low < 0.995 and floor.high - floor.low > there.high - there.low


def test_a_floor_that_the_points_show_is_found():
    sizes = np.geomspace(100, 100_000, 10)
    found = scaling(points_of(with_floor, sizes=sizes))
    assert found.floor().middle == pytest.approx(0.9, abs=0.01)
    assert found.at(1e6).middle == pytest.approx(0.9, abs=0.01)


def test_the_interval_holds_the_law_about_as_often_as_it_says():
    """Noise of 3 % of the error, three seeds, one training of ten times the largest size."""
    held, widths = 0, []
    for draw in range(60):
        generator = np.random.default_rng(1000 + draw)
        floor, exponent = generator.uniform(0, 0.1), generator.uniform(0.25, 0.7)
        law = lambda n, f=floor, b=exponent: f + 0.2 * (n / 1000) ** -b  # noqa: E731
        there = scaling(points_of(law, noise=0.03, seeds=3, draw=draw)).at(10_000)
        final = 1 - law(10_000) * math.exp(0.03 * generator.standard_normal())
        held += there.low <= final <= there.high
        widths.append(there.high - there.low)
    assert 42 <= held <= 58 and fmean(widths) < 0.12


def test_farther_is_less_certain_and_more_points_are_more_certain():
    found = scaling(points_of(power, noise=0.02, seeds=2))
    shares = [
        (there.high - there.low) / (1 - there.middle)
        for there in (found.at(size) for size in (2000, 10_000, 1e5))
    ]
    assert shares == sorted(shares)
    few, many = (
        [scaling(points_of(power, noise=0.05, seeds=seeds, draw=k)).at(5000) for k in range(5)]
        for seeds in (2, 12)
    )
    assert fmean(o.high - o.low for o in many) < fmean(o.high - o.low for o in few)


def test_scores_stay_below_the_best_and_rise_with_the_size():
    found = scaling(points_of(power, noise=0.05, seeds=2))
    middles = [found.at(size).middle for size in np.geomspace(50, 1e6, 9)]
    assert middles == sorted(middles)
    assert all(found.at(size).high < 1 for size in (1e4, 1e8, 1e12))


def test_the_size_for_a_score_and_the_chance_of_it_agree_with_the_law():
    found = scaling(points_of(power))
    wanted = found.size_for(0.957)  # 0.005 + 1.9 / sqrt(n) = 0.043, so n is 2,500
    assert wanted.low < 2500 < wanted.high and wanted.middle == pytest.approx(2500, rel=0.15)
    assert found.size_for(0.9).middle == pytest.approx(400, rel=0.1)  # it was measured on the way
    assert found.chance_of(0.957, 1500) < 0.2 and found.chance_of(0.957, 10_000) > 0.9


def test_a_score_beyond_the_floor_takes_no_number_of_examples():
    found = scaling(points_of(with_floor, sizes=np.geomspace(100, 100_000, 10)))
    wanted = found.size_for(0.95)
    assert wanted.low is None and wanted.middle is None and wanted.high is None


def test_losses_have_no_bound():
    losses = points_of(lambda n: 1.5 + 40 * n**-0.5, best=0.0)
    found = scaling(losses, best=0.0)
    there = found.at(10_000)  # the loss is 1.9
    assert there.low < -1.9 < there.high < 0
    units = [(size, 10 * score, seed) for size, score, seed in losses]
    assert scaling(units, best=0.0).at(10_000).middle == pytest.approx(10 * there.middle)


def test_chance_straightens_a_curve_that_begins_there():
    """From nothing learnt (a half) on: the plain law is too flat there."""

    def law(size):
        return 0.05 + 0.45 / (1 + (size / 1000) ** 0.7)

    points = points_of(law, noise=0.01, seeds=2, sizes=(100, 220, 460, 1000))
    final = 1 - law(4000)  # 0.83
    without, with_chance = scaling(points).at(4000), scaling(points, chance=0.5).at(4000)
    assert abs(with_chance.middle - final) < abs(without.middle - final)
    assert with_chance.low < final < with_chance.high


def test_a_chance_that_scores_fall_below_does_no_harm():
    points = points_of(power, sizes=(10, 30, 100, 300))  # scores of 0.39 to 0.89
    there = scaling(points, chance=0.5).at(3000)
    assert there.low < 1 - power(3000) < there.high


def test_points_of_any_kind_and_order_give_one_forecast():
    plain = points_of(power, noise=0.02, seeds=2)
    made = [ScalingPoint(size=s, score=v, seed=k) for s, v, k in reversed(plain)]
    assert scaling(plain).at(5000) == scaling(made).at(5000)
    assert [one.size for one in scaling(made).points] == sorted(one[0] for one in plain)


def test_the_unit_of_the_sizes_does_not_matter():
    here = scaling(points_of(power)).at(8000)
    thousands = [(size / 1000, score) for size, score, _ in points_of(power)]
    there = scaling(thousands).at(8)
    assert there.low == pytest.approx(here.low) and there.high == pytest.approx(here.high)


def test_it_is_narrower_than_the_forecast_of_labels_ten_times_away():
    points = points_of(power, noise=0.02, seeds=3)
    means = [
        CurvePoint(labels=size, score=fmean(v for s, v, _ in points if s == size)) for size in SIZES
    ]
    ours, theirs = scaling(points).at(10_000), label_forecast(means).at(10_000)
    assert ours.low < 0.976 < ours.high
    assert theirs.low is not None and theirs.high is not None
    assert ours.high - ours.low < theirs.high - theirs.low


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([(100, 0.5), (1000, 0.7)], "there are 2 sizes"),
        ([(100, 0.5), (150, 0.6), (200, 0.7)], "3 times the smallest"),
        ([(10, 1.0), (100, 1.0), (1000, 1.0)], "nothing is left to gain"),
        ([(10, 0.8), (100, 0.7), (1000, 0.6)], "do not rise with the size"),
        ([(10, 0.7), (30, 0.7), (100, 0.7), (300, 0.7)], "do not rise with the size"),
        ([(10, 0.7), (30, 0.6), (100, 0.75), (300, 0.62)], "do not rise with the size"),
    ],
)
def test_what_tells_nothing_is_undecided(points, words):
    found = scaling(points)
    assert words in found.undecided
    for ask in (lambda: found.at(5000), found.floor, lambda: found.size_for(0.9)):
        with pytest.raises(ValueError, match="undecided"):
            ask()
    plain = found.as_json([5000])
    assert plain["undecided"] == found.undecided and "forecasts" not in plain


def test_a_score_that_is_the_best_once_is_carried_on():
    found = scaling([(10, 0.8), (30, 0.9), (100, 0.96), (300, 1.0)])
    assert found.undecided == "" and 0.95 < found.at(1000).middle < 1


@pytest.mark.parametrize(
    ("points", "settings", "words"),
    [
        ([], {}, "several sizes, and there are none"),
        ([(100, 0.5)], {}, "several sizes, and there is one"),
        ([(100, 0.5), (100, 0.6)], {}, "there is one"),
        ([(0, 0.5), (10, 0.6)], {}, "size 0"),
        ([(-5, 0.5), (10, 0.6)], {}, "size -5"),
        ([(math.nan, 0.5), (10, 0.6)], {}, "size nan"),
        ([(math.inf, 0.5), (10, 0.6)], {}, "size inf"),
        ([(1, math.nan), (10, 0.6)], {}, "the score at size 1 is nan"),
        ([(1, 0.5), (10, 1.2)], {}, "score of 1.2, above the best"),
        ([(1, 0.5), (10, 0.6)], {"best": math.inf}, "best=inf"),
        ([(1, 0.5), (10, 0.6)], {"chance": 1.0}, "chance=1.0"),
        ([(1, 0.5), (10, 0.6)], {"chance": math.nan}, "chance=nan"),
        ([(1, 0.5, 0, 7)], {}, r"\(size, score, seed\)"),
        ([(1,)], {}, r"\(size, score, seed\)"),
    ],
)
def test_bad_input_is_named(points, settings, words):
    with pytest.raises(ValueError, match=words):
        scaling(points, **settings)


def test_bad_questions_are_named():
    found = scaling(points_of(power))
    for size in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="give a number above 0"):
            found.at(size)
    for score in (1.0, 2.0, math.nan, -math.inf):
        with pytest.raises(ValueError, match="below the best"):
            found.size_for(score)


def test_a_hundredth_is_ten_years_away_and_not_eight():
    assert affordable(100, 1, 1.5) == pytest.approx(9.97, abs=0.005)
    assert affordable(1, 0.01) == pytest.approx(9.97, abs=0.005)
    assert [affordable(8, 1, years) for years in (1.5, 2, 3)] == pytest.approx([4.5, 6, 9])
    assert affordable(5, 10) == 0 and affordable(1e300, 1e-300, 1) == pytest.approx(1993.2, abs=0.1)


@pytest.mark.parametrize("given", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-1, 1, 1), (math.nan, 1, 1)])
def test_what_cannot_be_afforded_ever_is_refused(given):
    with pytest.raises(ValueError, match="give a finite number above 0"):
        affordable(*given)


@settings(max_examples=repetitions(25, 300), deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(1e-3, 1e9), st.floats(-5.0, 1.0)), min_size=2, max_size=12, unique=True
    ),
    st.one_of(st.none(), st.floats(-10.0, 0.9)),
)
def test_whatever_was_measured_there_is_a_reason_or_an_interval(points, chance):
    assume(len({size for size, _ in points}) > 1)
    found = scaling(points, chance=chance)
    if found.undecided:
        return
    for size in (found.largest, 10 * found.largest):
        there = found.at(size)
        assert -math.inf < there.low <= there.middle <= there.high <= 1
    assert 0 <= found.chance_of(0.5, found.largest) <= 1
    wanted = found.size_for(0.99)
    ends = [math.inf if one is None else one for one in (wanted.low, wanted.middle, wanted.high)]
    assert ends == sorted(ends)
