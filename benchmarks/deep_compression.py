"""Deep Compression on MNIST, stage by stage, three seeds: `python benchmarks/deep_compression.py`.

About 40 minutes on one core; goes on where it was interrupted, and `--only lenet5.2` runs one seed
alone. Leaves the file of the seed that is median on validation under results/files/. --quick: 2
passes of training and 2 of pruning, LeNet-300-100, one seed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rows import FILES, start

from shoestring.artifact import save
from shoestring.models import LeNet5, LeNet300
from shoestring.recipes.deep_compression_lenets import SETTINGS, deep_compression
from shoestring.recipes.rows import Row
from shoestring.tasks import mnist

RUNS = {
    "lenet300": (LeNet300, SETTINGS[LeNet300]),
    "lenet5": (LeNet5, SETTINGS[LeNet5]),
}


def main() -> None:
    rows = start("deep_compression", "mnist-cpu", __doc__ or "")
    torch.set_num_threads(1)
    task = mnist()
    seeds = (0,) if rows.quick else (0, 1, 2)
    FILES.mkdir(parents=True, exist_ok=True)
    for name, (network, settings) in RUNS.items():
        if rows.quick:
            if name != "lenet300":
                continue
            settings = replace(settings, training_passes=2, pruning_passes=2, sharing_passes=1)
        for seed in seeds:
            if rows.done(name, seed) or not rows.wanted(f"{name}.{seed}"):
                continue
            with tempfile.TemporaryDirectory() as folder:
                stages = deep_compression(network, task, Path(folder), settings=settings, seed=seed)
                data = (Path(folder) / "coded.shoe").read_bytes()
            for stage in stages:
                rows.add(name, f"{stage.name} bytes", stage.bytes, "bytes", seed)
                rows.add(
                    name, f"{stage.name} validation error", 100 * (1 - stage.validation), "%", seed
                )
                rows.add(name, f"{stage.name} test error", 100 * (1 - stage.test), "%", seed)
            rows.add(name, "ratio", stages[0].bytes / stages[-1].bytes, "times", seed)
            if not rows.quick:
                save(FILES / f"{name}_deep_compression.seed{seed}.shoe", data)
            rows.add(name, "done", 1, "", seed)
    if rows.close() and not rows.quick:
        for name in RUNS:
            _keep_median(name, rows.rows)


def _keep_median(name: str, rows: Sequence[Row]) -> None:
    """Of the seeds' files, the one whose validation error is the median."""
    errors = {
        row["seed"]: row["value"]
        for row in rows
        if row["subject"] == name and row["metric"] == "coded validation error"
    }
    median = sorted(errors, key=lambda seed: (errors[seed], seed))[len(errors) // 2]
    for seed in errors:
        path = FILES / f"{name}_deep_compression.seed{seed}.shoe"
        if seed == median and path.exists():
            path.replace(FILES / f"{name}_deep_compression.shoe")
        else:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
