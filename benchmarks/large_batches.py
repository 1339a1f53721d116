"""Large batches, and eight workers that wait or do not: `python benchmarks/large_batches.py`.

Text: words and hashed pairs of words (30,000 buckets) of SST-2, by `NgramClassifier`, 10 passes: a
batch changes few rows of its table. Dense: LeNet-5 on 10,000 pictures of MNIST, 5 passes. Batches
of 32, 256 and 2,048, as many examples in all. "Waiting" is one batch at a time, as one process or
eight workers make it that wait, an eighth each; "late" are eight workers that do not wait, with
such a batch each, so that waiting with 256 takes eight workers the time of late ones with 32, but
for what they wait. SGD, Adagrad and AdamW, and for 256 and 2,048 also LARS and LAMB, waiting.
Momentum is 0.9 where workers wait and 0 where they do not: lateness is a momentum by itself
(Mitliagkas et al. 2016). Each has the rate with the best validation score, a mean of two seeds of
their own, of rates a factor of 2 apart around the rule of `scaled_to_batch`; further ones are tried
where the best is at an end. Three seeds; the file's error on test data. The workers' gradients are
real, and their order is simulated. Rows of the gradient noise scale, at the beginning and at the
end. With `pip install pytorch-optimizer`, LARS and LAMB are compared with that library's too.
Goes on where it was interrupted; `--only Text` takes about an hour of a core, MNIST two.
--quick: one seed, a tenth of the text, three rates, no batches of 2,048.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import fmean, median
from time import process_time

import torch
from rows import Rows, start
from torch import Tensor, nn

from shoestring.artifact import load
from shoestring.artifact.scratch import scratch_folder
from shoestring.core import score, seeded
from shoestring.kit import (
    LAMB,
    LARS,
    SGD,
    Adagrad,
    AdamW,
    DivergedError,
    Supervised,
    Training,
    save,
    train,
)
from shoestring.kit.training.layerwise import LayerwiseAdam, LayerwiseSGD, by_layer
from shoestring.models import LeNet5, NgramClassifier
from shoestring.parallel import (
    SimulatedAsynchronous,
    StepTimes,
    gradient_health,
    scaled_to_batch,
)
from shoestring.recipes.running import few
from shoestring.tasks import mnist, sst2, sst2_vocabulary

SEEDS, CHOSEN_BY = (0, 1, 2), (100, 101)
BASE, BATCHES = 32, (32, 256, 2048)
WORKERS = 8
BUCKETS, WORDS = 30_000, 64
WAITING, LATE = "waiting", "late"
FARTHEST = 5
"""Factors of 4 from the rule, at most."""


@dataclass(frozen=True)
class Problem:
    """A task with batches of 32, a network, its passes, and the rates for these batches."""

    task: Callable[[], Supervised]
    build: Callable[[], nn.Module]
    passes: int
    rates: dict[str, float]


def _text() -> Supervised:
    """SST-2 as the ids of words and of hashed pairs of neighbouring words."""
    task = sst2(batch_size=BASE)
    pairs = {
        name: (_with_pairs(getattr(task, name)[0]), getattr(task, name)[1])
        for name in ("train", "validation", "test")
    }
    return replace(task, **pairs, prepare=None, axes={})


def _with_pairs(ids_NT: Tensor) -> Tensor:
    """The ids of a text's words, and behind them those of its pairs of neighbouring words."""
    words_NT = ids_NT[:, :WORDS]
    first, second = words_NT[:, :-1], words_NT[:, 1:]
    hashed = (first * 1_000_003 + second * 8_191) % BUCKETS + len(sst2_vocabulary())
    return torch.cat([words_NT, hashed * (second != 0)], 1)


PROBLEMS = {
    "Text": Problem(
        _text,
        lambda: NgramClassifier(len(sst2_vocabulary()) + BUCKETS, 2),
        10,
        {"SGD": 0.5, "Adagrad": 0.1, "AdamW": 3e-3, "LARS": 1.0, "LAMB": 1e-2},
    ),
    "MNIST": Problem(
        lambda: few(mnist(batch_size=BASE), 10_000, 5_000),
        LeNet5,
        5,
        {"SGD": 0.02, "Adagrad": 0.01, "AdamW": 1e-3, "LARS": 0.1, "LAMB": 1e-2},
    ),
}


@dataclass(frozen=True)
class Cell:
    """An optimizer, a batch, and whether workers wait."""

    optimizer: str
    batch: int
    way: str

    def subject(self, name: str) -> str:
        return f"{name}, {self.optimizer}, batch {self.batch}, {self.way}"


def cells(*, quick: bool = False) -> Iterator[Cell]:
    """Those with the fewest steps first; without the largest batches where it has to be quick."""
    for batch in reversed(BATCHES[:2] if quick else BATCHES):
        for way in (WAITING, LATE):
            for optimizer in ("SGD", "Adagrad", "AdamW"):
                yield Cell(optimizer, batch, way)
        if batch > BASE:
            yield Cell("LARS", batch, WAITING)
            yield Cell("LAMB", batch, WAITING)


def training_of(problem: Problem, cell: Cell, examples: int, passes: int, factor: float):
    """The training of a cell: that of batches of 32, scaled to its batch, at a multiple of the
    rate."""
    momentum, rate = 0.9 if cell.way == WAITING else 0.0, factor * problem.rates[cell.optimizer]
    optimizer = {
        "SGD": SGD(rate, momentum=momentum),
        "Adagrad": Adagrad(rate),
        "AdamW": AdamW(rate, momentum=momentum),
        # LARS gives biases the plain rate: with this trust it is near that of SGD.
        "LARS": LARS(rate, momentum=momentum, trust=0.02),
        "LAMB": LAMB(rate, momentum=momentum),
    }[cell.optimizer]
    scaled = scaled_to_batch(
        Training(passes * -(-examples // BASE), optimizer), cell.batch, base=BASE
    )
    workers = SimulatedAsynchronous(StepTimes.equal(WORKERS)) if cell.way == LATE else None
    return replace(scaled, workers=workers)


def main() -> None:
    torch.set_num_threads(1)
    rows = start("large_batches", "sst2-mnist-cpu", __doc__ or "", seeds=True)
    for name, problem in PROBLEMS.items():
        chosen = [*cells(quick=rows.quick)]
        subjects = [cell.subject(name) for cell in chosen]
        wanted = any(map(rows.wanted, [*subjects, f"{name}, gradients"]))
        if not wanted or (rows.quick and name != "Text"):
            continue
        task = problem.task()
        if rows.quick:
            task = few(task, len(task.train[1]) // 10, 500)
        passes = 2 if rows.quick else problem.passes
        if rows.wanted(f"{name}, gradients"):
            noise(rows, name, problem, task, passes)
        for cell in chosen:
            if rows.wanted(cell.subject(name)):
                one(rows, cell.subject(name), problem, task, cell, passes)
    if rows.wanted("peer"):
        peer(rows)
    rows.close()


def one(
    rows: Rows, subject: str, problem: Problem, task: Supervised, cell: Cell, passes: int
) -> None:
    """The rows of a cell: its rate and its scores."""

    def trained(factor: float, seed: int) -> nn.Module:
        training = training_of(problem, cell, len(task.train[1]), passes, factor)
        with seeded(seed):
            batched = replace(task, batch_size=cell.batch)
            return train(problem.build(), batched.sealed(), training, what="batches").eval()

    def tried(power: int) -> float:
        """The validation score at 2 to this power times the rate, a mean of two seeds."""
        scores = []
        for seed in CHOSEN_BY:
            name = f"{subject}, rate times 2^{power}"
            if not rows.done(name, seed):
                try:
                    error = 100 * (1 - score(task, trained(2.0**power, seed)))
                except DivergedError:
                    error = 100.0
                rows.add(name, "validation error", error, "%", seed)
                rows.add(name, "done", 1, "", seed)
            scores += [
                -row["value"]
                for row in rows.rows
                if (row["subject"], row["seed"]) == (name, seed)
                and row["metric"] == "validation error"
            ]
        return fmean(scores)

    best = _best(tried, extended=not rows.quick)
    for seed in (0,) if rows.quick else SEEDS:
        if rows.seed not in (None, seed) or rows.done(subject, seed):
            continue
        began = process_time()
        try:
            model = trained(2.0**best, seed)
        except DivergedError as error:
            print(f"{subject}, seed {seed}: {error}", flush=True)
            rows.add(subject, "test error", 100.0, "%", seed)
            rows.add(subject, "done", 1, "", seed)
            continue
        training = training_of(problem, cell, len(task.train[1]), passes, 2.0**best)
        rows.add(subject, "seconds of a core", process_time() - began, "s", seed, timed=True)
        rows.add(subject, "learning rate", training.optimizer.learning_rate, "", seed)
        rows.add(subject, "times the rule's rate", 2.0**best, "", seed)
        rows.add(subject, "gradients", training.steps, "", seed)
        rows.add(subject, "validation error", 100 * (1 - score(task, model)), "%", seed)
        with scratch_folder() as folder:
            path = folder / "one.shoe"
            save(model, task.sealed(), path)
            rows.add(subject, "test error", 100 * (1 - score(task, load(path), "test")), "%", seed)
        rows.add(subject, "done", 1, "", seed)


def _best(tried: Callable[[int], float], *, extended: bool) -> int:
    """The power of 2 with the best score: first 4 apart until the best is inside, then 2."""
    found = {power: tried(power) for power in (-2, 0, 2)}
    for _ in range(FARTHEST if extended else 0):
        best = max(found, key=lambda power: found[power])
        if min(found) < best < max(found):
            break
        farther = best - 2 if best == min(found) else best + 2
        found[farther] = tried(farther)
    best = max(found, key=lambda power: found[power])
    found |= {power: tried(power) for power in (best - 1, best + 1) if extended}
    return max(found, key=lambda power: found[power])


def noise(rows: Rows, name: str, problem: Problem, task: Supervised, passes: int) -> None:
    """The rows of the gradient noise scale, before and after a training with batches of 32."""
    cell = Cell("AdamW", BASE, WAITING)
    training = training_of(problem, cell, len(task.train[1]), passes, 1.0)
    with seeded(0):
        model = problem.build()
    for when in ("at the beginning", "at the end"):
        subject = f"{name}, gradients, {when}"
        if when == "at the end" and not rows.done(subject, 0):
            with seeded(0):
                train(model, task.sealed(), training, what="noise")
        if not rows.done(subject, 0):
            whole = gradient_health(model, task.sealed(), looked_at=16 if rows.quick else 128).whole
            for metric, value in (
                ("noise scale", whole.noise_scale),
                ("noise scale, low", whole.low),
                ("noise scale, high", whole.high),
            ):
                if value is not None and value != float("inf"):
                    rows.add(subject, metric, value, "examples", 0)
            rows.add(subject, "zero gradients", 100 * whole.zeros, "%", 0)
            rows.add(subject, "done", 1, "", 0)


def peer(rows: Rows) -> None:
    """Weights after 200 steps with given gradients, by that library and by ours, and their time.

    That library's LAMB corrects the mean of gradients after the step got its size, by which first
    steps are ten times as long as published, and takes a layer longer than 10 as one of 10. So it
    is compared without momentum, on shorter layers; there the other correction makes no difference.
    """
    try:
        theirs = importlib.import_module("pytorch_optimizer")
    except ImportError:
        print("no pytorch-optimizer: nothing to compare LARS and LAMB with", flush=True)
        return
    lars = {"momentum": 0.9, "weight_decay": 1e-3}
    pairs = {
        "LARS": (
            lambda given: theirs.LARS(given, lr=0.5, trust_coefficient=1e-2, **lars),
            lambda given: LayerwiseSGD(by_layer([{"params": given}]), 0.5, trust=1e-2, **lars),
        ),
        "LAMB": (
            lambda given: theirs.Lamb(given, lr=1e-2, betas=(0.0, 0.999), eps=1e-6),
            lambda given: LayerwiseAdam(
                by_layer([{"params": given}]), 1e-2, momentum=0.0, weight_decay=0.0
            ),
        ),
    }
    for name, made in pairs.items():
        subject = f"peer, {name}"
        if rows.done(subject, 0):
            continue
        with seeded(0):
            layers = [0.2 * p.detach() for p in LeNet5().parameters() if p.ndim > 1]
            gradients = [[0.1 * torch.randn_like(p) for p in layers] for _ in range(200)]
        ends, times = [], []
        for one_of_both in made:
            given = [nn.Parameter(p.clone()) for p in layers]
            optimizer, took = one_of_both(given), []
            for step in gradients:
                for p, gradient in zip(given, step, strict=True):
                    p.grad = gradient.clone()
                began = process_time()
                optimizer.step()
                took.append(process_time() - began)
            ends.append(torch.cat([p.detach().flatten() for p in given]))
            times.append(1000 * median(took))
        away = (ends[0] - ends[1]).norm() / (
            ends[0] - torch.cat([p.flatten() for p in layers])
        ).norm()
        rows.add(subject, "difference, of the way", float(away), "", 0)
        for who, milliseconds in zip(("theirs", "ours"), times, strict=True):
            rows.add(subject, f"a step, {who}", milliseconds, "ms", 0, timed=True)
        rows.add(subject, "done", 1, "", 0)


if __name__ == "__main__":
    main()
