"""The networks whose layers `placement.py` places, and the devices."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.models import (
    MobileNet,
    ResNet20,
    ShuffleNet,
    ShuffleNetV2,
    SmallVGG,
    TextEncoder,
    Translator,
    UNet,
)
from shoestring.parallel import Device, LayerCost, LayerGraph, Link

BATCH, IDS = 16, 1000
Wires = Link | dict[tuple[str, str], Link]


class Inception(nn.Module):
    """Two modules of four branches each, side by side (Szegedy et al. 2015, figure 2b)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = _convolution(3, 32, 3)
        self.modules_of_four = nn.ModuleList(
            nn.ModuleList(
                [
                    _convolution(channels, 32, 1),
                    nn.Sequential(_convolution(channels, 16, 1), _convolution(16, 32, 3)),
                    nn.Sequential(_convolution(channels, 8, 1), _convolution(8, 32, 5)),
                    nn.Sequential(nn.MaxPool2d(3, 1, 1), _convolution(channels, 32, 1)),
                ]
            )
            for channels in (32, 128)
        )
        self.last = nn.Linear(128, 10)

    def forward(self, images: Tensor) -> Tensor:
        features = self.first(images)
        for branches in self.modules_of_four:
            made = [branch(features) for branch in branches]  # type: ignore[union-attr]
            features = nn.functional.max_pool2d(torch.cat(made, 1), 2)
        return self.last(features.mean((2, 3)))


class Towers(nn.Module):
    """Pictures and texts, each with its own network, and how well they fit each other."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 64, 128)
        self.pictures = nn.ModuleList(_convolution(a, b, 3) for a, b in pairwise(widths))
        self.words = nn.Embedding(IDS, 128)
        self.texts = nn.ModuleList(
            nn.TransformerEncoderLayer(128, 4, 256, batch_first=True) for _ in range(4)
        )
        self.of_pictures, self.of_texts = nn.Linear(128, 64), nn.Linear(128, 64)

    def forward(self, images: Tensor, ids: Tensor) -> Tensor:
        for layer in self.pictures:
            images = nn.functional.max_pool2d(layer(images), 2)
        states = self.words(ids)
        for layer in self.texts:
            states = layer(states)
        return self.of_pictures(images.mean((2, 3))) @ self.of_texts(states.mean(1)).T


class Unrolled(nn.Module):
    """Two layers of LSTM cells over six words, unrolled, as Mirhoseini et al. 2017 place them."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(IDS, 256)
        self.cells = nn.ModuleList(nn.LSTMCell(256, 256) for _ in range(2))
        self.last = nn.Linear(256, IDS)

    def forward(self, ids: Tensor) -> Tensor:
        states: list[Any] = [None] * len(self.cells)
        words = self.words(ids)
        for time in range(ids.shape[1]):
            given = words[:, time]
            for place, cell in enumerate(self.cells):
                states[place] = cell(given, states[place])
                given = states[place][0]
        return self.last(states[-1][0])


def _convolution(channels: int, width: int, side: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, side, padding=side // 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )


@dataclass(frozen=True)
class Network:
    """A network, an example, and how many layers are placed at most."""

    build: Callable[[], nn.Module]
    example: Callable[[], tuple[Tensor, ...]]
    layers: int = 16


def _images() -> tuple[Tensor, ...]:
    return (torch.rand(BATCH, 3, 32, 32),)


def _ids(length: int = 16) -> tuple[Tensor, ...]:
    return (torch.randint(1, IDS, (BATCH, length)),)


def made_up(draw: random.Random) -> LayerGraph:
    """A graph of 12 to 16 layers, each with up to two inputs among the four before it."""
    return LayerGraph(
        tuple(
            LayerCost(
                f"{layer}",
                draw.uniform(0.1, 5.0),
                10 ** draw.uniform(3, 6),
                10 ** draw.uniform(3, 6),
                tuple(f"{max(0, layer - draw.randint(1, 4))}" for _ in range(2)) if layer else (),
            )
            for layer in range(draw.randint(12, 16))
        )
    )


SMALL = {
    "VGG": Network(SmallVGG, _images),
    "ResNet-20": Network(ResNet20, _images),
    "MobileNet": Network(MobileNet, _images),
    "ShuffleNet": Network(lambda: ShuffleNet(repeats=(2, 1, 1)), _images),
    "ShuffleNet V2": Network(lambda: ShuffleNetV2(repeats=(1, 1, 1)), _images),
    "U-Net": Network(lambda: UNet(2, 16, depth=2, channels=3), _images, 12),
    "Inception": Network(Inception, _images),
    "text encoder": Network(lambda: TextEncoder(IDS, width=128, layers=1, hidden=256), _ids),
    "two towers": Network(Towers, lambda: (*_images(), *_ids())),
    "LSTM, unrolled": Network(Unrolled, lambda: _ids(6)),
}
"""Small enough for the exact optimum."""

LARGE = {
    "ResNet-20, all": Network(ResNet20, _images, 1000),
    "translator, all": Network(
        lambda: Translator(IDS, width=128, hidden=256), lambda: (*_ids(), *_ids(12)), 1000
    ),
    "ShuffleNet V2, all": Network(ShuffleNetV2, _images, 1000),
}
"""Every layer with weights, and where branches meet: too large for the exact optimum."""

DEVICES = ("a card", "three machines", "four uneven")


def devices(graph: LayerGraph) -> dict[str, tuple[list[Device], Wires]]:
    """Sets of devices, modelled, with memory that is a share of what the layers hold."""
    all_bytes = sum(layer.weight_bytes + layer.output_bytes for layer in graph.layers)
    largest = max(layer.weight_bytes + 2 * layer.output_bytes for layer in graph.layers)

    def some(*of: tuple[str, float, float]) -> list[Device]:
        last = len(of) - 1  # the slowest one holds the largest layer, or nothing might fit
        return [
            Device(
                name, speed, max(share * all_bytes, largest) if index == last else share * all_bytes
            )
            for index, (name, speed, share) in enumerate(of)
        ]

    uneven = some(("a", 8.0, 0.25), ("b", 2.0, 0.4), ("c", 1.0, 0.6), ("d", 0.5, 2.0))
    card, office, slow = Link(12e9, 1e-5), Link(1.25e9, 5e-5), Link(125e6, 2e-4)
    wires: dict[tuple[str, str], Link] = dict.fromkeys(combinations("abcd", 2), office)
    wires |= {("a", "b"): card, ("a", "d"): slow}
    sets: tuple[tuple[list[Device], Wires], ...] = (
        (some(("card", 8.0, 0.4), ("processor", 1.0, 2.0)), card),
        (some(("a", 2.0, 0.5), ("b", 1.0, 0.5), ("c", 1.0, 1.0)), office),
        (uneven, wires),
    )
    return dict(zip(DEVICES, sets, strict=True))
