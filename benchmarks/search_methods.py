"""Ways to search a space of networks, beside random choice: `python benchmarks/search_methods.py`.

10,000 pictures of CIFAR-10 for training and 2,000 for validation. Networks of `Stages` and of
`Cells` within 4 million operations and 24 KB at 4 bits a weight. Every way trains as much as nine
networks take fully (600 steps of 64 pictures each): begins with a ninth of a training, and trains
the better third for a third, and the better third of these fully. So all have the same steps; who
proposes ever better networks trains more of them for longer, and begins fewer. Then the file of the
network that is best on validation data, on test data. `ahead of random` counts the seeds in which a
way's test score is above that of random choice; `gain` is the mean difference, with a 95 % interval
of Student's t. The peer is Optuna's TPE, which gets numbers as numbers, other decisions as
categories, and what breaks a limit as pruned. Searchers have their defaults. Five seeds. Goes on
where it was interrupted, network by network; about ten minutes of a core a way and seed.
--quick: one seed, 3 trainings, 60 steps, 1,000 pictures: too few for a conclusion.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import mean, stdev
from time import process_time
from typing import Any

import optuna
import torch
from rows import RESULTS, Rows, metrics, start
from scipy.stats import t

from shoestring.artifact import load
from shoestring.artifact.scratch import scratch_folder
from shoestring.core import score
from shoestring.kit import AdamW, Averaged, Supervised, Training
from shoestring.recipes.running import few
from shoestring.search import (
    AtRandom,
    Cells,
    Controller,
    Course,
    Decision,
    Evolution,
    Found,
    GradientNorm,
    Halving,
    LinearRegions,
    Method,
    ParameterCount,
    Picks,
    Screening,
    Searcher,
    Space,
    Stages,
    find,
)
from shoestring.tasks import cifar10

LIMITS = "operations<=4M, size<=24KB"
SPACES: dict[str, Space] = {"stages": Stages(), "cells": Cells(widths=(4, 8), depths=(1,))}
SEEDS = range(5)
TRAININGS, STEPS = 9.0, 600


class TPE(Searcher):
    """Optuna's tree-structured Parzen estimator, with the decisions as categories."""

    def begun(self, space: Space, seed: int) -> Course:
        return _TPE(space, seed)


class _TPE(Course):
    def __init__(self, space: Space, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed)
        )
        self.choices: dict[str, Any] = {
            f"{number}": _distribution(one) for number, one in enumerate(space.decisions)
        }
        self.begun: dict[Picks, optuna.Trial] = {}

    def ask(self) -> Picks:
        trial = self.study.ask(self.choices)
        picks = tuple(trial.params[name] for name in self.choices)
        self.begun[picks] = trial
        return picks

    def tell(self, picks: Picks, reward: float) -> None:
        if (trial := self.begun.pop(picks, None)) is not None:
            self.study.tell(trial, reward)
        else:  # drawn by the search, as what was asked for broke a limit
            params = dict(zip(self.choices, picks, strict=True))
            self.study.add_trial(
                optuna.create_trial(params=params, distributions=self.choices, value=reward)
            )

    def refused(self, picks: Picks) -> None:
        if (trial := self.begun.pop(picks, None)) is not None:
            self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)


def _distribution(decision: Decision) -> Any:
    """The index of an option: a number where the options are numbers, which have an order."""
    count = len(decision.options)
    if all(isinstance(one, int | float) for one in decision.options):
        return optuna.distributions.IntDistribution(0, count - 1)
    return optuna.distributions.CategoricalDistribution(range(count))


@dataclass(frozen=True)
class Way:
    """A way to search."""

    searcher: Searcher
    screening: Screening | None = None
    halving: Halving = field(default_factory=Halving)


WAYS = {
    "random": Way(AtRandom()),
    "random, no halving": Way(AtRandom(), halving=Halving(rungs=0)),
    "evolution": Way(Evolution()),
    "controller": Way(Controller()),
    "TPE (Optuna)": Way(TPE()),
    "random, screened by parameters": Way(AtRandom(), Screening(ParameterCount())),
    "random, screened by linear regions": Way(AtRandom(), Screening(LinearRegions())),
    "random, screened by the gradient norm": Way(AtRandom(), Screening(GradientNorm())),
    "evolution, screened by linear regions": Way(Evolution(), Screening(LinearRegions())),
}


def main() -> None:
    torch.set_num_threads(1)
    pictures = cifar10(batch_size=64)
    rows = start("search_methods", f"{pictures.name}-cpu", __doc__ or "", seeds=True)
    task = few(pictures, 1_000, 300) if rows.quick else few(pictures, 10_000, 2_000)
    for seed in (0,) if rows.quick else SEEDS:
        for space in SPACES:
            for way in WAYS:
                subject = f"{space}, {way}"
                wanted = rows.seed in (None, seed) and rows.wanted(subject)
                if wanted and not rows.done(subject, seed):
                    one(rows, subject, SPACES[space], WAYS[way], task, seed)
    compared(rows)
    rows.close()


def one(rows: Rows, subject: str, space: Space, way: Way, task: Supervised, seed: int) -> None:
    """The rows of one search."""
    quick = ".quick" if rows.quick else ""
    folder = (
        RESULTS / "unfinished" / f"search_methods{quick}" / f"{subject.replace(', ', '_')} {seed}"
    )
    steps, trainings = (60, 3.0) if rows.quick else (STEPS, TRAININGS)
    before = process_time()
    found = find(
        task,
        space,
        LIMITS,
        folder,
        method=Method(
            searcher=way.searcher,
            screening=way.screening,
            halving=way.halving,
            trainings=trainings,
        ),
        training=Training(steps, AdamW(3e-3), statistics=Averaged()),
        minutes=24 * 60,
        seed=seed,
    )
    seconds = process_time() - before
    best = found.best
    rows.add(subject, "networks begun", len(found.candidates), "", seed)
    rows.add(subject, "full trainings", sum(one.fidelity for one in found.trials), "", seed)
    rows.add(subject, "seconds of a core", seconds, "s", seed, timed=True)
    rows.add(subject, "refused", found.refused, "networks", seed)
    rows.add(subject, "validation", 100 * (best.score or 0.0), "%", seed)
    rows.add(subject, "test", 100 * tested(found, task), "%", seed)
    rows.add(subject, "operations", best.estimate.operations or 0, "", seed)
    rows.add(subject, "bytes at 4 bits a weight", best.estimate.bytes or 0, "B", seed)
    rows.add(subject, "done", 1, "", seed)


def tested(found: Found, task: Supervised) -> float:
    """The test score of the best file, read once."""
    assert found.best.file is not None, "no network was trained fully"
    with scratch_folder() as folder:
        path = folder / "best.shoe"
        path.write_bytes(found.best.file)
        return score(task, load(path), "test")


def compared(rows: Rows) -> None:
    """How far each way is ahead of random choice, and in how many seeds."""
    for space in SPACES:
        seeds = sorted({row["seed"] for row in rows.rows if row["seed"] is not None})
        for way in list(WAYS)[1:]:
            subject, gains = f"{space}, {way}", list[float]()
            for seed in seeds:
                of_seed = [row for row in rows.rows if row["seed"] == seed]
                mine = metrics(of_seed, subject).get("test")
                its = metrics(of_seed, f"{space}, random").get("test")
                if mine is not None and its is not None:
                    gains.append(mine - its)
            if not gains or len(gains) < len(seeds) or rows.has(subject, "ahead of random"):
                continue
            rows.add(subject, "ahead of random", sum(one > 0 for one in gains), "seeds")
            rows.add(subject, "gain", mean(gains), "points")
            if len(gains) > 1:
                half = t.ppf(0.975, len(gains) - 1) * stdev(gains) / len(gains) ** 0.5
                rows.add(subject, "half of its interval", half, "points")


if __name__ == "__main__":
    main()
