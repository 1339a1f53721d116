"""The training loop."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from torch import nn
from torch.nn import functional

from shoestring.core import Task
from shoestring.kit import (
    AdamW,
    DivergedError,
    SkippedWarning,
    Supervised,
    Training,
    clone,
    recover,
    state_of,
    train,
)
from shoestring.kit.training.resume import Batches


def line(examples: int = 64) -> Supervised:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(examples, 3, generator=generator)
    split = (x, x @ torch.tensor([[1.0], [-2.0], [3.0]]))
    return Supervised(
        train=split, validation=split, test=split, batch_size=16, criterion=functional.mse_loss
    )


def test_learns_a_line():
    model = train(nn.Linear(3, 1), line(), Training(300, AdamW(0.1)))
    torch.testing.assert_close(
        model.weight.detach(), torch.tensor([[1.0, -2.0, 3.0]]), atol=0.02, rtol=0
    )  # type: ignore[union-attr]


def test_half_precision_learns_too_and_stays_finite():
    task = line()
    halves = (task.train[0].half(), task.train[1].half())  # type: ignore[union-attr]
    task = Supervised(
        train=halves, validation=halves, test=halves, batch_size=16, criterion=functional.mse_loss
    )
    model = train(nn.Linear(3, 1).half(), task, Training(300, AdamW(0.1)))
    assert model.weight.dtype == torch.float16
    torch.testing.assert_close(
        model.weight.detach().float(), torch.tensor([[1.0, -2.0, 3.0]]), atol=0.05, rtol=0
    )


def test_same_seed_same_result_and_mode_is_put_back():
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        model = nn.Sequential(
            nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 1)
        ).eval()
        results.append(state_of(train(model, line(), Training(5))).values)
        assert not model.training
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_no_steps_and_frozen_models_change_nothing():
    model = nn.Linear(3, 1)
    before = model.weight.detach().clone()
    assert train(model, line(), Training(0)) is model
    seen = []
    with pytest.warns(SkippedWarning, match="training trained nothing: every parameter is frozen"):
        train(model.requires_grad_(False), line(), Training(3), before_step=seen.append)
    assert torch.equal(model.weight, before) and seen == [0, 1, 2]


def test_frozen_layer_stays():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    model[0].requires_grad_(False)
    before = clone(model)
    train(model, line(), Training(3, AdamW(weight_decay=0.1)))
    assert torch.equal(model[0].weight, before[0].weight) and not torch.equal(
        model[1].weight, before[1].weight
    )  # type: ignore[index]


def test_divergence_is_an_error_that_names_the_step():
    model = nn.Linear(3, 1)
    with torch.no_grad():
        model.weight.fill_(float("inf"))
    with pytest.raises(
        DivergedError,
        match=r"the loss is (nan|inf) at step 0 of 3 \(training\): the weights of weight are not "
        r"finite.*Use a learning rate below 0.01",
    ):
        train(model, line(), Training(3, AdamW(0.01)))


def test_divergence_names_the_layer_where_it_began_and_leaves_the_statistics():
    model = nn.Sequential(
        nn.BatchNorm1d(3), nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 1))
    )
    with torch.no_grad():
        model[1].weight.fill_(3e38)  # type: ignore[union-attr]
    with pytest.raises(
        DivergedError, match=r"the first output that is (NaN|infinite) is that of 1 \(linear\)"
    ):
        train(model, line(), Training(3, AdamW(0.01)))
    assert int(model[0].num_batches_tracked) == 1  # type: ignore[arg-type]


def test_nothing_to_train_on():
    class Empty(Task):
        def batches(self, split):
            return []

    with pytest.raises(ValueError, match="training split has no batches"):
        train(nn.Linear(3, 1), Empty(), Training(3))  # type: ignore[abstract]


def test_passes_follow_one_another():
    assert [len(y) for _, y in islice(Batches(line(24)), 5)] == [16, 8, 16, 8, 16]


def test_recover_is_taught_by_a_copy_and_only_once():
    teachers = []

    class Spy(Supervised):
        def taught_by(self, teacher):
            teachers.append(teacher)
            return super().taught_by(teacher)

    task, model = line(), nn.Linear(3, 1)
    spy = Spy(
        train=task.train, validation=task.validation, test=task.test, criterion=functional.mse_loss
    )
    recover(clone(model), spy, model, Training(2))
    assert len(teachers) == 1 and teachers[0] is not model and not teachers[0].training
    recover(clone(model), spy.taught_by(model), model, Training(2))
    recover(clone(model), spy, model, Training(0))
    assert len(teachers) == 2


class Again:
    """A loader that begins anew whenever it is asked for an iterator."""

    def __iter__(self):
        self.place = 0
        return self

    def __next__(self):
        self.place += 1
        if self.place > 3:
            raise StopIteration
        return self.place


def test_a_loader_that_is_its_own_iterator():
    class Numbers:
        def batches(self, split):
            return Again()

    assert list(islice(Batches(Numbers()), 7)) == [1, 2, 3, 1, 2, 3, 1]  # type: ignore[arg-type]


def test_parameters_with_holes_and_complex_ones_train():
    base = torch.zeros(4, 10)
    model = torch.nn.Module()
    model.holes = torch.nn.Parameter(base[:, ::2])
    model.complex = torch.nn.Parameter(torch.ones(3, dtype=torch.complex64))

    class Towards:
        def batches(self, split):
            return [0]

        def loss(self, model, batch):
            return (model.holes - 1).square().sum() + (model.complex - 2).abs().square().sum()

    train(model, Towards(), Training(3, AdamW(0.1)))  # type: ignore[arg-type]
    assert bool((model.holes > 0).all()) and not base[:, 1::2].any()
    assert bool((model.complex.real > 1).all())
