"""Layers that learn to undo noise one after the other, and each of them alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from getting import few_labels
from torch import nn

from shoestring.core import seeded
from shoestring.kit import AdamW, Training
from shoestring.models import DigitsLeNet
from shoestring.unlabelled import LayerWise
from shoestring.unlabelled.layer_wise import Autoencoder, layers
from shoestring.unlabelled.material import Material, material


def dense() -> nn.Sequential:
    with seeded(0):
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, 48),
            nn.ReLU(),
            nn.Linear(48, 24),
            nn.ReLU(),
            nn.Linear(24, 10),
        )


def given(model: nn.Module) -> Material:
    return material(model, few_labels(100, 0).sealed(), None, None)


def test_layers_are_those_before_the_last_in_the_order_of_calls():
    assert layers(dense(), given(dense())) == ["1", "3"]
    found, model = layers(DigitsLeNet(), given(DigitsLeNet())), DigitsLeNet()
    kinds = [type(model.get_submodule(name)) for name in found]
    assert kinds[0] is nn.Conv2d and kinds[-1] is nn.Linear and len(found) >= 3


def test_the_error_of_what_is_made_again_by_hand():
    model = dense()
    coder = Autoencoder(model, "1", 0.0)
    assert isinstance(coder.back, nn.Linear)
    images = few_labels(100, 0).train[0][:20]  # type: ignore[index]
    rows = images.flatten(1)  # type: ignore[union-attr]
    with torch.no_grad():
        coder.back.weight.zero_()
        coder.back.bias.fill_(float(rows.mean()))
        assert float(coder.lost((images,))) == pytest.approx(1.0, rel=1e-4)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 4, 3),
        nn.Conv2d(2, 4, 3, stride=2, padding=1),
        nn.Conv2d(2, 4, 5, stride=3),
        nn.Conv2d(2, 4, 4, padding="same"),
        nn.Conv2d(2, 4, (3, 2), padding="valid", dilation=2, groups=2),
    ],
)
def test_a_convolution_backwards_has_the_size_of_what_went_in(layer: nn.Conv2d):
    model = nn.Sequential(nn.Identity(), layer, nn.Flatten(), nn.LazyLinear(3))
    images = torch.rand(5, 2, 8, 9)
    with torch.no_grad():
        model(images)
    loss = Autoencoder(model, "1", 0.3).lost((images,))
    loss.backward()
    assert torch.isfinite(loss) and layer.weight.grad is not None


def test_each_layer_learns_to_undo_noise_and_the_head_stays():
    model = dense()
    technique = LayerWise(training=Training(0), size=64, pretraining=Training(200, AdamW(8e-3)))
    with seeded(0):
        made = technique.learnt(model, given(model), model)
    assert isinstance(made, nn.Sequential)
    assert torch.equal(made[5].weight, model[5].weight)  # type: ignore[arg-type]
    assert not torch.equal(made[1].weight, model[1].weight)  # type: ignore[arg-type]
    assert not torch.equal(made[3].weight, model[3].weight)  # type: ignore[arg-type]
    assert all(one.requires_grad and one.grad is None for one in made.parameters())
    images = given(model).inputs[0]
    noisy = images * (torch.rand(images.shape, generator=torch.Generator().manual_seed(3)) >= 0.3)

    def lost(network: nn.Module) -> float:
        """With a layer back that is fitted to what the first layer makes of noisy images."""
        with torch.no_grad():
            codes = network.eval()[:3](noisy)  # type: ignore[index]
            codes = torch.cat([codes, torch.ones(len(codes), 1)], 1)
            squares = codes.T @ codes + 1e-3 * torch.eye(codes.shape[1])
            back = torch.linalg.solve(squares, codes.T @ images.flatten(1))
            return float((codes @ back - images.flatten(1)).square().mean())

    assert lost(made) < 0.85 * lost(model)


def test_a_frozen_layer_stays():
    model = dense()
    model[1].requires_grad_(False)
    technique = LayerWise(training=Training(0), pretraining=Training(3))
    with seeded(0):
        made = technique.learnt(model, given(model), model)
    assert torch.equal(made[1].weight, model[1].weight)  # type: ignore[index, arg-type]
    assert not torch.equal(made[3].weight, model[3].weight)  # type: ignore[index, arg-type]
    assert not any(one.requires_grad for one in made[1].parameters())  # type: ignore[index]


def test_a_network_of_a_head_and_no_layer_before_it():
    model = nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(64, 10))
    with pytest.raises(ValueError, match="calls no Linear or Conv before its last linear layer"):
        layers(model, given(model))


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"noise": -0.1}, "the noise is -0.1"), ({"size": 0}, "the inputs of a batch is 0")],
)
def test_settings_out_of_range(settings: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=says):
        LayerWise(**settings)
