"""The trained networks that the benchmarks start from: `python benchmarks/baselines.py`.

LeNet-5 on MNIST, the text encoder on SST-2, the tagger on English-EWT and the network for tables on
Adult with three seeds, ResNet-20 and MobileNet on CIFAR-10 (the copy that SHOESTRING_DATA has) with
one. About two and a half hours on one core with bfloat16; goes on where it was interrupted, and
`--only mobilenet` or `--only lenet5.1` runs a part alone. Leaves the files of the seed that is
median on validation as results/files/baseline_NAME.shoe. --quick: 300 examples, one pass, one seed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import torch
from rows import FILES, RESULTS, Rows, start
from torch import nn

from shoestring.artifact import save
from shoestring.core import Task, prove, score, seeded
from shoestring.kit import Supervised, Training, train
from shoestring.recipes.baselines import NETWORKS, SETTINGS, baseline, shown
from shoestring.recipes.rows import Row

RUNS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Supervised], tuple[int, ...]]] = {
    name: (*made, (0,) if name in ("resnet20", "mobilenet") else (0, 1, 2))
    for name, made in NETWORKS.items()
}
FOLDER = RESULTS / "unfinished"


def main() -> None:
    rows = start("baselines", "mnist-sst2-ewt-adult-cifar10-jpeg-cpu", __doc__ or "")
    torch.set_num_threads(1)
    for name, (network, data, seeds) in RUNS.items():
        for seed in seeds[:1] if rows.quick else seeds:
            if not rows.done(name, seed) and rows.wanted(f"{name}.{seed}"):
                network_rows(rows, name, network, data(), seed)
    if rows.close() and not rows.quick:
        keep_medians(rows.rows)


def network_rows(
    rows: Rows, name: str, network: Callable[[], nn.Module], task: Supervised, seed: int
) -> None:
    """The rows and the file of one seed of a network."""
    with seeded(seed):
        untrained = network()
    settings = SETTINGS[type(untrained)]
    if rows.quick:
        few: dict[str, Any] = {
            split: first(getattr(task, split), 300) for split in ("train", "validation", "test")
        }
        task, settings = replace(task, **few), replace(settings, passes=1)
    path = FOLDER / f"baseline_{name}.{seed}{'.quick' if rows.quick else ''}.shoe"
    path.parent.mkdir(parents=True, exist_ok=True)
    model = baseline(untrained, task, path, settings=settings, seed=seed)
    rows.add(name, "validation error", 100 * (1 - score(task.sealed(), model)), "%", seed)
    rows.add(name, "test error", 100 * (1 - prove(path, task, seed=seed)), "%", seed)
    rows.add(name, "parameters", sum(p.numel() for p in model.parameters()), "", seed)
    rows.add(name, "file", path.stat().st_size, "bytes", seed)
    steps = settings.passes * -(-len(task.train[1]) // settings.batch_size)
    rows.add(
        name,
        "training: steps × time of a step",
        steps * seconds(untrained, shown(task, settings).sealed()) / 60,
        "minutes of a core",
        seed,
    )
    if not rows.quick:
        FILES.mkdir(parents=True, exist_ok=True)
        save(file_of(name, seed), path.read_bytes())
    rows.add(name, "done", 1, "", seed)
    path.unlink()
    shutil.rmtree(path.with_suffix(".unfinished"), ignore_errors=True)


def first(part: Any, count: int) -> Any:
    """The first examples of a split, whose inputs may be several."""
    return tuple(first(one, count) for one in part) if isinstance(part, tuple) else part[:count]


def seconds(model: nn.Module, task: Task) -> float:
    """Of the processor, for a training step.

    So that it is known of a training that was interrupted, too.
    """
    train(model.to(memory_format=torch.channels_last), task, Training(3))  # pyright: ignore[reportCallIssue]
    began = process_time()
    train(model, task, Training(20))
    return (process_time() - began) / 20


def file_of(name: str, seed: int | None = None) -> Path:
    """Where the file of a network is kept."""
    return FILES / f"baseline_{name}{'' if seed is None else f'.seed{seed}'}.shoe"


def keep_medians(rows: Sequence[Row]) -> None:
    """Of the seeds' files of each network, the one whose validation error is the median."""
    for name in RUNS:
        errors = {
            r["seed"]: r["value"]
            for r in rows
            if r["subject"] == name and r["metric"] == "validation error"
        }
        middle = sorted(errors, key=lambda seed: (errors[seed], seed))[len(errors) // 2]
        for seed in errors:
            path = file_of(name, seed)
            if seed == middle and path.exists():
                path.replace(file_of(name))
            else:
                path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
