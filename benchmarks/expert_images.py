"""Mixtures of experts for images, a part of `sparse_activation.py`.

ResNet-20 of width 8, the last of whose three stages is one of four experts, beside dense networks.
All train alike, from the start.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import process_time, thread_time

import torch
from rows import RESULTS, Rows
from torch import nn

from shoestring.core import prove, score, seeded
from shoestring.kit import AdamW, MixtureOfExperts, Supervised, Training, expert_shares, save, train
from shoestring.meters import alternate
from shoestring.meters.interleaved import ratio
from shoestring.models import ResNet20
from shoestring.recipes.baselines import Settings, pictures, shown
from shoestring.recipes.running import few
from shoestring.tasks import cifar10

WIDTH, EXPERTS, PASSES = 8, 4, 5
SETTINGS = Settings(passes=PASSES, augment=pictures)
BATCHES = (1, 32)
IMAGES = "images: "


def mixed(*, learns: bool = True) -> nn.Module:
    """ResNet20(WIDTH) with EXPERTS last stages, of which each image passes one.

    `learns`: whether the router does; else it stays as it was drawn.
    """
    model = ResNet20(WIDTH)
    *first, _, _, _ = model.blocks
    stages = [nn.Sequential(*list(ResNet20(WIDTH).blocks)[-3:]) for _ in range(EXPERTS)]
    router = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * WIDTH, EXPERTS)
    ).requires_grad_(learns)
    # The losses would reach the features before a router that does not learn itself.
    mixture = (
        MixtureOfExperts(stages, router)
        if learns
        else MixtureOfExperts(stages, router, balance=0.0, router_z=0.0)
    )
    model.blocks = nn.Sequential(*first, mixture)
    return model


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "dense, as many milliseconds": lambda: ResNet20(WIDTH),
    "4 experts, one for each image": mixed,
    "dense, 1.2 times the bytes": lambda: ResNet20(2 * WIDTH),
    "4 experts, a random router that does not learn": lambda: mixed(learns=False),
}
"""The networks by what tables call them. Milliseconds are divided by those of the first."""


def image_rows(rows: Rows) -> None:
    """The rows of the networks for images, and of their times."""
    task = cifar10()
    if rows.quick:
        task = few(task, 2000, 500)
    for seed in range(1 if rows.quick else 3):
        for name in NETWORKS:
            if not rows.done(IMAGES + name, seed) and rows.wanted(f"{IMAGES}{name}.{seed}"):
                network_rows(rows, name, task, seed)
    timed = [name for name in NETWORKS if rows.done(IMAGES + name, 0)]
    last = f"times the milliseconds, {BATCHES[-1]}"
    if all(rows.has(IMAGES + name, last) for name in timed):
        return
    for batch in BATCHES:
        paths = [file_of(rows, name, 0) for name in timed]
        seconds = 1.0 if rows.quick else 10.0
        timings = alternate(
            paths, task.sealed(), threads=1, batch=batch, seconds=seconds, clock=thread_time
        )
        for name, timing in zip(timed, timings, strict=True):
            times = ratio(timing, timings[0]).median
            rows.add(IMAGES + name, f"milliseconds, {batch}", timing.median, "ms", timed=True)
            rows.add(IMAGES + name, f"times the milliseconds, {batch}", times, "", timed=True)


def network_rows(rows: Rows, name: str, task: Supervised, seed: int) -> None:
    """The rows and the file of one seed of a network."""
    sealed, subject = task.sealed(), IMAGES + name
    kept = file_of(rows, name, seed)
    steps = (1 if rows.quick else PASSES) * -(-len(task.train[1]) // SETTINGS.batch_size)
    training = Training(steps, AdamW(SETTINGS.learning_rate, weight_decay=SETTINGS.weight_decay))
    with seeded(seed):
        model = NETWORKS[name]().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        began = process_time()
        train(model, shown(task, SETTINGS).sealed(), training, what=f"{subject}, seed {seed}")
    rows.add(subject, "training", process_time() - began, "s of a core", seed, timed=True)
    rows.add(subject, "file", save(model, sealed, kept), "bytes", seed)
    rows.add(subject, "validation", 100 * score(sealed, model), "% right", seed)
    rows.add(subject, "test", 100 * prove(kept, task, seed=seed), "% right", seed)
    if any(isinstance(part, MixtureOfExperts) for part in model.modules()):
        rows.add(subject, "experts in use", expert_shares(model, sealed)[0].spread, "", seed)
    rows.add(subject, "done", 1, "", seed)


def file_of(rows: Rows, name: str, seed: int) -> Path:
    """Where the trained network of a seed is kept."""
    folder = RESULTS / "unfinished" / f"expert_images{'.quick' if rows.quick else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.{seed}.shoe"
