"""What layers take in that is the same whatever the input is."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.kit import parameters_of
from shoestring.kit.surgery.constants import constants
from shoestring.kit.tracing.example import Example


class Between(nn.Module):
    """A layer whose second unit gives 2 and whose third gives -1, a step of (hidden, input), and a
    layer.
    """

    def __init__(self, step: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.step, self.first, self.last = step, nn.Linear(3, 3), nn.Linear(3, 2)
        with torch.no_grad():
            self.first.weight[1:], self.first.bias[1:] = 0, torch.tensor([2.0, -1.0])

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.step(self.first(x), x))


def taken(step: Callable[[Tensor, Tensor], Tensor], x: Tensor | None = None) -> list[float]:
    """What the last layer takes in; None where it is no constant."""
    model = Between(step).eval()
    found = constants(model, [Example((torch.rand(4, 3) if x is None else x,), {}, {})])
    names = [weight.name for weight in parameters_of(model)]
    (last,) = [one for index, one in found.items() if names[index] == "last.weight"] or [None]
    assert last is None or last.bias is not None
    return [None if math.isnan(one) else one for one in last.values.tolist()] if last else []  # type: ignore[misc]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (lambda hidden, x: hidden, [None, 2, -1]),
        (lambda hidden, x: hidden.relu() + 1, [None, 3, 1]),
        (lambda hidden, x: hidden.clone().add_(1), [None, 3, 0]),
        (lambda hidden, x: hidden.flip(-1), [-1, 2, None]),
        (lambda hidden, x: hidden * (hidden.sum(-1, keepdim=True) > 0), [None] * 3),
        (lambda hidden, x: hidden + x, [None] * 3),
        # In an example between 0 and 1 these are constants, and are not in others.
        (lambda hidden, x: hidden * (x[:, :1] < 5), [None] * 3),
        (lambda hidden, x: hidden.masked_fill(x > 5, 0), [None] * 3),
        (lambda hidden, x: torch.where(x[:, :1] > 5, hidden, hidden + 1), [None] * 3),
        (lambda hidden, x: hidden + x.clamp(5, 6), [None] * 3),
        (lambda hidden, x: hidden * x.sign(), [None] * 3),
        (
            lambda hidden, x: hidden[:, x.long().sum() + torch.arange(3) - 1] if len(x) else hidden,
            [None] * 3,
        ),
        (lambda hidden, x: hidden if x.sum() < 100 else -hidden, []),
        (lambda hidden, x: hidden + torch.rand(()), [None] * 3),
        (lambda hidden, x: functional.dropout(hidden, 0.5), [None] * 3),
    ],
)
def test_only_what_no_input_can_change_is_a_constant(
    step: Callable[[Tensor, Tensor], Tensor], expected: list[float | None]
):
    assert taken(step) == expected


def test_constants_go_on_through_layers_that_keep_them_apart():
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3),
        nn.Conv2d(3, 3, 3, groups=3),
        nn.BatchNorm2d(3),
        nn.Conv2d(3, 3, 1),
        nn.Conv2d(3, 1, 3, padding=1),
    ).eval()
    with torch.no_grad():
        model[0].weight[1:], model[0].bias[1:] = 0, torch.tensor([0.0, 0.5])
        model[1].weight[2], model[1].bias[2] = 1, 0
        model[3].weight[0], model[3].bias[0] = 0, 7
        model[3].weight[1, :2], model[3].weight[1, 2], model[3].bias[1] = 0, 2, 1
    found = constants(model, [Example((torch.rand(2, 2, 9, 9),), {}, {})])
    names = [weight.name for weight in parameters_of(model)]
    values = {names[index]: one for index, one in found.items()}
    normed = [model[1].bias[1].item(), 9 * 0.5]
    assert values["3.weight"].values[1:].tolist() == pytest.approx(
        [one / math.sqrt(1 + 1e-5) for one in normed]
    )
    assert values["4.weight"].values[:2].tolist() == pytest.approx(
        [7, 1 + 2 * 4.5 / math.sqrt(1 + 1e-5)]
    )
    assert math.isnan(values["4.weight"].values[2]) and math.isnan(values["3.weight"].values[0])
    assert (
        values["4.weight"].bias is None and values["3.weight"].bias is not None
    )  # the last pads with zeros
