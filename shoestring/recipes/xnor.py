"""A small convolutional network on MNIST with binary weights, and with binary weights and inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from shoestring.core import Ledger, apply, prove, seeded
from shoestring.core import score as score_of
from shoestring.kit import AdamW, Supervised, Training, moved, train, write
from shoestring.models import NormFirst
from shoestring.quantize import Binary, Real, ScaledSigns, Signs


@dataclass(frozen=True)
class Row:
    """A file: its name, its bytes, and the scores (0 to 1) that it reaches."""

    name: str
    bytes: int
    validation: float
    test: float


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Passes are over the training images.

    Of the network in full precision, with binary weights, with binary inputs too.
    """

    width: int = 64
    training_passes: float = 1
    weights_passes: float = 0.5
    signs_passes: float = 1
    learning_rate: float = 3e-3
    binary_rate: float = 2e-3
    autocast: torch.dtype | None = field(default=torch.bfloat16)


def xnor_convnet(
    task: Supervised,
    folder: Path,
    *,
    settings: Settings | None = None,
    seed: int = 0,
    ledger: Ledger | None = None,
    say: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """NormFirst on MNIST in full precision, with binary weights (BWN), and with binary weights and
    inputs, without the scales of inputs (`xnor`) and with them (`xnor_scaled`); the files are left
    in `folder`.

    The first and the last layer stay in full precision. Images are moved by up to a pixel in all
    training; the network in full precision teaches the others.

    Published on MNIST, without convolutions: 1.29 % error with binary weights (Courbariaux, Bengio
    & David 2015), 0.96 % with binary weights and inputs (Courbariaux et al. 2016); XNOR-Net has no
    figure for it. Ours (whole files, three seeds) are in `docs/binary.md`, made by `python
    benchmarks/xnor.py`; a seed takes about three minutes of a core (AMD EPYC with AVX-512 and
    bfloat16).
    """
    told = settings or Settings()
    shown = replace(task, augment=moved, autocast=told.autocast).sealed()
    passes = len(task.train[1]) / task.batch_size
    rows: list[Row] = []

    def row(name: str, model: torch.nn.Module) -> None:
        path = folder / f"{name}.shoe"
        size = write(model, task.sealed(), path)
        test = prove(path, task, ledger=ledger, seed=seed, note=f"xnor_convnet: {name}")
        rows.append(Row(name, size, score_of(task.sealed(), model), test))
        say(rows[-1])

    with seeded(seed):
        model = train(
            NormFirst(told.width),
            shown,
            Training(round(passes * told.training_passes), AdamW(told.learning_rate)),
            what="training the network",
        )
    row("fp32", model)
    for name, inputs, count in (
        ("bwn", Real(), told.weights_passes),
        ("xnor", Signs(), told.signs_passes),
        ("xnor_scaled", ScaledSigns(), told.signs_passes),
    ):
        technique = Binary(
            inputs=inputs, training=Training(round(passes * count), AdamW(told.binary_rate))
        )
        row(name, apply(technique, model, shown, ledger=ledger, seed=seed))
    return rows
