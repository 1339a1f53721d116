"""Depth that trains: 56 layers with shortcuts and without, and 110 in pre-activation order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import Ledger, prove, seeded
from shoestring.core import score as score_of
from shoestring.kit import Supervised, Training, resuming, save, train
from shoestring.models import PlainNetwork, PreActivation, ResNet
from shoestring.recipes.record import Line, Measure, Published, Recipe, Results
from shoestring.recipes.running import Run, few
from shoestring.tasks import cifar10


def small_images(*, averaged: int = 2, batch_size: int = 32) -> Supervised:
    """CIFAR-10 with squares of pixels averaged: images N×3×16×16 or N×3×8×8 in 0..1.

    A quarter of the operations or less, so that hundreds of layers train on a core within minutes.

    `averaged`: the side of a square, 1 to 8.
    """
    task = cifar10()

    def smaller(split: Any) -> tuple[Tensor, Tensor]:
        images, labels = split
        small = functional.avg_pool2d(images.float(), averaged)
        return small.contiguous(memory_format=torch.channels_last), labels

    return replace(
        task,
        name=f"{task.name}, {32 // averaged}×{32 // averaged}",
        batch_size=batch_size,
        train=smaller(task.train),
        validation=smaller(task.validation),
        test=smaller(task.test),
    )


def deep_resnet(
    task: Supervised,
    path: Path,
    network: Callable[[], nn.Module] = lambda: PreActivation(110),
    *,
    training: Training = Training(400),
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
    "plain_20": lambda: PlainNetwork(20, 8),
    "plain_56": lambda: PlainNetwork(56, 8),
    "shortcuts_56": lambda: ResNet(56, 8),
    "pre_activation_110": lambda: PreActivation(110, 8),
}
"""Of a width of 8, half of the published one."""


def end_to_end(run: Run) -> None:
    """All networks on images of 8×8; a quick run has plain-56 and ResNet-56 on 6,400 of them."""
    task, networks, steps = small_images(averaged=4), NETWORKS, 400
    if run.quick:
        task, steps = few(task, 6400, 1000), 150
        networks = {name: NETWORKS[name] for name in ("plain_56", "shortcuts_56")}
    for name, network in networks.items():
        path = run.folder / f"{name}.shoe"
        validation, test = deep_resnet(
            task, path, network, training=Training(steps), seed=run.seed, ledger=run.ledger
        )
        run.scores(name, path.stat().st_size, validation, test)


RECIPE = Recipe(
    name="deep_resnet",
    line="56 layers on small CIFAR-10 with shortcuts and without, and 110 in pre-activation order",
    scarce="layers that train",
    instead="an addition for each block",
    data=("CIFAR-10",),
    minutes=3,
    quick_minutes=0.5,
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
            "He et al. 2016b, table 3",
            "ResNet-110 in pre-activation order, CIFAR-10 as published, 64,000 steps of 128",
        ),
        Published(
            "test error",
            4.92,
            "%",
            "He et al. 2016b, table 3",
            "ResNet-1001 in pre-activation order, CIFAR-10 as published, median of 5",
        ),
    ),
    results=Results(
        file="depth.cifar10-jpeg-sst2-ewt-cpu.jsonl",
        before=(),
        ours=(
            Line("110 layers, 200 steps", "deep: 110, default"),
            Line("110 layers, 200 steps, mixed precision", "deep: 110, mixed"),
        ),
        saved=None,
        lost=Measure("validation loss, nats", "validation loss", "nats", ".2f"),
    ),
)
