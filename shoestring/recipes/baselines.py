"""The trained reference networks from which all other recipes and the benchmarks start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from shoestring.core import prove, score, seeded
from shoestring.kit import (
    AdamW,
    Supervised,
    Training,
    clone,
    mirrored,
    moved,
    restore,
    resuming,
    train,
    write,
)
from shoestring.models import BiLSTMTagger, LeNet5, MobileNet, ResNet20, TabularNet, TextEncoder
from shoestring.recipes.record import Line, Measure, Recipe, Results
from shoestring.recipes.running import Run, few
from shoestring.tasks import (
    adult,
    adult_columns,
    cifar10,
    ewt,
    ewt_vocabulary,
    known_words_dropped,
    mnist,
    sst2,
    sst2_vocabulary,
    words_dropped,
)


def pictures(images: Tensor) -> Tensor:
    """Images shifted by up to four pixels and mirrored at random, in channels-last memory."""
    return mirrored(moved(images, 4)).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a network is trained.

    `passes`: over the training split.
    `augment`, `batch_size`, `autocast`: as in Supervised.
    `learning_rate`, `weight_decay`: as in AdamW.
    """

    passes: int
    augment: Callable[..., Tensor | tuple[Tensor, ...]] | None
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    batch_size: int = 128
    autocast: torch.dtype | None = torch.bfloat16


SETTINGS: dict[type[nn.Module], Settings] = {
    LeNet5: Settings(passes=15, augment=moved, learning_rate=1e-3, weight_decay=0.0),
    ResNet20: Settings(passes=30, augment=pictures),
    MobileNet: Settings(passes=25, augment=pictures, learning_rate=4e-3),
    TextEncoder: Settings(passes=4, augment=words_dropped, learning_rate=5e-4, batch_size=64),
    BiLSTMTagger: Settings(
        passes=8,
        augment=known_words_dropped,
        learning_rate=5e-3,
        weight_decay=0.0,
        batch_size=64,
        autocast=None,
    ),
    TabularNet: Settings(passes=10, augment=None, autocast=None),
}


def baseline(
    model: nn.Module,
    task: Supervised,
    path: Path,
    *,
    settings: Settings | None = None,
    seed: int = 0,
) -> nn.Module:
    """A reference network, trained on its task; its file is written to `path`, or read from there.

    After a kill, the same call with a model of the same seed goes on. On one core with bfloat16 it
    takes from 2 minutes (LeNet5) to half an hour (ResNet20, MobileNet). Errors and minutes are in
    `docs/models.md`, made by `python benchmarks/baselines.py`.

    `model`: untrained: LeNet5() for `mnist`, ResNet20() or MobileNet() for `cifar10`,
        TextEncoder(len(sst2_vocabulary())) for `sst2`, BiLSTMTagger(*ewt_vocabulary().sizes) for
        `ewt`, and `tabular()` for `adult`.
    `settings`: None for those of `SETTINGS`.
    `seed`: of the training.
    """
    chosen = settings or SETTINGS[type(model)]
    model = clone(model).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if path.exists():
        return restore(path, model)
    with resuming(path.with_suffix(".unfinished")), seeded(seed):
        train(
            model,
            shown(task, chosen).sealed(),
            Training(
                chosen.passes * -(-len(task.train[1]) // chosen.batch_size),
                AdamW(chosen.learning_rate, weight_decay=chosen.weight_decay),
            ),
            what=f"training {type(model).__name__}",
        )
    write(model, task.sealed(), path)
    return model


def shown(task: Supervised, settings: Settings) -> Supervised:
    """The task with the augmentation, batch size and precision of a training."""
    return replace(
        task, augment=settings.augment, batch_size=settings.batch_size, autocast=settings.autocast
    )


def tabular() -> TabularNet:
    """The untrained network for `adult`, with the statistics of its training rows."""
    columns = adult_columns()
    return TabularNet(columns.sizes, columns.mean, columns.deviation)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Supervised]]] = {
    "lenet5": (LeNet5, mnist),
    "text_encoder": (lambda: TextEncoder(len(sst2_vocabulary())), sst2),
    "tagger": (lambda: BiLSTMTagger(*ewt_vocabulary().sizes), ewt),
    "tabular": (tabular, adult),
    "resnet20": (ResNet20, cifar10),
    "mobilenet": (MobileNet, cifar10),
}


def end_to_end(run: Run) -> None:
    """All networks; a quick run has LeNet-5 on 6,000 images."""
    for name in ("lenet5",) if run.quick else NETWORKS:
        network, data = NETWORKS[name]
        with seeded(run.seed):
            untrained = network()
        task, settings = data(), SETTINGS[type(untrained)]
        if run.quick:
            task, settings = few(task, 6000, 1000), replace(settings, passes=5)
        path = run.folder / f"{name}.shoe"
        model = baseline(untrained, task, path, settings=settings, seed=run.seed)
        test = prove(path, task, ledger=run.ledger, seed=run.seed, note=f"baseline {name}")
        run.scores(name, path.stat().st_size, score(task.sealed(), model), test)


RECIPE = Recipe(
    name="baseline",
    line="the reference networks, trained: what the other recipes and the benchmarks start from",
    scarce="trained networks to start from",
    instead="minutes of a core",
    data=("MNIST", "SST-2", "English-EWT", "Adult", "CIFAR-10"),
    minutes=56,
    quick_minutes=0.3,
    page="models.md",
    run=end_to_end,
    results=Results(
        file="baselines.mnist-sst2-ewt-adult-cifar10-jpeg-cpu.jsonl",
        before=(),
        ours=(
            Line("ResNet-20, CIFAR-10 (JPEG copy)", "resnet20"),
            Line("MobileNet, CIFAR-10 (JPEG copy)", "mobilenet"),
            Line("LeNet-5, MNIST", "lenet5"),
            Line("text encoder, SST-2", "text_encoder"),
            Line("tagger, English-EWT", "tagger"),
            Line("network for tables, Adult", "tabular"),
        ),
        saved=None,
        also=(Measure("file, bytes", "file", "bytes", ",.0f"),),
        price=Measure(
            "minutes of a core", "training: steps × time of a step", "minutes of a core", ".1f"
        ),
    ),
)
