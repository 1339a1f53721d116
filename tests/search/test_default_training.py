"""The training that needs no tuning: which optimizer, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from zoo import mlp

from shoestring.core import Task, score, seeded
from shoestring.kit import Adagrad, AdamW, Averaged, Supervised, Training, state_of, train
from shoestring.kit.training.steps import Steps
from shoestring.models import NgramClassifier
from shoestring.search import default_training
from shoestring.search.default_training import DENSE, LOOKED_AT, suited
from shoestring.tasks import trec, trec_vocabulary


class Rows(nn.Module):
    """A table of vectors that is no layer of torch, and a linear layer of some width."""

    def __init__(self, rows: int, width: int = 2, hidden: int = 2) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(rows, width))
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.Linear(hidden, 2))

    def forward(self, ids: Tensor) -> Tensor:
        return self.layers(self.table[ids])


def words(rows: int, batch_size: int = 20) -> Supervised:
    split = torch.arange(200) % rows, torch.arange(200) % 2
    return Supervised(train=split, validation=split, batch_size=batch_size)


def test_a_table_of_which_a_batch_changes_few_rows_gets_adagrad():
    """20 different ones of 400 rows are 5 %; the table has 800 of 800 + 6 + 6 weights."""
    found = default_training(Rows(400), words(400), 70)
    assert found.training == Training(70, Adagrad(0.1)) and found.sparse == 800 / 812
    assert "99% of the weights are in table" in found.why[0] and "5.0% of the rows" in found.why[0]
    assert str(found).splitlines()[0] == repr(found.training)


@pytest.mark.parametrize(
    ("model", "task"),
    [
        (Rows(400), words(400, batch_size=200)),  # a batch changes half of the rows
        (Rows(400, hidden=500), words(400)),  # the table has 800 of 3302 weights
        (Rows(100), words(100)),  # 20 of 100 rows
        mlp(),
    ],
    ids=["often", "small", "few rows", "dense"],
)
def test_others_get_adamw(model: nn.Module, task: Task):
    found = default_training(model, task, 70)
    assert found.training == Training(70, AdamW(3e-3, weight_decay=0.01))
    assert "dense" in found.why[0] and found.sparse < 0.5


def test_a_training_gets_the_optimizer_that_suits_a_model_and_keeps_the_rest():
    given = Training(70, AdamW(0.5), statistics=Averaged())
    assert suited(given, Rows(400), words(400)) == replace(given, optimizer=Adagrad(0.1))
    assert suited(given, Rows(100), words(100)) == replace(given, optimizer=DENSE)


def test_only_one_batch_is_looked_at_where_no_table_is_hit_rarely(monkeypatch):
    """The others would change nothing: each candidate of a search is looked at."""
    seen = list[int]()
    backward = Steps.backward

    def counted(self, batch):
        seen.append(1)
        return backward(self, batch)

    monkeypatch.setattr(Steps, "backward", counted)
    default_training(Rows(100), words(100), 70)
    assert len(seen) == 1
    default_training(Rows(400), words(400), 70)
    assert len(seen) == 1 + LOOKED_AT


def test_the_model_and_the_random_numbers_stay():
    model = Rows(400).eval()
    before, randomness = state_of(model).values, torch.get_rng_state()
    default_training(model, words(400), 5)
    assert torch.equal(torch.get_rng_state(), randomness) and not model.training
    assert all(torch.equal(one, before[name]) for name, one in model.named_parameters())


def test_bad_input():
    with pytest.raises(ValueError, match="training for -1 steps"):
        default_training(Rows(4), words(4), -1)
    with pytest.raises(ValueError, match="no parameter that learns"):
        default_training(Rows(4).requires_grad_(False), words(4), 1)


def test_real_questions_are_learned_without_tuning():
    """It is ahead of AdamW at the usual rate of 0.001."""
    task, ends = trec().sealed(), list[float]()
    with seeded(0):
        model = NgramClassifier(len(trec_vocabulary()), 6)
    chosen = default_training(model, task, 400).training
    assert isinstance(chosen.optimizer, Adagrad)
    for training in (chosen, Training(400)):
        with seeded(0):
            model = NgramClassifier(len(trec_vocabulary()), 6)
            ends.append(score(task, train(model, task, training)))
    assert ends[0] > 0.82 and ends[0] > ends[1] + 0.03
