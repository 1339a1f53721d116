"""Rows that are chosen and put back, in a module and in its file."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shoestring.kit.routing.added_loss import with_loss
from shoestring.kit.routing.rows import in_order, rows_where


def test_rows_are_put_back_in_their_order():
    rows = torch.arange(12.0).view(6, 2)
    part_of = torch.tensor([2, 0, 1, 0, 2, 0])
    parts = [rows_where(rows, part_of == part) for part in range(4)]
    assert [len(part) for part in parts] == [3, 1, 2, 0]
    assert torch.equal(parts[0], rows[[1, 3, 5]])
    assert torch.equal(in_order(parts, part_of), rows)


def test_gradients_go_to_the_chosen_rows_alone():
    rows = torch.ones(3, 2, requires_grad=True)
    chosen = torch.tensor([True, False, True])
    (rows_where(rows, chosen) * torch.tensor([[2.0], [3.0]])).sum().backward()
    assert rows.grad is not None
    assert rows.grad.tolist() == [[2, 2], [0, 0], [3, 3]]


def test_an_added_loss_counts_once_whatever_the_factor_of_the_other():
    weight = torch.tensor(2.0, requires_grad=True)
    value = with_loss(3 * weight, weight.square())
    assert value.item() == 6
    (10 * value).backward()
    assert weight.grad is not None
    assert weight.grad.item() == 10 * 3 + 2 * 2


def test_no_loss_is_added_without_gradients():
    value = torch.ones(2)
    with torch.no_grad():
        assert with_loss(value, torch.tensor(1.0, requires_grad=True)) is value


class _Halves(nn.Module):
    """Negative rows pass one layer, the others another."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        part = (x.flatten(1).sum(1) > 0).long()
        parts = [self.first(rows_where(x, part == 0)), self.second(rows_where(x, part == 1))]
        return in_order(parts, part)


def test_a_file_takes_any_number_of_rows_for_each_part(tmp_path):
    import numpy as np
    from zoo import classified

    from shoestring.artifact import load
    from shoestring.kit import save

    def block() -> nn.Module:
        return nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())

    torch.manual_seed(0)
    model = nn.Sequential(_Halves(block(), block()), nn.Flatten(), nn.Linear(48, 4)).eval()
    save(model, classified((2, 4, 4)), tmp_path / "halves.shoe")
    predict = load(tmp_path / "halves.shoe")
    for count in (1, 2, 9):
        for sign in (-1, 0, 1):  # all rows in one part, or some in each
            x = torch.rand(count, 2, 4, 4) * sign if sign else torch.randn(count, 2, 4, 4)
            with torch.no_grad():
                wanted = model(x).numpy()
            np.testing.assert_allclose(predict(x.numpy()), wanted, atol=1e-5)
