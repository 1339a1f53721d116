"""The forecast of a learning curve: curves that are known, and what must always hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tiers
from hypothesis import given, settings
from hypothesis import strategies as st

from shoestring.label import CurvePoint, label_forecast
from shoestring.label.growth import FORMS

LABELS = (50, 100, 150, 200, 300, 400)


def _power(labels: float, limit: float = 0.95, exponent: float = 0.7) -> float:
    return limit - 3.0 * labels**-exponent


def _noisy(seed: int, noise: float = 0.004) -> list[tuple[float, float, float]]:
    draw = np.random.default_rng(seed)
    return [(n, _power(n) + noise * draw.standard_normal(), noise) for n in LABELS]


def test_a_power_law_is_carried_on():
    found = label_forecast([(n, _power(n)) for n in LABELS])
    at = found.at(800)
    assert at.low is not None and at.high is not None
    assert at.low <= _power(800) <= at.high and at.high - at.low < 0.02
    need = found.labels_for(_power(800))
    assert need.low is not None and need.high is not None and need.low <= 800 <= need.high
    more = found.more_for(_power(800))
    assert more.middle == pytest.approx((need.middle or 0) - 400)


def test_the_interval_holds_on_noisy_curves():
    held, count = 0, tiers.repetitions(60, 300)
    for seed in range(count):
        at = label_forecast(_noisy(seed), seed=seed).at(800)
        assert at.low is not None and at.high is not None
        truth = _power(800) + 0.004 * np.random.default_rng(10_000 + seed).standard_normal()
        held += at.low <= truth <= at.high
    assert 0.65 <= held / count <= 0.97


def test_more_noise_makes_wider_intervals():
    widths = []
    for noise in (0.001, 0.004, 0.016):
        at = [label_forecast(_noisy(seed, noise)).at(800) for seed in range(8)]
        widths.append(np.mean([(one.high or 0) - (one.low or 0) for one in at]))
    assert widths[0] < widths[1] < widths[2]


@given(
    limit=st.floats(0.6, 1.0),
    exponent=st.floats(0.2, 1.5),
    seed=st.integers(0, 99),
)
@settings(max_examples=tiers.repetitions(8, 60), deadline=None)
def test_it_never_leaves_the_range_nor_falls(limit: float, exponent: float, seed: int):
    draw = np.random.default_rng(seed)
    points = [
        (n, float(np.clip(limit - (n / 20) ** -exponent + 0.01 * draw.standard_normal(), 0, 1)))
        for n in LABELS
    ]
    found = label_forecast(points)
    before = -math.inf
    for labels in (400, 800, 1600, 100_000):
        curve = found._fits.at(np.array([labels]))
        assert (curve <= 1.0).all() and np.median(curve) >= before - 1e-12
        before = np.median(curve)
        at = found.at(labels)
        assert at.low is not None and at.high is not None and at.low <= at.high <= 1.0
    gain = found.gain(100)
    assert gain.low is not None and gain.low >= -1e-9


def test_what_it_says():
    found = label_forecast([(n, _power(n)) for n in LABELS])
    said = found.says(0.93)
    assert said.startswith("about ") and "more labels for 93.0 % ±" in said and "80 %" in said
    assert found.says(0.5) == "50.0 % is reached"
    low = label_forecast([(n, 0.6 + 0.001 * (n > 100)) for n in LABELS])
    assert "99.9 % is out of reach" in low.says(0.999)
    assert str(found).startswith("400 labels gave ")


def test_order_and_seed():
    points = _noisy(3)
    first, again = label_forecast(points), label_forecast(points[::-1])
    assert first.at(900) == again.at(900) != label_forecast(points, seed=1).at(900)
    assert first.points[0] == CurvePoint(labels=50, score=points[0][1], standard_error=0.004)


def test_each_form_falls_with_the_labels():
    labels = np.geomspace(0.05, 30, 50)
    for form in FORMS:
        for shape in form.shapes:
            assert (np.diff(form.falls(labels, shape)) <= 0).all(), form.name


def test_bad_input():
    with pytest.raises(
        ValueError, match="needs scores at 4 different numbers of labels, and there a"
    ):
        label_forecast([(50, 0.5), (50, 0.6), (60, 0.6), (70, 0.7)])
    for bad in ((0, 0.5), (-3, 0.5), (math.nan, 0.5), (math.inf, 0.5)):
        with pytest.raises(ValueError, match="give a number above 0"):
            label_forecast([bad, (50, 0.6), (60, 0.6), (70, 0.7)])
    for bad in ((5, math.nan), (5, 0.5, -1.0), (5, 0.5, math.nan)):
        with pytest.raises(ValueError, match="give finite numbers"):
            label_forecast([bad, (50, 0.6), (60, 0.6), (70, 0.7)])
    with pytest.raises(ValueError, match=r"score of 93 above the ceiling of 1\.0"):
        label_forecast([(5, 50), (50, 90), (60, 92), (70, 93)])
    assert label_forecast([(5, 50), (50, 90), (60, 92), (70, 93)], ceiling=100).ceiling == 100
    with pytest.raises(ValueError, match=r"give \(labels, score\) or with"):
        label_forecast([(5,)] * 4)  # type: ignore[list-item]
    found = label_forecast([(n, _power(n)) for n in LABELS])
    for ask in (found.at, found.gain):
        with pytest.raises(ValueError, match="give a number above 0"):
            ask(0)


def test_a_curve_that_falls_is_not_carried_on():
    found = label_forecast([(10, 0.9), (20, 0.8), (40, 0.7), (80, 0.6)])
    for words in (str(found), found.says(0.95)):
        assert "the scores fall with more labels, from 90.0 % at 10 to 60.0 % at 80" in words
    of_100 = label_forecast([(10, 80.6), (20, 80.9), (40, 80.7), (80, 80.4)], ceiling=100)
    assert of_100.falls() == ""
    for seed in range(10):  # of a plateau with noise
        draw = np.random.default_rng(seed)
        assert not label_forecast([(n, 0.8 + draw.normal(0, 0.01), 0.01) for n in LABELS]).falls()


def test_numbers_that_make_no_forecast_are_named():
    points = [(n, _power(n)) for n in LABELS]
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="give the best score there can be, a finite number"):
            label_forecast(points, ceiling=bad)
    with pytest.raises(ValueError, match="above 0, at most 1e"):
        label_forecast([*points, (1e300, 0.9)])
    found = label_forecast(points)
    for bad in (math.nan, math.inf, 2.0):
        with pytest.raises(ValueError, match="a finite score, at most the ceiling of 1"):
            found.says(bad)
    with pytest.raises(ValueError, match="give a finite number"):
        found.more_for(math.nan)


def test_a_curve_that_does_not_move():
    found = label_forecast([(n, 0.75) for n in LABELS])
    at = found.at(800)
    assert at.middle == pytest.approx(0.75, abs=0.01)
