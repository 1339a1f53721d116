"""What a file knows of its weights comes back with it.

Masks, codebooks and grids, into a class and without one.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from zoo import classified

from shoestring.core import Technique, seeded
from shoestring.kit import Training, clone, from_shoe, parameters_of, restore, train, write
from shoestring.kit.weights.coded import compact
from shoestring.prune import Magnitude
from shoestring.quantize import PerGroup, WeightOnly, WeightSharing


class Recurrent(nn.Module):
    """An LSTM and a linear layer on what it ends with."""

    def __init__(self) -> None:
        super().__init__()
        self.memory, self.last = nn.LSTM(32, 32, batch_first=True), nn.Linear(32, 4)

    def forward(self, value: Tensor) -> Tensor:
        return self.last(self.memory(value)[0][:, -1])


def wide() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 48), nn.ReLU(), nn.Linear(48, 4)
    )


@pytest.mark.by_default("levels")
@pytest.mark.parametrize(
    ("make", "shape", "technique", "most"),
    [
        (wide, (8, 8), Magnitude(density=0.2, training=Training(3)), 1.02),
        (wide, (8, 8), WeightSharing(levels=16, training=Training(3)), 1.1),
        (Recurrent, (5, 32), Magnitude(density=0.2, training=Training(3)), 1.02),
        (Recurrent, (5, 32), WeightSharing(levels=16, training=Training(3)), 1.1),
        (
            Recurrent,
            (5, 32),
            WeightOnly(bits=8),
            1.65,
        ),  # steps of groups are kept as levels, which move apart
    ],
    ids=["pruned", "levels", "recurrent, pruned", "recurrent, levels", "recurrent, 8 bits"],
)
def test_a_file_trained_on_stays_as_small(
    make, shape, technique: Technique, most: float, tmp_path: Path
):
    with seeded(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, task = make(), classified(shape, examples=24)
        size = write(technique(model, task), task, tmp_path / "small.shoe")
        parameters = 4 * sum(one.numel() for one in model.parameters())
        assert size < 0.55 * parameters, "it did something"
        further = write(
            train(from_shoe(tmp_path / "small.shoe"), task, Training(20)),
            task,
            tmp_path / "ours.shoe",
        )
        theirs = write(
            train(restore(tmp_path / "small.shoe", model), task, Training(20)),
            task,
            tmp_path / "theirs.shoe",
        )
    assert further < most * size + 40
    assert abs(further - theirs) < 0.03 * theirs, "as far as the class itself is restored"


@pytest.mark.slow
def test_states_are_those_of_the_file(tmp_path: Path):
    with seeded(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, task = Recurrent(), classified((5, 32), examples=8)
        rounded = clone(model)
        for weight in parameters_of(rounded):
            if weight.raw.ndim == 2:
                weight.round(weight.value().abs().max() / 127)
        write(rounded, task, tmp_path / "whole.shoe")
        write(
            Magnitude(density=0.25, training=Training(2))(model, task),
            task,
            tmp_path / "pruned.shoe",
        )
    back = {
        weight.name.rpartition(".")[2]: weight
        for weight in parameters_of(from_shoe(tmp_path / "whole.shoe"))
        if weight.state
    }
    for weight in parameters_of(rounded):
        if weight.state is not None and weight.name.startswith("memory"):
            found = back[weight.name.rpartition(".")[2]]
            assert torch.equal(found.value(), weight.value())
            assert (
                found.state is not None
                and found.state.scale is not None
                and weight.state.scale is not None
            )
            assert torch.allclose(found.state.scale, weight.state.scale, rtol=1e-5)
    masks = [
        weight.mask
        for weight in parameters_of(from_shoe(tmp_path / "pruned.shoe"))
        if weight.mask is not None
    ]
    kept = sum(int(one.sum()) for one in masks) / sum(one.numel() for one in masks)
    assert len(masks) == 3 and kept == pytest.approx(0.25, abs=0.01)


@pytest.mark.slow
def test_groups_of_columns_come_back_on_their_steps(tmp_path: Path):
    with seeded(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, task = wide(), classified((8, 8), examples=8)
        rounded = WeightOnly(bits=8, granularity=PerGroup(16))(model, task)
        write(rounded, task, tmp_path / "groups.shoe")
    module = from_shoe(tmp_path / "groups.shoe")
    value = torch.randn(3, 8, 8)
    assert torch.allclose(module(value), rounded.eval()(value), atol=1e-5)


def test_steps_are_one_or_of_rows_or_of_groups_of_columns():
    whole = torch.full((), 0.5).expand(4, 6)
    assert torch.equal(compact(whole), torch.tensor(0.5))  # type: ignore[arg-type]
    rows = torch.arange(1.0, 5.0).reshape(4, 1).expand(4, 6)
    assert torch.equal(compact(rows), rows[:, :1])  # type: ignore[arg-type]
    groups = torch.rand(4, 3)
    assert torch.equal(compact(groups.repeat_interleave(2, 1)), groups)  # type: ignore[arg-type]
    assert compact(rows.t()) is None, "no state has steps of columns"
