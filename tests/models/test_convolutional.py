"""The residual networks and the small VGG.

How many parameters, what shapes, and the normalisation inside.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shoestring.core import seeded
from shoestring.models import (
    AlexNet,
    MobileNet,
    PlainNetwork,
    PreActivation,
    ResNet,
    ResNet20,
    ShuffleNet,
    ShuffleNetV2,
    SmallVGG,
)
from shoestring.models.normalised import Normalised


@pytest.mark.parametrize("make", [ResNet20, SmallVGG])
def test_parameters_and_shapes(make: type[nn.Module]):
    with seeded(0):
        model = make()
        images = torch.rand(3, 3, 32, 32)
    assert f"{sum(p.numel() for p in model.parameters()):,} parameters" in " ".join(
        (make.__doc__ or "").split()
    )
    model.eval()
    logits = model(images)
    assert logits.shape == (3, 10)
    torch.testing.assert_close(model(images[:1]), logits[:1], rtol=1e-4, atol=1e-5)
    model.train()(images).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_layers_of_the_paper():
    layers = [part for part in ResNet20().modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    assert len(layers) == 20
    assert sum(p.numel() for p in ResNet20(width=64).parameters()) == pytest.approx(
        16 * 269_722, rel=0.01
    )


def test_normalised_by_hand():
    normalise = Normalised((0.5,), (0.25,))
    assert normalise(torch.tensor([[[[0.5, 1.0, 0.0]]]])).flatten().tolist() == [0, 2, -2]


@pytest.mark.parametrize(("depth", "parameters"), [(20, 269_722), (56, 853_018), (110, 1_727_962)])
def test_residual_networks_of_any_depth(depth: int, parameters: int):
    model = ResNet(depth).eval()
    assert sum(p.numel() for p in model.parameters()) == parameters
    layers = [part for part in model.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth
    assert depth == 20 or f"{parameters:,}" in (ResNet.__doc__ or "")


def test_twenty_layers_are_those_of_the_network_that_has_the_name():
    with seeded(0):
        named = ResNet20()
    with seeded(0):
        deep = ResNet(20)
    states = named.state_dict(), deep.state_dict()
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(one, states[1][name]) for name, one in states[0].items())


def test_depths_and_widths_that_there_are_not():
    for wrong, said in (
        (lambda: ResNet(21), "depth=21.*give depth=20 or depth=26"),
        (lambda: ResNet(2), "depth=2.*8 or more"),
        (lambda: ResNet(20, 0), "width=0.*1 or more"),
        (lambda: ResNet(20, classes=0), "classes=0"),
        (lambda: ResNet20(0.5), "width=0.5.*an integer of 1 or more"),  # pyright: ignore
    ):
        with pytest.raises(ValueError, match=said):
            wrong()


@pytest.mark.parametrize(
    "make",
    [
        lambda normalise: ResNet20(4, normalise=normalise),
        lambda normalise: ResNet(8, 4, normalise=normalise),
        lambda normalise: PreActivation(11, 4, normalise=normalise),
        lambda normalise: PlainNetwork(8, 4, normalise=normalise),
        lambda normalise: SmallVGG(4, 2, normalise=normalise),
        lambda normalise: MobileNet(4, normalise=normalise),
        lambda normalise: ShuffleNet(48, 3, normalise=normalise),
        lambda normalise: ShuffleNetV2(8, normalise=normalise),
        lambda normalise: AlexNet(4, 8, side=16, normalise=normalise),
    ],
)
def test_every_network_takes_images_of_other_channels(make):
    with seeded(0):
        model = make(Normalised((0.5,), (0.25,))).eval()
        images = torch.rand(2, 1, 16, 16)
    assert model(images).shape == (2, 10)
    shifted = make(Normalised((0.0,), (0.25,))).eval()
    shifted.load_state_dict(
        {n: v for n, v in model.state_dict().items() if not n.endswith(".mean") or "norm" in n}
        | {n: v for n, v in shifted.state_dict().items() if n.endswith("mean") and v.ndim == 4}
    )
    torch.testing.assert_close(shifted(images - 0.5), model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("pairs", "halvings", "least"), [(4, 0, 16), (2, 0, 4), (2, 1, 7)])
def test_images_that_are_too_small_are_told_the_least_side(pairs: int, halvings: int, least: int):
    model = SmallVGG(4, pairs, halvings=halvings).eval()
    assert model(torch.rand(1, 3, least, least)).shape == (1, 10)
    with pytest.raises(ValueError, match=rf"{least - 1}×32 pixels: .* needs {least} or more"):
        model(torch.rand(1, 3, least - 1, 32))
