"""The steps of a run, and the file that is drafted of them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from made_shown import Shown
from torch import nn

from shoestring.artifact import load, save
from shoestring.artifact.format.file import pack
from shoestring.core import Vary
from shoestring.search import Cells
from shoestring.search.steps import draft, steps_of

PICTURES = torch.rand(3, 3, 12, 12)


def test_steps_of_a_small_network_by_hand():
    convolution = nn.Conv2d(3, 8, 3)
    network = nn.Sequential(convolution, nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    steps = steps_of(network, Shown(PICTURES))
    operators = [step.operator for step in steps.steps]
    assert operators == ["Conv", "BatchNormalization", "Relu", "MaxPool"]
    assert [steps.values[step.output].shape for step in steps.steps] == [
        (1, 8, 10, 10),
        (1, 8, 10, 10),
        (1, 8, 10, 10),
        (1, 8, 5, 5),
    ]
    assert steps.values[steps.inputs[0]].shape == (1, 3, 12, 12)
    weight = steps.values[steps.steps[0].inputs[1]].constant
    assert weight is not None
    np.testing.assert_array_equal(weight, convolution.weight.detach().numpy())


def test_a_draft_of_any_network_of_cells_answers_as_it_does(tmp_path: Path):
    space, draw = Cells(widths=(8, 16), depths=(1,), blocks=3, sizes=2), random.Random(4)
    for number in range(4):
        network = space.made(space.drawn(draw)).network().eval()
        path = tmp_path / f"{number}.shoe"
        save(path, pack(draft(steps_of(network, Shown(PICTURES)))))
        with torch.no_grad():
            answer = network(PICTURES[:1]).numpy()
        np.testing.assert_allclose(load(path)(PICTURES[:1])[0], answer, rtol=1e-3, atol=1e-5)


def test_the_network_is_left_as_it_was():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout())
    network.train()
    network[1].eval()  # a frozen batch norm in a network that trains
    before = {name: one.clone() for name, one in network.state_dict().items()}
    steps_of(network, Shown(PICTURES))
    assert [one.training for one in network] == [True, False, True]
    for name, one in network.state_dict().items():
        assert torch.equal(one, before[name])


def test_what_depends_on_no_input_is_a_constant():
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(4, 3))

        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return given @ (self.weight * 2).t() + torch.arange(4)

    steps = steps_of(Scaled(), Shown(torch.rand(2, 3)))
    assert [step.operator for step in steps.steps] == ["MatMul", "Add"]


def test_the_batch_is_1_and_other_axes_stay():
    words = torch.zeros(4, 7, dtype=torch.int64)
    steps = steps_of(nn.Embedding(5, 2), Shown(Vary(words, {0: "N", 1: "T"})))
    assert steps.values[steps.inputs[0]].shape == (1, 7)
    fixed = steps_of(nn.Linear(3, 2), Shown(Vary(torch.rand(4, 3), {})))
    assert fixed.values[fixed.inputs[0]].shape == (4, 3)


def test_what_no_result_needs_is_left_out():
    """As the exporter does: the last cell of a network need not read the one before it."""

    class Loose(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            maps = self.one(pictures)
            self.two(maps).relu()
            return maps

    assert [step.operator for step in steps_of(Loose(), Shown(PICTURES)).steps] == ["Conv"]
