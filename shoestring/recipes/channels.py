"""Half the operations: a trained ResNet-20 or MobileNet without the channels that matter least."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from shoestring.core import Ledger, Technique, apply, prove
from shoestring.core import score as score_of
from shoestring.kit import AdamW, Supervised, Training, resuming, write
from shoestring.meters import Operations
from shoestring.prune import Channels
from shoestring.recipes.baselines import pictures


@dataclass(frozen=True, kw_only=True)
class Thin:
    """A file: its bytes, operations for one image, and scores (0 to 1) on validation and test
    images.
    """

    bytes: int
    operations: float
    validation: float
    test: float


def channels_resnet(
    model: nn.Module,
    task: Supervised,
    path: Path,
    *,
    technique: Technique | None = None,
    passes: int = 10,
    share: float = 0.5,
    learning_rate: float = 3e-3,
    seed: int = 0,
    ledger: Ledger | None = None,
    say: Callable[[Thin], None] = lambda thin: None,
) -> Thin:
    """The trained `model` (ResNet20 or MobileNet, see `baseline`) with `share` of its operations,
    on `cifar10`; its file is at `path`.

    Channels go over the first three tenths of `passes` passes, in four rounds; all training is
    taught by the model as it was, on images that are moved and mirrored, in bfloat16. `technique`
    takes the place of Channels, in comparisons. Killed and called again with the same path, it goes
    on.

    Published: ResNet-56 on CIFAR-10, 93.53 % to 93.77 % at 1/2.13 of the operations (Fang et al.
    2023, DepGraph, table 2). Ours, of networks a third as deep and of images that went through
    JPEG, are in `docs/structure.md`, made by `python benchmarks/structure.py`.
    """
    steps = passes * -(-len(task.train[1]) // task.batch_size)
    technique = technique or Channels(share=share, training=Training(steps, AdamW(learning_rate)))
    shown = replace(task, augment=pictures, autocast=torch.bfloat16)
    with resuming(path.with_suffix(".unfinished")):
        thin = apply(technique, model, shown.sealed(), ledger=ledger, seed=seed)
    size = write(thin, task.sealed(), path)
    operations = Operations()(path, task.sealed()).operations
    assert operations is not None
    test = prove(path, task, ledger=ledger, seed=seed, note=f"channels {type(model).__name__}")
    found = Thin(
        bytes=size, operations=operations, validation=score_of(task.sealed(), thin), test=test
    )
    say(found)
    return found
