"""Deep Compression on MNIST, stage by stage, three seeds: `python benchmarks/deep_compression.py`.

About 40 minutes on one core; goes on where it was interrupted. Leaves the file of the seed that is median on validation
under results/files/. --quick: 2 passes of training and 2 of pruning, LeNet-300-100, one seed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from rows import FILES, start

from shoestring.artifact import save
from shoestring.models import LeNet5, LeNet300
from shoestring.recipes.deep_compression import Settings, deep_compression
from shoestring.tasks import mnist

NAMES = {LeNet300: "lenet300", LeNet5: "lenet5"}


def main() -> None:
    rows = start("deep_compression", __doc__ or "")
    torch.set_num_threads(1)
    task = mnist()
    seeds = (0,) if rows.quick else (0, 1, 2)
    quick = Settings(training_passes=2, pruning_passes=2, sharing_passes=1)
    FILES.mkdir(parents=True, exist_ok=True)
    for network, name in NAMES.items():
        if (rows.only and rows.only not in name) or (rows.quick and network is LeNet5):
            continue
        for seed in seeds:
            if rows.done(name, seed):
                continue
            with tempfile.TemporaryDirectory() as folder:
                stages = deep_compression(network, task, Path(folder), settings=quick if rows.quick else None, seed=seed)
                data = (Path(folder) / "coded.shoe").read_bytes()
            for stage in stages:
                rows.add(name, f"{stage.name} bytes", stage.bytes, "bytes", seed)
                rows.add(name, f"{stage.name} validation error", 100 * (1 - stage.validation), "%", seed)
                rows.add(name, f"{stage.name} test error", 100 * (1 - stage.test), "%", seed)
            rows.add(name, "ratio", stages[0].bytes / stages[-1].bytes, "times", seed)
            if not rows.quick:
                save(FILES / f"{name}_deep_compression.seed{seed}.shoe", data)
            rows.add(name, "done", 1, "", seed)
        if not rows.quick:
            _keep_median(name, rows.rows)
    rows.close()


def _keep_median(name: str, rows: list[dict]) -> None:
    """Of the seeds' files, the one whose validation error is the median."""
    errors = {
        row["seed"]: row["value"] for row in rows if row["subject"] == name and row["metric"] == "coded validation error"
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
