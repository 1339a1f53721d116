"""A file has values and no states.

What is guessed of them on the way back, and where the guess is wrong (docs/format.md).
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import shoestring
from shoestring import Supervised, load_into, save
from shoestring.kit import SkippedWarning, State, bake, clone, parameters_of

INPUTS = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))


class Network(nn.Module):
    """A layer for each case, all of the same input; `unused` is not in the file."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(2, 2)
        for name in ("free", "masked", "shared", "rounded", "zero", "signs", "even", "bias"):
            setattr(self, name, nn.Linear(6, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """N×64 of N×6."""
        return sum(
            (layer(x) for name, layer in self.named_children() if name != "unused"), torch.zeros(())
        )


def states(model: nn.Module) -> dict[str, State | None]:
    """The state of each weight, by its name."""
    return {one.name: one.state for one in parameters_of(model)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, nn.Module, Path]:
    """(a model whose weights have states, what its file gives, the path of the file)."""
    torch.manual_seed(1)
    model = Network()
    weights = {one.name: one for one in parameters_of(model)}
    size = (64, 6)
    weights["masked.weight"].prune(torch.rand(size) < 0.5)
    weights["bias.bias"].prune(torch.rand(64) < 0.5)
    weights["shared.weight"].share(torch.tensor([-0.3, 0.11, 0.7]), torch.randint(3, size))
    weights["rounded.weight"].round(torch.tensor(0.125), None)
    with torch.no_grad():
        weights["zero.weight"].raw[3, 2] = 0.0
        weights["signs.weight"].raw.copy_(torch.randint(2, size) * 2.0 - 1.0)
        weights["even.weight"].raw.copy_(torch.randint(-9, 10, size) * 0.5)
    weights["even.weight"].round(torch.tensor(0.25), None)
    path = tmp_path_factory.mktemp("restoring") / "model.shoe"
    targets = torch.zeros(len(INPUTS), dtype=torch.long)
    task = Supervised(train=(INPUTS, targets), validation=(INPUTS, targets), test=(INPUTS, targets))
    save(model, task, path)
    with pytest.warns(
        SkippedWarning,
        match="does not hold unused.bias, unused.weight: they keep the model's values",
    ):
        return model, load_into(path, bake(clone(model))), path


def test_values_come_back_to_the_bit(made: tuple[nn.Module, nn.Module, Path]):
    before, after, _ = made
    for one, other in zip(parameters_of(before), parameters_of(after), strict=True):
        assert torch.equal(one.value(), other.value()), one.name


def test_states_that_are_guessed_right(made: tuple[nn.Module, nn.Module, Path]):
    before, after = map(states, made[:2])
    assert after["free.weight"] is None and after["free.bias"] is None
    mask, true = after["masked.weight"], before["masked.weight"]
    assert mask is not None and mask.codebook is None and mask.scale is None and true is not None
    assert torch.equal(mask.mask, true.mask)
    shared = after["shared.weight"]
    assert (
        shared is not None
        and shared.mask is None
        and shared.codebook.tolist() == pytest.approx([-0.3, 0.11, 0.7])
    )
    rounded = after["rounded.weight"]
    assert (
        rounded is not None
        and rounded.codebook is None
        and rounded.scale.item() == 0.125
        and rounded.reach is None
    )


def test_states_that_are_guessed_wrong(made: tuple[nn.Module, nn.Module, Path]):
    before, after = map(states, made[:2])
    zero = after["zero.weight"]
    assert before["zero.weight"] is None and zero is not None
    assert (~zero.mask).nonzero().tolist() == [[3, 2]], (
        "a weight that happens to be zero is taken for masked"
    )
    assert after["rounded.weight"].mask is not None and before["rounded.weight"].mask is None, (
        "0 is on the grid"
    )
    signs = after["signs.weight"]
    assert before["signs.weight"] is None and signs is not None and signs.scale.item() == 1.0
    assert before["even.weight"].scale.item() == 0.25 and after["even.weight"].scale.item() == 0.5
    assert before["bias.bias"].mask is not None and after["bias.bias"] is None, (
        "one axis: no mask is guessed"
    )


def test_a_state_that_is_not_wanted_is_baked_away(made: tuple[nn.Module, nn.Module, Path]):
    _, after, _ = made
    free = bake(clone(after))
    assert set(states(free).values()) == {None}
    for one, other in zip(parameters_of(after), parameters_of(free), strict=True):
        assert torch.equal(one.value(), other.value())


def test_another_model_is_refused(made: tuple[nn.Module, nn.Module, Path]):
    with pytest.raises(
        ValueError,
        match=r"of another model: its tensor \[64\] is not the shape of 1.bias, which is \[3\] and "
        r"the first that differs; if a technique changed the model's layers, call it with "
        r"Training\(0\) on the model first, and load the file into what it returns$",
    ):
        load_into(made[2], nn.Sequential(nn.Linear(2, 2), nn.Linear(3, 3)))
    with pytest.raises(
        ValueError,
        match=r"holds free.bias as torch.float32 and the model as torch.float16; convert",
    ):
        load_into(made[2], Network().half())


def test_the_names_from_before_are_there():
    assert shoestring.write is shoestring.save and shoestring.restore is shoestring.load_into
