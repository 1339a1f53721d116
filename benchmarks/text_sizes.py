"""Which network goes into a tagger's file of 100 KB, 500 KB or 3 MB; the planner beside it.

    OMP_NUM_THREADS=1 python benchmarks/text_sizes.py

English-EWT, without other text. Networks of the shapes of `recipes.text_sizes` are trained, and
coded to each size as `shoestring learn tag --size` does; their files are scored on the validation
sentences. From the same trained network, before it is coded, the planner searches for a file of the
size: for as many minutes of a core as the coding took, and for four times as many. Its clock counts
the seconds of the processor here, for other processes run on this machine. At 3 MB the network of
the recipe fits as it is, so there is nothing for the planner to do. Test data is not read. One
seed. Goes on where it was interrupted. --quick: one pass over 2,000 sentences.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any
from unittest.mock import patch

import torch
from rows import RESULTS, Rows, start
from text_tools_table import PLANNED, SHAPES, SIZES

from shoestring import compress
from shoestring.artifact import HashedWords
from shoestring.recipes import text_tools
from shoestring.recipes.coding_to_size import Coded, coded_to_size
from shoestring.recipes.text_sizes import MIDDLE, Shape
from shoestring.recipes.text_tools import PLAIN_TAGGER, tagger
from shoestring.tasks import Sentence, treebank

LEFT_OUT = {(100_000, "large"), (500_000, "small"), (3_000_000, "small")}


def main() -> None:
    rows = start("text_sizes", "ewt-cpu", __doc__ or "")
    torch.set_num_threads(1)
    data = {split: treebank("en", split) for split in ("train", "validation")}
    if rows.quick:
        data["train"] = data["train"][:2000]
    for size in SIZES:
        for name, shape in SHAPES.items():
            subject = f"{name} {size}"
            wanted = (size, name) not in LEFT_OUT and rows.wanted(subject)
            if wanted and not rows.done(subject, 0):
                network(rows, data, subject, shape, size, ())
    for size, times in PLANNED:
        subject = f"planner {size}, {times} times"
        if rows.wanted(subject) and not rows.done(subject, 0):
            network(rows, data, subject, MIDDLE, size, (times,))
    if rows.only is None:
        rows.close()


def network(
    rows: Rows,
    data: dict[str, list[Sentence]],
    subject: str,
    shape: Shape,
    size: int,
    planned: tuple[int, ...],
) -> None:
    """Train a network, which is done once for all sizes, and code it; or let the planner do that.

    `planned`: how many times the minutes of coding the planner has; (): it is coded.
    """
    settings = replace(PLAIN_TAGGER, step=HashedWords(rules=1))
    if rows.quick:
        settings = replace(settings, passes=1, coding_passes=1)
    settings = shape(settings)
    folder = RESULTS / "unfinished" / f"text_sizes{'.quick' if rows.quick else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{subject.replace(' ', '_')}.shoe"
    coding = [0.0]

    def coded(model: Any, task: Any, path: Path, **options: Any) -> Coded:
        began = process_time()
        if planned:
            minutes = planned[0] * minutes_of_coding(rows, size)
            made = by_planner(rows, subject, model, task, path, minutes, options)
        else:
            made = coded_to_size(model, task, path, **options)
        coding[0] = process_time() - began
        return made

    began = process_time()
    with patch.object(text_tools, "coded_to_size", coded):
        made = tagger(data, path, size=size, settings=settings, folder=folder)
    training = process_time() - began - coding[0]
    rows.add(subject, "size", made.bytes, "bytes", 0)
    rows.add(subject, "validation score", 100 * made.validation, "%", 0)
    if not planned:
        rows.add(subject, "validation score before coding", 100 * made.trained, "%", 0)
    rows.add(subject, "training, where it was not done yet", training / 60, "minutes of a core", 0)
    rows.add(subject, "coding", coding[0] / 60, "minutes of a core", 0)
    rows.add(subject, "done", 1, "", 0)


def minutes_of_coding(rows: Rows, size: int) -> float:
    """How long the coding to this size took."""
    return next(
        row["value"]
        for row in rows.rows
        if row["subject"] == f"middle {size}" and row["metric"] == "coding"
    )


def by_planner(
    rows: Rows,
    subject: str,
    model: Any,
    task: Any,
    path: Path,
    minutes: float,
    options: dict[str, Any],
) -> Coded:
    """The best file of the planner, from the same trained network."""
    with ExitStack() as clocks:
        for name, module in list(sys.modules.items()):
            if name.startswith("shoestring.plan.") and "monotonic" in vars(module):
                clocks.enter_context(patch.object(module, "monotonic", process_time))
        outcome = compress(
            model,
            task,
            f"size<={options['size']}B",
            path,
            minutes=minutes,
            began=process_time(),
            say=lambda line: print(f"    {line}", flush=True),
        )
    rows.add(subject, "within the size", float(outcome.met), "", 0)
    score = options["score"](path)
    return Coded(bytes=path.stat().st_size, before=score, after=score)


if __name__ == "__main__":
    main()
