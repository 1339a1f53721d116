"""When to stop: verdicts on both sides of their limits."""

from __future__ import annotations

import numpy as np
import pytest

from shoestring.label import label_forecast, little_to_gain, stabilised


def test_models_that_always_answer_one_class_do_not_stop():
    constant = [np.zeros(50, int)] * 6
    verdict = stabilised(constant)
    assert not verdict.stop and "give all examples one class" in verdict.why
    varied = [np.arange(50) % 2] * 3
    assert not stabilised([*varied, *constant[:1]]).stop
    assert stabilised([*constant, *varied, *varied]).stop


def test_a_curve_that_falls_is_called_so_and_does_not_stop():
    found = label_forecast([(10, 0.9), (20, 0.8), (40, 0.7), (80, 0.6)])
    verdict = little_to_gain(found)
    assert not verdict.stop and "the scores fall with more labels" in verdict.why
    noisy = label_forecast([(n, s, 0.01) for n, s in ((10, 0.6), (20, 0.8), (40, 0.81), (80, 0.8))])
    assert noisy.falls() == "" and "points" in little_to_gain(noisy).why
    for bad in (0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="give how many points"):
            little_to_gain(noisy, points=bad)


def test_answers_that_settle():
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 5, 1000)

    def with_errors(count: int) -> np.ndarray:
        said = truth.copy()
        said[:count] = (said[:count] + 1) % 5
        return said

    rounds = [with_errors(count) for count in (400, 200, 60, 10, 4, 2, 1)]
    verdicts = [stabilised(rounds[:upto]).stop for upto in range(len(rounds) + 1)]
    assert verdicts == [False] * 7 + [True]  # 6, 2 and 1 in 1,000 changed
    assert "a kappa of 0.99" in stabilised(rounds).why
    assert stabilised(rounds, agreement=0.9999).stop is False
    assert "3 rounds are too few: it takes 4" in stabilised(rounds[:3]).why


def test_answers_that_do_not_fit():
    with pytest.raises(ValueError, match=r"answers for \[2, 3\] examples"):
        stabilised([[1, 2], [1, 2, 3]])
    with pytest.raises(ValueError, match=r"answers for \[0\] examples"):
        stabilised([[], []])
    for settings in ({"agreement": 0.0}, {"agreement": 1.1}, {"looks": 0}, {"looks": True}):
        with pytest.raises(ValueError, match="give a kappa above 0"):
            stabilised([[1], [1]], **settings)


def test_a_curve_that_still_rises_and_one_that_does_not():
    rising = label_forecast([(n, 0.9 - 4 / n) for n in (20, 30, 40, 60, 80)])
    flat = label_forecast([(n, 0.9 - 4 / n**2) for n in (20, 40, 80, 160, 320)])
    assert not little_to_gain(rising, labels=40).stop
    verdict = little_to_gain(flat, labels=40)
    assert verdict.stop and "less than 0.5" in verdict.why
    assert not little_to_gain(flat, labels=40, points=1e-6).stop
    with pytest.raises(ValueError, match="points=0"):
        little_to_gain(flat, points=0)
    with pytest.raises(ValueError, match="0 more labels"):
        little_to_gain(flat, labels=0)
