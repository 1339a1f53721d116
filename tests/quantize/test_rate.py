"""Training for the length of the code.

Prices by hand, gradients, files that shrink, and what is left alone.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from shoestring.artifact import load, read
from shoestring.core import chain, score, seeded
from shoestring.kit import (
    AdamW,
    Ramp,
    SkippedWarning,
    Supervised,
    Training,
    export,
    pack,
    parameter_bytes,
    parameters_of,
    restore,
    train,
    write,
)
from shoestring.models import DigitsLeNet
from shoestring.prune import Magnitude
from shoestring.quantize import PerChannel, PerTensor, Rate
from shoestring.quantize.code_length import code_length, snap_to_grid
from shoestring.quantize.rate import Price, Priced
from shoestring.tasks import digits


def sign_task(count: int = 64) -> Supervised:
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(1))
    split = (x, (x[:, 0] > 0).long())
    return Supervised(train=split, validation=split, test=split, batch_size=16)


def small() -> nn.Sequential:
    with seeded(2):
        return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))


@pytest.fixture(scope="module")
def trained():
    task = digits()
    with seeded(0):
        return train(DigitsLeNet(), task, Training(300, AdamW(2e-3))), task


def test_the_length_of_a_vector_by_hand():
    # Of 8 numbers two are not 0: share 2.5 / 9, mean magnitude 3.5 / 2.5.
    bits, slope = code_length(torch.tensor([0, 0, 1, 0, -2, 0, 0, 0.0]))
    share, mean = 2.5 / 9, 3.5 / 2.5
    zero, one = -math.log2(1 - share), -math.log2(share) + 1 + math.log2(mean)
    further = -math.log2(1 - 1 / mean)
    assert bits == pytest.approx(6 * zero + 2 * one + further, rel=1e-5)
    assert slope.tolist() == pytest.approx(
        [one - zero] * 4 + [further] + [one - zero] * 3, rel=1e-5
    )


def test_rows_and_columns_that_are_fuller_are_cheaper():
    levels = torch.zeros(20, 30)
    levels[3] = 1
    levels[:, 7] = -1
    _, slope = code_length(levels)
    assert slope[3, 0] < slope[4, 0] and slope[5, 7] < slope[5, 8] and slope[3, 7] < slope[3, 8]


def test_the_length_is_near_that_of_the_file():
    with seeded(0):
        model = nn.Linear(200, 100, bias=False)
        rows, columns = torch.rand(100, 1) ** 3, torch.rand(1, 200) ** 3
        (weight,) = parameters_of(model)
        weight.raw.data = torch.where(
            torch.rand(100, 200) < rows * columns, torch.randn(100, 200), 0
        )
        weight.round(torch.tensor(0.5))
        snap_to_grid(weight)
    bits, _ = code_length((weight.value() / 0.5).round())
    x = torch.randn(4, 200)
    split = (x, torch.zeros(4).long())
    task = Supervised(train=split, validation=split, test=split)
    size = len(pack(model, export(model, task), smallest=True))
    assert size == pytest.approx(bits / 8 + 60, rel=0.12)


def test_the_gradient_is_the_slope_over_the_step():
    model = nn.Linear(3, 2, bias=False)
    (weight,) = parameters_of(model)
    weight.raw.data = torch.tensor([[0.9, -0.1, 0.0], [0.0, -2.2, 0.4]])
    weight.round(torch.tensor(0.5))
    price = Price(weight)
    price.read()
    price().backward()
    _, slope = code_length(torch.tensor([[2, 0, 0], [0, -4, 1.0]]))
    signs = weight.raw.detach().sign() + (weight.raw.detach() == 0)
    assert (
        weight.raw.grad is not None and weight.state is not None and weight.state.scale is not None
    )
    torch.testing.assert_close(weight.raw.grad, slope * signs / 0.5)
    step = weight.state.scale.grad
    assert step is not None
    assert float(step) == pytest.approx(
        -float((slope * weight.raw.detach().abs()).sum()) / 0.25, rel=1e-5
    )


def test_what_is_priced_is_the_loss_and_the_bits():
    model, task = small(), sign_task()
    weights = [weight for weight in parameters_of(model) if weight.raw.ndim == 2]
    for weight in weights:
        weight.round(torch.tensor(0.1))
    priced = Priced(task, [Price(weight) for weight in weights], price=0.01)
    for one in priced.prices:
        one.read()
    batch = next(iter(task.batches("validation")))
    expected = task.loss(model, batch) + 0.01 * sum(one() for one in priced.prices)
    torch.testing.assert_close(priced.loss(model, batch), expected)


@pytest.mark.slow
def test_a_dearer_bit_gives_a_smaller_file_and_all_of_them_answer(trained):
    model, task = trained
    sizes, before = [], score(task, model)
    for price in (3e-6, 3e-5, 3e-4):
        with seeded(0):
            rated = Rate(price=price, training=Training(250, AdamW(2e-3)))(model, task.sealed())
        sizes.append(len(pack(rated, export(rated, task), smallest=True)))
        if price == 3e-5:
            assert score(task, rated) > before - 0.04
            assert sizes[-1] < parameter_bytes(model) / 40
    assert sizes[0] > 1.2 * sizes[1] > 1.2 * 1.2 * sizes[2]


@pytest.mark.slow
def test_every_weight_is_a_multiple_of_a_step_of_two_bytes(trained, tmp_path):
    model, task = trained
    with seeded(0):
        rated = Rate(price=1e-4, training=Training(60, AdamW(2e-3)))(model, task.sealed())
    for weight in parameters_of(rated):
        assert weight.state is not None and weight.state.scale is not None
        step = weight.state.scale.detach()
        assert torch.equal(step, step.bfloat16().float())
        assert torch.equal((weight.raw / step).round() * step + 0.0, weight.value())
    write(rated, task, tmp_path / "a.shoe")
    kept = read(tmp_path / "a.shoe")
    assert {one.coding for one in kept.packed if one.tensor.member is not None} <= {
        1,
        5,
        7,
    }  # levels, grids and zeros
    assert score(task, load(tmp_path / "a.shoe")) == pytest.approx(score(task, rated), abs=1 / 400)


@pytest.mark.slow
def test_dead_units_are_really_gone(trained):
    model, task = trained
    with seeded(0):
        rated = Rate(price=5e-4, training=Training(200, AdamW(2e-3)))(model, task.sealed())
    shapes = [tuple(weight.raw.shape) for weight in parameters_of(rated)]
    assert shapes != [tuple(weight.raw.shape) for weight in parameters_of(model)]
    assert rated.layers[7].out_features < 128  # type: ignore[index, union-attr]


def test_steps_by_channel():
    model = small()
    with seeded(0):
        rated = Rate(price=1e-4, training=Training(5), granularity=PerChannel())(model, sign_task())
    weight = parameters_of(rated)[1]
    assert weight.state is not None and weight.state.scale is not None
    assert weight.state.scale.shape == (len(weight.raw), 1)
    assert PerTensor()(torch.ones(3, 4)) == () and PerChannel()(torch.ones(3, 4, 5)) == (3, 1, 1)


def test_what_was_pruned_stays_pruned(trained):
    model, task = trained
    with seeded(0):
        pruned = Magnitude(density=0.2, training=Training(20), ramp=Ramp(0.5, rounds=2))(
            model, task
        )
        zeros = {
            weight.name: weight.value() == 0
            for weight in parameters_of(pruned)
            if weight.mask is not None
        }
        both = chain(
            Magnitude(density=0.2, training=Training(20), ramp=Ramp(0.5, rounds=2)),
            Rate(price=1e-9, training=Training(10)),
        )
    with seeded(0):
        found = both(model, task)
    kept = {weight.name: weight for weight in parameters_of(found)}
    for name, zero in zeros.items():
        if kept[name].raw.shape == zero.shape and kept[name].mask is not None:
            assert not bool((kept[name].value() != 0)[~kept[name].mask].any())  # type: ignore[index]


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(288, 10),
        )

    def forward(self, images):
        return self.layers(images)


def test_batch_norm_becomes_a_scale_and_a_shift():
    task = digits()
    with seeded(0):
        model = train(Normed(), task, Training(150, AdamW(3e-3)))
        rated = Rate(price=1e-5, training=Training(150, AdamW(2e-3)))(model, task.sealed())
    norm = rated.layers[1]  # type: ignore[index]
    assert not norm.running_mean.any() and bool((norm.running_var + norm.eps == 1).all())  # type: ignore[union-attr, operator]
    for name in ("layers.1.weight", "layers.1.bias"):
        (weight,) = [one for one in parameters_of(rated) if one.name == name]
        assert weight.state is not None and weight.state.scale is not None
    assert score(task, rated) > score(task, model) - 0.05


def test_frozen_weights_are_left_alone_and_named():
    model = small()
    model[0].weight.requires_grad_(False)
    with seeded(0), pytest.warns(SkippedWarning, match=r"left 0\.weight alone"):
        rated = Rate(price=1e-9, training=Training(5))(model, sign_task())
    weight = next(one for one in parameters_of(rated) if one.name == "0.weight")
    rows = {tuple(row) for row in model[0].weight.tolist()}
    assert weight.state is None or weight.state.scale is None
    assert {tuple(row) for row in weight.value().tolist()} <= rows  # units may go, or change places


def test_half_precision():
    with seeded(0):
        model = nn.Sequential(
            nn.Linear(4, 300), nn.ReLU(), nn.Linear(300, 300), nn.ReLU(), nn.Linear(300, 2)
        ).half()
    x = torch.randn(64, 4).half()
    split = (x, (x[:, 0] > 0).long())
    task = Supervised(train=split, validation=split, test=split, batch_size=16)
    with seeded(0):
        rated = Rate(price=1e-5, training=Training(5))(model, task)
    assert all(bool(torch.isfinite(weight.value()).all()) for weight in parameters_of(rated))


def test_channels_that_died_do_not_spoil_batch_norm():
    task = digits()
    with seeded(0):
        model = train(Normed(), task, Training(200, AdamW(3e-3)))
        model.layers[0].weight.data[:5] = 0  # type: ignore[index, union-attr]
        rated = Rate(price=1e-5, training=Training(200, AdamW(2e-3)))(model, task.sealed())
    assert score(task, rated) > 0.8


def test_modes_are_kept():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))
    for way in (True, False):
        model.train(way)
        rated = Rate(price=1e-9, training=Training(3))(model, sign_task())
        assert {part.training for part in rated.modules()} == {way}
        assert {part.training for part in model.modules()} == {way}


def test_the_file_goes_back_into_the_module_as_it_was_before(trained, tmp_path):
    model, task = trained
    with seeded(0):
        rated = Rate(price=5e-4, training=Training(100, AdamW(2e-3)))(model, task.sealed())
    write(rated, task, tmp_path / "a.shoe")
    again = restore(tmp_path / "a.shoe", model)
    assert score(task, again) == score(task, rated)
    assert again.layers[7].out_features == rated.layers[7].out_features < 128  # type: ignore[index, union-attr]
    train(again, task, Training(2))


@pytest.mark.parametrize(
    "wrong",
    [{"price": 0}, {"price": -1e-5}, {"training": Training(0)}, {"coarseness": 0}, {"rise": 1.5}],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(ValueError, match="must"):
        Rate(**wrong)


def test_a_model_that_has_diverged():
    model = small()
    model[0].weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"0\.weight holds 1"):
        Rate(training=Training(1))(model, sign_task())
