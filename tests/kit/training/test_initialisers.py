"""Initial weights: their variance by hand, and branches that begin silent."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shoestring.kit import (
    SkippedWarning,
    Supervised,
    clone,
    fan_in_variance,
    silent_branches,
    unit_variance,
)
from shoestring.models import PlainNetwork, PreActivation, ResNet20


def images(size: int = 8, count: int = 32) -> Supervised:
    torch.manual_seed(0)
    pair = (torch.rand(count, 3, size, size), torch.randint(0, 10, (count,)))
    return Supervised(train=pair, validation=pair, test=pair, batch_size=count)


def deviations(model: nn.Module, task: Supervised) -> list[float]:
    """Of the output of each convolution, in the order of running."""
    found: list[float] = []
    handles = [
        layer.register_forward_hook(lambda *given: found.append(float(given[2].detach().std())))
        for layer in model.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    with torch.no_grad():
        model(task.train[0])
    for handle in handles:
        handle.remove()
    return found


def test_variance_by_fan_in_is_two_over_the_inputs():
    torch.manual_seed(0)
    before = nn.Sequential(nn.Conv2d(16, 64, 3), nn.BatchNorm2d(64), nn.Linear(500, 300))
    after = fan_in_variance(before)
    assert float(after[0].weight.detach().var()) == pytest.approx(2 / 144, rel=0.05)
    assert float(after[2].weight.detach().var()) == pytest.approx(2 / 500, rel=0.05)
    assert not after[2].bias.any() and before[2].bias.any()  # the argument is left alone


def test_without_norms_depth_takes_the_signal_unless_the_initial_weights_keep_it():
    torch.manual_seed(0)
    task, plain = images(), PlainNetwork(56, 8, norm=lambda _: nn.Identity())
    for layer in plain.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.bias)
    assert deviations(plain, task)[-1] < 1e-12  # torch's own initialisation
    # The zeros that pad images of 2×2 pixels take some of it.
    assert 1e-6 < deviations(fan_in_variance(plain), task)[-1] < 1
    scaled = deviations(unit_variance(plain, task), task)
    assert len(scaled) == 55 and all(one == pytest.approx(1, abs=1e-3) for one in scaled)


def test_unit_variance_leaves_argument_buffers_and_random_numbers_alone():
    task, model = images(), PreActivation(11, 4)
    torch.manual_seed(5)
    result = unit_variance(model, task)
    after = torch.rand(())
    for name, buffer in result.named_buffers():
        assert torch.equal(buffer, dict(model.named_buffers())[name])
    torch.manual_seed(5)
    unit_variance(model, task)
    assert torch.equal(after, torch.rand(()))
    assert result.training and all(part.training for part in result.modules())


def test_what_the_loss_does_not_run_is_said():
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(4, 10), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    pair = (torch.rand(8, 4), torch.randint(0, 10, (8,)))
    task = Supervised(train=pair, validation=pair, test=pair)
    with pytest.warns(SkippedWarning, match="unit_variance skipped spare"):
        unit_variance(Unused(), task)


@pytest.mark.parametrize("make", [lambda: ResNet20(4), lambda: PreActivation(29, 4)])
def test_branches_begin_silent(make):
    torch.manual_seed(0)
    task, model = images(), make()
    silent = silent_branches(model, task)
    changed = {
        name
        for name, weight in silent.named_parameters()
        if not torch.equal(weight, dict(model.named_parameters())[name])
    }
    assert len(changed) == 9  # blocks
    assert all(not dict(silent.named_parameters())[name].any() for name in changed)
    assert silent.training
    # A block without its branch: noise in its other weights changes nothing.
    noisy = clone(silent).eval()
    for name, weight in noisy.named_parameters():
        if ".second." in name and weight.ndim == 4 and name not in changed:
            weight.data.normal_()
    x = task.train[0]
    assert torch.equal(noisy(x), silent.eval()(x))


def test_without_branches_it_is_said():
    with pytest.warns(SkippedWarning, match="no residual branch"):
        silent_branches(PlainNetwork(8, 4), images())


def test_frozen_and_missing_layers_are_told():
    frozen = nn.Sequential(nn.Linear(4, 4).requires_grad_(False), nn.Linear(4, 4))
    with pytest.warns(SkippedWarning, match="skipped 0: its weight is frozen"):
        fan_in_variance(frozen)
    with pytest.raises(ValueError, match="Sequential has none"):
        fan_in_variance(nn.Sequential(nn.ReLU()))
