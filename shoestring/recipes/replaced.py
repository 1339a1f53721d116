"""A trained ResNet-20 on CIFAR-10, and a small network of plain convolutions in its place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from shoestring.core import Ledger, apply, prove, score
from shoestring.distill import Replace
from shoestring.kit import AdamW, Supervised, Training, resuming, save
from shoestring.meters import alternate
from shoestring.models import Images, VGGFamily
from shoestring.recipes.baselines import pictures
from shoestring.recipes.channels import trained_resnet
from shoestring.recipes.record import Line, Measure, Recipe, Results
from shoestring.recipes.running import Run

COLOURS = Images(
    mean=(0.4914, 0.4822, 0.4465), deviation=(0.247, 0.2435, 0.2616), side=32, classes=10
)
"""CIFAR-10's images."""


@dataclass(frozen=True, kw_only=True)
class FasterFile:
    """The file of a new network.

    `bytes`: its size.
    `share`: of the milliseconds of the network that it replaces, by the lower quartiles.
    `validation`, `test`: its scores, 0 to 1.
    """

    bytes: int
    share: float
    validation: float
    test: float


def replaced_resnet(
    model: nn.Module,
    task: Supervised,
    path: Path,
    original: Path,
    *,
    width: float = 0.25,
    passes: float = 10.0,
    learning_rate: float = 3e-3,
    seed: int = 0,
    ledger: Ledger | None = None,
) -> FasterFile:
    """A `SmallVGG` in the place of a trained network; its file is written to `path`.

    The model teaches it, on images that are shifted and mirrored, in bfloat16. After a kill, the
    same call goes on.

    `model`: a trained network for `task`.
    `task`: `tasks.cifar10()`.
    `original`: the file of the model, beside which the new one is timed.
    `width`: of the new network, as in `models.VGGFamily`.
    `passes`: over the training images, above 0.
    `learning_rate`: of the training.
    """
    steps = round(passes * -(-len(task.train[1]) // task.batch_size))
    technique = Replace(
        by=VGGFamily(images=COLOURS),
        width=width,
        training=Training(steps, AdamW(learning_rate, weight_decay=0.05)),
    )
    shown = replace(task, augment=pictures, autocast=torch.bfloat16)
    with resuming(path.with_suffix(".unfinished")):
        new = apply(technique, model, shown.sealed(), ledger=ledger, seed=seed)
    size = save(new, task.sealed(), path)
    ours, theirs = alternate([path, original], task.sealed())
    test = prove(path, task, ledger=ledger, seed=seed, note=f"replaced {type(model).__name__}")
    return FasterFile(
        bytes=size,
        share=ours.low / theirs.low,
        validation=score(task.sealed(), new),
        test=test,
    )


def end_to_end(run: Run) -> None:
    """ResNet-20 trained, then a small VGG that it teaches, at a quarter of its milliseconds."""
    model, task, original = trained_resnet(run)

    def rows(subject: str, file: FasterFile) -> None:
        run.row(subject, "validation score", 100 * file.validation, "%")
        run.row(subject, "test score", 100 * file.test, "%")
        run.row(subject, "file", file.bytes, "bytes")
        run.row(subject, "milliseconds ratio", file.share, "times", timed=True)
        run.say(f"  {run.time_left()}")

    test = prove(original, task, ledger=run.ledger, seed=run.seed, note="replaced: baseline")
    size, validation = original.stat().st_size, score(task.sealed(), model)
    before = FasterFile(bytes=size, share=1.0, validation=validation, test=test)
    rows("resnet20 / as it came in", before)
    new = replaced_resnet(
        model,
        task,
        run.folder / "replaced.shoe",
        original,
        width=0.125 if run.quick else 0.25,
        passes=8 if run.quick else 10,
        seed=run.seed,
        ledger=run.ledger,
    )
    rows("resnet20 / 25% / Replace by VGGFamily", new)


RECIPE = Recipe(
    name="replaced_resnet",
    line="ResNet-20 on CIFAR-10 at a quarter of its milliseconds: a small VGG takes its place",
    scarce="milliseconds",
    instead="the training of a new network, taught by the one that it replaces",
    data=("CIFAR-10",),
    minutes=35,
    quick_minutes=1.5,
    page="replace.md",
    run=end_to_end,
    elsewhere="Hinton, Vinyals & Dean 2015 (soft targets), on other data and networks",
    advantage="the network that it replaces as a teacher",
    results=Results(
        file="replace.sst2-mnist-cifar10-jpeg-cpu.jsonl",
        before=(Line("ResNet-20, as it came in", "resnet20 / as it came in"),),
        ours=(
            Line("a new small VGG, aimed at a quarter", "resnet20 / 25% / Replace by VGGFamily"),
        ),
        baselines=(
            Line(
                "ResNet-20, the lightest blocks removed",
                "resnet20 / 25% / Blocks at Lightest(), 0.002",
            ),
        ),
        saved=Measure("time at batch 1", "milliseconds ratio", "times", ".2f"),
        lost=Measure("test score", "test score", "%", ".2f", higher=True),
        also=(Measure("file, bytes", "file", "bytes", ",.0f"),),
        price=Measure("minutes of a core", "training", "minutes of a core", ".1f"),
    ),
)
