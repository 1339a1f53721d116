"""Two thin layers for one; ranks and operations to check by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from zoo import classified

from shoestring import meters
from shoestring.core import seeded
from shoestring.kit import AdamW, SkippedWarning, Supervised, Training, parameters_of
from shoestring.prune import Energy, LayerOperations, LowRank, Outputs, Weights


def of_rank(rank: int, outputs: int, inputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad(), seeded(rank):
        layer.weight.copy_(torch.randn(outputs, rank) @ torch.randn(rank, inputs))
    return layer


@pytest.mark.parametrize("directions", [Weights(), Outputs(batches=3)])
def test_a_layer_of_low_rank_is_found_out(directions: Weights | Outputs):
    with seeded(0):  # the biases too: with some of them, few units ever are above zero
        model, task = (
            nn.Sequential(of_rank(3, 20, 30), nn.ReLU(), of_rank(12, 12, 20)),
            classified((30,), examples=200),
        )
        # Within the seed: it draws the batches.
        small = LowRank(rank=Energy(0.9999), directions=directions, training=Training(0))(
            model, task
        )
    assert [tuple(one.weight.shape) for one in small[0]] == [(3, 30), (20, 3)]
    assert isinstance(small[2], nn.Linear)  # of full rank: two would take more
    (x,) = task.train[0]  # type: ignore[attr-defined]
    assert (small(x) - model(x)).norm() < 0.02 * model(x).norm()
    assert meters.Operations()(small, task).operations == 2 * (3 * 30 + 3 * 20 + 12 * 20)


def test_directions_that_inputs_never_take_cost_nothing():
    with seeded(0):
        x = torch.randn(300, 2) @ torch.randn(2, 16) + torch.randn(
            16
        )  # in a plane that misses zero
        model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    targets = torch.zeros(300, dtype=torch.long)
    task = Supervised(train=(x, targets), validation=(x, targets), test=(x, targets))
    small = LowRank(rank=Energy(0.999999), training=Training(0), only=("0",))(model, task)
    assert small[0][0].out_features == 2
    torch.testing.assert_close(small(x), model(x), rtol=1e-3, atol=1e-3)
    assert isinstance(
        LowRank(rank=Energy(0.999999), directions=Weights(), training=Training(0), only=("0",))(
            model, task
        )[0],
        nn.Linear,
    )


def test_convolutions_keep_stride_padding_and_bias():
    with seeded(0):
        model = nn.Sequential(
            nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.Flatten(),
            nn.Linear(256, 4),
        )
        with torch.no_grad():
            model[0].weight.copy_((torch.randn(16, 4) @ torch.randn(4, 72)).view(16, 8, 3, 3))
        model = model.to(memory_format=torch.channels_last)
    task = classified((8, 8, 8))
    small = LowRank(rank=Energy(0.99999), directions=Weights(), training=Training(0), keep=("3",))(
        model, task
    )
    first, second = small[0]
    assert (first.out_channels, first.kernel_size, first.stride, first.padding) == (
        4,
        (3, 3),
        (2, 2),
        (1, 1),
    )
    assert first.bias is None and second.bias is None and second.weight.shape == (16, 4, 1, 1)
    x = torch.randn(3, 8, 8, 8)
    torch.testing.assert_close(small.eval()(x), model.eval()(x), rtol=1e-3, atol=1e-3)
    assert first.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_share_of_operations_is_a_rank():
    model, task = nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 4)), classified((30,))
    small = LowRank(rank=LayerOperations(0.5), training=Training(2, AdamW(5e-4)))(model, task)
    assert small[0][0].out_features == 6  # 6·(30 + 20) = 300 of 600
    assert small[1][0].out_features == 1  # 1·24 of 80


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda model: model[0].requires_grad_(False), "LowRank skipped 0: it is frozen"),
        (
            lambda model: nn.utils.parametrizations.weight_norm(model[0]),
            "LowRank skipped 0: its weight is computed by something else "
            "(torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight') makes a plain "
            "parameter of it)",
        ),
        (
            lambda model: parameters_of(model)[1].prune(torch.ones(12, 12) > 0),
            "LowRank skipped 0: its weights have a state",
        ),
        (
            lambda model: setattr(model[1], "weight", model[0].weight),
            "LowRank skipped 0, 1: its weights are tied",
        ),
    ],
)
def test_what_cannot_be_factored_is_named(break_it, said: str):
    model = nn.Sequential(nn.Linear(12, 12), nn.Linear(12, 12))
    break_it(model)
    with pytest.warns(SkippedWarning) as caught:
        LowRank(rank=LayerOperations(0.3), training=Training(0))(model, classified((12,)))
    assert said in [str(one.message) for one in caught]


def test_a_model_in_which_nothing_was_factored_is_not_trained():
    model = nn.Sequential(nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 4))
    with pytest.warns(SkippedWarning, match="LowRank changed nothing in the model, so it did not"):
        same = LowRank(rank=Energy(1.0), training=Training(2))(model, classified((12,)))
    assert torch.equal(same[0].weight, model[0].weight) and same is not model


def test_a_layer_with_two_names_is_one_pair():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(12, 12), nn.Linear(12, 4)
            self.again = self.first

        def forward(self, x):
            return self.last(self.again(self.first(x).relu()))

    small = LowRank(rank=LayerOperations(0.5), training=Training(0), only=("first",))(
        Twice(), classified((12,))
    )
    assert small.again is small.first and isinstance(small.first, nn.Sequential)
    assert sum(one.numel() for one in small.parameters()) == 3 * 24 + 12 + 52  # 156 + 52 before


def test_a_model_that_is_one_layer_is_named_by_its_class():
    with pytest.warns(SkippedWarning) as caught:
        LowRank(training=Training(0))(nn.Linear(12, 4), classified((12,)))
    assert "LowRank skipped Linear: it is the model itself" in [str(one.message) for one in caught]


def test_a_model_that_looks_at_its_layers_is_left_whole():
    class Looks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.last = nn.Linear(16, 16), nn.Linear(16, 4)

        def forward(self, x):
            return self.last(x @ self.inner.weight.T)

    with pytest.warns(
        SkippedWarning,
        match="LowRank skipped inner: the model fails with two layers in its place .AttributeError",
    ):
        small = LowRank(
            rank=LayerOperations(0.5), directions=Weights(), training=Training(0), only=("inner",)
        )(Looks(), classified((16,)))
    assert isinstance(small.inner, nn.Linear)


def test_settings_out_of_range_are_refused():
    for make in (
        lambda: Energy(0),
        lambda: LayerOperations(1.1),
        lambda: Outputs(0),
        lambda: LowRank(training=Training(-1)),
    ):
        with pytest.raises(ValueError):
            make()
