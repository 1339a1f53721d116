"""The recipe of half-labelled digits: the file answers as was proven, and refusing is a warning."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shoestring.artifact import load
from shoestring.core import seeded
from shoestring.kit import AdamW, Training
from shoestring.models import DigitsLeNet
from shoestring.recipes import half_labelled
from shoestring.recipes.half_labelled_digits import LABELS, PAID, STRONG, WEAK, few_digits
from shoestring.unlabelled import MeanTeacher, RefusedWarning


def test_labels_are_balanced_and_nothing_is_in_two_places():
    task = few_digits(40, 3)
    assert task.train[1].bincount().tolist() == [4] * 10
    assert task.validation[1].bincount().tolist() == [4] * 10
    assert len(task.train[1]) + len(task.pool()) == 997
    (given,), (free,) = task.inputs(task.known()), task.inputs(task.pool())
    assert torch.cdist(given.flatten(1), free.flatten(1)).min() > 0


def test_the_labels_that_are_counted_are_all_that_the_task_has():
    task = few_digits(LABELS, 0)
    assert len(task.train[1]) + len(task.validation[1]) == PAID


@pytest.mark.slow
def test_the_file_answers_as_was_proven(tmp_path: Path):
    task = few_digits(80, 0)
    with seeded(0):
        model = DigitsLeNet()
    technique = MeanTeacher(training=Training(150, AdamW(5e-3)), weak=WEAK, strong=STRONG)
    path = tmp_path / "half.shoe"
    validation, test = half_labelled(task, model, path, technique)
    assert 0.6 < validation <= 1 and 0.6 < test <= 1
    assert task.score(load(path), "test") == test


def test_what_does_not_help_is_not_in_the_file(tmp_path: Path):
    task = few_digits(20, 0)
    with seeded(0):
        model = DigitsLeNet()
    blind = MeanTeacher(training=Training(20), weight=1e4, rise=0.0, strong=lambda x: 0 * x)
    with pytest.warns(RefusedWarning, match="is refused"):
        half_labelled(task, model, tmp_path / "half.shoe", blind)
