"""What there is to learn from: clear errors, and warnings by name."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
from half_moons import CHANGES, moons, network
from torch import nn

from shoestring.kit import Agreement, Supervised
from shoestring.unlabelled import MissingClassWarning, OtherDistributionWarning
from shoestring.unlabelled.material import material


def test_it_gathers_the_pool_and_then_what_is_labelled():
    task = moons(labels=8, free=20)
    found = material(network(), task, **CHANGES)
    assert found.classes == 2 and found.pool.tolist() == list(range(20))
    assert torch.equal(found.inputs[0], torch.cat([task.inputs(found.pool)[0], task.train[0]]))  # type: ignore[list-item]
    assert found.p is not None and found.p >= 0.01


def test_no_unlabelled_examples():
    task = moons()
    alone = Supervised(train=task.train, validation=task.validation)
    with pytest.raises(ValueError, match=r"no unlabelled examples.*unlabelled=inputs"):
        material(network(), alone, None, None)


def test_no_labels():
    task = moons()
    none = task.with_labels(torch.zeros(0, dtype=torch.long), indices=[])
    with pytest.raises(ValueError, match="no labels at all"):
        material(network(), none, None, None)


def test_a_task_without_labels_to_change():
    task = moons()
    with pytest.raises(TypeError, match="no labels that can be bought or changed"):
        material(network(), Agreement(network(), task.validation[0]), None, None)


def test_nan_among_the_unlabelled():
    task = moons()
    bad = torch.as_tensor(task.unlabelled).clone()
    bad[3, 1] = torch.nan
    with pytest.raises(ValueError, match="hold NaN or infinity: clean the data first"):
        replace(task, unlabelled=bad)


def test_numbers_are_no_classes():
    task = moons()
    numbers = Supervised(
        train=(task.train[0], task.train[1].float()),
        validation=(task.validation[0], task.validation[1].float()),
        unlabelled=task.unlabelled,
        criterion=lambda outputs, targets: (outputs[:, 0] - targets).square().mean(),
        merit=lambda outputs, targets: -((outputs[:, 0] - targets) ** 2),
    )
    with pytest.raises(TypeError, match=r"takes logits N×C and one class an example"):
        material(nn.Linear(2, 1), numbers, None, None)


def test_a_class_without_a_label_is_named():
    wide = nn.Linear(2, 4)
    with pytest.warns(MissingClassWarning, match=r"no label of class 2, 3 of 4"):
        material(wide, moons(), **CHANGES)


def test_unlabelled_data_from_elsewhere_is_named_with_its_p_value():
    task = moons(labels=60)
    far = replace(task, unlabelled=torch.as_tensor(task.unlabelled) + 3)
    with pytest.warns(OtherDistributionWarning, match=r"unlike the labelled ones.*p = 0\.001"):
        material(network(), far, **CHANGES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        material(network(), task, **CHANGES)
