"""The trained reference networks that everything else is measured against and starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from shoestring.core import seeded
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
from shoestring.tasks import known_words_dropped, words_dropped


def pictures(images: Tensor) -> Tensor:
    """Images moved by up to four pixels and mirrored, in the memory format that convolutions are
    fastest in.
    """
    return mirrored(moved(images, 4)).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a network is trained.

    Passes over the training split, and what `train` and the task are given.
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
    """A reference network, trained on its task.

    Its file is left at `path`, and read from there where it is.
    `model` is one without training: LeNet5() for `mnist`, ResNet20() or MobileNet() for `cifar10`,
    for `sst2` TextEncoder(len(sst2_vocabulary())), for `ewt` BiLSTMTagger(*ewt_vocabulary().sizes),
    and for `adult` one of TabularNet with what `adult_columns()` tells: its sizes, mean and
    deviation. `seed` is that of the training. Killed and called again with the same path and a
    model of the same seed, the training goes on. On one core with bfloat16 it takes from 2 minutes
    (LeNet5) to half an hour (ResNet20, MobileNet); errors and minutes are in `docs/models.md`, made
    by `python benchmarks/baselines.py`.
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
    """The task as a network sees it in training."""
    return replace(
        task, augment=settings.augment, batch_size=settings.batch_size, autocast=settings.autocast
    )
