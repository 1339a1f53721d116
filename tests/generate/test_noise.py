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
from shoestring.generate import (
    GAN,
    Generation,
    Noise,
    NonSaturating,
    Simulated,
    SpectralNorm,
    Trained,
    classification_score,
    refined,
    samples,
)
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


def test_what_was_not_told_cannot_be_asked_for():
    """Else pictures of anything would stand for a rare class."""
    for noise in (Noise(8), faint()):
        with pytest.raises(ValueError, match="is not told what to make, and 2 labels"):
            samples(Refiner(), noise, torch.tensor([3, 3]))
    made = samples(Refiner(), faint(), 4)
    assert made.pictures.shape == (4, 1, 8, 8) and made.labels is None
    with seeded(0), pytest.raises(ValueError, match="refined"):
        classification_score(made, DigitsLeNet(), task(), Training(1))


def test_a_class_counts_under_spectral_norm_too():
    """Whether a picture has the class that is told changes a score as much as other pictures do."""
    with seeded(0):
        judge = DCGANDiscriminator(side=8, width=8, classes=10)
        SpectralNorm().begin(judge)
        pictures = torch.rand(64, 1, 8, 8)
    with torch.no_grad():
        by_class = torch.stack([judge(pictures, torch.full((64,), one)) for one in range(10)])
    assert by_class.std(0).mean() > 0.5 * by_class.mean(0).std()


def test_ranges_that_differ_are_said():
    pictures = 255 * faint().pictures
    gan = GAN(noise=Simulated(pictures), training=Training(2), keeping=0.1)
    with pytest.warns(UserWarning, match="scale both alike"):
        learnt(gan)


def test_bad_simulators_and_settings():
    pictures = torch.rand(4, 1, 8, 8)
    broken = pictures.clone()
    broken[0, 0, 0, 0] = float("nan")
    whole = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    for one in (pictures[:0], pictures[0], broken, whole, pictures.numpy()):
        with pytest.raises(ValueError, match="give a tensor of real numbers N×C×H×W, one picture"):
            Simulated(one)  # type: ignore[arg-type]
    for labels in (torch.zeros(3).long(), torch.zeros(4, 10), torch.zeros(4)):
        with pytest.raises(ValueError, match="give one integer each"):
            Simulated(pictures, labels)
    assert Simulated(pictures.double()).pictures.dtype == torch.float32
    with pytest.raises(ValueError, match="nothing is kept of noise"):
        GAN(noise=Noise(8), keeping=1.0)
    for keeping in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="give 0 or more"):
            GAN(noise=Simulated(pictures), keeping=keeping)
    with pytest.raises(ValueError, match="give both one size"):
        learnt(GAN(noise=Simulated(torch.rand(4, 1, 12, 12))))
    with pytest.raises(ValueError, match="a picture of the same shape for each"):
        refined(lambda one: one[:2], Simulated(pictures))


def test_what_is_kept_has_one_size():
    larger = torch.nn.Upsample(scale_factor=2.0)
    with seeded(0), pytest.raises(ValueError, match="what is kept has one size"):
        gan = GAN(noise=Simulated(torch.rand(4, 1, 4, 4)), keeping=1.0)
        gan(larger, DCGANDiscriminator(side=8, width=8), task().sealed())
