"""A quantised module lends its parts.

Losses that call model.encoder, or a method, call them as they will be.
"""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shoestring.artifact import load
from shoestring.core import Task, seeded
from shoestring.kit import Quantised, SkippedWarning, clone, write
from shoestring.quantize import GPTQ, PostTraining


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16))
        self.scale, self.heads = nn.Parameter(torch.tensor(2.0)), nn.ModuleList([nn.Linear(16, 4)])

    def encode(self, x: Tensor) -> Tensor:
        return F.normalize(self.encoder(x), dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        return self.heads[0](self.encode(x)) * self.scale


class ByParts(Task):
    """Never calls the model itself."""

    def __init__(self) -> None:
        with seeded(0):
            self.x = torch.randn(4, 16, 8)

    def batches(self, split: str, *, model: Any = None):
        yield from self.x

    def loss(self, model: Any, batch: Tensor) -> Tensor:
        one, other = model.encode(batch), F.normalize(model.encoder(batch + 0.1), dim=-1)
        return (
            F.cross_entropy(model.heads[0](one) + model.heads[0](other), torch.zeros(16).long())
            * model.scale
        )

    def score(self, predict: Any, split: str) -> float:
        return 0.0

    def example(self):
        return (self.x[0],), {}


@pytest.fixture(scope="module")
def pair() -> tuple[Pair, Quantised]:
    with seeded(0):
        model = Pair().eval()
    quantised = PostTraining()(model, ByParts().sealed())
    assert isinstance(quantised, Quantised)
    return model, quantised


def test_parts_compute_as_the_whole_does(pair, tmp_path):
    model, quantised = pair
    x = ByParts().x[1]
    with torch.no_grad():
        whole = quantised(x)
        by_hand = quantised.heads[0](quantised.encode(x)) * quantised.scale
        plain = model(x)
    assert torch.equal(whole, by_hand) and not torch.equal(whole, plain)
    assert (whole - plain).abs().max() < 0.05 * plain.abs().max()
    write(quantised, ByParts(), tmp_path / "a.shoe")
    assert np.abs(load(tmp_path / "a.shoe", threads=1)(x) - whole.numpy()).max() < 0.02 * float(
        plain.abs().max()
    )


def test_whole_numbers_in_the_parts(pair):
    _, quantised = pair
    x = ByParts().x[1]
    with torch.no_grad():
        # Weights and input are on grids, so that sums are integers times the two scales.
        hidden = quantised.encoder[0](x)
        loose = quantised.inner.encoder[0](x)
    assert not torch.equal(hidden, loose)
    (number,) = quantised.places.layers["encoder.0"]
    grid = quantised.grids[number]
    assert torch.equal(
        F.linear(grid(x), quantised.encoder[0].weight, quantised.encoder[0].bias).sub(hidden).abs()
        < 0.01,
        hidden < 1e9,
    )


def test_they_pass_for_the_modules_that_they_are(pair):
    _, quantised = pair
    assert isinstance(quantised.encoder, nn.Sequential) and isinstance(
        quantised.encoder[0], nn.Linear
    )
    assert len(quantised.encoder) == 3 and [type(one).__name__ for one in quantised.encoder]
    assert quantised.encoder[0].in_features == 8 and quantised.scale is quantised.inner.scale
    assert len(list(quantised.encoder.parameters())) == len(
        list(quantised.inner.encoder.parameters())
    )
    with pytest.raises(AttributeError, match="'Pair' object has no attribute 'decoder'"):
        _ = quantised.decoder
    for other in (copy.deepcopy(quantised), clone(quantised)):
        assert isinstance(other, Quantised) and torch.equal(
            other(ByParts().x[0]), quantised(ByParts().x[0])
        )
    with pytest.raises(AttributeError):
        _ = Quantised.__new__(Quantised).anything
    assert pickle.loads(pickle.dumps(quantised.scale)).item() == 2.0


@pytest.mark.filterwarnings("ignore:PostTraining. answers are")
def test_gptq_settles_layers_that_are_called_by_parts(pair):
    model, _ = pair
    nearest, better = (
        PostTraining(bits=3, rounding=how)(model, ByParts().sealed())
        for how in (PostTraining().rounding, GPTQ())
    )
    x = ByParts().x.flatten(0, 1)
    with torch.no_grad():
        wanted = model(x)
        off = [(one(x) - wanted).square().mean() for one in (nearest, better)]
    assert off[1] < 0.7 * off[0]


def test_a_part_that_is_called_more_often_than_in_forward_is_refused(pair):
    _, quantised = pair

    def twice(x: Tensor) -> Tensor:
        return quantised.inner.encoder(x) + quantised.inner.encoder(x)

    from shoestring.kit.quantised.listener import listened

    with pytest.raises(
        RuntimeError,
        match=r"encoder\.0 called linear 2 times in a part of the model .* once|1 times in forward",
    ):
        listened(quantised, twice, (ByParts().x[0],), {})


def test_what_a_loss_never_calls_is_said():
    class Half(ByParts):
        def loss(self, model: Any, batch: Tensor) -> Tensor:
            return model.encoder(batch).square().mean()

    with seeded(0), warnings.catch_warnings():
        warnings.simplefilter("error", SkippedWarning)
        with pytest.raises(
            ValueError,
            match="values were not computed in calibration: the task's loss must call the model",
        ):
            PostTraining()(Pair(), Half().sealed())
