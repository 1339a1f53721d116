"""The recipe of deep networks, on made-up images."""

from __future__ import annotations

import torch

from shoestring.artifact import load
from shoestring.core import Ledger, seeded
from shoestring.kit import Supervised, Training
from shoestring.models import PlainNetwork, PreActivation
from shoestring.recipes.deep_networks import NETWORKS, deep_resnet


def halves() -> Supervised:
    """Images that are bright above or below."""
    with seeded(0):
        labels = torch.randint(0, 2, (64,))
        images = torch.rand(64, 3, 8, 8) * 0.2
    for image, label in zip(images, labels, strict=True):
        image[:, 4 * label : 4 * label + 4] += 0.8
    pair = images, labels
    return Supervised(train=pair, validation=pair, test=pair, batch_size=32, name="halves")


def test_a_deep_network_becomes_a_file_with_its_scores(tmp_path):
    ledger = Ledger(tmp_path / "ledger")
    path = tmp_path / "deep.shoe"

    def network() -> PreActivation:
        return PreActivation(11, 4, classes=2)

    task = halves()
    validation, test = deep_resnet(task, path, network, training=Training(40), ledger=ledger)
    assert validation > 0.9 and test > 0.9
    assert load(path)(task.train[0].numpy()).shape == (64, 2)


def test_its_networks_are_as_deep_as_their_names_say():
    for name, network in NETWORKS.items():
        model, depth = network(), int(name.split("_")[-1])
        layers = [
            part
            for path, part in model.named_modules()
            if isinstance(part, torch.nn.Conv2d | torch.nn.Linear) and "projection" not in path
        ]
        assert len(layers) == depth
    assert isinstance(NETWORKS["plain_56"](), PlainNetwork)
