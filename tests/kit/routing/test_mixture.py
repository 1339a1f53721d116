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
from shoestring.kit.routing.shares import expert_shares
from shoestring.kit.routing.traced import every_row
from shoestring.kit.routing.verdict import Routing, RoutingWarning
from shoestring.meters import Operations
from shoestring.prune import Channels, OfChannels
from shoestring.quantize import PostTraining, QuantizationAware


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
        best = logits.argsort(descending=True)[: model.choose.top_k].tolist()
        weights = logits.softmax(0)[best]
        if len(best) > 1:
            weights = logits[best].softmax(0)
        answers.append(sum(w * model.experts[b](row) for w, b in zip(weights, best, strict=True)))  # type: ignore[arg-type]
    return torch.stack(answers)


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_each_row_gets_its_experts_with_their_weights(top_k: int):
    model, rows = mixture(top_k=top_k).eval(), torch.randn(15, 6)
    with torch.no_grad():
        torch.testing.assert_close(model(rows), slowly(model, rows))
        words = model(rows.view(3, 5, 6))  # a row for each word
        torch.testing.assert_close(words.flatten(0, 1), model(rows))


def test_training_gives_what_evaluation_gives_and_the_balance_loss_reaches_the_router():
    model, rows = mixture(balance=0.1, router_z=0.0), torch.randn(15, 6)
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
    model = mixture(2, capacity_factor=0.5, balance=0.0, router_z=0.0)
    logits = torch.tensor([[9.0, 0], [9, 0], [9, 0], [0, 9]])  # an expert takes one row
    rows = torch.randn(4, 6)
    answer = model.train()(rows, logits)
    assert (answer.abs().sum(-1) == 0).tolist() == [False, True, True, False]
    assert model.dropped == pytest.approx(0.5)
    assert (model.eval()(rows, logits).abs().sum(-1) > 0).all()


def test_first_choices_take_their_seats_before_any_second_choice():
    model = mixture(top_k=2, capacity_factor=1.0, balance=0.0, router_z=0.0)
    logits = torch.tensor([[9.0, 8, 0, 0], [0, 9, 8, 0]])  # an expert takes one of the four
    rows = torch.randn(2, 6)
    answer = model.train()(rows, logits)
    assert model.dropped == pytest.approx(1 / 4)  # the first row's second choice
    first = logits[0, :2].softmax(0)[0] * model.experts[0](rows[0])
    torch.testing.assert_close(answer[0], first)
    torch.testing.assert_close(answer[1], model.eval()(rows, logits)[1])


def test_a_caller_may_rule_experts_out():
    model, rows = mixture(top_k=2).eval(), torch.randn(3, 6)
    for only in range(4):
        logits = torch.full((3, 4), float("-inf"))
        logits[:, only] = 0
        torch.testing.assert_close(model(rows, logits), model.experts[only](rows))


def test_rows_that_do_not_count_take_no_seats_and_have_no_part_in_losses_and_shares():
    model = mixture(2, capacity_factor=1.0, balance=0.1, router_z=0.1)
    words = torch.randn(2, 4, 6)
    counted = torch.tensor([[True, True, False, False], [True, True, False, False]])
    to_first = torch.tensor([9.0, 0]).expand(2, 2, 2)
    logits = torch.cat([to_first.flip(-1)[:, :1], to_first[:, :1], to_first], 1).requires_grad_()
    model.train()(words, logits, counted=counted).mul(0).sum().backward()
    assert model.dropped == 0 and model.shares is not None
    assert model.shares.tolist() == [0.5, 0.5]
    assert logits.grad is not None and (logits.grad[:, 2:] == 0).all()
    assert (logits.grad[:, :2] != 0).all()
    left = mixture(2, capacity_factor=1.0).train()
    left(words, logits)  # where padding counts, it takes the seats
    assert left.dropped > 0
    with pytest.raises(ValueError, match=r"\[2\] of torch.bool.*\[2, 4\]"):
        model(words, logits, counted=counted[:, 0])


def test_what_counts_on_data_is_what_the_model_says():
    class Padded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside, self.last = mixture(2), nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            logits = (x[:, :1] > 0).float() * torch.tensor([[9.0, 0]])
            return self.last(self.inside(x, logits, counted=x[:, 0] > 0))

    (found,) = expert_shares(Padded(), classified((6,), examples=12))
    assert found.shares == (1.0, 0.0)


def test_a_training_that_goes_on_remembers_its_routing():
    model = mixture(capacity_factor=1.0).train()
    model(torch.randn(9, 6))
    again = mixture()
    again.go_on_from(model.of_training())
    assert again.shares is not None and model.shares is not None
    assert torch.equal(again.shares, model.shares) and again.dropped == model.dropped


def test_all_experts_are_thinned_whichever_the_example_reaches():
    task = classified((6,))
    model = nn.Sequential(nn.Linear(6, 8), mixture(width=8), nn.Linear(8, 4)).eval()
    with torch.no_grad():
        model[1].router.bias[0] = 100.0  # type: ignore[index, union-attr, operator]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        share = Channels(share=0.5, of=OfChannels(), multiple=1, training=Training(0))
        thin = share(model, task)
    widths = [one[0].out_features for one in thin[1].experts]  # type: ignore[index, union-attr]
    assert widths == [4] * 4
    assert thin[1].router.out_features == 4 and thin[0].out_features == 4  # type: ignore[index, union-attr]
    with torch.no_grad(), every_row():
        assert thin(torch.randn(5, 6)).shape == (5, 4)


@pytest.mark.parametrize("top_k", [1, 2])
def test_training_makes_the_calls_that_a_quantised_network_expects(top_k: int, tmp_path: Path):
    task = classified((6,))
    inside = mixture(top_k=top_k, capacity_factor=0.5, jitter=0.1)
    model = nn.Sequential(nn.Linear(6, 6), inside, nn.Linear(6, 4)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rows dropped, and of experts without any
        small = QuantizationAware(examples=32, training=Training(2))(model, task).eval()
    assert {"0", "2"} < set(small.places.layers)
    save(small, task, tmp_path / "small.shoe")
    (x,), _ = task.train
    with torch.no_grad():
        found = load(tmp_path / "small.shoe")(x.numpy())
        np.testing.assert_allclose(found, small(x).numpy(), atol=0.05)


class _Pictures(nn.Module):
    """Convolutions with batch norm as experts, one for each image."""

    def __init__(self, top_k: int) -> None:
        super().__init__()
        router = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
        blocks = [
            nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
            for _ in range(3)
        ]
        self.mixture = MixtureOfExperts(blocks, router, top_k=top_k)
        self.last = nn.Linear(4, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.mixture(images).mean((2, 3)))


@pytest.mark.by_default("1")
@pytest.mark.parametrize("top_k", [1, 2])
def test_a_file_gives_the_same_and_computes_only_what_is_routed(top_k: int, tmp_path: Path):
    task = classified((4, 5, 5))
    with seeded(1):
        model = _Pictures(top_k).eval()
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
    assert top_k * one_expert < operations < (top_k + 0.2) * one_expert


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


@pytest.mark.parametrize("top_k", [1, 2])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_row_that_is_no_number_spoils_no_other(top_k: int, bad: float, tmp_path: Path):
    model, rows = mixture(top_k=top_k).eval(), torch.randn(10, 6)
    save(model, classified((6,)), tmp_path / "a.shoe")
    spoilt, others = rows.clone(), [row for row in range(10) if row != 3]
    spoilt[3] = bad
    with torch.no_grad():
        wanted = model(rows)[others]
        answered = model(spoilt)
    filed = torch.tensor(load(tmp_path / "a.shoe")(spoilt.numpy()))
    for found in (answered, filed):
        torch.testing.assert_close(found[others], wanted)
        assert not found[3].isfinite().any()


def test_a_batch_of_no_rows_in_training_is_forgotten():
    model = mixture(balance=0.1, router_z=0.1).train()
    none = torch.randn(0, 6, requires_grad=True)
    model(none).sum().backward()
    assert model.shares is None
    model(torch.randn(9, 6))
    assert model.shares is not None and float(model.shares.sum()) == pytest.approx(1)
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


class Fixed(nn.Module):
    """An expert whose view does not take 0 rows."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, rows: Tensor) -> Tensor:
        return self.layer(rows).view(len(rows), 2, -1).flatten(1)


def test_an_expert_that_takes_no_empty_batch_is_named():
    model = MixtureOfExperts([expert(), Fixed()]).eval()
    to_first = torch.tensor([[9.0, 0]]).expand(4, 2)
    assert model(torch.randn(4, 6), to_first.flip(-1)).shape == (4, 6)
    with pytest.raises(ValueError, match=r"expert 1 \(Fixed\) cannot take 0 rows .*flatten"):
        model(torch.randn(4, 6), to_first)


@pytest.mark.parametrize("shape", [(4,), (1, 4), (20, 4), (10, 3, 4)])
def test_logits_for_other_rows_are_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"the logits are .* for values \[10, 6\]"):
        mixture()(torch.randn(10, 6), torch.randn(shape))


def test_what_it_refuses():
    with pytest.raises(ValueError, match="no experts: give a list of two modules or more"):
        MixtureOfExperts([])
    with pytest.raises(ValueError, match=r"the logits are torch.int64: .*values, mixture.router"):
        mixture()(torch.randn(2, 6), torch.zeros(2, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="top_k is 5 of 4 experts"):
        mixture(top_k=5)
    with pytest.raises(ValueError, match=r"top_k is 1\.5 of 4 experts: give an integer"):
        mixture(top_k=1.5)
    with pytest.raises(ValueError, match="balance is nan"):
        mixture(balance=float("nan"))
    with pytest.raises(ValueError, match="router_z inf"):
        mixture(router_z=float("inf"))
    with pytest.raises(ValueError, match="capacity_factor is inf"):
        mixture(capacity_factor=float("inf"))
    with pytest.raises(ValueError, match="capacity_factor is 0"):
        mixture(capacity_factor=0)
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
