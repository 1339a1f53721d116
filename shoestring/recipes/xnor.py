"""A small convolutional network on MNIST with binary weights, and with binary inputs too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from shoestring.core import Ledger, apply, prove, seeded
from shoestring.core import score as score_of
from shoestring.kit import AdamW, Supervised, Training, moved, resuming, save, train
from shoestring.models import NormFirst
from shoestring.quantize import Binary, Real, ScaledSigns, Signs
from shoestring.recipes.record import Line, Measure, Published, Recipe, Results
from shoestring.recipes.running import Run, few
from shoestring.tasks import mnist


@dataclass(frozen=True)
class Row:
    """A file of the recipe.

    `name`: without its suffix.
    `bytes`: its size.
    `validation`, `test`: its scores, 0 to 1.
    """

    name: str
    bytes: int
    validation: float
    test: float


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of the recipe.

    `width`: of the network, in channels.
    `training_passes`, `weights_passes`, `signs_passes`: passes over the training images in full
        precision, with binary weights, and with binary inputs too.
    `learning_rate`, `binary_rate`: of the training in full precision, and of the binary networks.
    `autocast`: as in Supervised.
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
    """NormFirst on MNIST: in full precision, with binary weights, and with binary inputs too.

    The files are left in `folder`: `fp32`, `bwn` (binary weights), `xnor` (binary inputs without
    scales) and `xnor_scaled` (with scales). The first and the last layer stay in full precision.
    Images are shifted by up to a pixel in all training. The network in full precision teaches the
    others.

    Published on MNIST, without convolutions: 1.29 % error with binary weights (Courbariaux, Bengio
    & David 2015), 0.96 % with binary weights and inputs (Courbariaux et al. 2016); XNOR-Net has no
    figure for it. Ours (whole files, three seeds) are in `docs/binary.md`, made by `python
    benchmarks/xnor.py`. A seed takes about three minutes of a core (AMD EPYC with AVX-512 and
    bfloat16).

    `task`: `tasks.mnist()`.
    `say`: called with each file.
    """
    chosen = settings or Settings()
    shown = replace(task, augment=moved, autocast=chosen.autocast).sealed()
    passes = len(task.train[1]) / task.batch_size
    rows: list[Row] = []

    def row(name: str, model: torch.nn.Module) -> None:
        path = folder / f"{name}.shoe"
        size = save(model, task.sealed(), path)
        test = prove(path, task, ledger=ledger, seed=seed, note=f"xnor_convnet: {name}")
        rows.append(Row(name, size, score_of(task.sealed(), model), test))
        say(rows[-1])

    with seeded(seed):
        model = train(
            NormFirst(chosen.width),
            shown,
            Training(round(passes * chosen.training_passes), AdamW(chosen.learning_rate)),
            what="training the network",
        )
    row("fp32", model)
    for name, inputs, count in (
        ("bwn", Real(), chosen.weights_passes),
        ("xnor", Signs(), chosen.signs_passes),
        ("xnor_scaled", ScaledSigns(), chosen.signs_passes),
    ):
        technique = Binary(
            inputs=inputs, training=Training(round(passes * count), AdamW(chosen.binary_rate))
        )
        row(name, apply(technique, model, shown, ledger=ledger, seed=seed))
    return rows


def end_to_end(run: Run) -> None:
    """The networks of `benchmarks/xnor.py`.

    A quick run has a quarter of the width and 10,000 images.
    """
    task = few(mnist(), 10_000, 2000) if run.quick else mnist()
    settings = (
        Settings(width=16, training_passes=2, weights_passes=1, signs_passes=2)
        if run.quick
        else None
    )
    with resuming(run.folder / "training"):
        xnor_convnet(
            task,
            run.folder,
            settings=settings,
            seed=run.seed,
            ledger=run.ledger,
            say=lambda row: run.scores(row.name, row.bytes, row.validation, row.test),
        )


RECIPE = Recipe(
    name="xnor_convnet",
    line="a small network on MNIST with binary weights, and with binary weights and inputs",
    scarce="bytes, and milliseconds where layers are wide",
    instead="half to one pass of training more, taught by the network in full precision",
    data=("MNIST",),
    minutes=4,
    quick_minutes=0.7,
    page="binary.md",
    run=end_to_end,
    published=(
        Published(
            "test error",
            1.29,
            "%",
            "Courbariaux, Bengio & David 2015",
            "MNIST, binary weights, no convolutions",
        ),
        Published(
            "test error",
            0.96,
            "%",
            "Courbariaux et al. 2016",
            "MNIST, binary weights and inputs, no convolutions",
        ),
    ),
    advantage="images shifted by up to a pixel, and the network in full precision as a teacher",
    results=Results(
        file="xnor.mnist-cpu.jsonl",
        before=(Line("full precision", "fp32"),),
        ours=(
            Line("binary weights", "bwn"),
            Line("binary weights and inputs", "xnor"),
            Line("binary weights and inputs, scaled", "xnor_scaled"),
        ),
        saved=Measure("file, bytes", "size", "bytes", ",.0f"),
        price=Measure(
            "minutes for all, on a busy machine",
            "time",
            "minutes for all, on a busy machine",
            ".0f",
            subject="recipe",
        ),
    ),
)
