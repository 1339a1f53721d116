"""Random: each example as likely as any other, and the seed decides."""

from __future__ import annotations

import numpy as np
import pytest
from label_pools import Echo, pool_of, probabilities, random_pool

from shoestring.core import seeded
from shoestring.label import Balanced, Random


def test_every_example_is_drawn_as_often():
    task, counts = random_pool(10), np.zeros(10)
    with seeded(0):
        for _ in range(600):
            counts[Random().choose(Echo(3), task, 3)] += 1
    assert counts.sum() == 1800 and abs(counts - 180).max() < 45  # four standard deviations


def test_the_seed_decides():
    task = random_pool(50)
    with seeded(1):
        first = Random().choose(Echo(3), task, 10)
    with seeded(1):
        again = Random().choose(Echo(3), task, 10)
    with seeded(2):
        other = Random().choose(Echo(3), task, 10)
    assert first.tolist() == again.tolist() != other.tolist() and len(set(first.tolist())) == 10


def test_balanced_draws_more_of_the_rare_class():
    rows = [(0.8, 0.1, 0.1)] * 30 + [(0.1, 0.8, 0.1)] * 10
    task = pool_of(probabilities(*rows))
    with seeded(0):
        chosen = Random(classes=Balanced()).choose(Echo(3), task, 10)
    assert sum(chosen >= 30) == 5


def test_an_empty_pool():
    task = random_pool(5, known=1)
    with pytest.raises(ValueError, match="the pool of supervised is empty"):
        Random().choose(Echo(3), task.buy(range(5)), 1)
