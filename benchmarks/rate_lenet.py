"""The LeNets on MNIST trained for the length of their code, three seeds.

`python benchmarks/rate_lenet.py`.
About two hours on one core for all; goes on where it was interrupted, and `--only lenet5.2` runs
one seed alone. Leaves the files of the seed that is median on validation under results/files/.
--quick: LeNet-300-100, a few passes, one seed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from rows import FILES, RESULTS, Rows, start
from torch import nn

from shoestring.artifact import save
from shoestring.kit import Supervised, Training, clone, compressible, parameter_bytes, taught, train
from shoestring.models import LeNet5, LeNet300
from shoestring.quantize.rate import Price, Priced
from shoestring.recipes.rate import SETTINGS, Point, rate_lenet
from shoestring.recipes.rows import Row
from shoestring.tasks import mnist

RUNS: dict[str, type[nn.Module]] = {"lenet300": LeNet300, "lenet5": LeNet5}


def main() -> None:
    rows = start("rate_lenet", "mnist-cpu", __doc__ or "")
    torch.set_num_threads(1)
    task = mnist()
    seeds = (0,) if rows.quick else (0, 1, 2)
    for seed in seeds:
        for name, network in RUNS.items():
            if not rows.quick or name == "lenet300":
                points(rows, name, network, rate_lenet, task, seed)
    if rows.wanted("cost") and not rows.quick:
        rows.add(
            "lenet5", "time of a step of Rate against a plain one", cost(task), "times", timed=True
        )
    if rows.close() and not rows.quick:
        keep_medians(RUNS, rows.rows)


def points(
    rows: Rows, name: str, network: type[nn.Module], recipe: Callable, task: Supervised, seed: int
) -> None:
    """The rows and files of one seed of a network."""
    if rows.done(name, seed) or not rows.wanted(f"{name}.{seed}"):
        return
    settings = SETTINGS[network]
    if rows.quick:
        settings = replace(settings, training_passes=2, rate_passes=4, prices=settings.prices[:1])
    folder = RESULTS / "unfinished" / f"{name}.{seed}{'.quick' if rows.quick else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    uncompressed = parameter_bytes(network())

    def said(point: Point) -> None:
        subject = f"{name}, price {point.price:g}" if point.price else f"{name}, uncompressed"
        if any(row["subject"] == subject and row["seed"] == seed for row in rows.rows):
            return  # of a run that was interrupted
        rows.add(subject, "size", point.bytes, "bytes", seed)
        rows.add(subject, "validation error", 100 * (1 - point.validation), "%", seed)
        rows.add(subject, "test error", 100 * (1 - point.test), "%", seed)
        rows.add(subject, "ratio", uncompressed / point.bytes, "times", seed)
        if point.price and not rows.quick:
            FILES.mkdir(parents=True, exist_ok=True)
            save(
                file_of(name, point.price, seed),
                (folder / f"price_{point.price:g}.shoe").read_bytes(),
            )

    recipe(network, task, folder, settings=settings, seed=seed, say=said)
    rows.add(name, "done", 1, "", seed)
    shutil.rmtree(folder)


def file_of(name: str, price: float, seed: int | None = None) -> Path:
    """Where the file of a point is kept."""
    return FILES / f"{name}_rate_{price:g}{'' if seed is None else f'.seed{seed}'}.shoe"


def keep_medians(runs: dict[str, type[nn.Module]], rows: Sequence[Row]) -> None:
    """Of the seeds' files of each point, the one whose validation error is the median."""
    for name, network in runs.items():
        for price in SETTINGS[network].prices:
            subject = f"{name}, price {price:g}"
            errors = {
                r["seed"]: r["value"]
                for r in rows
                if r["subject"] == subject and r["metric"] == "validation error"
            }
            middle = sorted(errors, key=lambda seed: (errors[seed], seed))[len(errors) // 2]
            for seed in errors:
                path = file_of(name, price, seed)
                if seed == middle and path.exists():
                    path.replace(file_of(name, price))
                else:
                    path.unlink(missing_ok=True)


def cost(task: Supervised) -> float:
    """How many times the time of a plain training step one of Rate takes.

    Taught alike, by turns, the median of seven.
    """
    plain = LeNet5()
    shown = taught(task, plain)
    rated = clone(plain)
    weights = compressible(rated, "rate", axes=1)
    for weight in weights:
        weight.round(weight.value().std() + 1e-3)
    priced = Priced(shown, [Price(weight) for weight in weights], 1e-5)

    def read(step: int) -> None:
        if step % 20 == 0:
            for one in priced.prices:
                one.read()

    def seconds(run: Callable[[], object]) -> float:
        began = perf_counter()
        run()
        return perf_counter() - began

    pairs = [
        (
            seconds(lambda: train(plain, shown, Training(40))),
            seconds(lambda: train(rated, priced, Training(40), before_step=read)),
        )
        for _ in range(8)
    ]
    return median(ours / theirs for theirs, ours in pairs[1:])


if __name__ == "__main__":
    main()
