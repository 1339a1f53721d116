"""Ten losses of generative adversarial networks beside each other, and beside other seeds.

    python benchmarks/ten_gans.py

MNIST (28×28), and with `--only CIFAR` CIFAR-10 (the JPEG copy, averaged to 16×16). All losses have
the same generator, the same discriminator (but BEGAN, whose discriminator is an autoencoder), the
same number of steps of both networks together, of batches of 32, and the average of the generator's
weights. The learning rate of each is the best of three by the validation distance of a training of
a quarter of the steps with seed 9, which is none of those below; where the highest is the best, a
higher one is tried, and where the lowest is, a lower one. WGAN and WGAN-GP have their rate chosen
with 1 and with 3 steps of the discriminator before each of the generator.

The distance is the Fréchet distance in the 32 features of a classifier of our own (Conv4, trained
on the training split), between 5,000 pictures and the first 5,000 of the test split; it is no FID
of an Inception network. Beside it: precision, recall, classes that are missing, copies, and of some
losses with a generator that is told the class, the test score of a classifier that learnt from its
pictures alone. `real pictures` are those of the validation split: what a perfect one would have.

Seeds are outermost, so that all losses have as many. Goes on where it was interrupted. --quick: 60
steps, one seed, three losses.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from time import process_time

import numpy as np
import torch
from rows import RESULTS, Rows, start
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from shoestring.core import score, seeded
from shoestring.generate import (
    GAN,
    TEN,
    Balanced,
    Noise,
    Trained,
    Wasserstein,
    classification_score,
    features,
    frechet_distance,
    quality,
    samples,
)
from shoestring.kit import AdamW, Constant, DivergedError, Supervised, Training, resuming, train
from shoestring.models import Conv4, DCGANAutoencoder, DCGANDiscriminator, DCGANGenerator
from shoestring.tasks import cifar10, mnist

SEEDS = (0, 1, 2, 3, 4)
GRID_SEED = 9
RATES = (1.5e-3, 4e-3, 1e-2)
LOWER, HIGHER = 5e-4, 2.5e-2
"""Tried where the lowest rate was the best, or the highest."""
TOLD_SEEDS = (0, 1, 2)
TOLD_AFTER = 4
TOLD = ("hinge, spectral norm", "non-saturating", "R1")
"""Losses whose generator is told the class too."""
PICTURES = 5000
WIDTH = 32
"""Of the classifier's blocks, which is how many features it has for pictures of these sizes."""


@dataclass(frozen=True, kw_only=True)
class Set:
    """A data set, the sizes of the networks, and the steps."""

    task: Callable[[], Supervised]
    side: int
    channels: int
    steps: int
    classifier: Training


def small_cifar() -> Supervised:
    """CIFAR-10 at 16×16 pixels."""
    task = cifar10(batch_size=32)
    parts = (task.train, task.validation, task.test)
    train, validation, test = (
        (avg_pool2d(one[0], 2), one[1])  # type: ignore[arg-type, index]
        for one in parts
    )
    return replace(task, train=train, validation=validation, test=test, name=f"{task.name}, 16×16")


SETS = {
    "MNIST": Set(
        task=lambda: mnist(batch_size=32),
        side=28,
        channels=1,
        steps=2000,
        classifier=Training(800, AdamW(2e-3, 1e-2)),
    ),
    "CIFAR-10": Set(
        task=small_cifar,
        side=16,
        channels=3,
        steps=5000,
        classifier=Training(5000, AdamW(2e-3, 1e-2)),
    ),
}


@cache
def whole(name: str) -> Supervised:
    return SETS[name].task()


@cache
def classifier(name: str, quick: bool) -> nn.Module:
    """Whose features are compared."""
    one = SETS[name]
    with seeded(0), resuming(unfinished(quick) / f"{name} classifier"):
        network = Conv4(channels=one.channels, classes=10, side=one.side, width=WIDTH)
        training = one.classifier.scaled(0.05) if quick else one.classifier
        return train(network, whole(name).sealed(), training, what=f"classifier of {name}")


@cache
def validated(name: str, quick: bool) -> np.ndarray:
    """The features of the validation split."""
    pictures = whole(name).validation[0][: many(quick)]
    return features(classifier(name, quick), pictures)[0].numpy()  # type: ignore[arg-type]


def made_by(
    name: str, way: str, rate: float, every: int, steps: int, seed: int, *, told: bool, quick: bool
) -> tuple[Trained, Noise]:
    """The networks of a loss, and what the generator takes."""
    one = SETS[name]
    classes = 10 if told else None
    noise = Noise(64, classes)
    gan = GAN(
        loss=TEN[way],
        training=Training(steps, AdamW(rate, momentum=0.5), Constant()),
        noise=noise,
        discriminator_steps=every,
    )
    sizes = {"side": one.side, "channels": one.channels, "width": 16}
    folder = unfinished(quick) / f"{name} {seed}"
    with seeded(seed), warnings.catch_warnings(), resuming(folder):
        warnings.simplefilter("ignore")  # what they say is in the rows
        judge = (
            DCGANAutoencoder(**sizes)
            if isinstance(gan.loss, Balanced)
            else DCGANDiscriminator(**sizes, classes=classes)
        )
        made = gan(DCGANGenerator(**sizes, classes=classes), judge, whole(name).sealed())
    return made, noise


def judged(name: str, pictures: Tensor, split: str, quick: bool) -> dict[str, float]:
    """What pictures are worth, beside those of a split."""
    task = whole(name)
    real = getattr(task, split)[0][: len(pictures)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = quality(
            pictures,
            classifier=classifier(name, quick),
            real=real,
            training=task.train[0] if split == "test" else None,  # type: ignore[arg-type]
        )
    return {
        "distance": found.distance,
        "precision": 100 * found.precision,
        "recall": 100 * found.recall,
        "missing classes": float(len(found.missing)),
        **({} if found.copies is None else {"copies, z": found.copies}),
        **({} if found.near is None else {"near training pictures": 100 * found.near}),
    }


def unfinished(quick: bool) -> Path:
    """Where trainings are kept that are not at their end."""
    return RESULTS / f"ten_gans{'.quick' if quick else ''}.unfinished"


def many(quick: bool) -> int:
    """Pictures that are compared."""
    return 1000 if quick else PICTURES


UNITS = {"precision": "%", "recall": "%", "near training pictures": "%", "told": "%", "score": "%"}


def add(rows: Rows, subject: str, found: dict[str, float], seed: int | None, began: float) -> None:
    for metric, value in found.items():
        rows.add(subject, metric, value, UNITS.get(metric, ""), seed)
    rows.add(subject, "seconds of a core", process_time() - began, "s", seed, timed=True)
    rows.add(subject, "done", 1, "", seed)


def chosen(rows: Rows, name: str, way: str) -> tuple[float, int]:
    """The rate of a loss and its steps of the discriminator, by the validation distance."""
    counts = (1, 3) if isinstance(TEN[way], Wasserstein) and not rows.quick else (1,)
    rates = RATES[1:2] if rows.quick else RATES
    tried = {
        (rate, every): tried_rate(rows, name, way, rate, every)
        for rate in rates
        for every in counts
    }
    best = min(tried, key=lambda one: tried[one])
    beyond = {RATES[0]: LOWER, RATES[-1]: HIGHER}.get(best[0])
    if beyond is not None and not rows.quick:
        tried |= {(beyond, every): tried_rate(rows, name, way, beyond, every) for every in counts}
    return min(tried, key=lambda one: tried[one])


def tried_rate(rows: Rows, name: str, way: str, rate: float, every: int) -> float:
    """The validation distance of a short training at a rate; infinite where it diverged."""
    subject = f"{name}, {way}, rate {rate:g}, {every} to 1"
    if not rows.done(subject, GRID_SEED):
        began = process_time()
        steps = 30 if rows.quick else SETS[name].steps // 4
        try:
            made, noise = made_by(
                name, way, rate, every, steps, GRID_SEED, told=False, quick=rows.quick
            )
        except DivergedError:
            found = {"diverged": 1.0}
        else:
            pictures = samples(made.generator, noise, many(rows.quick), seed=GRID_SEED).pictures
            ours, _ = features(classifier(name, rows.quick), pictures)
            apart = frechet_distance(ours.numpy(), validated(name, rows.quick))
            found = {"validation distance": apart}
        add(rows, subject, found, GRID_SEED, began)
    mine = [row for row in rows.rows if row["subject"] == subject]
    return next(
        (row["value"] for row in mine if row["metric"] == "validation distance"), float("inf")
    )


def measured(rows: Rows, name: str, way: str, seed: int) -> None:
    """The rows of a loss and a seed, unless they are there."""
    subject = f"{name}, {way}"
    if rows.done(subject, seed):
        return
    rate, every = chosen(rows, name, way)
    began = process_time()
    steps = 60 if rows.quick else SETS[name].steps
    made, noise = made_by(name, way, rate, every, steps, seed, told=False, quick=rows.quick)
    pictures = samples(made.generator, noise, many(rows.quick), seed=seed).pictures
    found = judged(name, pictures, "test", rows.quick)
    found |= {"steps": float(steps), "rate": rate, "discriminator steps": float(every)}
    found |= {"variety": made.variety}
    if made.told is not None:
        found["told"] = 100 * made.told
    add(rows, subject, found, seed, began)


def told(rows: Rows, name: str, way: str, seed: int) -> None:
    """The rows of a generator that is told the class: what its pictures teach a classifier."""
    subject = f"{name}, {way}, told the class"
    if rows.done(subject, seed):
        return
    rate, every = chosen(rows, name, way)
    began = process_time()
    one, task = SETS[name], whole(name)
    steps = 60 if rows.quick else one.steps
    made, noise = made_by(name, way, rate, every, steps, seed, told=True, quick=rows.quick)
    several = samples(made.generator, noise, 10 * many(rows.quick), seed=seed)
    found = judged(name, several.pictures[: many(rows.quick)], "test", rows.quick)
    training = one.classifier.scaled(0.05) if rows.quick else one.classifier
    with seeded(seed):
        network = Conv4(channels=one.channels, classes=10, side=one.side, width=WIDTH)
        found["score"] = 100 * classification_score(several, network, task, training, split="test")
    add(rows, subject, found, seed, began)


def real_pictures(rows: Rows, name: str) -> None:
    """The rows of real pictures of the validation split: the least distance that is to be had."""
    subject = f"{name}, real pictures"
    if rows.done(subject, None):
        return
    began = process_time()
    task = whole(name)
    found = judged(name, task.validation[0][: many(rows.quick)], "test", rows.quick)  # type: ignore[index]
    found["score"] = 100 * score(task, classifier(name, rows.quick), "test")
    add(rows, subject, found, None, began)


def main() -> None:
    torch.set_num_threads(1)
    rows = start("ten_gans", "mnist-cifar10-jpeg-cpu", __doc__ or "")
    ways = list(TEN)[:3] if rows.quick else list(TEN)
    for name in SETS:
        if not rows.wanted(name) or (rows.only is None and name != "MNIST"):
            continue  # CIFAR-10 takes its hours only where it is asked for
        real_pictures(rows, name)
        for seed in SEEDS[:1] if rows.quick else SEEDS:
            for way in ways:
                measured(rows, name, way, seed)
            if seed == TOLD_AFTER or rows.quick:
                for told_seed in (seed,) if rows.quick else TOLD_SEEDS:
                    for way in TOLD[1:2] if rows.quick else TOLD:
                        told(rows, name, way, told_seed)
    rows.close()


if __name__ == "__main__":
    main()
