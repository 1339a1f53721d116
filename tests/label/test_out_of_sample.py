"""Folds and probabilities out of sample, by a small network on made-up points."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch
from scipy.stats import t
from torch import nn

from shoestring.core import seeded
from shoestring.kit import AdamW, Supervised, Training
from shoestring.label.audit.fit import Reason, least_loss, underfit_or_contradiction
from shoestring.label.audit.folds import folds_of
from shoestring.label.audit.influence import Difference, difference, influence
from shoestring.label.audit.out_of_sample import out_of_sample

module = import_module("shoestring.label.audit.influence")


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
    assert found.verdict.startswith("without the suspects the score ")
    assert " points better (" in found.verdict
    worse = Difference(mean=-0.02, low=-0.03, high=-0.01)
    assert "is 2.00 points worse (" in replace(found, against_all=worse).verdict
    with pytest.raises(ValueError, match="at least one"):
        influence(network(), task, TRAINING, [])
    with pytest.raises(ValueError, match="half at most"):
        influence(network(), task, TRAINING, np.arange(70))
    with pytest.raises(ValueError, match="1 are not in the training split"):
        influence(network(), task, TRAINING, [999])


def test_as_many_at_random_are_drawn_from_all(monkeypatch):
    left_out = []

    def scored(model, task, training, kept, seed, name):
        left_out.append((name, np.setdiff1d(np.arange(120), kept)))
        return module._Scored(score=0.5, merits=np.zeros(4))

    monkeypatch.setattr(module, "_scored", scored)
    influence(network(), points(), TRAINING, np.arange(60), seeds=range(8))
    drawn = [indices for name, indices in left_out if name == "random"]
    assert all(len(indices) == 60 for indices in drawn)
    # Half of them are suspects, as of all examples.
    assert np.mean([(indices < 60).mean() for indices in drawn]) == pytest.approx(0.5, abs=0.1)


def test_a_paired_interval_by_hand():
    gains = np.array([[0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0]])
    found = difference(gains)
    # Means of seeds 0.25 and 0.75; of examples 0.5, 1, 0, 0.5.
    by_seed, by_example = 0.125 / 2, (0.5 / 3) / 4
    assert found.mean == 0.5
    free = (by_seed + by_example) ** 2 / (by_seed**2 / 1 + by_example**2 / 3)
    half = t.ppf(0.975, free) * (by_seed + by_example) ** 0.5
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half))
    assert difference(np.array([[0.5, 0.2]])).high == np.inf
    assert difference(np.array([[0.5], [0.2]])).low == -np.inf
    alike = difference(np.full((3, 5), 0.5))
    assert (alike.low, alike.high) == (0.5, 0.5)


def test_three_like_seeds_are_not_sure_of_a_few_validation_examples():
    # One of forty more is right, for each seed: the seeds agree, the validation split is small.
    gains = np.zeros((3, 40))
    gains[:, 0] = 1
    found = difference(gains)
    assert found.low < 0 < found.mean


def test_the_interval_covers_the_truth_as_often_as_it_says():
    draw = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        seed, example = draw.normal(size=(3, 1)) * 0.02, draw.normal(size=(1, 60)) * 0.5
        found = difference(0.1 + seed + example + draw.normal(size=(3, 60)) * 0.3)
        covered += found.low <= 0.1 <= found.high
    assert 0.93 <= covered / 400 <= 1


def test_a_score_that_is_no_mean_takes_its_standard_error():
    plain = points(wrong=30)
    metric = replace(plain, metric=lambda outputs, targets: (outputs.argmax(1) == targets).mean())
    one = influence(network(), plain, TRAINING, np.arange(30))
    other = influence(network(), metric, TRAINING, np.arange(30))
    assert other.with_all == one.with_all and np.isfinite(other.against_all.high)
    assert other.against_all.low <= one.against_all.low + 0.01


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
