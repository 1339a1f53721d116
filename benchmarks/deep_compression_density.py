"""How few weights of LeNet-300-100 Deep Compression may keep, chosen on validation data.

`python benchmarks/deep_compression_density.py`.
Each density of `DENSITIES` is compressed as in `deep_compression.py`, three seeds. The choice is
the smallest density whose mean validation error is not above that of the uncompressed network.
Test data are not read. The densities that `deep_compression.py` has rows of are not run again: the
seeds and settings are the same. About 15 minutes on one core; goes on where it was interrupted.
--quick: 2 passes of training and 2 of pruning, one density, one seed.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from rows import start

from shoestring.core import apply, score
from shoestring.kit import Supervised, export, pack
from shoestring.models import LeNet300
from shoestring.recipes.deep_compression_lenets import (
    SETTINGS,
    Settings,
    shifted,
    steps_of,
    uncompressed,
)
from shoestring.tasks import mnist

DENSITIES = (0.042, 0.03)
"""Each about 0.7 of the one before it; 0.085 and 0.058 come before these."""


def main() -> None:
    rows = start("deep_compression_density", "mnist-cpu", __doc__ or "")
    torch.set_num_threads(1)
    task, settings = mnist(), SETTINGS[LeNet300]
    sealed = task.sealed()
    if rows.quick:
        settings = replace(settings, training_passes=2, pruning_passes=2, sharing_passes=1)
    for seed in (0,) if rows.quick else (0, 1, 2):
        model = None
        for density in DENSITIES[:1] if rows.quick else DENSITIES:
            subject = f"lenet300, density {density:g}"
            if rows.done(subject, seed) or not rows.wanted(f"{subject}.{seed}"):
                continue
            if model is None:
                model = uncompressed(LeNet300, task, settings, seed=seed)
            shared = compressed(model, task, replace(settings, density=density), seed)
            held = 100 * (1 - score(sealed, shared))
            rows.add(
                subject, "coded bytes", len(pack(shared, export(model, sealed))), "bytes", seed
            )
            rows.add(subject, "coded validation error", held, "%", seed)
            rows.add(subject, "done", 1, "", seed)
    rows.close()


def compressed(
    model: torch.nn.Module, task: Supervised, settings: Settings, seed: int
) -> torch.nn.Module:
    """The network pruned and with shared weights."""
    taught = shifted(task, model)
    for technique in steps_of(settings):
        model = apply(technique, model, taught, seed=seed)
    return model


if __name__ == "__main__":
    main()
