"""The last linear layer is found by trying, whatever it is called and however it is nested."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from shoestring.kit.tracing.last_linear import heard_inputs, last_linear


class Own(nn.Module):
    """A linear layer that is not torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(6, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.matrix


@pytest.mark.parametrize(
    ("model", "path", "axis"),
    [
        (nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3), nn.LogSoftmax(1)), "2", 1),
        (nn.Sequential(nn.Linear(4, 6), nn.ReLU(), Own()), "2", 1),
        (nn.Sequential(nn.Linear(4, 6), nn.Sequential(nn.Dropout(), nn.Linear(6, 3))), "1", 1),
        (nn.Sequential(nn.Unflatten(1, (4, 1, 1)), nn.Conv2d(4, 3, 1), nn.Flatten()), "1", 1),
    ],
)
def test_it_is_found_by_trying(model: nn.Module, path: str, axis: int):
    model.eval()
    found = last_linear(model, partial(model, torch.randn(2, 4)))
    assert found is not None and found.axis == axis
    # two linear layers after one another are linear as a whole
    assert found.module in (model.get_submodule(path), model)


def test_there_may_be_none():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.ReLU()).eval()
    assert last_linear(model, partial(model, torch.randn(2, 4))) is None


def test_what_it_is_given_is_heard():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    x = torch.randn(2, 4)
    with heard_inputs(model[2]) as heard:
        model(x)
    model(x)
    assert len(heard) == 1 and torch.equal(heard[0], model[1](model[0](x)).detach())
