"""The network for tables: its size, a forward pass by hand, and a file that takes raw numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from shoestring.artifact import load
from shoestring.core import seeded
from shoestring.kit import Supervised, restore, write
from shoestring.models import TabularNet

SIZES, MEAN, DEVIATION = (3, 5), (40.0, 1000.0, 10.0), (10.0, 7000.0, 2.0)


@pytest.fixture(scope="module")
def model() -> TabularNet:
    with seeded(0):
        return TabularNet(SIZES, MEAN, DEVIATION).eval()


def rows(count: int) -> tuple[Tensor, Tensor]:
    """(ids, raw numbers)."""
    places = torch.arange(count)
    numbers = torch.tensor(MEAN) + torch.tensor(DEVIATION) * torch.randn(
        count, 3, generator=torch.Generator().manual_seed(0)
    )
    return torch.stack([places % 3, places % 5], 1), numbers


def test_its_size(model: TabularNet):
    assert (
        sum(p.numel() for p in model.parameters())
        == (3 + 5) * 8 + (2 * 8 + 3 + 1) * 128 + 129 * 64 + 65 * 2
    )
    assert TabularNet(SIZES, MEAN, DEVIATION, classes=4, width=2)(*rows(7)).shape == (7, 4)


def test_what_the_layers_get(model: TabularNet):
    got: list[Tensor] = []
    hook = model.layers.register_forward_pre_hook(lambda _module, given: got.append(given[0]))
    model(torch.tensor([[2, 0], [0, 4]]), torch.tensor([[40.0, 8000, 10], [50, 1000, 8]]))
    hook.remove()
    # The columns' vectors lie after one another in the table: the second column begins at 3.
    table = model.categories.weight
    torch.testing.assert_close(
        got[0][0], torch.cat([table[2], table[3], torch.tensor([0.0, 1, 0])])
    )
    torch.testing.assert_close(
        got[0][1], torch.cat([table[0], table[7], torch.tensor([1.0, 0, -1])])
    )


def test_every_weight_learns():
    with seeded(0):
        model = TabularNet(SIZES, MEAN, DEVIATION)
    model(*rows(40)).logsumexp(-1).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_its_file_answers_alike_at_any_number_of_rows(model: TabularNet, tmp_path: Path):
    split = (rows(4), torch.arange(4) % 2)
    write(model, Supervised(train=split, validation=split, test=split), tmp_path / "t.shoe")
    file = load(tmp_path / "t.shoe")
    with torch.no_grad():
        for count in (1, 2, 33):
            torch.testing.assert_close(
                torch.as_tensor(file(*rows(count))), model(*rows(count)), rtol=1e-4, atol=1e-5
            )


def test_restored_it_has_the_weights(model: TabularNet, tmp_path: Path):
    split = (rows(4), torch.arange(4) % 2)
    write(model, Supervised(train=split, validation=split, test=split), tmp_path / "t.shoe")
    again = restore(tmp_path / "t.shoe", TabularNet(SIZES, MEAN, DEVIATION)).eval()
    assert all(
        torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True)
    )
    torch.testing.assert_close(again(*rows(9)), model(*rows(9)))
