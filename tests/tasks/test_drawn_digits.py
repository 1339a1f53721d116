"""Digits that a program draws: sizes and places, and whether real ones are like them."""

from __future__ import annotations

import pytest
import torch

from shoestring.tasks import drawn_digits, mnist
from shoestring.tasks.fetch import present
from shoestring.tasks.mnist import _MNIST


def test_pictures_are_like_those_of_mnist_in_size_and_place():
    pictures, digits = drawn_digits(200)
    assert pictures.shape == (200, 1, 28, 28) and digits.bincount().tolist() == [20] * 10
    assert pictures.min() == 0 and pictures.max() == 1
    inked = pictures[:, 0] > 0.5
    for way in (1, 2):  # rows, then columns
        extent = inked.any(way).sum(1)
        assert extent.max() <= 21 and (extent.float().mean() > 8)
    taller = torch.maximum(inked.any(1).sum(1), inked.any(2).sum(1))
    assert taller.min() >= 18  # the box of 20 pixels is filled
    places = torch.arange(28.0) - 13.5
    mass = pictures.sum((1, 2, 3))
    for profile in (pictures.sum((1, 3)), pictures.sum((1, 2))):
        assert (profile @ places / mass).abs().max() <= 0.51


def test_a_seed_makes_the_same_and_another_does_not():
    one, again, other = (drawn_digits(40, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_without_shaking_a_digit_still_varies():
    pictures, digits = drawn_digits(40, shaking=0)
    zeros = pictures[digits == 0]
    assert not torch.equal(zeros[0], zeros[1])


@pytest.mark.skipif(
    any(present(one) is None for one in _MNIST),
    reason="MNIST is not here: run shoestring.tasks.mnist() once where there is a network",
)
def test_real_digits_are_nearest_to_drawn_ones_of_their_kind():
    pictures, digits = drawn_digits(600)
    real, labels = mnist().validation
    assert isinstance(real, torch.Tensor)
    apart = torch.cdist(real[:500].flatten(1), pictures.flatten(1))
    right = (digits[apart.argmin(1)] == labels[:500]).float().mean()
    assert right > 0.55  # by chance 0.1


@pytest.mark.parametrize("count", [20, 50, 79])
def test_each_digit_is_drawn_as_often(count: int):
    _, digits = drawn_digits(count)
    assert digits.bincount().tolist() == [2 * (count // 20)] * 10


@pytest.mark.parametrize(
    "settings",
    [{"count": 19}, {"count": 1e2}, *({"count": 40, "shaking": one} for one in (-0.1, 1e9))],
)
def test_settings_out_of_range(settings: dict[str, float]):
    with pytest.raises(ValueError, match="give 20 or more"):
        drawn_digits(**settings)  # type: ignore[arg-type]
