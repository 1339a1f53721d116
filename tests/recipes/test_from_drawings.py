"""The recipe that learns from drawn digits: what is given, and a file that answers."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from shoestring.artifact import load
from shoestring.core import seeded
from shoestring.generate import Simulated
from shoestring.kit import AdamW, Constant, Training
from shoestring.models import DCGANDiscriminator, Refiner
from shoestring.recipes import from_drawings
from shoestring.recipes.from_drawings_mnist import (
    CHECKED,
    checked_mnist,
    simulated,
    simulator_refined,
)
from shoestring.recipes.half_labelled_digits import few_digits
from shoestring.recipes.hundred_labels_mnist import pooled
from shoestring.tasks import drawn_digits
from shoestring.tasks.fetch import present
from shoestring.tasks.mnist import _MNIST
from shoestring.unlabelled import MeanTeacher, Shifted


def small() -> Simulated:
    """Drawn digits of the size of scikit-learn's."""
    pictures, labels = drawn_digits(400)
    return Simulated(nn.functional.interpolate(pictures, (8, 8), mode="area"), labels)


def test_labels_of_real_pictures_are_not_read():
    task, drawn = few_digits(40, 0), small()
    real = task.train[0]
    blind = replace(task, train=(real, torch.full_like(task.train[1], 7)))
    for one in (task, blind):
        learning = simulated(drawn, one)
        assert learning.train[1] is drawn.labels and learning.unlabelled is real
    with pytest.raises(ValueError, match="give Simulated"):
        simulated(Simulated(drawn.pictures), task)


@pytest.mark.skipif(
    any(present(one) is None for one in _MNIST),
    reason="MNIST is not here: run shoestring.tasks.mnist() once where there is a network",
)
def test_a_hundred_labels_check():
    task = checked_mnist(0)
    assert task.validation[1].bincount().tolist() == [CHECKED // 10] * 10
    assert len(task.train[1]) == 55_000


def test_its_file_answers_as_was_proven(tmp_path: Path):
    task, path = few_digits(100, 0), tmp_path / "drawn.shoe"
    with seeded(0):
        model = nn.Sequential(nn.Upsample(scale_factor=2.0), *pooled(1, 4).children())
    teacher = MeanTeacher(training=Training(60, AdamW(1e-2)), weak=Shifted(0.02))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        validation, test = from_drawings(small(), task, model, path, teacher)
    assert task.score(load(path), "test") == test and min(validation, test) > 0.2


def test_refined_pictures_keep_their_labels_and_change():
    task, drawn = few_digits(100, 0), small()
    with seeded(0):
        networks = Refiner(width=4, blocks=1), DCGANDiscriminator(side=8, width=8)
    training = Training(20, AdamW(5e-3, momentum=0.5), Constant())
    better = simulator_refined(drawn, task, *networks, training)
    assert isinstance(better.pictures, Tensor) and better.labels is drawn.labels
    assert 0 < (better.pictures - drawn.pictures).abs().mean() < 0.3
