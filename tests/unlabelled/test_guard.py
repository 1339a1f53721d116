"""The guard: McNemar's test by hand, and what hurts is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from half_moons import CHANGES, TRAINING, moons, network
from torch import nn

from shoestring.core import score, seeded
from shoestring.kit import Supervised, Training
from shoestring.unlabelled import FixMatch, PseudoLabel, RefusedWarning
from shoestring.unlabelled.guard import judged, paired


def test_mcnemar_by_hand():
    first, second = np.ones(10), np.array([0.0] * 8 + [1.0] * 2)
    assert paired(first, second) == pytest.approx(2 / 2**8)
    assert paired(first, first) == 1.0
    one, other = np.array([1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0])
    assert paired(one, other) == 1.0


def test_merits_that_are_no_zeros_and_ones_are_compared_by_random_signs():
    draw = np.random.default_rng(1)
    noise = draw.normal(size=50)
    assert paired(noise + 1.0, noise) < 0.01
    ps = [paired(*draw.normal(size=(2, 30))) for _ in range(60)]
    assert 0.2 < np.mean(ps) < 0.8


class Says(nn.Module):
    """Answers one class to everything."""

    def __init__(self, answer: int) -> None:
        super().__init__()
        self.answer = nn.Parameter(torch.eye(2)[answer])

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return self.answer.expand(len(points), 2)


def test_the_lower_score_is_refused_and_so_is_an_equal_one():
    task = moons()
    right, wrong = (Says(one) for one in (0, 1))
    if score(task, right) < score(task, wrong):
        right, wrong = wrong, right
    refused = judged(task, wrong, right, "A guess")
    assert refused.refused and refused.network is right and "is refused" in refused.why
    used = judged(task, right, wrong, "A guess")
    assert not used.refused and used.network is right and "is used" in used.why
    assert judged(task, right, right, "A guess").refused


def test_a_score_that_is_no_mean_is_compared_without_a_test():
    task = moons()
    whole = Supervised(
        train=task.train,
        validation=task.validation,
        unlabelled=task.unlabelled,
        metric=lambda outputs, targets: float((outputs.argmax(1) == targets).mean()),
    )
    tried = judged(whole, Says(0), Says(1), "A guess")
    assert tried.p is None and "no test" in tried.why


def test_what_hurts_is_refused_with_a_warning_that_says_what_was_measured():
    """Every strong change shows the same point: what is sure of one class becomes so of all."""
    technique = FixMatch(
        training=TRAINING,
        confidence=0.0,
        weight=100.0,
        weak=CHANGES["weak"],
        strong=lambda points: 0 * points,
    )
    task = moons().sealed()
    with seeded(0), pytest.warns(RefusedWarning, match=r"validation score 0\.\d+, and 0\.\d+ with"):
        tried = technique.tried(network(), task)
    assert tried.refused and tried.network is tried.labels_only
    assert tried.scores[0] < tried.scores[1]


def test_what_is_never_sure_is_no_gain():
    technique = PseudoLabel(training=Training(5), confidence=1.0, **CHANGES)
    with seeded(0), pytest.warns(RefusedWarning, match="did not help"):
        tried = technique.tried(network(), moons().sealed())
    assert tried.p == 1.0 and tried.network is tried.labels_only is not tried.learnt
