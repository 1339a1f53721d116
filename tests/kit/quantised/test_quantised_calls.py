"""Calls of uncommon kinds in a quantised module: its file answers the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.artifact import OpenVINO, load
from shoestring.core import seeded
from shoestring.kit import Quantised, Supervised, write
from shoestring.quantize import PostTraining


def case(model: nn.Module, x: Tensor) -> tuple[Quantised, Supervised]:
    y = torch.arange(len(x)) % 3
    task = Supervised(
        train=(x, y), validation=(x, y), test=(x, y), criterion=lambda found, y: 0 * found[0].sum()
    )
    quantised = PostTraining(examples=32)(model.eval(), task.sealed())
    assert isinstance(quantised, Quantised)
    return quantised, task


class Pooled(nn.Module):
    """Returns what a pool gives, and has a layer take it too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 3, 3)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        found = functional.max_pool2d(torch.relu(self.first(images)), 2)
        return self.second(found), found


class Largest(nn.Module):
    """A layer that takes one of the parts of a tuple with names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv1d(3, 8, 3), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).max(2).values)


class Shifted(nn.Module):
    """A bias for each example."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(
            torch.relu(functional.linear(x, self.first.weight, x[:, :1] * self.first.bias))
        )


@pytest.mark.parametrize(
    ("kind", "shape"), [(Pooled, (32, 3, 10, 10)), (Largest, (32, 3, 10)), (Shifted, (32, 6))]
)
def test_the_file_answers_as_the_module(kind, shape, tmp_path):
    with seeded(1):
        model, x = kind(), torch.randn(shape)
    quantised, task = case(model, x)
    write(quantised, task, tmp_path / "a.shoe")
    with torch.no_grad():
        expected = quantised(x)
    found = load(tmp_path / "a.shoe", threads=1)(x)
    for one, other in zip(expected, found, strict=True):
        assert np.abs(other - one.numpy()).max() <= 1e-5 * float(one.abs().max())


def test_half_precision_does_not_overflow():
    with seeded(1):
        x, model = 1 + torch.rand(32, 3000), nn.Linear(3000, 3)
        nn.init.uniform_(model.weight, 0.0, 1e-3)
    quantised, _ = case(nn.Sequential(model), x)
    with torch.no_grad(), torch.autocast("cpu", torch.float16):
        found = quantised(x)
    assert torch.isfinite(found).all()


class Reduced(nn.Module):
    """Something is taken over an axis of what a layer gives, and another layer takes it."""

    def __init__(self, first: nn.Module, reduce: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.reduce, self.last = first, reduce, nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.reduce(self.first(x)))


REDUCED = {
    "mean of places": (
        nn.Conv1d(6, 8, 3),
        lambda x: x.mean(2),
    ),  # wrong from 16 examples on, left to itself
    "mean of words": (nn.Linear(20, 8, bias=False), lambda x: x.mean(1)),
    "sum of words": (nn.Linear(20, 8, bias=False), lambda x: x.sum(1)),
    "largest of words": (nn.Linear(20, 8, bias=False), lambda x: x.amax(-2)),
    "smallest of two axes": (
        nn.Linear(20, 8, bias=False),
        lambda x: x[:, None].expand(-1, 2, -1, -1).amin((1, 2)),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REDUCED)
def test_openvino_reduces_as_the_module_does(name, tmp_path):
    pytest.importorskip("openvino")
    with seeded(1):
        x = torch.randn(48, 6, 20)
    quantised, task = case(Reduced(*REDUCED[name]), x)
    write(quantised, task, tmp_path / "a.shoe")
    with torch.no_grad():
        expected = quantised(x).numpy()
    found = load(tmp_path / "a.shoe", threads=1, runtime=OpenVINO())(x)
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()
