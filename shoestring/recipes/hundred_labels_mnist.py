"""Labels: MNIST of which 100 pictures have one, and a network that learns from 54,900 others."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from time import process_time

import torch
from torch import Tensor, nn

from shoestring.core import Ledger, Technique, score, seeded
from shoestring.kit import AdamW, Mixed, Supervised, Training, train
from shoestring.recipes.half_labelled_digits import (
    half_labelled,
    labels_alone,
    of_each,
    peer_error,
    peers,
)
from shoestring.recipes.record import Line, Measure, Recipe, Results
from shoestring.recipes.running import Run
from shoestring.tasks import mnist
from shoestring.unlabelled import Distorted, FreeMatch

LABELS = 100
PAID = 2 * LABELS
"""With the labels that the guard validates on, which labels alone do not need."""
COUNTS = (100, 300, 1000)
"""Numbers of labels alone."""
TRAINING = Training(1200, AdamW(5e-3, 1e-2), precision=Mixed())
WEAK = Distorted(turn=10, scale=0.1, shear=0.1, shift=0.05, light=0.1, covered=0)
STRONG = Distorted()
DOLLARS = 0.035
"""For a label: Google's price list for the classification of a picture by one person, 2026."""
PEERS_SEE = 10_000
"""Unlabelled pictures of scikit-learn's peers, which keep all in memory."""


def pooled(channels: int = 1, width: int = 16, classes: int = 10) -> nn.Module:
    """A convolutional network with batch norms whose features are means over the picture.

    From images N×channels×height×width, of 16 pixels or more, to logits N×classes.
    """
    widths = (channels, width, 2 * width, 4 * width, 8 * width)
    layers: list[nn.Module] = []
    for number, (fewer, more) in enumerate(pairwise(widths)):
        size, stride = (3, 1) if number else (5, 2)
        layers += [
            nn.Conv2d(fewer, more, size, stride=stride, padding=size // 2, bias=False),
            nn.BatchNorm2d(more),
            nn.ReLU(),
            *([nn.MaxPool2d(2)] if number in (1, 2) else []),
        ]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * width, classes)]
    made = nn.Sequential(*layers)
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def hundred_labels(
    task: Supervised,
    model: nn.Module,
    path: Path,
    technique: Technique | None = None,
    *,
    seed: int = 0,
    ledger: Ledger | None = None,
) -> tuple[float, float]:
    """A network for grey pictures of 28×28 with few labels; its file is written to `path`.

    As `half_labelled`, with changes and a training that fit such pictures.

    `technique`: of `shoestring.unlabelled`; None: FreeMatch.
    """
    chosen = technique or FreeMatch(training=TRAINING, weak=WEAK, strong=STRONG)
    return half_labelled(task, model, path, chosen, seed=seed, ledger=ledger)


def few_pictures(labels: int, seed: int) -> Supervised:
    """MNIST with as many labels of each class; as many again to validate on; no more."""
    whole = mnist(batch_size=64)
    draw = torch.Generator().manual_seed(seed)
    images, targets = whole.train
    held_images, held_targets = whole.validation
    assert isinstance(images, Tensor) and isinstance(held_images, Tensor)
    given = of_each(targets, labels // 10, draw)
    held = of_each(held_targets, labels // 10, draw)
    is_free = torch.ones(len(targets), dtype=torch.bool)
    is_free[given] = False
    return replace(
        whole,
        train=(images[given], targets[given]),
        unlabelled=images[is_free],
        validation=(held_images[held], held_targets[held]),
        name=f"MNIST, {labels} labels",
    )


def end_to_end(run: Run) -> None:
    """Labels alone, up to 1,000 of them; then 100 labels and 54,900 pictures without."""
    torch.set_num_threads(1)
    training = replace(TRAINING, steps=300) if run.quick else TRAINING
    counts = COUNTS[:1] if run.quick else COUNTS
    errors = {count: _alone(run, count, training) for count in counts}
    task = few_pictures(LABELS, run.seed)
    path, subject = run.folder / "hundred_labels.shoe", f"{LABELS} labels, FreeMatch"
    technique = FreeMatch(training=training, weak=WEAK, strong=STRONG)
    with seeded(run.seed):
        model = pooled()
    began = process_time()
    validation, test = hundred_labels(
        task, model, path, technique, seed=run.seed, ledger=run.ledger
    )
    minutes = (process_time() - began) / 60
    run.scores(subject, path.stat().st_size, validation, test)
    run.row(subject, "minutes", minutes, "minutes of a core", timed=True)
    priced(run, subject, PAID)
    if not run.quick:
        alone = "labels alone that do as well"
        priced(run, alone, labels_alone(errors, 100 - 100 * test))
        run.row(alone, "test error", 100 - 100 * test, "%")
    free = task.unlabelled
    assert isinstance(free, Tensor)
    smaller = replace(task, unlabelled=free[: 1000 if run.quick else PEERS_SEE])
    for name, peer in peers(run.seed).items():
        run.row(f"{LABELS} labels, {name}", "test error", peer_error(peer, smaller), "%")
        priced(run, f"{LABELS} labels, {name}", LABELS)


def _alone(run: Run, count: int, training: Training) -> float:
    """The test error of labels alone with the better change of inputs, which is the strong one."""
    task, errors = few_pictures(count, run.seed), list[float]()
    ways = {", inputs changed strongly": STRONG}
    if count == LABELS:
        ways |= {"": None, ", inputs changed weakly": WEAK}
    for name, change in ways.items():
        with seeded(run.seed):
            shown = replace(task, augment=change)
            learnt = train(pooled(), shown.sealed(), training, what=f"{count} labels alone")
        errors.append(100 - 100 * score(task, learnt, "test"))
        run.row(f"{count} labels alone{name}", "test error", errors[-1], "%")
        priced(run, f"{count} labels alone{name}", count)
    return min(errors)


def priced(run: Run, subject: str, count: float) -> None:
    """The rows of how many labels something took, and of what they cost."""
    run.row(subject, "labels", count, "labels")
    run.row(subject, "dollars", DOLLARS * count, "dollars")


RECIPE = Recipe(
    name="hundred_labels",
    line="MNIST of which 100 pictures have a label: a network learns from the others too",
    scarce="labels",
    instead="pictures without a label, and a training about six times as long",
    data=("MNIST",),
    minutes=3,
    quick_minutes=0.5,
    page="unlabelled.md",
    run=end_to_end,
    elsewhere="Tarvainen & Valpola 2017 and Sohn et al. 2020, on SVHN and CIFAR-10",
    results=Results(
        file="hundred_labels.mnist-cpu.jsonl",
        before=(Line("labels alone, as good", "labels alone that do as well"),),
        ours=(Line("100 labels and 100 to validate, FreeMatch", "100 labels, FreeMatch"),),
        baselines=(
            Line("100 labels alone", "100 labels alone"),
            Line("the same, inputs changed weakly", "100 labels alone, inputs changed weakly"),
            Line("the same, inputs changed strongly", "100 labels alone, inputs changed strongly"),
            Line("300 labels, changed strongly", "300 labels alone, inputs changed strongly"),
            Line("1,000 labels, changed strongly", "1000 labels alone, inputs changed strongly"),
        ),
        peers=(
            Line("label spreading, pixels", "100 labels, label spreading (scikit-learn)"),
            Line("self-training, pixels", "100 labels, self-training (scikit-learn)"),
        ),
        saved=Measure("labels", "labels", "labels", ",.0f"),
        also=(Measure("dollars for the labels", "dollars", "dollars", ",.2f"),),
        price=Measure(
            "minutes of a core, for all", "time", "minutes of a core", ".1f", subject="recipe"
        ),
    ),
)
