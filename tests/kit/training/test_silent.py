"""Branches that begin silent: which are found, and that each of their scales learns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.kit import SkippedWarning, Supervised, clone, silent_branches
from shoestring.models import PlainNetwork, PreActivation, ResNet20, TextEncoder


def images(size: int = 8, count: int = 32) -> Supervised:
    with seeded(0):
        pair = (torch.rand(count, 3, size, size), torch.randint(0, 10, (count,)))
    return Supervised(train=pair, validation=pair, test=pair, batch_size=count)


def vectors() -> Supervised:
    with seeded(0):
        pair = (torch.rand(32, 16), torch.randint(0, 3, (32,)))
    return Supervised(train=pair, validation=pair, test=pair)


def silenced(model: nn.Module, silent: nn.Module) -> set[str]:
    """The parameters that were changed, all of them to 0."""
    before = dict(model.named_parameters())
    changed = {n: w for n, w in silent.named_parameters() if not torch.equal(w, before[n])}
    assert not any(bool(weight.any()) for weight in changed.values())
    return set(changed)


def learns(silent: nn.Module, names: set[str], task: Supervised) -> bool:
    """Whether each unit of these parameters gets a gradient at the first step."""
    copy = clone(silent).train()
    parameters = dict(copy.named_parameters())
    task.loss(copy, next(iter(task.batches("train")))).backward()
    return all(bool((parameters[n].grad.flatten(1) != 0).any(1).all()) if parameters[n].ndim > 1
               else bool((parameters[n].grad != 0).all()) for n in names)  # fmt: skip


def test_pre_activation_blocks_begin_silent():
    with seeded(0):
        task, model = images(), PreActivation(29, 4)
    silent = silent_branches(model, task)
    changed = silenced(model, silent)
    assert len(changed) == 9 and learns(silent, changed, task)
    assert silent.training and all(one.grad is None for one in silent.parameters())
    # A block without its branch: noise in its other weights changes nothing.
    noisy = clone(silent).eval()
    for name, weight in noisy.named_parameters():
        if ".second." in name and weight.ndim == 4:
            weight.data.normal_()
    assert torch.equal(noisy(task.train[0]), silent.eval()(task.train[0]))


def test_branches_whose_shortcut_is_padded_with_zeros_before_a_relu_stay_by_name():
    """relu(0) hands back no gradient: at 0 these channels would stay 0 for ever."""
    with seeded(0):
        task, model = images(), ResNet20(4)
    with pytest.warns(SkippedWarning) as said:
        silent = silent_branches(model, task)
    told = [str(one.message) for one in said]
    assert len(told) == 2 and "blocks.3.second.1: at 0, 4 of its 8 units" in told[0]
    assert "blocks.6.second.1: at 0, 8 of its 16 units" in told[1]
    changed = silenced(model, silent)
    assert len(changed) == 7 and learns(silent, changed, task)


class Projected(nn.Module):
    """A block as torchvision has it: the shortcut is a 1×1 convolution and a norm."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm, self.last_norm = nn.BatchNorm2d(after), nn.BatchNorm2d(after)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.downsample = (
            nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
            if stride > 1
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        out = self.last_norm(self.second(self.norm(self.first(x)).relu()))
        out += self.downsample(x)
        return out.relu()


def test_projection_shortcuts_count():
    with seeded(0):
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), Projected(8, 8, 1),
            Projected(8, 16, 2), Projected(16, 16, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(16, 10),
        )  # fmt: skip
    silent = silent_branches(model, images())
    changed = silenced(model, silent)
    assert changed == {f"{block}.last_norm.weight" for block in (3, 4, 5)}
    assert learns(silent, changed, images())


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_dropout_between_the_last_layer_and_the_sum_hides_no_branch(dropout: float):
    class PreNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.wider, self.last = (
                nn.LayerNorm(16),
                nn.Linear(16, 32),
                nn.Linear(32, 16),
            )
            self.dropout = nn.Dropout(dropout)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.dropout(self.last(self.wider(self.norm(x)).relu()))

    with seeded(0):
        model = nn.Sequential(nn.Linear(16, 16), PreNorm(), PreNorm(), nn.Linear(16, 3))
    changed = silenced(model, silent_branches(model, vectors()))
    assert changed == {f"{block}.last.{name}" for block in (1, 2) for name in ("weight", "bias")}


def test_our_text_encoder_has_two_branches_a_layer():
    with seeded(0):
        pair = torch.randint(1, 50, (32, 12)), torch.randint(0, 2, (32,))
        task = Supervised(train=pair, validation=pair, test=pair)
        model = TextEncoder(50, width=16, hidden=32)
    changed = silenced(model, silent_branches(model, task))
    assert len([name for name in changed if name.endswith("weight")]) == 8


class Towers(nn.Module):
    """A wide and a deep part of one input, added: no residual network."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk, self.wide = trunk, nn.Linear(16, 3)
        self.deep = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.trunk(x)
        return self.wide(x) + self.deep(x)


@pytest.mark.parametrize("trunk", [nn.Identity(), nn.Linear(16, 16)])
def test_two_towers_are_no_branch(trunk: nn.Module):
    with seeded(0):
        model = Towers(trunk)
    with pytest.warns(SkippedWarning, match="no residual branch"):
        silent = silent_branches(model, vectors())
    assert not silenced(model, silent)


def test_frozen_branches_stay_by_name():
    with seeded(0):
        model = PreActivation(11, 4)
    model.stages[0][0].third.weight.requires_grad_(False)
    with pytest.warns(SkippedWarning, match=r"stages\.0\.0\.third: .* is frozen"):
        silent = silent_branches(model, images())
    assert silenced(model, silent) == {f"stages.{n}.0.third.weight" for n in (1, 2)}


def test_without_branches_it_is_said():
    with pytest.warns(SkippedWarning, match="no residual branch"):
        silent_branches(PlainNetwork(8, 4), images())
