"""Labels: none of MNIST's to learn from; a program that draws digits, and pictures without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from shoestring.core import Ledger, Technique, score, seeded
from shoestring.generate import GAN, AtReal, NonSaturating, Simulated, refined
from shoestring.kit import AdamW, Constant, Supervised, Training, resuming, train
from shoestring.models import DCGANDiscriminator, Refiner
from shoestring.recipes.half_labelled_digits import labels_alone, of_each
from shoestring.recipes.hundred_labels_mnist import (
    COUNTS,
    STRONG,
    TRAINING,
    few_pictures,
    hundred_labels,
    pooled,
    priced,
)
from shoestring.recipes.record import Line, Measure, Recipe, Results
from shoestring.recipes.running import Run
from shoestring.tasks import drawn_digits, mnist
from shoestring.unlabelled import MeanTeacher

DRAWN = 10_000
CHECKED = 100
"""Real labels, on which the guard of a technique validates; nothing learns from them."""
TEACHING = MeanTeacher(training=TRAINING)
"""Chosen with seeds 0 and 9 of two networks on MNIST's 5,000 validation pictures."""
REFINING = Training(1000, AdamW(2e-3, momentum=0.5), Constant())
"""Chosen of four settings with seed 0 on the same."""


def from_drawings(
    simulator: Simulated,
    task: Supervised,
    model: nn.Module,
    path: Path,
    technique: Technique | None = None,
    *,
    seed: int = 0,
    ledger: Ledger | None = None,
) -> tuple[float, float]:
    """A network that learns from a program's pictures and from real ones without their labels.

    Its file is written to `path`. Published figures are of other data: Shrivastava et al. 2017.
    Returns the (validation, test) score, 0 to 1. Where the real pictures do not help, the file is
    that of the network that learnt from the program's alone, with a RefusedWarning.

    `simulator`: pictures N×C×H×W with their labels.
    `task`: with real pictures of the same shape to train on, whose labels are not read, and with
        some real labels to validate on.
    `model`: untrained; it gives logits N×C.
    `technique`: of `shoestring.unlabelled`; None: a mean teacher.

    Raises ValueError for a simulator without labels.
    """
    learning = simulated(simulator, task)
    return hundred_labels(learning, model, path, technique or TEACHING, seed=seed, ledger=ledger)


def simulated(simulator: Simulated, task: Supervised) -> Supervised:
    """The task with a program's pictures to learn from, and its own training pictures as a pool.

    Raises ValueError for a simulator without labels.
    """
    own = task.train[0]
    if simulator.labels is None or not isinstance(own, Tensor):
        raise ValueError(
            "a network learns from what a program says that it drew, and from one tensor of real "
            "pictures: give Simulated(pictures, labels)"
        )
    return replace(task, train=(simulator.pictures, simulator.labels), unlabelled=own)


def simulator_refined(
    simulator: Simulated,
    task: Supervised,
    refiner: nn.Module,
    discriminator: nn.Module,
    training: Training = REFINING,
    *,
    keeping: float = 1.0,
    seed: int = 0,
) -> Simulated:
    """Simulated pictures that look more like those of a task's training split (SimGAN).

    Published figures are of other data: Shrivastava et al. 2017 (eyes, hands).

    `simulator`: pictures and their labels.
    `refiner`, `discriminator`: untrained; from pictures to pictures, and to a score each.
    `keeping`: what a change of a pixel costs, as `GAN` has it.
    """
    loss = NonSaturating(regulariser=AtReal(0.1))
    gan = GAN(loss=loss, noise=simulator, training=training, keeping=keeping)
    with seeded(seed):
        made = gan(refiner, discriminator, task.sealed())
    pictures = refined(made.generator, simulator).pictures
    return Simulated(pictures, simulator.labels)


def checked_mnist(seed: int) -> Supervised:
    """MNIST whose validation split is the few labelled pictures that something is checked with."""
    whole = mnist(batch_size=64)
    images, targets = whole.validation
    assert isinstance(images, Tensor)
    held = of_each(targets, CHECKED // 10, torch.Generator().manual_seed(seed))
    return replace(whole, validation=(images[held], targets[held]), name="MNIST, drawn digits")


def end_to_end(run: Run) -> None:
    """Real labels alone, up to 1,000; drawn digits, as they are, changed, refined, and taught."""
    torch.set_num_threads(1)
    training = replace(TRAINING, steps=300) if run.quick else TRAINING
    teacher = replace(TEACHING, training=training)
    task = checked_mnist(run.seed)
    drawn = Simulated(*drawn_digits(DRAWN, seed=run.seed))
    counts = COUNTS[:1] if run.quick else COUNTS
    errors = {count: _real(run, count, training) for count in counts}
    _alone(run, "drawn", task, drawn, training)
    error = _taught(run, "drawn, mean teacher", drawn, task, teacher)
    if not run.quick:
        subject = "labels alone that do as well"
        priced(run, subject, labels_alone(errors, error))
        run.row(subject, "test error", error, "%")
    with seeded(run.seed):
        networks = Refiner(), DCGANDiscriminator(width=16)
    refining = replace(REFINING, steps=100) if run.quick else REFINING
    with resuming(run.folder / "refining"):
        better = simulator_refined(drawn, task, *networks, refining, seed=run.seed)
    moved = (better.pictures - drawn.pictures).abs().mean()
    run.row("refined", "mean change of a pixel", float(moved), "of 1")
    _alone(run, "refined", task, better, training)
    if not run.quick:
        _taught(run, "refined, mean teacher", better, task, teacher)


def _real(run: Run, count: int, training: Training) -> float:
    """The test error of so many real labels alone, with inputs changed strongly."""
    task = replace(few_pictures(count, run.seed), augment=STRONG)
    subject = f"{count} labels alone, inputs changed strongly"
    error = _trained(run, subject, task, training)
    priced(run, subject, count)
    return error


def _alone(run: Run, name: str, task: Supervised, simulator: Simulated, training: Training) -> None:
    """The rows of simulated pictures alone, as they are and with inputs changed strongly."""
    shown = simulated(simulator, task)
    for change, augment in (("", None), (", inputs changed strongly", STRONG)):
        subject = f"{name}{change}"
        _trained(run, subject, replace(shown, unlabelled=None, augment=augment), training)
        priced(run, subject, 0)


def _trained(run: Run, subject: str, task: Supervised, training: Training) -> float:
    with seeded(run.seed), resuming(run.folder / subject):
        learnt = train(pooled(), task.sealed(), training, what=subject, key=subject)
    error = 100 - 100 * score(task, learnt, "test")
    run.row(subject, "test error", error, "%")
    return error


def _taught(
    run: Run, subject: str, simulator: Simulated, task: Supervised, teacher: Technique
) -> float:
    """The rows and the file of a network that learnt from pictures without a label too."""
    path = run.folder / f"{subject.replace(', ', '_').replace(' ', '_')}.shoe"
    with seeded(run.seed):
        model = pooled()
    validation, test = from_drawings(
        simulator, task, model, path, teacher, seed=run.seed, ledger=run.ledger
    )
    run.scores(subject, path.stat().st_size, validation, test)
    priced(run, subject, CHECKED)
    return 100 - 100 * test


RECIPE = Recipe(
    name="from_drawings",
    line="MNIST, of which 100 labels only check: a network learns from digits that a program draws",
    scarce="labels",
    instead="a program that draws what is to be told apart, and pictures without a label",
    data=("MNIST",),
    minutes=6,
    quick_minutes=1.5,
    page="gans.md",
    run=end_to_end,
    elsewhere="Shrivastava et al. 2017, on eyes and hands",
    results=Results(
        file="from_drawings.mnist-cpu.jsonl",
        before=(Line("labels alone, as good", "labels alone that do as well"),),
        ours=(
            Line("drawn, mean teacher; 100 labels to check", "drawn, mean teacher"),
            Line("drawn and refined, mean teacher; 100 to check", "refined, mean teacher"),
            Line("drawn and refined", "refined"),
            Line("the same, inputs changed strongly", "refined, inputs changed strongly"),
        ),
        baselines=(
            Line("drawn", "drawn"),
            Line("the same, inputs changed strongly", "drawn, inputs changed strongly"),
            Line("100 labels, changed strongly", "100 labels alone, inputs changed strongly"),
            Line("300 labels, changed strongly", "300 labels alone, inputs changed strongly"),
            Line("1,000 labels, changed strongly", "1000 labels alone, inputs changed strongly"),
        ),
        saved=Measure("labels", "labels", "labels", ",.0f"),
        also=(Measure("dollars for the labels", "dollars", "dollars", ",.2f"),),
        price=Measure(
            "minutes of a core, for all", "time", "minutes of a core", ".1f", subject="recipe"
        ),
    ),
)
