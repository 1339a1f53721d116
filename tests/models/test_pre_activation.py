"""Residual networks of any depth: published sizes, files that run, and depths that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from shoestring.artifact import load
from shoestring.kit import Supervised, save
from shoestring.models import PlainNetwork, PreActivation
from shoestring.models.normalised import Normalised


def test_parameters_are_the_published_ones():
    counts = {
        depth: sum(weight.numel() for weight in PreActivation(depth).parameters())
        for depth in (164, 1001)
    }
    assert counts == {164: 1_703_258, 1001: 10_327_706}  # "1.7M" and "10.2M" in table 4


def test_the_depth_is_what_is_counted_on_the_way():
    model = PreActivation(29, 4)
    layers = [
        part
        for name, part in model.named_modules()
        if isinstance(part, nn.Conv2d | nn.Linear) and "projection" not in name
    ]
    assert len(layers) == 29
    plain = PlainNetwork(20, 4)
    assert sum(isinstance(p, nn.Conv2d | nn.Linear) for p in plain.modules()) == 20


@pytest.mark.parametrize(
    "model",
    [
        PreActivation(11, 4, channels=1),
        pytest.param(PlainNetwork(8, 4, channels=1), marks=pytest.mark.slow),
    ],
)
def test_a_file_answers_as_the_model_does(model: nn.Module, tmp_path):
    torch.manual_seed(0)
    pair = torch.rand(8, 1, 28, 28), torch.randint(0, 10, (8,))
    task = Supervised(train=pair, validation=pair, test=pair)
    save(model.eval(), task, tmp_path / "deep.shoe")
    with torch.no_grad():
        expected = model(pair[0]).numpy()
    assert np.allclose(load(tmp_path / "deep.shoe")(pair[0].numpy()), expected, atol=1e-4)


@pytest.mark.slow
def test_a_file_of_a_thousand_layers_runs(tmp_path):
    torch.manual_seed(0)
    pair = torch.rand(4, 3, 8, 8), torch.randint(0, 10, (4,))
    task = Supervised(train=pair, validation=pair, test=pair)
    model = PreActivation(1001, 2).eval()
    save(model, task, tmp_path / "deep.shoe")
    with torch.no_grad():
        expected = model(pair[0]).numpy()
    assert np.allclose(load(tmp_path / "deep.shoe")(pair[0].numpy()), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PreActivation(1000), "1000 layers: the depth is 9n \\+ 2, so give 992 or 1001"),
        (lambda: PreActivation(2), "give 11 or 20"),
        (lambda: PreActivation(10.5), "10.5 layers"),  # type: ignore[arg-type]
        (lambda: PlainNetwork(57), "the depth is 6n \\+ 2, so give 56 or 62"),
        (lambda: PreActivation(20, 0), r"PreActivation\(width=0\)"),
        (lambda: PlainNetwork(20, classes=0), r"PlainNetwork\(classes=0\)"),
        (
            lambda: PreActivation(20, channels=4, normalise=Normalised((0.5,), (0.25,))),
            r"PreActivation\(channels=4\): `normalise` is for 1 channels",
        ),
    ],
)
def test_bad_depths_and_sizes(make, words: str):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("network", [PreActivation, PlainNetwork])
@pytest.mark.parametrize("sides", [(1, 1), (2, 2), (3, 3), (2, 32)])
def test_small_images_fit(network: type[nn.Module], sides: tuple[int, int]):
    model = network(20, 2)
    assert model.train()(torch.rand(2, 3, *sides)).shape == (2, 10)


@pytest.mark.parametrize("make", [lambda: PreActivation(11, 4), lambda: PlainNetwork(8, 4)])
def test_grey_images_are_not_taken_for_three_equal_channels(make):
    for channels in (1, 4):
        with pytest.raises(ValueError, match=f"have {channels} channels, and this network is for"):
            make()(torch.rand(2, channels, 8, 8))
