"""Half the operations: a trained ResNet-20 or MobileNet without its least important channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from shoestring.core import Ledger, Technique, apply, prove, seeded
from shoestring.core import score as score_of
from shoestring.kit import AdamW, Supervised, Training, resuming, save
from shoestring.meters import Operations
from shoestring.models import ResNet20
from shoestring.prune import Channels
from shoestring.recipes.baselines import SETTINGS, baseline, pictures
from shoestring.recipes.record import Line, Measure, Published, Recipe, Results
from shoestring.recipes.running import Run, SmallerFile, few
from shoestring.tasks import cifar10


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
    say: Callable[[SmallerFile], None] = lambda thin: None,
) -> SmallerFile:
    """A trained network with a share of its operations; its file is written to `path`.

    Channels are removed in four rounds over the first three tenths of the training. The original
    model teaches, on images that are shifted and mirrored, in bfloat16. After a kill, the same call
    goes on.

    Published: ResNet-56 on CIFAR-10, 93.53 % to 93.77 % at 1/2.13 of the operations (Fang et al.
    2023, DepGraph, table 2). Ours, of networks a third as deep and of images that went through
    JPEG, are in `docs/structure.md`, made by `python benchmarks/structure.py`.

    `model`: a trained ResNet20 or MobileNet (`baseline`).
    `task`: `tasks.cifar10()`.
    `technique`: in place of Channels, for comparisons; None for Channels.
    `passes`: over the training images.
    `share`: of the operations, above 0 and at most 1.
    `learning_rate`: of the training.
    `say`: called with the result.
    """
    steps = passes * -(-len(task.train[1]) // task.batch_size)
    technique = technique or Channels(share=share, training=Training(steps, AdamW(learning_rate)))
    shown = replace(task, augment=pictures, autocast=torch.bfloat16)
    with resuming(path.with_suffix(".unfinished")):
        thin = apply(technique, model, shown.sealed(), ledger=ledger, seed=seed)
    size = save(thin, task.sealed(), path)
    operations = Operations()(path, task.sealed()).operations
    assert operations is not None
    test = prove(path, task, ledger=ledger, seed=seed, note=f"channels {type(model).__name__}")
    result = SmallerFile(
        bytes=size, operations=operations, validation=score_of(task.sealed(), thin), test=test
    )
    say(result)
    return result


def trained_resnet(run: Run) -> tuple[nn.Module, Supervised, Path]:
    """(a trained ResNet-20, its task, its file) for a run; in a quick run half as wide.

    A quick run has 2,000 images.
    """
    task, settings = cifar10(), SETTINGS[ResNet20]
    if run.quick:
        task, settings = few(task, 2000, 500), replace(settings, passes=8)
    with seeded(run.seed):
        untrained = ResNet20(8 if run.quick else 16)
    path = run.folder / "baseline.shoe"
    return baseline(untrained, task, path, settings=settings, seed=run.seed), task, path


def end_to_end(run: Run) -> None:
    """ResNet-20 trained, then with half of its operations, as in `benchmarks/structure.py`."""
    model, task, path = trained_resnet(run)
    full = Operations()(path, task.sealed()).operations
    assert full is not None

    def rows(subject: str, size: int, operations: float, validation: float, test: float) -> None:
        run.row(subject, "validation score", 100 * validation, "%")
        run.row(subject, "test score", 100 * test, "%")
        run.row(subject, "file", size, "bytes")
        run.row(subject, "operations", operations / full, "of the baseline's")
        run.say(f"  {run.time_left()}")

    test = prove(path, task, ledger=run.ledger, seed=run.seed, note="channels ResNet20: baseline")
    rows("resnet20, baseline", path.stat().st_size, full, score_of(task.sealed(), model), test)
    passes = 4 if run.quick else 3
    training = Training(passes * -(-len(task.train[1]) // task.batch_size), AdamW(2e-3))
    technique = Channels(share=0.5, multiple=4 if run.quick else 8, training=training)
    thin = channels_resnet(
        model,
        task,
        run.folder / "channels.shoe",
        technique=technique,
        seed=run.seed,
        ledger=run.ledger,
    )
    rows("resnet20, Channels", thin.bytes, thin.operations, thin.validation, thin.test)


RECIPE = Recipe(
    name="channels_resnet",
    line="ResNet-20 on CIFAR-10 with half of its operations: the channels that matter least go",
    scarce="operations and milliseconds",
    instead="three passes of training, taught by the network as it was",
    data=("CIFAR-10",),
    minutes=40,
    quick_minutes=1.1,
    page="structure.md",
    run=end_to_end,
    published=(
        Published(
            "operations, times fewer",
            2.13,
            "times",
            "Fang et al. 2023 (DepGraph), table 2",
            "ResNet-56, CIFAR-10",
        ),
        Published(
            "test score", 93.77, "%", "Fang et al. 2023 (DepGraph), table 2", "ResNet-56, CIFAR-10"
        ),
        Published(
            "test score before",
            93.53,
            "%",
            "Fang et al. 2023 (DepGraph), table 2",
            "ResNet-56, CIFAR-10",
        ),
    ),
    advantage="the network as it was as a teacher",
    results=Results(
        file="structure.cifar10-jpeg-cpu.jsonl",
        before=(
            Line("ResNet-20, baseline", "resnet20, baseline"),
            Line("MobileNet, baseline", "mobilenet, baseline"),
        ),
        ours=(
            Line("ResNet-20, Channels", "resnet20, Channels"),
            Line("MobileNet, Channels", "mobilenet, Channels"),
        ),
        baselines=(
            Line("ResNet-20, narrower everywhere, trained from the start", "resnet20, narrow"),
        ),
        peers=(
            Line("ResNet-20, Torch-Pruning", "resnet20, Torch-Pruning"),
            Line("MobileNet, Torch-Pruning", "mobilenet, Torch-Pruning"),
        ),
        saved=Measure("operations", "operations", "of the baseline's", ".3f"),
        lost=Measure("test score", "test score", "%", ".2f", higher=True),
        also=(
            Measure("file, bytes", "file", "bytes", ",.0f"),
            Measure("time at batch 1", "latency at batch 1, median", "of the baseline's", ".2f"),
        ),
        price=Measure("minutes, on a busy machine", "minutes", "minutes on a busy machine", ".1f"),
    ),
)
