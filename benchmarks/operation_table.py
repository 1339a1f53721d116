"""Milliseconds foretold without a file: `python benchmarks/operation_table.py`.

Fifty networks for pictures of 32×32 pixels, 25 each of `Cells` and of `Stages`, drawn at random.
Each is written as a file, which is measured five times, on one thread and by the thread's own time;
the median is the truth. Foretold by: `OperationTable` as it is; fitted to 12 other networks of the
space; `Drafted`, which measures a draft of the file. Beside it: a sixth measurement of the file;
multiplications and parameters, each times a constant that suits the 12 networks best, and
multiplications with a constant beside. No network that a number is fitted to is among the fifty.
Also the seconds that each way takes of the processor.

--quick: two small networks of each space, and a fit to four.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np
import torch
from rows import Rows, start
from torch import nn

from shoestring import save
from shoestring.artifact.scratch import scratch_folder
from shoestring.core import Task
from shoestring.meters import Latency
from shoestring.meters.latency import ThreadTime
from shoestring.search import Cells, Drafted, Fit, OperationTable, Stages
from shoestring.search.steps import steps_of
from shoestring.tasks import cifar10

METER = Latency(clock=ThreadTime(), repeats=7)
SPACES = {
    "cells": Cells(depths=(1,), sizes=2),
    "stages": Stages(),
}
NETWORKS, FITTED_TO, TIMES = 25, 12, 5
FILE, ONE_FILE, TABLE, FITTED, DRAFT = "file", "file, once", "table", "table, fitted", "draft"
MULTIPLIED, BESIDE, PARAMETERS = (
    "multiplications",
    "multiplications, and a constant",
    "parameters",
)
WAYS = (ONE_FILE, DRAFT, FITTED, TABLE, BESIDE, MULTIPLIED, PARAMETERS)


@dataclass
class Foretelling:
    """The ways to foretell the milliseconds of networks of one space.

    `seconds`: what each way took of the processor, for one network.
    """

    task: Task
    table: OperationTable
    fitted: OperationTable
    per_multiplication: float
    beside: Fit
    per_parameter: float
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """The milliseconds of a network by each way that needs no file."""
        multiplied = multiplications(network, self.task)
        drafted = Drafted(meter=METER)
        return {
            TABLE: self.table(network, self.task),
            FITTED: self.timed(FITTED, lambda: self.fitted(network, self.task)),
            DRAFT: self.timed(DRAFT, lambda: drafted(network, self.task)),
            MULTIPLIED: multiplied * self.per_multiplication,
            BESIDE: multiplied * self.beside.factor + self.beside.each,
            PARAMETERS: parameters(network) * self.per_parameter,
        }

    def timed(self, way: str, run: Callable[[], float]) -> float:
        """What `run` gives; its seconds are kept."""
        began = process_time()
        found = run()
        self.seconds.setdefault(way, []).append(process_time() - began)
        return found


def main() -> None:
    torch.set_num_threads(1)
    rows = start("operation_table", "amd-epyc-cpu", __doc__ or "")
    task = cifar10()
    with scratch_folder() as folder:
        for name, space in SPACES.items():
            if rows.wanted(name):
                _space(rows, name, space, task, folder)
    _summary(rows, list(SPACES), "both spaces")
    rows.close()


def _space(rows: Rows, name: str, space: Cells, task: Task, folder: Path) -> None:
    """The rows of a space: of each network, then over all of them."""
    if rows.done(name, None):
        return
    draw = random.Random(0)
    others = [
        space.made(space.drawn(draw)).network() for _ in range(4 if rows.quick else FITTED_TO)
    ]
    count = 2 if rows.quick else NETWORKS
    networks = [space.made(space.drawn(draw)).network() for _ in range(count)]
    for seed, network in enumerate(networks):
        if not rows.done(f"{name}: network", seed):
            _file(rows, f"{name}: network", seed, network, task, folder / "network.shoe")
    began = process_time()
    foretold = _fitted(others, task)
    rows.add(name, "table and fit", process_time() - began, "s of a core", timed=True)
    rows.add(name, "fit: factor", foretold.fitted.fit.factor, "", timed=True)
    rows.add(name, "fit: beside, for each", foretold.fitted.fit.each, "ms", timed=True)
    for seed, network in enumerate(networks):
        for way, milliseconds in foretold(network).items():
            rows.add(f"{name}: network", way, milliseconds, "ms", seed, timed=True)
    rows.add(name, "measurements in the table", foretold.fitted.measurements, "", timed=True)
    for way, seconds in foretold.seconds.items():
        rows.add(name, f"{way}: seconds", median(seconds), "s of a core", timed=True)
    _summary(rows, [name], name)
    rows.add(name, "done", 1, "")


def _file(rows: Rows, subject: str, seed: int, network: nn.Module, task: Task, path: Path) -> None:
    """The rows of a network's file. Its number is the seed."""
    began = process_time()
    save(network, task, path)
    rows.add(subject, "export", process_time() - began, "s of a core", seed, timed=True)
    once, *measured = [METER(path, task).milliseconds or 0.0 for _ in range(1 + TIMES)]
    rows.add(subject, FILE, median(measured), "ms", seed, timed=True)
    rows.add(subject, ONE_FILE, once, "ms", seed, timed=True)
    rows.add(subject, "done", 1, "", seed)


def _fitted(others: Sequence[nn.Module], task: Task) -> Foretelling:
    """The ways, with what they are fitted to these networks."""
    table, drafted = OperationTable(meter=METER), Drafted(meter=METER)
    fitted = table.fitted(others, task)
    measured = [median(drafted(one, task) for _ in range(3)) for one in others]
    multiplied = [multiplications(one, task) for one in others]
    weights = [float(parameters(one)) for one in others]
    return Foretelling(
        task,
        table,
        fitted,
        _constant(multiplied, measured),
        Fit.of(multiplied, [1] * len(others), measured),
        _constant(weights, measured),
    )


def _constant(known: Sequence[float], measured: Sequence[float]) -> float:
    """What one is multiplied by to get the other, with the least squares of relative errors."""
    ratio = np.array(known) / np.array(measured)
    return float(ratio.sum() / (ratio**2).sum())


def _summary(rows: Rows, names: Sequence[str], subject: str) -> None:
    """How wrong each way is, over the networks of some spaces."""
    for way in WAYS:
        truth, found = (_values(rows, names, metric) for metric in (FILE, way))
        wrong = np.abs(found / truth - 1)
        for metric, value, unit in (
            ("median error", 100 * np.median(wrong), "%"),
            ("within 15 %", 100 * np.mean(wrong <= 0.15), "% of the networks"),
            ("largest error", 100 * wrong.max(), "%"),
            ("rank correlation", np.corrcoef(_ranks(found), _ranks(truth))[0, 1], ""),
        ):
            rows.add(subject, f"{way}: {metric}", float(value), unit, timed=True)


def _values(rows: Rows, names: Sequence[str], metric: str) -> np.ndarray:
    subjects = {f"{name}: network" for name in names}
    return np.array(
        [r["value"] for r in rows.rows if r["subject"] in subjects and r["metric"] == metric]
    )


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values))


def multiplications(network: nn.Module, task: Task) -> float:
    """How many multiplications a network of cells does for one example: of its weights."""
    steps, count = steps_of(network, task), 0
    for step in steps.steps:
        if step.operator in ("Conv", "Gemm"):
            weight, given = (steps.values[one].shape for one in (step.inputs[1], step.output))
            count += prod(given) * (prod(weight[1:]) if step.operator == "Conv" else weight[0])
    return float(count)


def parameters(network: nn.Module) -> int:
    """How many parameters a network has."""
    return sum(one.numel() for one in network.parameters())


if __name__ == "__main__":
    main()
