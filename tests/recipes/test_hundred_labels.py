"""The recipe of MNIST with 100 labels: what is given, the network, and a file that answers."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from shoestring.artifact import load
from shoestring.core import seeded
from shoestring.kit import AdamW, Training
from shoestring.recipes import hundred_labels
from shoestring.recipes.half_labelled_digits import few_digits
from shoestring.recipes.hundred_labels_mnist import LABELS, PAID, STRONG, WEAK, few_pictures, pooled
from shoestring.tasks.fetch import present
from shoestring.tasks.mnist import _MNIST
from shoestring.unlabelled import MeanTeacher, Shifted

HERE = pytest.mark.skipif(
    any(present(one) is None for one in _MNIST),
    reason="MNIST is not here: run shoestring.tasks.mnist() once where there is a network",
)


@HERE
def test_labels_are_balanced_and_nothing_is_in_two_places():
    task = few_pictures(LABELS, 3)
    assert len(task.train[1]) + len(task.validation[1]) == PAID
    assert task.train[1].bincount().tolist() == [10] * 10
    assert task.validation[1].bincount().tolist() == [10] * 10
    assert len(task.train[1]) + len(task.pool()) == 55_000
    (given,), (free,) = task.inputs(task.known()), task.inputs(task.pool()[:5000])
    assert torch.cdist(given.flatten(1), free.flatten(1)).min() > 0


def test_the_network_takes_pictures_of_16_pixels_or_more():
    with seeded(0):
        model = pooled(3, 4, classes=7).eval()
    assert [model(torch.rand(2, 3, side, side)).shape[1] for side in (16, 28, 33)] == [7] * 3


def test_its_file_answers_as_was_proven(tmp_path: Path):
    """On the digits, enlarged, whose few pictures are here everywhere."""
    task = few_digits(40, 0)
    with seeded(0):
        model = torch.nn.Sequential(torch.nn.Upsample(scale_factor=2.0), *pooled(1, 4))
    technique = MeanTeacher(
        training=Training(30, AdamW(1e-2)), size=32, weak=Shifted(0.02), strong=STRONG
    )
    path = tmp_path / "hundred.shoe"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, test = hundred_labels(task, model, path, technique)
    assert task.score(load(path), "test") == test


def test_changes_are_stronger_for_the_network_than_for_its_teacher():
    assert WEAK.turn < STRONG.turn and WEAK.covered == 0 < STRONG.covered
