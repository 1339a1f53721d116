"""Trainings of two networks on 8×8 digits: what they make, what is noticed, and a kill."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.generate import (
    GAN,
    TEN,
    AtReal,
    Balanced,
    CollapsedWarning,
    DiscriminatorWonWarning,
    Hinge,
    Minimax,
    Noise,
    NonSaturating,
    Trained,
    Wasserstein,
    WeightsClipped,
    frechet_distance,
    samples,
)
from shoestring.kit import AdamW, Constant, DivergedError, Supervised, Training, resuming
from shoestring.models import DCGANAutoencoder, DCGANDiscriminator, DCGANGenerator
from shoestring.tasks import digits

pytestmark = pytest.mark.filterwarnings("ignore:the generator collapsed")


@cache
def task() -> Supervised:
    return digits(batch_size=32)


def generator(classes: int | None = None) -> DCGANGenerator:
    return DCGANGenerator(side=8, width=8, noise=8, classes=classes)


def learnt(
    gan: GAN, discriminator: nn.Module | None = None, of: Supervised | None = None
) -> Trained:
    with seeded(0):
        judge = discriminator or DCGANDiscriminator(side=8, width=8, classes=gan.noise.classes)
        return gan(generator(gan.noise.classes), judge, of or task())


def gan(steps: int, **settings: object) -> GAN:
    training = Training(steps, AdamW(5e-3, momentum=0.5), Constant())
    return GAN(**{"training": training, "noise": Noise(8), **settings})  # type: ignore[arg-type]


def distance(network: nn.Module) -> float:
    made = samples(network, Noise(8), 500).pictures
    assert made.shape == (500, 1, 8, 8) and 0 <= made.min() <= made.max() <= 1
    real = task().validation[0]
    assert isinstance(real, Tensor)
    return frechet_distance(made.flatten(1).numpy(), real.flatten(1).numpy())


@pytest.mark.parametrize("name", TEN)
def test_all_ten_change_both_networks(name: str):
    judge = DCGANAutoencoder(side=8, width=8, code=8) if name == "BEGAN" else None
    with seeded(0):
        before = generator()
    made = learnt(gan(4, loss=TEN[name]), judge)
    moved = [
        not torch.equal(mine, theirs)
        for mine, theirs in zip(made.latest.parameters(), before.parameters(), strict=True)
    ]
    assert all(moved)
    assert all(torch.isfinite(one).all() for one in made.discriminator.parameters())
    assert made.told is not None and 0 <= made.told <= 1
    again = learnt(gan(4, loss=TEN[name]), judge)
    for mine, theirs in zip(made.generator.parameters(), again.generator.parameters(), strict=True):
        assert torch.equal(mine, theirs)  # the same seed makes the same


def test_it_learns_to_make_digits():
    with seeded(0):
        before = distance(generator())
    made = learnt(gan(200))
    assert distance(made.generator) < 0.7 * before
    assert made.variety > 0.2


def test_turns_are_taken():
    with seeded(0):
        judge = DCGANDiscriminator(side=8, width=8)
    two = learnt(gan(2, discriminator_steps=3), judge)
    for mine, theirs in zip(two.latest.parameters(), two.generator.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    with seeded(0):
        first = generator()
    for mine, theirs in zip(two.latest.parameters(), first.parameters(), strict=True):
        assert torch.equal(mine, theirs)  # its turn is the fourth
    assert not torch.equal(two.discriminator.head.weight, judge.head.weight)  # type: ignore[union-attr]


def test_clipped_weights_stay_clipped():
    made = learnt(gan(3, loss=Wasserstein(regulariser=WeightsClipped(0.02)), discriminator_steps=2))
    most = max(one.abs().max().item() for one in made.discriminator.parameters())
    assert most <= 0.02 + 1e-6  # the last step is the generator's


@pytest.mark.slow
def test_the_generator_is_told_the_class():
    noise = Noise(8, classes=10)
    made = learnt(gan(600, loss=NonSaturating(regulariser=AtReal(0.1)), noise=noise))
    several = samples(made.generator, noise, 200)
    assert several.labels is not None and several.labels[:11].tolist() == [*range(10), 0]
    images, labels = task().train
    assert isinstance(images, Tensor)
    means = torch.stack([images[labels == one].flatten(1).mean(0) for one in range(10)])
    nearest = torch.cdist(several.pictures.flatten(1), means).argmin(1)
    assert (nearest == several.labels).float().mean() > 0.5  # chance is 0.1
    only = samples(made.generator, noise, torch.full((5,), 3))
    assert only.labels is not None and only.labels.tolist() == [3] * 5


def test_told_the_class_it_still_listens_to_the_noise():
    one = gan(150, loss=NonSaturating(regulariser=AtReal(0.1)), noise=Noise(16, classes=10))
    with seeded(0):
        networks = (
            DCGANGenerator(side=8, width=8, noise=16, classes=10),
            DCGANDiscriminator(side=8, width=8, classes=10),
        )
        made = one(*networks, task())
    assert made.variety > 0.3  # 0.14 where noise and class go into the first layer side by side


def test_a_killed_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shoestring.kit.training.resume._SECONDS", 0.0)
    monkeypatch.setattr("shoestring.kit.training.resume.EVERY", 5)
    judge = DCGANAutoencoder(side=8, width=4, code=4)  # with a balance to keep
    one = gan(18, loss=Balanced(gain=0.5), discriminator_steps=2)
    whole = learnt(one, judge)
    steps = 0

    class Killed(Exception):
        pass

    def killing(pictures: Tensor) -> Tensor:
        nonlocal steps
        steps += 1
        if steps > 13:
            raise Killed
        return pictures

    with resuming(tmp_path), pytest.raises(Killed):
        learnt(one, judge, replace(task(), augment=killing))
    assert list(tmp_path.glob("*.pt"))
    steps = -1000
    with resuming(tmp_path):
        resumed = learnt(one, judge, replace(task(), augment=killing))
    assert resumed.told == whole.told  # what was watched is kept too
    assert steps < -1000 + 18 + 14  # what was done was not done again
    for mine, theirs in zip(
        resumed.generator.state_dict().values(), whole.generator.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, theirs)


def one_picture(picture: Tensor) -> Supervised:
    pictures = picture.expand(64, 1, 8, 8).clone()
    labels = torch.zeros(64, dtype=torch.int64)
    return Supervised(train=(pictures, labels), validation=(pictures, labels), batch_size=32)


def test_a_discriminator_that_wins_is_noticed():
    with pytest.warns(
        DiscriminatorWonWarning, match=r"by step 200 .* 99\.\d % of the pairs.*Minimax.*AtReal"
    ):
        learnt(gan(220, loss=Minimax()), of=one_picture(torch.ones(1, 8, 8)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", DiscriminatorWonWarning)
        learnt(gan(220, loss=Hinge()), of=one_picture(torch.ones(1, 8, 8)))


@pytest.mark.filterwarnings("default:the generator collapsed")
def test_a_collapse_is_noticed():
    with pytest.warns(CollapsedWarning, match=r"the generator collapsed: .* as far apart.*AtReal"):
        made = learnt(gan(0))  # an untrained one makes grey pictures
    assert made.variety < 0.3 and made.told is None


def test_nan_says_what_to_do():
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, pictures: Tensor) -> Tensor:
            return self.scale * pictures.flatten(1).mean(1) * float("nan")

    with pytest.raises(DivergedError, match=r"loss is nan at step 0.*hold the discriminator back"):
        learnt(gan(3), Broken())


def test_networks_that_do_not_fit():
    with pytest.raises(
        ValueError, match=r"makes pictures \[1, 8, 8\] and the real ones are \[64\]"
    ):
        images, labels = task().validation
        assert isinstance(images, Tensor)
        flat = (images.flatten(1), labels)
        learnt(gan(3), of=Supervised(train=flat, validation=flat))
    with pytest.raises(ValueError, match="one score each"):
        learnt(gan(3), nn.Sequential(nn.Flatten(), nn.Linear(64, 2)))
    with pytest.raises(ValueError, match="noise has 5 classes"):
        learnt(gan(3, noise=Noise(8, classes=5)))
    words = Supervised(
        train=(torch.ones(4, 3, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)),
        validation=(torch.ones(4, 3, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)),
    )
    with pytest.raises(ValueError, match="a GAN takes one tensor of real numbers"):
        learnt(gan(3), of=words)
    wide = replace(task(), prepare=lambda pictures: 255 * pictures)
    with pytest.warns(UserWarning, match="scale the pictures to 0..1"):
        learnt(gan(1), of=wide)


@pytest.mark.parametrize("settings", [{"discriminator_steps": 0}, {"decay": 1.0}])
def test_settings(settings: dict[str, float]):
    with pytest.raises(ValueError, match="give"):
        GAN(**settings)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="give a size of 1 or more"):
        Noise(0)
    assert repr(GAN(loss=NonSaturating())) == repr(GAN())
