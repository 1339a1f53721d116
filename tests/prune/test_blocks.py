"""Blocks that do least go first."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from zoo import classified

from shoestring import kit
from shoestring.core import seeded
from shoestring.kit import AdamW, ShortfallWarning, SkippedWarning, Supervised, Training
from shoestring.models import ResNet20, TextEncoder
from shoestring.prune import Blocks, LeastLoss, Lightest, bypassed
from shoestring.prune.blocks import Through


class Step(nn.Module):
    def __init__(self, size: float) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)
        with torch.no_grad():
            self.inner.weight.mul_(size)
            self.inner.bias.zero_()

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        return x + scale * self.inner(x)


def test_the_blocks_that_do_nothing_go():
    model = nn.Sequential(Step(3.0), Step(0.0), Step(5.0), Step(1e-6))
    with torch.no_grad():
        split = (x := torch.randn(20, 4)), model(x)
    task = Supervised(train=split, validation=split, test=split, criterion=functional.mse_loss)
    small = Blocks(share=0.5, training=Training(0))(model, task)
    assert [isinstance(one, Through) for one in small] == [False, True, False, True]
    torch.testing.assert_close(small(x), model(x), rtol=1e-4, atol=1e-4)
    assert not any(isinstance(one, Through) for one in model)
    small = Blocks(share=0.25, training=Training(2, AdamW(5e-4)), keep=("1",))(model, task)
    assert [isinstance(one, Through) for one in small] == [True, False, True, True]


def test_a_model_that_keeps_its_blocks_is_not_trained():
    model = nn.Sequential(Step(3.0), Step(0.5), nn.Linear(4, 4))
    with pytest.warns(SkippedWarning, match="Blocks changed nothing in the model, so it did not"):
        same = Blocks(share=1.0, training=Training(2))(model, classified((4,)))
    assert torch.equal(same[0].inner.weight, model[0].inner.weight) and same is not model


def test_blocks_are_those_that_give_what_they_take():
    with seeded(0):
        model = ResNet20(4)
    with pytest.warns(
        ShortfallWarning,
        match="Blocks was asked to leave 1% of the blocks and left 14%: one stays at least",
    ):
        small = Blocks(share=0.01, batches=1, training=Training(0))(model, classified((3, 16, 16)))
    # Those at which the size halves stay, and one of the others.
    gone = [place for place, block in enumerate(small.blocks) if isinstance(block, Through)]
    assert len(gone) == 6 and not {3, 6} & set(gone)


def test_the_lightest_go_first_and_of_these_the_ones_that_do_least():
    with seeded(0):
        model, task = ResNet20(4), classified((3, 16, 16))
    for share, expected in ((0.85, 1), (0.75, 2), (0.5, 3), (0.45, 4)):
        small = Blocks(share=share, batches=1, first=Lightest(), training=Training(0))(model, task)
        gone = {place for place, block in enumerate(small.blocks) if isinstance(block, Through)}
        assert len(gone) == expected and (
            gone <= {0, 1, 2} if expected <= 3 else gone > {0, 1, 2} and gone - {0, 1, 2} <= {4, 5}
        )
    all_close, found = nn.Sequential(Step(3.0), Step(0.0), Step(5.0), Step(1e-6)), []
    for first in (Lightest(), LeastLoss()):
        with seeded(0):  # the same batches
            small = Blocks(share=0.5, first=first, training=Training(0))(
                all_close, classified((4,))
            )
        found.append([type(one) for one in small])
    assert found[0] == found[1], "blocks of equal weight"


def test_a_file_without_blocks_goes_back_into_the_class(tmp_path: Path):
    with seeded(0):
        model = TextEncoder(30, classes=4, width=8, layers=3, heads=2, hidden=8, length=9)
        task = classified((7,), ids=30, axes={1: "T"})
        small = Blocks(share=0.34, batches=1, training=Training(0))(model, task)
    names = tuple(name for name, part in small.named_modules() if isinstance(part, Through))
    assert len(names) == 2 and {name.split(".")[0] for name in names} == {"layers"}
    kit.write(small, task, tmp_path / "small.shoe")
    back = kit.restore(tmp_path / "small.shoe", bypassed(model, names))
    ids = torch.randint(1, 30, (3, 7))
    torch.testing.assert_close(back.eval()(ids), small.eval()(ids))


class Scaled(Step):
    """Its answer times a number that whoever calls it asks it for."""

    def __init__(self, size: float, factor: float = 1.0) -> None:
        super().__init__(size)
        self.factor = factor

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        return self.factor * super().forward(x, scale)


class Asks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList([Step(1.0), Scaled(1.0), Step(1.0)])

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x) * (step.factor if step is self.steps[1] else 1.0)  # type: ignore[operator]
        return x


def test_a_block_that_the_model_asks_for_more_is_named():
    with (
        pytest.warns(
            SkippedWarning,
            match=r"Blocks skipped steps.1: without it the model fails \(AttributeError: 'Through'",
        ),
        pytest.warns(ShortfallWarning, match="1% of the blocks and left 50%"),
    ):
        small = Blocks(share=0.01, batches=1, training=Training(0))(Asks(), classified((4,)))
    assert sum(isinstance(one, Through) for one in small.steps) == 1
    assert Blocks().layers(Asks(), classified((4,))) == ["steps.0", "steps.2"]


def test_a_block_without_which_the_loss_is_no_number_stays():
    model = nn.Sequential(Scaled(0.0, 1e-30), Scaled(0.0), Scaled(0.0, 1e25))
    x = torch.full((20, 4), 1e15)
    task = Supervised(
        train=(x, x), validation=(x, x), test=(x, x), criterion=lambda a, b: (a * a - a * a).mean()
    )
    small = Blocks(share=0.67, training=Training(0))(model, task)
    assert [isinstance(one, Through) for one in small] == [False, True, False]
    with pytest.warns(
        SkippedWarning, match="Blocks skipped 0: without any of these the loss is nan"
    ):
        small = Blocks(share=0.67, training=Training(0), only=("0",))(model, task)
    assert not any(isinstance(one, Through) for one in small)


def test_what_has_no_blocks_is_named():
    with pytest.warns(SkippedWarning, match="Blocks found no block"):
        Blocks(training=Training(0))(
            nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 4)), classified((4,))
        )
    shared = Step(1.0)
    other = Step(1.0)
    other.inner.weight = shared.inner.weight
    with pytest.warns(SkippedWarning) as caught:
        Blocks(training=Training(0))(nn.Sequential(shared, other), classified((4,)))
    assert any("Blocks skipped 0, 1: they have tied weights" in str(one.message) for one in caught)
    with pytest.raises(
        ValueError, match="bypassed: only= names 'layer', and there is no such layer"
    ):
        bypassed(nn.Sequential(Step(1.0)), ("layer",))
