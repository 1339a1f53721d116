"""Least confident, where it differs from Margin; tests/label/test_margin.py has what they share."""

from __future__ import annotations

from label_pools import Echo, pool_of, probabilities

from shoestring.label import LeastConfident, Margin, Worthiest


def test_two_close_classes_are_less_doubtful_than_three():
    task = pool_of(probabilities((0.49, 0.49, 0.02), (0.38, 0.32, 0.30)))
    assert LeastConfident(batch=Worthiest()).choose(Echo(3), task, 2).tolist() == [1, 0]
    assert Margin(batch=Worthiest()).choose(Echo(3), task, 2).tolist() == [0, 1]
