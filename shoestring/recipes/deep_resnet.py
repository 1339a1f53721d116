"""Depth that trains: 56 layers with shortcuts and without, and 110 in pre-activation order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import Ledger, prove, seeded
from shoestring.core import score as score_of
from shoestring.kit import AdamW, Supervised, Training, resuming, save, train
from shoestring.models import PlainNetwork, PreActivation, ResNet
from shoestring.recipes.record import Published, Recipe
from shoestring.recipes.running import Run, few
from shoestring.tasks import cifar10


def small_images(task: Supervised | None = None, *, batch_size: int = 32) -> Supervised:
    """CIFAR-10 with each 2×2 pixels averaged: images N×3×16×16 in 0..1.

    A quarter of the operations, so that hundreds of layers train on a core within minutes.
    """
    task = cifar10() if task is None else task

    def halved(split: object) -> tuple[Tensor, Tensor]:
        (images,), labels = split if isinstance(split[0], tuple) else ((split[0],), split[1])  # type: ignore[index]
        small = functional.avg_pool2d(images.float(), 2)
        return small.contiguous(memory_format=torch.channels_last), labels

    return replace(
        task,
        name=f"{task.name}, 16×16",
        batch_size=batch_size,
        train=halved(task.train),
        validation=halved(task.validation),
        test=halved(task.test),
    )


def deep_resnet(
    task: Supervised,
    path: Path,
    network: Callable[[], nn.Module] = lambda: PreActivation(110),
    *,
    training: Training = Training(1000, AdamW(1e-3)),
    seed: int = 0,
    ledger: Ledger | None = None,
) -> tuple[float, float]:
    """A deep network, trained; its file is written to `path`. (validation, test) score, 0 to 1.

    After a kill, the same call goes on.

    `task`: images that the network takes.
    `network`: makes the untrained network.
    """
    with resuming(path.with_suffix(".unfinished")), seeded(seed):
        model = network().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        train(model, task.sealed(), training, what=f"training {path.stem}")
    save(model, task.sealed(), path)
    test = prove(path, task, ledger=ledger, seed=seed, note=f"deep {path.stem}")
    return score_of(task.sealed(), model), test


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "plain_20": lambda: PlainNetwork(20),
    "plain_56": lambda: PlainNetwork(56),
    "shortcuts_56": lambda: ResNet(56),
    "pre_activation_110": lambda: PreActivation(110),
}


def end_to_end(run: Run) -> None:
    """All networks for 1,000 steps; a quick run has plain-56 and ResNet-56, narrow, for 100."""
    networks, steps = NETWORKS, 1000
    task = small_images()
    if run.quick:
        task, steps = few(task, 3200, 500), 150
        networks = {
            "plain_56": lambda: PlainNetwork(56, 8),
            "shortcuts_56": lambda: ResNet(56, 8),
        }
    for name, network in networks.items():
        path = run.folder / f"{name}.shoe"
        validation, test = deep_resnet(
            task, path, network, training=Training(steps), seed=run.seed, ledger=run.ledger
        )
        run.scores(name, path.stat().st_size, validation, test)


RECIPE = Recipe(
    name="deep_resnet",
    line="56 layers on CIFAR-10 with shortcuts and without, and 110 in pre-activation order",
    scarce="layers that train",
    instead="an addition for each block",
    data=("CIFAR-10",),
    minutes=8,
    quick_minutes=0.8,
    page="depth.md",
    run=end_to_end,
    published=(
        Published(
            "test error",
            6.97,
            "%",
            "He et al. 2016a, table 6",
            "ResNet-56, CIFAR-10 as published, 64,000 steps of 128 images of 32×32",
        ),
        Published(
            "test error",
            6.37,
            "%",
            "He et al. 2016b, table 2",
            "ResNet-110 in pre-activation order, CIFAR-10 as published, 64,000 steps of 128",
        ),
        Published(
            "test error",
            4.92,
            "%",
            "He et al. 2016b, table 4",
            "ResNet-1001 in pre-activation order, CIFAR-10 as published, median of 5",
        ),
    ),
)
