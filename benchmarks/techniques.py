"""Each technique against its cheapest honest baseline on the digits, three seeds.

`python benchmarks/techniques.py`.
Pruning: the same density by each criterion, trained alike, and at once without training. Sharing:
levels trained, and left as k-means found them. Scores are of validation data (400 images). About
ten minutes on one core. --quick: one seed, 100 steps.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from rows import Rows, start
from torch import nn

from shoestring.core import Task, Technique, score, seeded
from shoestring.kit import AdamW, Exported, Training, clone, export, pack
from shoestring.prune import Global, Magnitude, PerLayer
from shoestring.quantize import WeightSharing
from shoestring.recipes import digits_lenet

STEPS = 1000


def main() -> None:
    rows = start("techniques", "digits-cpu", __doc__ or "")
    torch.set_num_threads(1)
    steps = 100 if rows.quick else STEPS
    for seed in (0,) if rows.quick else (0, 1, 2):
        if rows.done("all", seed) or not rows.wanted(str(seed)):
            continue
        model, task = digits_lenet(seed)
        exported = export(model, task.sealed())
        taught = task.sealed().taught_by(clone(model).eval())
        rows.add("uncompressed", "validation score", 100 * score(taught, model), "%", seed)
        measure = partial(weigh, rows, seed=seed, task=taught, exported=exported)
        for density in (0.1, 0.05, 0.02):
            layerwise = Magnitude(density=density, training=Training(steps))
            measure(f"density {density}: layer-adaptive", layerwise, model)
            measure(
                f"density {density}: one threshold", replace(layerwise, criterion=Global()), model
            )
            measure(f"density {density}: uniform", replace(layerwise, criterion=PerLayer()), model)
            measure(
                f"density {density}: layer-adaptive, at once",
                replace(layerwise, training=Training(0)),
                model,
            )
        pruned = Magnitude(density=0.1, training=Training(steps))
        with seeded(seed):
            thin = pruned(model, taught)
        for levels in (16, 8, 4):
            measure(
                f"{levels} levels, trained",
                WeightSharing(levels=levels, training=Training(steps // 2, AdamW(1e-4))),
                thin,
            )
            measure(
                f"{levels} levels, k-means alone",
                WeightSharing(levels=levels, training=Training(0)),
                thin,
            )
        rows.add("all", "done", 1, "", seed)
    rows.close()


def weigh(
    rows: Rows,
    name: str,
    technique: Technique,
    model: nn.Module,
    *,
    task: Task,
    seed: int,
    exported: Exported,
) -> None:
    """Run a technique and write its score and the bytes of its file."""
    with seeded(seed):
        made = technique(model, task)
    rows.add(name, "validation score", 100 * score(task, made), "%", seed)
    rows.add(name, "file", len(pack(made, exported)), "bytes", seed)


if __name__ == "__main__":
    main()
