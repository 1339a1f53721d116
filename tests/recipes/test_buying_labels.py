"""The recipe that buys labels, on the digits, and the reader's own way to ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import nn

from shoestring.core import LabelBudgetError, label_task, seeded
from shoestring.kit import AdamW, Supervised, Training
from shoestring.label import Margin, Random, label_forecast
from shoestring.recipes import which_labels
from shoestring.tasks import digits

ASKED: list[int] = []


def task(limit: int | None = None) -> Supervised:
    whole = digits()
    images, labels = whole.train
    assert isinstance(images, torch.Tensor)

    def ask(indices: Sequence[int]) -> torch.Tensor:
        ASKED.extend(indices)
        return labels[20:][list(indices)]

    train = (images[:20], labels[:20])
    return replace(whole, train=train, unlabelled=images[20:], answer=ask, limit=limit)


def network() -> nn.Module:
    with seeded(0):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))


def test_the_curve_rises_and_every_label_is_asked_for_once():
    ASKED.clear()
    lines: list[str] = []
    technique = Margin(labels=90, rounds=3, training=Training(80, AdamW(1e-2, 0.1)))
    _, curve = which_labels(network(), task(), technique, say=lines.append)
    assert [point.labels for point in curve] == [20, 50, 80, 110] and len(lines) == 4
    assert len(ASKED) == len(set(ASKED)) == 90
    assert curve[-1].score > curve[0].score + 0.1 and 0 < curve[-1].standard_error < 0.03
    assert label_forecast(curve).at(220).middle is not None
    _, again = which_labels(network(), task(), technique, say=lines.append)
    assert again == curve


def test_more_than_may_be_bought():
    ASKED.clear()
    with pytest.raises(LabelBudgetError, match="labels=90 are to be bought, and the task sells 50"):
        which_labels(network(), task(limit=50), Random(labels=90, training=Training(1)))
    assert ASKED == []


@pytest.mark.parametrize("answered", [12, -1])
def test_an_answer_of_a_class_that_the_network_has_not_is_named(answered: int):
    asked = replace(task(), answer=lambda indices: torch.full((len(indices),), answered))
    with pytest.raises(ValueError, match=rf"is {answered}, and the network has 10 classes, 0 to 9"):
        Margin(labels=10, rounds=1, training=Training(2))(network(), asked)


def test_the_test_split_stays_sealed():
    class NoTest(nn.Module):
        """Fails where it sees as many examples at once as the test split is long."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            assert len(images) != 123
            return self.inner(images)

    whole = task()
    images, labels = whole.test
    assert isinstance(images, torch.Tensor)
    sealed = replace(whole, test=(images[:123], labels[:123]))
    technique = Random(labels=10, training=Training(2))
    _, curve = which_labels(NoTest(), sealed, technique, say=lambda line: None)
    assert len(curve) == 2 and len(label_task(sealed).known()) == 20
