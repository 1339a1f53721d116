"""What a generator takes: noise, and pictures of a simulator, which are refined."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from shoestring.artifact import load
from shoestring.core import score, seeded
from shoestring.generate import GAN, Generation, Noise, NonSaturating, Simulated, Trained, refined
from shoestring.kit import AdamW, Constant, Supervised, Training, resuming, save
from shoestring.models import DCGANDiscriminator, DigitsLeNet, Refiner
from shoestring.tasks import digits


def task() -> Supervised:
    return digits(batch_size=32)


def faint() -> Simulated:
    """Digits at half their light, as a simulator that knows nothing of ink would draw them."""
    images, labels = task().train
    assert isinstance(images, Tensor)
    return Simulated(images[:400] / 2, labels[:400])


def learnt(gan: GAN) -> Trained:
    with seeded(0):
        networks = Refiner(width=8, blocks=1), DCGANDiscriminator(side=8, width=8)
        return gan(*networks, task().sealed())


def refining(steps: int, keeping: float) -> GAN:
    training = Training(steps, AdamW(5e-3, momentum=0.5), Constant())
    return GAN(loss=NonSaturating(), training=training, noise=faint(), keeping=keeping, decay=0.9)


def test_refined_pictures_are_like_real_ones_and_keep_what_they_show():
    given, made = faint(), refined(learnt(refining(400, 0.2)).generator, faint())
    assert made.labels is not None and given.labels is not None
    assert torch.equal(made.labels, given.labels)
    real = task().train[0]
    assert isinstance(real, Tensor)
    wanted, before, after = (one.mean() for one in (real, given.pictures, made.pictures))
    assert before < 0.6 * wanted and abs(after - wanted) < 0.5 * abs(before - wanted)
    same = torch.nn.functional.cosine_similarity(
        made.pictures.flatten(1), given.pictures.flatten(1)
    )
    assert same.mean() > 0.8


def test_what_is_kept_dearly_changes_less():
    free, kept = (
        (refined(learnt(refining(60, weight)).generator, faint()).pictures - faint().pictures)
        .abs()
        .mean()
        for weight in (0.0, 20.0)
    )
    assert kept < free / 3


def test_a_killed_training_ends_as_an_uninterrupted_one(tmp_path: Path):
    """And one on other pictures is another training."""
    with resuming(tmp_path):
        whole = learnt(refining(20, 0.5))
        again = learnt(refining(20, 0.5))
        other = learnt(replace(refining(20, 0.5), noise=Simulated(faint().pictures + 0.1)))
    for mine, theirs, third in zip(
        whole.generator.parameters(),
        again.generator.parameters(),
        other.generator.parameters(),
        strict=True,
    ):
        assert torch.equal(mine, theirs) and not torch.equal(mine, third)


def test_a_file_refines_as_the_module_does(tmp_path: Path):
    refiner, path = learnt(refining(20, 0.2)).generator, tmp_path / "refiner.shoe"
    with seeded(0):
        classifier = DigitsLeNet()
    generation = Generation(pictures=task(), noise=faint(), classifier=classifier, count=200)
    save(refiner, generation.sealed(), path)
    np.testing.assert_allclose(
        refined(load(path), faint()).pictures, refined(refiner, faint()).pictures, atol=1e-5
    )
    assert generation.score(load(path), "validation") == pytest.approx(
        score(generation.sealed(), refiner), rel=1e-3
    )


def test_bad_simulators_and_settings():
    pictures = torch.rand(4, 1, 8, 8)
    with pytest.raises(ValueError, match="one picture or more"):
        Simulated(pictures[:0])
    with pytest.raises(ValueError, match="give real numbers"):
        Simulated(torch.zeros(4, 1, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="have 3 labels: give one each"):
        Simulated(pictures, torch.zeros(3))
    with pytest.raises(ValueError, match="nothing is kept of noise"):
        GAN(noise=Noise(8), keeping=1.0)
    with pytest.raises(ValueError, match="give 0 or more"):
        GAN(noise=Simulated(pictures), keeping=-1.0)
    with pytest.raises(ValueError, match="give both one size"):
        learnt(GAN(noise=Simulated(torch.rand(4, 1, 12, 12))))
