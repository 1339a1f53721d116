"""ResNet-20 with early exits, a part of `sparse_activation.py`: the network is the trained one of
the recipe `baselines`, and only the exits are trained.
"""

from __future__ import annotations

from dataclasses import replace
from time import process_time

import torch
from rows import FILES, RESULTS, Rows

from shoestring.core import Task, prove, score, seeded
from shoestring.distill import EarlyExit, threshold_for
from shoestring.kit import AdamW, Training, load_into, save
from shoestring.kit.routing.exits import EarlyExits, are_sure
from shoestring.meters import over_inputs
from shoestring.meters.interleaved import ratio
from shoestring.models import ResNet20
from shoestring.recipes.baselines import pictures
from shoestring.tasks import cifar10

LOST = (0.005, 0.01, 0.02)  # of the validation accuracy
STEPS = 250
PLAIN = "ResNet-20"


def exit_rows(rows: Rows) -> None:
    """The rows of the network without exits and with them, at several losses of accuracy."""
    seeds = range(1 if rows.quick else 3)
    if all(rows.done(subject_of(lost), seed) for lost in LOST for seed in seeds):
        return
    task, path = cifar10(batch_size=128), FILES / "baseline_resnet20.shoe"
    task = replace(task, augment=pictures)
    if rows.quick:
        task = task.sampled(500, 0)
    plain = load_into(path, ResNet20()).eval()
    if not rows.done(PLAIN, None):
        rows.add(PLAIN, "file", path.stat().st_size, "bytes")
        rows.add(PLAIN, "validation", 100 * score(task.sealed(), plain), "% right")
        rows.add(PLAIN, "test", 100 * prove(path, task), "% right")
        rows.add(PLAIN, "milliseconds over real inputs, of without exits", 1.0, "", timed=True)
        rows.add(PLAIN, "done", 1, "")
    for seed in seeds:
        if not rows.done(subject_of(LOST[-1]), seed):
            seed_rows(rows, task, plain, seed)


def seed_rows(rows: Rows, task: Task, plain: torch.nn.Module, seed: int) -> None:
    """The rows of one training of the exits."""
    sealed = task.sealed()
    training = Training(20 if rows.quick else STEPS, AdamW(3e-3))
    with seeded(seed):
        began = process_time()
        model = EarlyExit(exits=2, lost=LOST[0], training=training)(plain, sealed).eval()
        seconds = process_time() - began
    assert isinstance(model, EarlyExits)
    path = FILES / "baseline_resnet20.shoe"
    for lost in LOST:
        name = subject_of(lost)
        model.threshold = threshold_for(model, sealed, lost)
        kept = RESULTS / "unfinished" / f"early_exits.{lost}.{seed}.shoe"
        kept.parent.mkdir(parents=True, exist_ok=True)
        rows.add(name, "training", seconds, "s of a core", seed, timed=True)
        rows.add(name, "threshold", model.threshold, "", seed)
        rows.add(name, "file", save(model, sealed, kept), "bytes", seed)
        rows.add(name, "validation", 100 * score(sealed, model), "% right", seed)
        rows.add(name, "test", 100 * prove(kept, task, seed=seed), "% right", seed)
        before, after = over_inputs([path, kept], sealed, examples=60 if rows.quick else 300)
        what = "milliseconds over real inputs"
        rows.add(name, what, after.median, "ms", seed, timed=True)
        times = ratio(after, before).median
        rows.add(name, f"{what}, of without exits", times, "", seed, timed=True)
        chance_rows(rows, name, sealed, model, seed)
        rows.add(name, "done", 1, "", seed)


def chance_rows(rows: Rows, name: str, sealed: Task, model: EarlyExits, seed: int) -> None:
    """How many examples leave where, and the accuracy if as many left there at random."""
    left, right, count = [0.0] * 3, [0.0] * 3, 0
    with torch.no_grad():
        for images, labels in sealed.batches("validation"):
            stays = torch.ones(len(labels), dtype=torch.bool)
            count += len(labels)
            logits = model.at_each(*images) if isinstance(images, tuple) else model.at_each(images)
            for at, one in enumerate(logits):
                sure = are_sure(one, model.sure_above)
                leaves = stays & (sure if at + 1 < len(logits) else True)
                left[at] += float(leaves.sum())
                right[at] += float((one.argmax(-1) == labels).sum())
                stays &= ~leaves
    for at, number in enumerate(left[:-1], 1):
        rows.add(name, f"leave at exit {at}", 100 * number / count, "% of the examples", seed)
        rows.add(name, f"exit {at} alone", 100 * right[at - 1] / count, "% right", seed)
    chance = sum(a * b for a, b in zip(left, right, strict=True)) / count**2
    rows.add(name, "validation, as many leave at random", 100 * chance, "% right", seed)


def subject_of(lost: float) -> str:
    """What a row is called that may lose so much of the accuracy."""
    return f"exits, {100 * lost:g} points"
