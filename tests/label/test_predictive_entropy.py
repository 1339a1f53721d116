"""Predictive entropy, by hand; tests/label/test_margin.py has what it shares with Margin."""

from __future__ import annotations

import math

import pytest
import torch
from label_pools import Echo, pool_of, probabilities

from shoestring.label import LeastConfident, PredictiveEntropy, Worthiest
from shoestring.label.choosing.answers import entropy, worths


def test_a_fair_coin_has_the_logarithm_of_two():
    rows = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    assert entropy(rows).tolist() == pytest.approx([math.log(2), 0, math.log(3)])
    task = pool_of(probabilities((0.25, 0.75)), classes=2)
    found, places = worths(Echo(2), task, [0], entropy)
    assert places.tolist() == [1]
    assert found.item() == pytest.approx(-0.25 * math.log(0.25) - 0.75 * math.log(0.75))


def test_all_classes_count():
    task = pool_of(probabilities((0.5, 0.49, 0.01), (0.52, 0.24, 0.24)))
    assert PredictiveEntropy(batch=Worthiest()).choose(Echo(3), task, 2).tolist() == [1, 0]
    assert LeastConfident(batch=Worthiest()).choose(Echo(3), task, 2).tolist() == [0, 1]
