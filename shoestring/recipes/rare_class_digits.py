"""Labels: a class of which ten digits are known, and a generator that makes more of them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from shoestring.core import prove, score, seeded
from shoestring.generate import (
    GAN,
    AtReal,
    Generation,
    Noise,
    NonSaturating,
    Samples,
    Simulated,
    Trained,
    balanced,
    class_weighted,
    memorised,
    repeated,
    samples,
)
from shoestring.kit import AdamW, Constant, Supervised, Training, resuming, save, train
from shoestring.models import DCGANDiscriminator, DCGANGenerator, DigitsLeNet
from shoestring.recipes.record import Line, Measure, Recipe, Results
from shoestring.recipes.running import Run
from shoestring.tasks import digits
from shoestring.unlabelled import Distorted

RARE, KEPT = 8, 10
TRAINING = Training(300, AdamW(5e-3, 1e-2))
NOISE = Noise(32, classes=10)
MAKING = GAN(
    loss=NonSaturating(regulariser=AtReal(0.1)),
    training=Training(1600, AdamW(1e-2, momentum=0.5), Constant()),
    noise=NOISE,
)
CHANGED = Distorted(turn=10, scale=0.1, shear=0.1, shift=0.05, light=0.1, covered=0)
"""Small enough for pictures of 8×8 pixels."""


def rare_class(
    task: Supervised,
    generator: nn.Module,
    discriminator: nn.Module,
    gan: GAN = MAKING,
    *,
    seed: int = 0,
) -> tuple[Supervised, Trained]:
    """The task with made pictures of each class that has fewer than the largest one.

    Both networks learn from the task's own pictures, each class as often. Published figures are of
    other data: Frid-Adar et al. 2018 (lesions of the liver).
    Returns the task, and what made the pictures.

    `task`: with pictures, and classes as targets; some classes have few.
    `generator`, `discriminator`: untrained, and told the class.
    `gan`: the training of both; its noise has the classes.
    """
    with seeded(seed):
        made = gan(generator, discriminator, balanced(task, repeated(task)).sealed())
    return balanced(task, lambda labels: _made(made, gan.noise, labels, seed).pictures), made


def _made(trained: Trained, noise: Noise | Simulated, labels: Tensor, seed: int) -> Samples:
    return samples(trained.generator, noise, labels, seed=seed)


def rare_digits(seed: int, kept: int = KEPT) -> Supervised:
    """The digits, with `kept` training pictures of the rare class; the other splits are whole."""
    whole = digits(batch_size=64)
    images, labels = whole.train
    assert isinstance(images, Tensor)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    own = order[labels[order] == RARE][:kept]
    rows = torch.cat([order[labels[order] != RARE], own])
    return replace(whole, train=(images[rows], labels[rows]), name=f"digits, {kept} of {RARE}")


def end_to_end(run: Run) -> None:
    """The rare class as it is, weighted, repeated, changed, and with made pictures."""
    torch.set_num_threads(1)
    task = rare_digits(run.seed)
    gan = replace(MAKING, training=MAKING.training.scaled(0.1)) if run.quick else MAKING
    training = TRAINING.scaled(0.5) if run.quick else TRAINING
    with seeded(run.seed):
        networks = (
            DCGANGenerator(side=8, width=16, noise=NOISE.size, classes=10),
            DCGANDiscriminator(side=8, width=16, classes=10),
        )
    with resuming(run.folder / "making"):
        more, made = rare_class(task, *networks, gan, seed=run.seed)
    with seeded(run.seed):
        even = balanced(task, repeated(task))
    ways = {
        "made pictures": more,
        "made pictures, inputs changed": replace(more, augment=CHANGED),
        "as it is": task,
        "class weights": class_weighted(task),
        "repeated pictures": even,
        "repeated pictures, inputs changed": replace(even, augment=CHANGED),
        "all labels of the class": digits(batch_size=64),
    }
    learnt: dict[str, nn.Module] = {}
    for name, one in ways.items():
        with seeded(run.seed), resuming(run.folder / name):
            learnt[name] = train(DigitsLeNet(), one.sealed(), training, what=name, key=name)
        run.row(name, "error of the rare class", _rare_error(learnt[name], task), "%")
        run.row(name, "test error", 100 - 100 * score(task, learnt[name], "test"), "%")
    _generator(run, made, task, learnt["all labels of the class"])


def _generator(run: Run, made: Trained, task: Supervised, classifier: nn.Module) -> None:
    """The rows and the file of the generator."""
    path = run.folder / "rare_class_generator.shoe"
    making = Generation(pictures=task, noise=NOISE, classifier=classifier)
    save(made.generator, making.sealed(), path)
    distance = -prove(path, making, ledger=run.ledger, seed=run.seed, note="rare_class")
    rare = _made(made, NOISE, torch.full((200,), RARE), run.seed).pictures
    images, labels = task.train
    held, held_labels = task.validation
    assert isinstance(images, Tensor) and isinstance(held, Tensor)
    copied = memorised(rare, images[labels == RARE], held[held_labels == RARE])
    run.row("generator", "size", path.stat().st_size, "bytes")
    run.row("generator", "distance", distance, "")
    run.row("generator", "rare pictures near training pictures", 100 * copied.near, "%")


def _rare_error(network: nn.Module, task: Supervised) -> float:
    """The share of test pictures of the rare class that are taken for another one, in per cent."""
    assert task.test is not None
    images, labels = task.test
    own = (images[labels == RARE], labels[labels == RARE])  # type: ignore[index]
    return 100 - 100 * score(replace(task, test=own), network, "test")


RECIPE = Recipe(
    name="rare_class",
    line="digits of which one class has ten pictures: a generator makes more of them",
    scarce="labels",
    instead="a generator that is told the class, and its training",
    data=("digits (in scikit-learn)",),
    minutes=0.5,
    quick_minutes=0.2,
    page="gans.md",
    run=end_to_end,
    elsewhere="Frid-Adar et al. 2018, on lesions of the liver",
    results=Results(
        file="rare_class.digits-cpu.jsonl",
        before=(Line("ten pictures, as they are", "as it is"),),
        ours=(
            Line("made pictures", "made pictures"),
            Line("made pictures, inputs changed", "made pictures, inputs changed"),
        ),
        baselines=(
            Line("class weights", "class weights", cheaper=True),
            Line("repeated pictures", "repeated pictures", cheaper=True),
            Line(
                "repeated pictures, inputs changed",
                "repeated pictures, inputs changed",
                cheaper=True,
            ),
            Line("all labels of the class", "all labels of the class"),
        ),
        saved=Measure("error of the rare class", "error of the rare class", "%", ".1f"),
        lost=Measure("test error", "test error", "%", ".2f"),
    ),
)
