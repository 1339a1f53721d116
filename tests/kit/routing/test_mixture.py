"""Mixtures of experts: their answers by a slow obvious way, their files, and what they refuse."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from zoo import classified

from shoestring.artifact import load
from shoestring.core import seeded
from shoestring.kit import Training, save, train
from shoestring.kit.routing.mixture import MixtureOfExperts
from shoestring.kit.routing.shares import Routing, RoutingWarning, expert_shares
from shoestring.meters import Operations
from shoestring.quantize import PostTraining


def expert(width: int = 6) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, width))


def mixture(count: int = 4, width: int = 6, **settings: Any) -> MixtureOfExperts:
    with seeded(0):
        experts = [expert(width) for _ in range(count)]
        return MixtureOfExperts(experts, nn.Linear(width, count), **settings)


def slowly(model: MixtureOfExperts, rows: Tensor) -> Tensor:
    """The answer row by row, by the definition."""
    answers: list[Tensor] = []
    for row in rows:
        logits = model.router(row)  # type: ignore[misc]
        best = logits.argsort(descending=True)[: model.choose.active].tolist()
        weights = logits.softmax(0)[best]
        if len(best) > 1:
            weights = logits[best].softmax(0)
        answers.append(sum(w * model.experts[b](row) for w, b in zip(weights, best, strict=True)))  # type: ignore[arg-type]
    return torch.stack(answers)


@pytest.mark.parametrize("active", [1, 2, 3])
def test_each_row_gets_its_experts_with_their_weights(active: int):
    model, rows = mixture(active=active).eval(), torch.randn(15, 6)
    with torch.no_grad():
        torch.testing.assert_close(model(rows), slowly(model, rows))
        words = model(rows.view(3, 5, 6))  # a row for each word
        torch.testing.assert_close(words.flatten(0, 1), model(rows))


def test_training_gives_what_evaluation_gives_and_the_balance_loss_reaches_the_router():
    model, rows = mixture(balance=0.1, z=0.0), torch.randn(15, 6)
    torch.testing.assert_close(model.train()(rows), model.eval()(rows))
    model.train()
    (model(rows) * 0).sum().backward()  # only the added loss is left
    with torch.no_grad():
        likely = model.router(rows).softmax(-1)  # type: ignore[misc]
    shares = torch.bincount(likely.argmax(-1), minlength=4) / 15
    logits = model.router(rows)  # type: ignore[misc]
    wanted = 0.1 * 4 * (shares * logits.softmax(-1).mean(0)).sum()
    (by_hand,) = torch.autograd.grad(wanted, [model.router.bias])  # type: ignore[union-attr, list-item]
    assert model.router is not None
    torch.testing.assert_close(model.router.bias.grad, by_hand)  # type: ignore[union-attr]
    assert by_hand.abs().max() > 0


def test_rows_beyond_the_capacity_get_nothing_and_are_counted():
    model = mixture(2, capacity=0.5, balance=0.0, z=0.0)
    logits = torch.tensor([[9.0, 0], [9, 0], [9, 0], [0, 9]])  # an expert takes one row
    rows = torch.randn(4, 6)
    answer = model.train()(rows, logits)
    assert (answer.abs().sum(-1) == 0).tolist() == [False, True, True, False]
    assert model.dropped == pytest.approx(0.5)
    assert (model.eval()(rows, logits).abs().sum(-1) > 0).all()


class _Pictures(nn.Module):
    """Convolutions with batch norm as experts, one for each image."""

    def __init__(self, active: int) -> None:
        super().__init__()
        router = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
        blocks = [
            nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
            for _ in range(3)
        ]
        self.mixture = MixtureOfExperts(blocks, router, active=active)
        self.last = nn.Linear(4, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.mixture(images).mean((2, 3)))


@pytest.mark.by_default("1")
@pytest.mark.parametrize("active", [1, 2])
def test_a_file_gives_the_same_and_computes_only_what_is_routed(active: int, tmp_path: Path):
    task = classified((4, 5, 5))
    with seeded(1):
        model = _Pictures(active).eval()
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.uniform_(part.running_mean)  # type: ignore[arg-type]
    path = tmp_path / "pictures.shoe"
    save(model, task, path)
    predict, images = load(path), torch.randn(20, 4, 5, 5)
    with torch.no_grad():
        for count in (1, 20):
            wanted = model(images[:count]).numpy()
            np.testing.assert_allclose(predict(images[:count].numpy()), wanted, atol=1e-5)
    operations = Operations()(path, task).operations
    one_expert = 2 * 4 * 4 * 9 * 25
    assert operations is not None
    assert active * one_expert < operations < (active + 0.2) * one_expert


def test_integers_of_8_bits_where_an_expert_got_no_row_are_said_and_left(tmp_path: Path):
    task = classified((6,))
    model = nn.Sequential(mixture(), nn.Linear(6, 4)).eval()
    with torch.no_grad():
        model[0].router.bias[0] = -100.0  # type: ignore[index, union-attr, operator]
    with pytest.warns(UserWarning, match=r"floating point: 0\.experts\.0\.2"):
        small = PostTraining(examples=12)(model, task).eval()
    path = tmp_path / "small.shoe"
    save(small, task, path)
    (x,), _ = task.train  # what the ranges were read from
    with torch.no_grad():
        found, wanted = load(path)(x.numpy()), model(x).numpy()
        np.testing.assert_allclose(found, small(x).numpy(), atol=0.01)
    assert np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()


def test_a_training_that_leaves_experts_out_says_so():
    class Bent(nn.Module):
        """Always the same expert."""

        def __init__(self) -> None:
            super().__init__()
            self.inside, self.last = mixture(balance=0.0), nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            logits = torch.tensor([0.0, 0, 9, 0]).expand(len(x), 4)
            return self.last(self.inside(x, logits))

    with pytest.warns(RoutingWarning, match=r"router of inside has collapsed: expert 2 gets 100"):
        train(Bent(), classified((6,)), Training(3))


def test_the_shares_of_a_split_and_their_verdict():
    task = classified((6,), examples=12)
    model = nn.Sequential(mixture(balance=0.0), nn.Linear(6, 4))
    (found,) = expert_shares(model, task)
    assert found.name == "0" and sum(found.shares) == pytest.approx(1)
    assert Routing(name="a", shares=(0.25,) * 4).verdict() == ""
    starved = Routing(name="a", shares=(0.4, 0.3, 0.3, 0.0))
    assert starved.starved == (3,) and "hardly any row reaches: 3 (0.00 %)" in starved.verdict()
    assert "collapsed" in Routing(name="a", shares=(1.0, 0, 0, 0)).verdict()
    assert "7.0 %" in Routing(name="a", shares=(0.5, 0.5), dropped=0.07).verdict()
    with pytest.raises(ValueError, match="no MixtureOfExperts"):
        expert_shares(nn.Linear(6, 4), task)


def test_what_it_refuses():
    with pytest.raises(ValueError, match="5 of 4 experts are active"):
        mixture(active=5)
    with pytest.raises(ValueError, match="capacity is 0"):
        mixture(capacity=0)
    with pytest.raises(ValueError, match="jitter"):
        mixture(jitter=1.0)
    with pytest.raises(ValueError, match="3 logits for 2 experts"):
        MixtureOfExperts([expert(), expert()], nn.Linear(6, 3))(torch.randn(2, 6))
    uneven = MixtureOfExperts([nn.Linear(6, 2), nn.Linear(6, 3)], nn.Linear(6, 2))
    with pytest.raises(ValueError, match=r"rows of shape \[3\].*\[2\]"):
        uneven(torch.randn(4, 6))
    with pytest.raises(ValueError, match="no router"):
        MixtureOfExperts([expert()])(torch.randn(2, 6))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixture().train()(torch.randn(1, 6))  # a batch of one row is no error
