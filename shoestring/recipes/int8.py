"""Faster files of the reference networks.

Thinner where that costs nothing, then whole numbers of 8 bits.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from shoestring.artifact import load
from shoestring.core import Ledger, Technique, apply, chain, prove
from shoestring.core import score as score_of
from shoestring.kit import AdamW, Patterns, Supervised, Training, resuming, write
from shoestring.plan import FallbackResult, fallback
from shoestring.prune import Blocks
from shoestring.quantize import PerChannel, PostTraining, WeightOnly
from shoestring.recipes.baselines import SETTINGS, pictures, shown


@dataclass(frozen=True, kw_only=True)
class Int8Result:
    """A file: its bytes; the validation scores (0 to 1) of the network as it was, of the module
    that rounds, and of the file; the file's test score; and the layers that stayed in floating
    point.
    """

    bytes: int
    before: float
    module: float
    file: float
    test: float
    kept: tuple[str, ...]


def int8_resnet(
    model: nn.Module,
    task: Supervised,
    path: Path,
    *,
    share: float = 7 / 9,
    passes: int = 8,
    first: Patterns = ("blocks.0", "blocks.1", "blocks.2"),
    drop: float = 0.005,
    seed: int = 0,
    ledger: Ledger | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Int8Result:
    """A trained convolutional network (ResNet20 or MobileNet, see `baseline`) in whole numbers, on
    `cifar10`; its file is at `path`.

    Blocks among `first`, where images are largest, are taken out until `share` of all are left (1:
    none), with `passes` passes of training taught by the model as it was; then PostTraining, with
    the fewest layers in floating point for which no more than `drop` of the validation score is
    lost in all; with a warning where taking blocks out alone loses more. Fewer channels instead
    (Channels, three quarters of the operations, in eighths) made ResNet-20 no faster in whole
    numbers: kernels for these work on sixteen channels at once. Killed and called again with the
    same path, it goes on.

    Published (Krishnamoorthi 2018, many ImageNet networks): 8 bits per channel, not trained, within
    2 % of floating point, and 2 to 3 times as fast on processors. Ours, beside those of six tools
    on the same network, are in `docs/faster.md`, made by `python benchmarks/quantised.py`.
    """
    thinner: tuple[Technique, ...] = ()
    if share < 1:
        steps = passes * -(-len(task.train[1]) // task.batch_size)
        thinner = (Blocks(share=share, training=Training(steps, AdamW(2e-3)), only=first),)
    lively = replace(task, augment=pictures, autocast=torch.bfloat16)
    return _quick(chain(*thinner), model, lively, task, path, drop, seed, ledger, say)


def int8_transformer(
    model: nn.Module,
    task: Supervised,
    path: Path,
    *,
    share: float = 0.5,
    passes: int = 3,
    drop: float = 0.005,
    seed: int = 0,
    ledger: Ledger | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Int8Result:
    """A trained TextEncoder (see `baseline`) in whole numbers, on `sst2`; its file is at `path`.

    Layers are taken out first until `share` of them are left (1: none), with `passes` passes of
    training taught by the model as it was; words are rounded to 8 bits; then PostTraining, as in
    `int8_resnet`. Killed and called again with the same path, it goes on.

    Published (Zafrir et al. 2019, Q8BERT): BERT in 8 bits, trained with the rounding, four times
    smaller, 92.2 % on SST-2. Ours, beside those of six tools on the same network, are in
    `docs/faster.md`, made by `python benchmarks/quantised.py`.
    """
    settings = SETTINGS[type(model)]
    lively = shown(task, settings)
    thinner: tuple[Technique, ...] = ()
    if share < 1:
        steps = passes * -(-len(task.train[1]) // settings.batch_size)
        thinner = (
            Blocks(
                share=share,
                training=Training(steps, AdamW(settings.learning_rate / 2)),
                only=("layers.*",),
            ),
        )
    words = WeightOnly(bits=8, granularity=PerChannel(), only=("words", "positions"))
    return _quick(chain(*thinner, words), model, lively, task, path, drop, seed, ledger, say)


def _quick(
    prepare: Technique,
    model: nn.Module,
    lively: Supervised,
    task: Supervised,
    path: Path,
    drop: float,
    seed: int,
    ledger: Ledger | None,
    say: Callable[[str], None],
) -> Int8Result:
    """Make the network thinner, then whole, and write its file."""
    if not drop >= 0:
        raise ValueError(f"the drop is {drop}: how much of the score may be lost is 0 or more")
    sealed: Any = task.sealed()
    before = score_of(sealed, model)
    with resuming(path.with_suffix(".unfinished")):
        thin = apply(prepare, model, lively.sealed(), ledger=ledger, seed=seed)
        if (lost := before - score_of(sealed, thin)) > drop:
            warnings.warn(
                f"taking layers out lost {lost:.4f} of the score, before any rounding, and "
                f"{drop:g} may be lost: give more passes, "
                "or a larger share",
                stacklevel=3,
            )
        found: FallbackResult = fallback(
            thin, sealed, PostTraining(), drop=max(drop - lost, 0.0), seed=seed, most=20
        )
        say(str(found))
        whole = apply(found.technique, thin, sealed, ledger=ledger, seed=seed)
    size = write(whole, sealed, path)
    test = prove(path, task, ledger=ledger, seed=seed, note=f"int8 {type(model).__name__}")
    kept = tuple(name for one in found.kept for name in one.layers)
    return Int8Result(
        bytes=size,
        before=before,
        module=score_of(sealed, whole),
        file=score_of(sealed, load(path)),
        test=test,
        kept=kept,
    )
