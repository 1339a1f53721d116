"""Folds and probabilities out of sample, by a small network on made-up points."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from shoestring.core import seeded
from shoestring.kit import AdamW, Supervised, Training
from shoestring.label.audit.fit import Reason, least_loss, underfit_or_contradiction
from shoestring.label.audit.folds import folds_of
from shoestring.label.audit.influence import difference, influence
from shoestring.label.audit.out_of_sample import out_of_sample


def points(count: int = 120, classes: int = 3, wrong: int = 0) -> Supervised:
    """Points around a centre for each class; the first ones have wrong labels."""
    draw = np.random.default_rng(0)
    true = np.arange(count) % classes
    inputs = 3 * np.eye(classes)[true] + draw.normal(size=(count, classes)) * 0.5
    given = true.copy()
    given[:wrong] = (true[:wrong] + 1) % classes
    pair = torch.tensor(inputs, dtype=torch.float32), torch.tensor(given)
    clean = pair[0], torch.tensor(true)
    return Supervised(train=pair, validation=clean, test=clean, batch_size=32)


def network(classes: int = 3) -> nn.Module:
    with seeded(0):
        return nn.Sequential(nn.Linear(classes, 16), nn.ReLU(), nn.Linear(16, classes))


TRAINING = Training(60, AdamW(0.03))


def test_folds_are_alike_in_their_labels_and_keep_groups_together():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    fold = folds_of(labels, 5, seed=3)
    for label, each in ((0, 10), (1, 6), (2, 4)):
        assert np.bincount(fold[labels == label], minlength=5).tolist() == [each] * 5
    assert (fold == folds_of(labels, 5, seed=3)).all()
    assert (fold != folds_of(labels, 5, seed=4)).any()
    groups = np.arange(100) // 2
    paired = folds_of(labels, 5, groups=groups)
    assert (paired[::2] == paired[1::2]).all()
    assert np.bincount(paired, minlength=5).tolist() == [20] * 5
    with pytest.raises(ValueError, match="3 examples in 1 groups cannot be divided into 2 folds"):
        folds_of([0, 1, 0], 2, groups=[7, 7, 7])
    with pytest.raises(ValueError, match="2 groups for 3 labels"):
        folds_of([0, 1, 0], 2, groups=[7, 7])


def test_what_is_said_of_an_example_comes_from_a_model_that_did_not_see_it():
    task = points(wrong=6)
    found = out_of_sample(network(), task, TRAINING, 4)
    assert found.probabilities.shape == (120, 3) and found.told.all() and not found.notes
    assert np.allclose(found.probabilities.sum(1), 1)
    # A model that had seen the wrong labels would not be so sure of the right ones.
    true = np.arange(120) % 3
    assert (found.probabilities.argmax(1) == true).mean() > 0.95
    again = out_of_sample(network(), task, TRAINING, 4)
    assert np.array_equal(found.probabilities, again.probabilities)


def test_it_does_not_change_the_model_and_does_not_read_the_test_split():
    model, task = network(), points()
    before = [p.clone() for p in model.parameters()]
    out_of_sample(model, task.sealed(), Training(5), 2)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_class_with_one_example_is_not_judged_and_it_is_said():
    task = points(wrong=0)
    labels = task.train[1].clone()
    labels[labels == 2] = 1
    labels[7] = 2
    changed = task.with_labels(labels)
    found = out_of_sample(network(), changed, Training(5), 5)
    named = out_of_sample(network(), changed, Training(5), 5, names=("a", "b", "rare"))
    assert "(class 'rare')" in named.notes[0]
    assert np.flatnonzero(~found.told).tolist() == [7]
    assert "1 example has a class that no other fold has (class 2)" in found.notes[0]


def test_an_interrupted_run_goes_on(tmp_path):
    task = points()
    whole = out_of_sample(network(), task, TRAINING, 3)
    first = out_of_sample(network(), task, TRAINING, 3, folder=tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    again = out_of_sample(network(), task, TRAINING, 3, folder=tmp_path)
    assert np.array_equal(whole.probabilities, first.probabilities)
    assert np.array_equal(first.probabilities, again.probabilities)
    assert sorted(tmp_path.iterdir()) == files


def test_labels_and_outputs_that_do_not_fit_are_named():
    task = points()
    with pytest.raises(ValueError, match="a label is 2, and the model has 2 outputs"):
        out_of_sample(nn.Linear(3, 2), task.with_labels(task.train[1]), Training(0), 2)
    ones = torch.zeros(120, 3)
    made = Supervised(
        train=(task.train[0], ones), validation=(task.train[0], ones), test=(task.train[0], ones)
    )
    with pytest.raises(ValueError, match="give one class for each example"):
        out_of_sample(network(), made, Training(0), 2)


def test_suspects_that_hurt_are_seen_to_hurt():
    task = points(count=120, wrong=55)
    found = influence(network(), task, TRAINING, np.arange(55), seeds=(0, 1, 2))
    assert found.suspects == 55 and len(found.without) == 3
    assert np.mean(found.without) > np.mean(found.with_all)
    assert np.mean(found.without) > np.mean(found.without_random)
    assert "without the suspects" in found.verdict or "no difference is sure" in found.verdict
    with pytest.raises(ValueError, match="at least one"):
        influence(network(), task, TRAINING, [])
    with pytest.raises(ValueError, match="half at most"):
        influence(network(), task, TRAINING, np.arange(70))
    with pytest.raises(ValueError, match="1 are not in the training split"):
        influence(network(), task, TRAINING, [999])


def test_a_paired_interval_by_hand():
    found = difference(np.array([0.01, 0.02, 0.03]))
    # t(0.975, 2) = 4.302653, deviation 0.01, three pairs
    assert found.mean == pytest.approx(0.02)
    assert found.low == pytest.approx(0.02 - 4.302653 * 0.01 / 3**0.5, abs=1e-6)
    assert difference(np.array([0.5])).high == np.inf


def test_the_least_loss_is_the_entropy_of_labels_within_duplicates():
    assert least_loss([0, 1, 0, 0], [5, 5, 6, 7]) == pytest.approx(2 * np.log(2) / 4)
    assert least_loss([0, 1, 2], [0, 1, 2]) == 0
    assert least_loss([0, 0, 1], [9, 9, 9]) == pytest.approx(
        -(2 * np.log(2 / 3) + np.log(1 / 3)) / 3
    )
    with pytest.raises(ValueError, match="2 labels and 1 groups"):
        least_loss([0, 1], [0])


def test_underfit_contradiction_and_a_good_fit_are_told_apart():
    task = points(count=60)
    apart = np.arange(60)
    good = underfit_or_contradiction(network(), task, Training(200, AdamW(0.03)), apart, times=2)
    assert good.reason is Reason.FITS and good.contradicting == 0
    short = underfit_or_contradiction(network(), task, Training(3, AdamW(0.003)), apart, times=100)
    assert short.reason is Reason.UNDERFIT and "train longer" in short.verdict
    inputs, labels = task.train
    twice = torch.cat([inputs, inputs]), torch.cat([labels, (labels + 1) % 3])
    doubled = Supervised(train=twice, validation=twice, test=twice, batch_size=32)
    found = underfit_or_contradiction(
        network(), doubled, Training(200, AdamW(0.03)), np.tile(apart, 2), times=2
    )
    assert found.reason is Reason.CONTRADICTION and found.contradicting == 120
    assert found.least == pytest.approx(np.log(2))
    assert "settle the labels of 120 duplicates" in found.verdict
    with pytest.raises(ValueError, match="2 times as long"):
        underfit_or_contradiction(network(), task, TRAINING, apart, times=1)
