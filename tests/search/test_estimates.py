"""Estimates of untrained networks, beside what their files cost."""

from dataclasses import dataclass, field
from time import sleep
from typing import Any

import pytest
import torch
from torch import nn

from shoestring.core import Cost, Task, Vary
from shoestring.kit import Supervised, export, pack
from shoestring.meters import Operations
from shoestring.search import (
    CodedBytes,
    CountedOperations,
    OperationTable,
    TabledMilliseconds,
    UnestimatedWarning,
)


def pictures(side: int = 8) -> Supervised:
    x, y = torch.rand(16, 3, side, side), torch.arange(16) % 4
    return Supervised(train=(x, y), validation=(x, y), test=None, name="pictures")


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(512, 4)
    )


def test_operations_are_those_that_a_reader_counts_and_the_file_has():
    by_hand = 2 * (8 * 3 * 9 * 64) + 2 * 512 * 4
    assert CountedOperations()(network(), pictures()).operations == by_hand
    assert Operations()(network(), pictures()).operations == by_hand


def test_an_example_of_one_row_or_of_many_gives_the_same():
    class Many(Supervised):
        def example(self):
            return (Vary(torch.rand(6, 3, 8, 8), {0: "N"}),), {}

    task = pictures()
    many = Many(train=task.train, validation=task.validation, test=None, name="many")
    assert CountedOperations()(network(), many) == CountedOperations()(network(), task)


def test_the_network_is_left_as_it_was():
    model = network().train()
    CountedOperations()(model, pictures())
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("width", [8, 32, 128])
def test_bytes_are_near_those_of_a_file_of_as_many_bits(width: int):
    """Weights of 4 equally likely bits cannot be coded in fewer."""
    task = pictures()
    model = nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(width * 64, 4),
    )
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.copy_(torch.randint(-8, 8, weight.shape, generator=draw) / 16)
    file = len(pack(model, export(model, task)))
    assert CodedBytes(4.0)(model, task).bytes == pytest.approx(file, rel=0.12)


@pytest.mark.parametrize("bits", [0, -1, 33, float("nan")])
def test_bits_out_of_range_are_errors(bits):
    with pytest.raises(ValueError, match="a number above 0, at most 32"):
        CodedBytes(bits)


def dense(width: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(192, width))


@dataclass(frozen=True)
class Noted:
    """A meter that gives a millisecond, and notes how often."""

    seen: list[int] = field(default_factory=list, repr=False)
    seconds: float = 0.0

    def __call__(self, subject: Any, task: Task) -> Cost:
        self.seen.append(1)
        sleep(self.seconds)
        return Cost(milliseconds=1.0 + len(self.seen) / 100)


def test_networks_that_are_guessed_to_be_far_above_a_limit_are_not_measured():
    meter = Noted()
    estimate = TabledMilliseconds(table=OperationTable(meter=meter), known_above=0.5)
    first = estimate(dense(4), pictures()).milliseconds
    before = len(meter.seen)
    assert first is not None and before > 0  # nothing is known before, and so it is measured
    estimate(dense(8), pictures())
    assert len(meter.seen) == before
    near = TabledMilliseconds(table=OperationTable(meter=meter), known_above=100.0)
    near(dense(4), pictures())
    before = len(meter.seen)
    near(dense(8), pictures())
    assert len(meter.seen) > before


def test_without_time_all_but_the_first_are_guessed_and_it_is_said():
    meter = Noted(seconds=0.001)
    estimate = TabledMilliseconds(table=OperationTable(meter=meter), seconds=0.0005)
    first = estimate(dense(4), pictures())
    before = len(meter.seen)
    with pytest.warns(UnestimatedWarning, match="no more time to measure"):
        estimate(dense(8), pictures())
    assert estimate(dense(4), pictures()) == first  # it is known, and nothing is said
    assert len(meter.seen) == before
