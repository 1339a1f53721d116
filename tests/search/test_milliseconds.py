"""Sums over operations, with a meter whose milliseconds are known by hand."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from made_shown import Shown
from torch import nn

from shoestring.artifact import Content, read_model
from shoestring.core import Cost, Task
from shoestring.meters import Latency
from shoestring.search import (
    Cells,
    Drafted,
    Fit,
    OperationTable,
    UnknownOperatorError,
    milliseconds,
)

PICTURES = Shown(torch.rand(2, 3, 12, 12))
PRICES = {"Conv": 5.0, "MaxPool": 0.5, "AveragePool": 7.0, "Add": 2.0, "Concat": 3.0, "Gemm": 4.0}
RUN = 20.0
SPACE = Cells(widths=(8,), depths=(1,), blocks=1, sizes=2)


@dataclass(frozen=True)
class Priced:
    """A meter: each operator of a file has a price, and each run.

    `seen`: how many operators each file had that it measured.
    """

    prices: Mapping[str, float] = field(default_factory=lambda: PRICES)
    name: str = "priced"
    seen: list[int] = field(default_factory=list, repr=False, compare=False)

    def __call__(self, subject: Any, task: Task) -> Cost:
        content = read_model(subject)
        assert isinstance(content, Content)
        operators = [node.operator for node in content.graph.nodes]
        self.seen.append(len(operators))
        return Cost(milliseconds=RUN + sum(self.prices.get(one, 0.0) for one in operators))


def networks(count: int, seed: int = 0) -> list[nn.Module]:
    draw = random.Random(seed)
    return [SPACE.made(SPACE.drawn(draw)).network() for _ in range(count)]


def test_a_small_network_by_hand():
    """A run is 20, two convolutions 10, a pooling 0.5, the last layer 4."""
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip
    table = OperationTable(meter=Priced())
    assert table(network, PICTURES) == pytest.approx(34.5)
    parts = table.parts(network, PICTURES)
    assert {kind: (round(p.milliseconds, 9), p.number) for kind, p in parts.items()} == {
        "Conv": (10.0, 2),
        "MaxPool": (0.5, 1),
        "Reshape": (0.0, 1),
        "Gemm": (4.0, 1),
    }


def test_where_prices_add_up_the_table_is_what_the_meter_says():
    """But for poolings of one map that are there twice, which a runtime computes once."""
    table, drafted = OperationTable(meter=Priced()), Drafted(meter=Priced())
    for network in networks(3):
        found = table(network, PICTURES)
        assert found <= drafted(network, PICTURES) + 1e-6
        assert (drafted(network, PICTURES) - found) % 0.5 == pytest.approx(0, abs=1e-6)


def test_what_was_measured_is_not_measured_again():
    meter = Priced()
    table, (one, other) = OperationTable(meter=meter), networks(2)
    first = table(one, PICTURES)
    before = len(meter.seen)
    assert table(one, PICTURES) == first and len(meter.seen) == before
    table(other, PICTURES)  # shares most of its operations
    assert len(meter.seen) - before < before


@dataclass(frozen=True)
class ByWeights(Priced):
    """A thousand weights of a file take a millisecond, beside those of a run."""

    def __call__(self, subject: Any, task: Task) -> Cost:
        content = read_model(subject)
        assert isinstance(content, Content)
        self.seen.append(1)
        sizes = [one.array().size for one in content.tensors if one.array().ndim == 2]
        return Cost(milliseconds=RUN + sum(sizes) / 1000)


def dense(*widths: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), *(nn.Linear(a, b) for a, b in zip((432, *widths), widths, strict=False))
    )


def test_what_is_not_in_the_table_is_guessed_from_what_it_computes():
    meter = ByWeights()
    table = OperationTable(meter=meter)
    assert table.guessed(dense(40), PICTURES) == (0.0, 2)  # nothing is known
    known = table(dense(40, 20), PICTURES), table(dense(80, 20), PICTURES)
    before = len(meter.seen)
    for network, took in zip((dense(40, 20), dense(80, 20)), known, strict=True):
        assert table.guessed(network, PICTURES) == (pytest.approx(took), 0)
    guess, new = table.guessed(dense(60), PICTURES)
    assert new == 1 and len(meter.seen) == before
    assert guess == pytest.approx(RUN + 432 * 60 / 1000, rel=0.05)


class Slow(ByWeights):
    """The same, and each measurement takes a second."""

    def __call__(self, subject: Any, task: Task) -> Cost:
        CLOCK.append(1.0)
        return super().__call__(subject, task)


CLOCK = list[float]()


def test_a_table_learns_for_so_many_seconds_and_guesses_the_rest(monkeypatch):
    monkeypatch.setattr(milliseconds, "monotonic", lambda: sum(CLOCK))
    table, network = OperationTable(meter=Slow()), dense(40, 20)
    assert not table.learn(network, PICTURES, 2.0)  # three measurements of a run, and no operation
    assert table.guessed(network, PICTURES) == (RUN, 3)
    assert not table.learn(network, PICTURES, 1.0)  # the reshape; what was begun is ended
    guess, new = table.guessed(network, PICTURES)
    assert new == 2 and guess == pytest.approx(RUN)
    assert table.learn(network, PICTURES)
    assert table.guessed(network, PICTURES) == (table(network, PICTURES), 0)


def test_a_folder_keeps_what_was_measured_for_this_meter_alone(tmp_path: Path):
    one, other = Priced(), Priced()
    (network,) = networks(1)
    first = OperationTable(meter=one, folder=tmp_path)(network, PICTURES)
    assert OperationTable(meter=other, folder=str(tmp_path))(network, PICTURES) == first
    assert one.seen and not other.seen
    dearer = Priced(prices={**PRICES, "Conv": 50.0}, name="dearer")
    assert OperationTable(meter=dearer, folder=tmp_path)(network, PICTURES) > first
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": "other", "milliseconds": 1}'])
def test_a_damaged_file_of_the_folder_is_measured_again(text: str, tmp_path: Path):
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2))
    first = OperationTable(meter=Priced(), folder=tmp_path)(network, PICTURES)
    files = list(tmp_path.rglob("*.json"))
    for path in files:
        path.write_text(text)
    again = Priced()
    assert OperationTable(meter=again, folder=tmp_path)(network, PICTURES) == first
    assert len(again.seen) == 3 * len(files)  # three times each
    assert all("milliseconds" in path.read_text() for path in files)


def test_a_fit_finds_the_factor_and_what_each_operation_takes():
    sums, counts = [1.0, 2.0, 5.0, 3.0], [10, 50, 20, 90]
    measured = [1.5 * total + 0.01 * count for total, count in zip(sums, counts, strict=True)]
    found = Fit.of(sums, counts, measured)
    assert (found.factor, found.each) == pytest.approx((1.5, 0.01))


def test_a_fit_has_nothing_below_0():
    """Where more operations go with less time, the factor alone explains it."""
    found = Fit.of([1.0, 1.0], [10, 20], [1.1, 0.9])
    assert found.each == 0
    # (1/1.1 + 1/0.9) / (1/1.1² + 1/0.9²)
    assert found.factor == pytest.approx(2.0202020 / 2.0610142, rel=1e-6)


@dataclass(frozen=True)
class Dearer(Priced):
    """Half as much again for whole networks: convolutions and one last layer."""

    def __call__(self, subject: Any, task: Task) -> Cost:
        found = super().__call__(subject, task)
        operators = _operators(subject)
        is_network = operators.count("Gemm") == 1 and "Conv" in operators
        assert found.milliseconds is not None
        return Cost(milliseconds=found.milliseconds * (1.5 if is_network else 1))


def _operators(subject: Any) -> list[str]:
    content = read_model(subject)
    assert isinstance(content, Content)
    return [node.operator for node in content.graph.nodes]


def test_a_table_is_fitted_to_whole_networks():
    meter = Dearer()
    table, others = OperationTable(meter=meter), networks(4, seed=1)
    fitted = table.fitted(others, PICTURES)
    drafted = Drafted(meter=meter)
    for network in networks(2, seed=2):
        truth = drafted(network, PICTURES)
        assert abs(fitted(network, PICTURES) / truth - 1) < 0.1
        assert table(network, PICTURES) / truth < 0.75
    assert table.fit == Fit()
    assert fitted.measurements >= table.measurements > 0


def test_a_fit_is_kept_in_the_folder_for_this_meter_alone(tmp_path: Path):
    first, again, other = Priced(), Priced(), Priced(name="with other threads")
    fits = [
        OperationTable(meter=one, folder=tmp_path).fitted(networks(4), PICTURES).fit
        for one in (first, again, other)
    ]
    assert fits[0] == fits[1] == fits[2]
    assert first.seen == other.seen and not again.seen


def test_too_few_networks_to_fit_to():
    message = "a table is fitted to 3 networks: give 4 or more"
    with pytest.raises(ValueError, match=message):
        OperationTable(meter=Priced()).fitted(networks(3), PICTURES)


def test_an_operator_without_a_rule_is_named_and_never_0():
    class Cumulative(nn.Module):
        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            return maps.cumsum(1)

    for way in (OperationTable(meter=Priced()), Drafted(meter=Priced())):
        with pytest.raises(UnknownOperatorError, match=r"no milliseconds .* of cumsum, which"):
            way(Cumulative(), PICTURES)


def test_a_meter_of_something_else():
    def bytes_of(subject: Any, task: Task) -> Cost:
        return Cost(bytes=7)

    with pytest.raises(ValueError, match=r"bytes_of.* gives no milliseconds: give a Latency"):
        OperationTable(meter=bytes_of)(nn.Conv2d(3, 8, 3), PICTURES)


def test_with_a_real_meter_and_a_name_that_is_the_same_everywhere(tmp_path: Path):
    table = OperationTable(meter=Latency(repeats=1, warm_up=1), folder=tmp_path)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    assert 0 < table(network, PICTURES) < float("inf")
    assert not re.search("0x", repr(table))
