"""The recipe of a rare class: which pictures it has, and what made ones are added."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from shoestring.core import seeded
from shoestring.models import DCGANDiscriminator, DCGANGenerator
from shoestring.recipes import rare_class
from shoestring.recipes.rare_class_digits import MAKING, RARE, rare_digits
from shoestring.tasks import digits


def test_only_the_rare_class_is_fewer():
    whole, task = digits().train[1].bincount(), rare_digits(3, kept=6).train[1].bincount()
    assert task[RARE] == 6
    others = torch.arange(10) != RARE
    assert torch.equal(task[others], whole[others])


@pytest.mark.filterwarnings("ignore:the generator collapsed")
def test_made_pictures_come_behind_the_real_ones():
    task = rare_digits(0)
    with seeded(0):
        networks = (
            DCGANGenerator(side=8, width=4, noise=32, classes=10),
            DCGANDiscriminator(side=8, width=4, classes=10),
        )
    gan = replace(MAKING, training=MAKING.training.scaled(0.01))
    more, made = rare_class(task, *networks, gan)
    images, labels = more.train
    own, _ = task.train
    assert isinstance(images, Tensor) and isinstance(own, Tensor)
    assert len(set(labels.bincount().tolist())) == 1
    assert torch.equal(images[: len(own)], own)
    assert images.min() >= 0 and images.max() <= 1 and made.told is not None
