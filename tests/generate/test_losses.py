"""The ten losses against numbers by hand, and their gradients' directions."""

from __future__ import annotations

from math import log

import pytest
import torch

from shoestring.generate import TEN, Balanced, Loss

REAL, MADE = torch.tensor([0.0, 2.0]), torch.tensor([0.0, -1.0])


def soft(x: float) -> float:
    return log(1 + 2.718281828459045**x)


BY_HAND: dict[str, tuple[float, float]] = {
    "minimax": (
        (soft(0) + soft(-2) + soft(0) + soft(-1)) / 2,
        -(soft(0) + soft(-1)) / 2,
    ),
    "non-saturating": ((soft(0) + soft(-2) + soft(0) + soft(-1)) / 2, (soft(0) + soft(1)) / 2),
    "LSGAN": (((1 + 1) / 2 + (0 + 1) / 2) / 2, (1 + 4) / 2 / 2),
    "WGAN": (-0.5 - 1, 0.5),
    "hinge, spectral norm": ((1 + 0) / 2 + (1 + 0) / 2, 0.5),
    "BEGAN": (1.0, -0.5),
    "relativistic average": (
        (soft(-0.5) + soft(-2.5) + soft(-1) + soft(-2)) / 2,
        (soft(0.5) + soft(2.5) + soft(1) + soft(2)) / 2,
    ),
}
BY_HAND |= {"WGAN-GP": BY_HAND["WGAN"]}
BY_HAND |= dict.fromkeys(("DRAGAN", "R1"), BY_HAND["non-saturating"])


@pytest.mark.parametrize("name", TEN)
def test_by_hand(name: str):
    one, (discriminator, generator) = TEN[name], BY_HAND[name]
    balance = torch.zeros(())
    assert float(one.discriminator(REAL, MADE, balance)) == pytest.approx(discriminator)
    assert float(one.generator(REAL, MADE)) == pytest.approx(generator)


@pytest.mark.parametrize("name", TEN)
def test_each_side_pulls_its_way(name: str):
    loss: Loss = TEN[name]
    real, made = torch.tensor([0.1, 0.9]), torch.tensor([0.2, 0.4])
    real.requires_grad_(), made.requires_grad_()
    up = -1 if loss.lower_is_real else 1
    pulls = torch.autograd.grad(loss.discriminator(real, made, torch.tensor(0.5)), (real, made))
    assert (up * pulls[0] <= 0).all() and (up * pulls[0]).sum() < 0  # a step raises real scores
    assert (up * pulls[1] >= 0).all() and (up * pulls[1]).sum() > 0
    (pull,) = torch.autograd.grad(loss.generator(real.detach(), made), made)
    assert (up * pull < 0).all()


def test_the_balance_of_began_follows():
    loss, balance = Balanced(diversity=0.5, gain=0.1), torch.zeros(())
    real, made = torch.tensor([0.4, 0.6]), torch.tensor([0.1])
    assert float(loss.discriminator(real, made, balance)) == pytest.approx(0.5)
    assert float(balance) == pytest.approx(0.1 * (0.5 * 0.5 - 0.1))
    assert float(loss.discriminator(real, made, balance)) == pytest.approx(0.5 - 0.015 * 0.1)
    for _ in range(3):
        loss.discriminator(real, 100 * made, balance)
    assert float(balance) == 0  # and never below


@pytest.mark.parametrize("settings", [{"diversity": 1.5}, {"gain": 0.0}])
def test_settings_out_of_range(settings: dict[str, float]):
    with pytest.raises(ValueError, match="give a number"):
        Balanced(**settings)
