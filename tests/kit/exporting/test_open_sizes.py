"""Sizes that forward() makes plain numbers of.

A quantised module is written with its axes open, as a plain one is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shoestring.artifact import load
from shoestring.core import seeded
from shoestring.kit import ExportError, Supervised, write
from shoestring.kit.tracing.exporter import open_sizes
from shoestring.quantize import PostTraining


def flattened(x: Tensor) -> Tensor:
    return x.reshape(len(x), int(x.shape[1]))


WAYS = {
    "len": lambda x: x.view(len(x), -1),
    "int": lambda x: x.view(int(x.shape[0]), -1),
    "size": lambda x: x.view(int(x.size(0)), 8),
    "float": lambda x: x / float(x.shape[0]),
    "half": lambda x: torch.cat([x, x.new_zeros(int(x.shape[0] / 2), 8)])[: len(x)],
    "numel": lambda x: x.view(x.numel() // 8, 8),
    "star": lambda x: x.view(*x.shape[:1], -1),
    "new_zeros": lambda x: x + x.new_zeros(x.size()),
    "arange": lambda x: x[torch.arange(len(x))],
    "iterated": lambda x: torch.stack(list(x.t()), 1),
    "elsewhere": flattened,
    "kinds": lambda x: x.view(int(x.shape[0]), -1) if isinstance(3, int) and int == int else x * 0,  # noqa: E721
}


class Way(nn.Module):
    def __init__(self, way: Any) -> None:
        super().__init__()
        self.first, self.last, self.way = nn.Linear(8, 8), nn.Linear(8, 4), way

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.way(self.first(x))))


def task() -> Supervised:
    with seeded(1):
        split = (torch.randn(64, 8), torch.randint(0, 4, (64,)))
    return Supervised(train=split, validation=split, test=split, batch_size=16)


@pytest.mark.slow
@pytest.mark.by_default("len", "half", "numel", "iterated", "kinds", "arange")
@pytest.mark.parametrize("name", WAYS)
def test_any_number_of_examples(name, tmp_path):
    with seeded(0):
        model, x = Way(WAYS[name]), torch.randn(7, 8)
    quantised = PostTraining(examples=32)(model, task().sealed()).eval()
    write(quantised, task(), tmp_path / "a.shoe")
    file = load(tmp_path / "a.shoe", threads=1)
    for rows in (x, x[:1], x[:3]):
        with torch.no_grad():
            wanted = quantised(rows).numpy()
        assert np.abs(file(rows) - wanted).max() <= 0.02 * np.abs(wanted).max()


def test_the_code_is_as_it_was_after():
    before = dict(globals())
    with open_sizes(Way(flattened)):
        assert globals()["len"](torch.zeros(3, 2)) == 3 and int("7") == 7 and float("2.5") == 2.5
        assert isinstance(3, int) and not isinstance(3.0, int) and type(int("3")).__name__ == "int"
    assert dict(globals()) == before and len.__module__ == "builtins"


def test_a_loop_over_examples_is_fixed_and_is_refused(tmp_path):
    looped = Way(lambda x: torch.stack([x[row] for row in range(len(x))]))
    quantised = PostTraining(examples=32)(looped, task().sealed())
    with pytest.raises(ExportError, match="axis 0 of argument 0 varies in the task's example"):
        write(quantised, task(), tmp_path / "a.shoe")
