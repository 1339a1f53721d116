"""Fewer boxes: a detector that learns from one marked cell a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import torch
from torch import nn

from shoestring.core import prove, score, seeded
from shoestring.core.ledger import Ledger
from shoestring.kit import AdamW, Supervised, Training, save, train
from shoestring.kit.boxes import BOX_STRIDE, CentreLoss, Unmarked, as_background, only_some
from shoestring.label import Forgiving
from shoestring.models import CentreDetector
from shoestring.recipes.record import Line, Measure, Published, Recipe, Results
from shoestring.recipes.running import Run
from shoestring.tasks import bccd

DETECTING = Training(400, AdamW(3e-3, 1e-2))
"""How detectors of blood cells are trained: half a minute of a core for a width of 16."""


@dataclass(frozen=True, kw_only=True)
class Detected:
    """A file of a detector, and what it cost.

    `boxes`: that it learned from.
    `bytes`: of the file.
    `validation`, `test`: mean average precision, 0 to 1.
    """

    boxes: int
    bytes: int
    validation: float
    test: float


def few_boxes(
    task: Supervised,
    path: Path,
    *,
    boxes: int | None = 1,
    unmarked: Unmarked | None = None,
    width: int = 16,
    training: Training = DETECTING,
    seed: int = 0,
    ledger: Ledger | None = None,
) -> Detected:
    """A detector that is trained on a few boxes of each picture; its file is written to `path`.

    Which boxes are kept is drawn at random. What is not marked is forgiven (`Forgiving`). Our
    numbers are in `docs/boxes.md`, made by `python benchmarks/boxes.py`.

    `task`: `tasks.bccd()`, or another of `kit.boxes.boxes_task` whose training pictures have all of
        their boxes.
    `boxes`: how many of each picture are kept, 1 or more; None: all.
    `unmarked`: how what is not marked counts; None for Forgiving().
    `width`: of the detector.
    """
    given = with_few_boxes(task, boxes, unmarked or Forgiving(), seed)
    model = detector(given, len(task.metrics), width, training, seed)
    size = save(model, task.sealed(), path)
    test = prove(path, task, ledger=ledger, seed=seed, note=f"few_boxes: {boxes or 'all'}")
    marked = int((given.train[1][:, :, 0] >= 0).sum())
    return Detected(
        boxes=marked, bytes=size, validation=score(task.sealed(), model), test=float(test)
    )


def with_few_boxes(
    task: Supervised, boxes: int | None, unmarked: Unmarked, seed: int
) -> Supervised:
    """The same task with at most so many boxes of each training picture."""
    images, rows = task.train
    kept = rows if boxes is None else only_some(rows, boxes, seed)
    criterion = CentreLoss(stride=BOX_STRIDE, unmarked=unmarked)
    return replace(task, train=(images, kept), criterion=criterion)


def detector(
    task: Supervised, classes: int, width: int, training: Training, seed: int
) -> nn.Module:
    """A detector, trained in bfloat16 where the processor is faster with it."""
    with seeded(seed):
        model = CentreDetector(classes, width)
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return train(model, replace(task, autocast=torch.bfloat16), training, what="detector")


def end_to_end(run: Run) -> None:
    """Blood cells from all boxes, from one a picture, and from one as if it were all."""
    torch.set_num_threads(1)
    task = bccd()
    training = replace(DETECTING, steps=40) if run.quick else DETECTING
    ways = {
        "all boxes": (None, as_background),
        "one box, ordinary": (1, as_background),
        "one box, forgiving": (1, Forgiving()),
    }
    for name, (boxes, unmarked) in ways.items():
        began = process_time()
        found = few_boxes(
            task,
            run.folder / f"{name.replace(' ', '_').replace(',', '')}.shoe",
            boxes=boxes,
            unmarked=unmarked,
            training=training,
            seed=run.seed,
            ledger=run.ledger,
        )
        run.row(name, "boxes", found.boxes, "boxes")
        run.row(name, "file", found.bytes, "bytes")
        run.row(name, "validation mAP", 100 * found.validation, "%")
        run.row(name, "test mAP", 100 * found.test, "%")
        run.row(name, "minutes of a core", (process_time() - began) / 60, "minutes of a core")
        run.say(f"  {run.time_left()}")


RECIPE = Recipe(
    name="few_boxes",
    line="a detector of blood cells that learns from one box a picture, of about 14",
    scarce="boxes that somebody draws",
    instead="points of mean average precision",
    data=("BCCD",),
    minutes=2,
    quick_minutes=0.4,
    page="boxes.md",
    run=end_to_end,
    published=(
        Published(
            "mAP at an overlap of 0.5",
            94.7,
            "%",
            "Chen et al. 2025 (NBCDC-YOLOv8), abstract",
            "all boxes; pretrained YOLOv8 with larger pictures, and another split",
        ),
    ),
    results=Results(
        file="boxes.bccd-cpu.jsonl",
        before=(Line("all boxes", "all boxes"),),
        ours=(
            Line("one box a picture, forgiving", "one box, forgiving"),
            Line("three boxes a picture, forgiving", "three boxes, forgiving"),
        ),
        baselines=(
            Line("one box a picture, as if it were all", "one box, ordinary"),
            Line("three boxes a picture, as if they were all", "three boxes, ordinary"),
            Line(
                "as many boxes as one a picture, in whole pictures",
                "as many boxes, whole pictures",
            ),
        ),
        saved=Measure("boxes", "boxes", "boxes", ",.0f"),
        lost=Measure("test mAP", "test mAP", "%", ".2f", higher=True),
        also=(
            Measure("pictures", "pictures", "pictures", ",.0f"),
            Measure("validation mAP", "validation mAP", "%", ".2f", higher=True),
        ),
        price=Measure("minutes of a core", "minutes of a core", "minutes of a core", ".1f"),
    ),
)
