"""Classes are balanced in three ways."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from shoestring.core import seeded
from shoestring.generate import balanced, class_weighted, repeated
from shoestring.kit import Supervised

X = torch.arange(12.0).reshape(6, 2)
Y = torch.tensor([0, 0, 0, 0, 1, 2])


def few() -> Supervised:
    return Supervised(train=(X, Y), validation=(X, Y), batch_size=6)


def test_repeated_ones_are_of_their_class():
    task = few()
    with seeded(0):
        even = balanced(task, repeated(task))
    inputs, labels = even.train
    assert isinstance(inputs, Tensor)
    assert torch.bincount(labels).tolist() == [4, 4, 4]
    assert torch.equal(inputs[:6], X)
    for row, label in zip(inputs[6:], labels[6:], strict=True):
        assert any(torch.equal(row, one) for one in X[label == Y])
    assert balanced(even, repeated(even)) is even


def test_made_ones_are_asked_for_by_their_class():
    asked: list[int] = []

    def more(labels: Tensor) -> Tensor:
        asked.extend(labels.tolist())
        return torch.full((len(labels), 2), 9.0)

    inputs, labels = balanced(few(), more).train
    assert asked == [1, 1, 1, 2, 2, 2] and labels[6:].tolist() == asked
    assert isinstance(inputs, Tensor) and (inputs[6:] == 9).all()
    with pytest.raises(ValueError, match=r"6 inputs of shape \[2\] are missing, and `more` gave"):
        balanced(few(), lambda labels: torch.zeros(len(labels), 3))


def test_weights_make_classes_count_alike():
    _, targets, weights = next(iter(class_weighted(few()).batches("train")))
    for one, wanted in enumerate((2 / 4, 2.0, 2.0)):
        assert weights[targets == one].tolist() == pytest.approx([wanted] * int((one == Y).sum()))
    assert float(weights.mean()) == pytest.approx(1)


def test_other_targets():
    with pytest.raises(ValueError, match="one class an example"):
        task = Supervised(train=(X, X), validation=(X, X), criterion=torch.nn.functional.mse_loss)
        balanced(task, lambda labels: labels)
