"""Batch norm folded into its scale and shift answers as before."""

import torch
from torch import nn

from shoestring.core import seeded
from shoestring.kit import parameters_of, settle_batch_norm


def test_it_answers_as_before_and_sees_no_more():
    with seeded(0):
        model = nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(48)
        )
        for _ in range(5):
            model(torch.randn(16, 2, 6, 6) * 3 + 1)
        nn.init.normal_(model[1].weight)
        nn.init.normal_(model[1].bias)
        x = torch.randn(4, 2, 6, 6)
        expected = model.eval()(x)
        assert settle_batch_norm(model) is model
    assert not model[1].training
    model.train()
    model[1].eval(), model[4].eval()
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)
    for norm in (model[1], model[4]):
        assert not norm.running_mean.any() and bool((norm.running_var + norm.eps == 1).all())
    model(torch.randn(16, 2, 6, 6) + 100)
    assert not model[1].running_mean.any()


def test_norms_without_a_scale_or_statistics_stay():
    model = nn.Sequential(
        nn.BatchNorm1d(3, affine=False),
        nn.BatchNorm1d(3, track_running_stats=False),
        nn.LayerNorm(3),
    )
    model(torch.randn(8, 3) + 5)
    before = model[0].running_mean.clone()
    settle_batch_norm(model)
    assert torch.equal(model[0].running_mean, before) and model[0].training and model[1].training


def test_a_dead_channel_gives_its_shift_and_no_huge_scale():
    model = nn.BatchNorm1d(2)
    for _ in range(200):
        model(torch.stack([torch.randn(16), torch.full((16,), 3.0)], 1))
    nn.init.constant_(model.bias, 0.5)
    settle_batch_norm(model)
    assert model.weight[1] == 0 and model.weight[0].abs() < 2
    assert model.eval()(torch.tensor([[0.0, 3.0]]))[0, 1] == 0.5


def test_shared_and_parametrized_norms_stay():
    shared = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3))
    shared[1].weight, shared[1].bias = shared[0].weight, shared[0].bias
    levels = nn.Sequential(nn.BatchNorm1d(3))
    for model in (shared, levels):
        model(torch.randn(8, 3) + 5)
    (weight,) = [one for one in parameters_of(levels) if one.name == "0.weight"]
    weight.round(torch.tensor(0.1))
    for model in (shared, levels):
        x = torch.randn(4, 3)
        expected = model.eval()(x)
        assert torch.equal(settle_batch_norm(model).eval()(x), expected)
