"""Dual supervised learning: the joint-probability term by hand."""

from __future__ import annotations

from dataclasses import replace
from math import log

import pytest
import torch
from made_duals import Readers, pictures_and_labels
from torch import nn

from shoestring.core import seeded
from shoestring.dual import Classes, DualSupervised, Frequencies, Marginals, RewardError
from shoestring.dual.supervised import _JointProbability, joint_gap
from shoestring.kit import AdamW, Training, clone, state_of, train

FEW = Training(3, AdamW(1e-2))


class Tables:
    """A dual of two tables of classes, for the gap alone."""

    forward, backward = Classes(part="there"), Classes(part="back")
    marginals = Marginals(source=Frequencies((2.0, 0.0)), target=Frequencies((0.0, 1.0)))


def test_the_gap_by_hand():
    """p(x=0) = 3/4, p(y=1) = 2/3, p(y=1|x=0) = 1/4 and p(x=0|y=1) = 1/2."""
    model = nn.ModuleDict(
        {
            "there": nn.Embedding.from_pretrained(torch.tensor([[log(3.0), 0.0], [0.0, 0.0]])),
            "back": nn.Embedding.from_pretrained(torch.zeros(2, 2)),
        }
    )
    gap = joint_gap(Tables(), model, torch.tensor([0]), torch.tensor([1]))
    wanted = (log(3 / 4) + log(1 / 4) - log(2 / 3) - log(1 / 2)) / 2  # two items
    assert gap.tolist() == pytest.approx([wanted])


def test_the_loss_has_the_square_of_the_gap_and_a_weight_of_0_is_plain_training():
    task = pictures_and_labels(40)
    with seeded(0):
        model = Readers()
    source, target = next(iter(task.batches("train")))
    plain = float(task.loss(model, (source, target)).detach())
    term = float(joint_gap(task, model, source, target).square().mean().detach())
    lesson = _JointProbability(task, 3.0)
    assert float(lesson.loss(model, (source, target)).detach()) == pytest.approx(plain + 3 * term)
    assert term > 0.01
    with seeded(0):
        without = state_of(DualSupervised(weight=0.0, training=FEW)(model, task)).values
    with seeded(0):
        trained = state_of(train(clone(model), task, FEW)).values
    assert all(torch.equal(without[name], trained[name]) for name in trained)


def test_training_with_the_term_makes_the_gap_smaller():
    task, training = pictures_and_labels(40), Training(150, AdamW(1e-2))
    with seeded(0):
        model = train(Readers(), task, Training(60, AdamW(1e-2)))
    gaps = []
    for weight in (0.0, 10.0):
        with seeded(0):
            result = DualSupervised(weight=weight, training=training)(model, task.sealed())
        source, target = next(iter(task.batches("train")))
        gaps.append(float(joint_gap(task, result, source, target).square().mean().detach()))
    assert gaps[1] < 0.7 * gaps[0]


def test_what_cannot_be_is_refused():
    task, model = pictures_and_labels(40), Readers()
    with pytest.raises(ValueError, match="the source side has no marginal: give one"):
        DualSupervised()(model, replace(task, marginals=Marginals(target=Frequencies((1.0,)))))
    with pytest.raises(ValueError, match=r"the weight is -1\.0"):
        DualSupervised(weight=-1.0)
    with pytest.raises(TypeError, match="one direction only"):
        DualSupervised()(model, task.ahead)
    endless = replace(
        task, marginals=replace(task.marginals, target=lambda y: torch.full((len(y),), -torch.inf))
    )
    with pytest.raises(RewardError, match="the marginal of targets is -inf for 40 of 40"):
        DualSupervised(training=FEW)(model, endless)
    with pytest.raises(ValueError, match="counts of classes"):
        Frequencies((1.0, -1.0))
