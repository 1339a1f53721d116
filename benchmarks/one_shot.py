"""One picture of each character: the 20 one-shot runs of Omniglot, `python benchmarks/one_shot.py`.

Bodies are trained on six alphabets of the two small background sets (201 characters), by episodes
(prototypes, attention) or to classify; Greek is validated on. Beside them what needs no training:
the modified Hausdorff distance, as the runs' authors have it, and the nearest picture in pixels;
and a new network on each run's 20 pictures. Then the label curve on Tagalog, an alphabet that
nothing was trained or chosen on: prototypes of 1 to 8 pictures a character, and all weights of the
classifier, trained on as many. Three seeds, but one for the two ways that train all weights on each
run; the seed draws first weights, episodes and pictures.

Goes on where it was interrupted; about ten minutes of a core. --quick: 100 steps.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from math import isnan
from pathlib import Path
from time import process_time
from typing import ClassVar

import numpy as np
import torch
from rows import Rows, start
from scipy.spatial.distance import cdist
from torch import Tensor, nn

from shoestring.adapt import (
    BeforeLastLinear,
    ByAttention,
    Frozen,
    Matching,
    ModelOutputs,
    NewHead,
    Prototypes,
    ToPrototype,
)
from shoestring.core import Stage, Task, Technique, prove, score, seeded
from shoestring.kit import AdamW, Mixed, Supervised, Training, resuming, save, train
from shoestring.models import Conv4
from shoestring.recipes.one_picture_each import (
    HELD_OUT,
    QUICK,
    TRAINING,
    VALIDATION,
    few_pictures,
    jittered,
    known_alphabets,
    one_shot,
    quarter_turns,
    runs_error,
)
from shoestring.tasks import Characters, omniglot_runs, omniglot_small

SEEDS = (0, 1, 2)
SIDE = {"classifier, all weights", "new network"}
"""Of what one seed is run."""
EACH = (1, 2, 3, 5, 8, 10)
"""Pictures of each character, on the label curve."""
HEAD = Training(60, AdamW(1e-2), precision=Mixed())
ALL = Training(80, AdamW(3e-3), precision=Mixed())
"""Of a new head, and of all weights."""


@dataclass(frozen=True, kw_only=True)
class AllWeights(Technique):
    """A new head on a classifier, and the training of all weights."""

    stage: ClassVar = Stage.LABELS

    training: Training = ALL

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        made = Frozen(trained=NewHead(BeforeLastLinear()), training=HEAD)(model, task)
        return train(made, task, self.training, what="training all weights")


@dataclass(frozen=True, kw_only=True)
class NewNetwork(Technique):
    """A new network, trained on nothing but the pictures."""

    stage: ClassVar = Stage.LABELS

    training: Training = ALL

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        made = Conv4(classes=20).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return train(made.train(model.training), task, self.training)


def classifier(background: Characters, training: Training, seed: int) -> nn.Module:
    """A network that was trained to tell all background characters apart."""
    more = quarter_turns(background)
    data = more.pictures, more.labels
    task = Supervised(train=data, validation=data, batch_size=120, augment=jittered)
    with seeded(seed):
        model = Conv4(classes=len(more.alphabets)).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return train(model, task, training, what="training a classifier")


def hausdorff(first: Tensor, second: Tensor) -> float:
    """The modified Hausdorff distance of two pictures' ink (Dubuisson & Jain 1994)."""
    one, other = (np.argwhere(x[0].numpy() > 0.5).astype(float) for x in (first, second))
    apart = cdist(one - one.mean(0), other - other.mean(0))
    return max(apart.min(0).mean(), apart.min(1).mean())


def untrained(rows: Rows) -> None:
    """The two baselines that train nothing."""
    if rows.wanted(subject := "modified Hausdorff") and not rows.done(subject, None):
        wrong, count = 0, 0
        for run in omniglot_runs(side=105)[: 4 if rows.quick else 20]:
            assert run.test is not None
            for query, label in zip(*run.test, strict=True):
                distances = [hausdorff(query, known) for known in run.train[0]]
                wrong, count = wrong + (int(np.argmin(distances)) != int(label)), count + 1
        rows.add(subject, "test error", 100 * wrong / count, "%")
        rows.add(subject, "labels", 20, "labels")
        rows.add(subject, "done", 1, "")
    if rows.wanted(subject := "nearest in pixels") and not rows.done(subject, None):
        error = runs_error(Prototypes(features=ModelOutputs()), nn.Flatten(), omniglot_runs())
        rows.add(subject, "test error", 100 * error, "%")
        rows.add(subject, "labels", 20, "labels")
        rows.add(subject, "done", 1, "")


def body(which: str, seed: int, quick: bool) -> tuple[nn.Module, float, float]:
    """(body, its validation score or NaN, minutes or NaN); kept for runs that go on.

    A training that was interrupted has no minutes.
    """
    path = _kept() / f"{which}_{seed}{'_quick' * quick}.pt"
    if path.exists():
        weights, right, minutes = torch.load(path, weights_only=True)
        network = Conv4(classes=len(weights["head.bias"]) if which == "classifier" else None)
        network.load_state_dict(weights)
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return network, right, minutes
    background, validation = known_alphabets(), omniglot_small().of(VALIDATION)
    training, began = QUICK if quick else TRAINING, process_time()
    unfinished = path.with_suffix(".unfinished")
    is_whole = not unfinished.exists()
    with resuming(unfinished):
        if which == "classifier":
            network, right = classifier(background, training, seed), float("nan")
        else:
            way = ByAttention() if which == "matching" else ToPrototype()
            network, right = one_shot(
                background, validation, comparison=way, training=training, seed=seed
            )
    minutes = (process_time() - began) / 60 if is_whole else float("nan")
    torch.save((network.state_dict(), right, minutes), path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
    return network, right, minutes


WAYS: dict[str, tuple[str, Technique]] = {
    "prototypical": ("prototypical", Prototypes(features=ModelOutputs())),
    "matching": ("matching", Matching(features=ModelOutputs())),
    "classifier, prototypes": ("classifier", Prototypes()),
    "classifier, new head": ("classifier", Frozen(training=HEAD)),
    "classifier, all weights": ("classifier", AllWeights()),
    "new network": ("", NewNetwork()),
}
"""Each way to adapt to a run: the body that it begins with, and the technique."""


def adapted(rows: Rows, name: str, seed: int) -> None:
    """What a way does with the 20 runs."""
    which, technique = WAYS[name]
    runs = omniglot_runs()[: 4 if rows.quick else 20]
    network: nn.Module = nn.Flatten()
    if which:
        network, right, minutes = body(which, seed, rows.quick)
        if not isnan(minutes):
            rows.add(name, "time", minutes, "minutes of a core", seed, timed=True)
        if not isnan(right):
            rows.add(name, "validation error", 100 * (1 - right), "%", seed)
    with seeded(seed):
        error = runs_error(technique, network, runs)
    rows.add(name, "test error", 100 * error, "%", seed)
    rows.add(name, "labels", 20, "labels", seed)
    if name in ("prototypical", "matching"):
        _file(rows, name, technique(network, runs[0].sealed()), runs[0], seed)


def _file(rows: Rows, name: str, model: nn.Module, run: Supervised, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.shoe"
        save(model, run.sealed(), path)
        rows.add(name, "file", path.stat().st_size, "bytes", seed)
        rows.add(name, "test error of the file of run 1", 100 * (1 - prove(path, run)), "%", seed)


def label_curve(rows: Rows, seed: int) -> None:
    """Errors on Tagalog by the number of pictures, and how many make up for one with prototypes."""
    new = omniglot_small().of(HELD_OUT)
    classes = len(new.alphabets)
    ways = {
        "prototypes": ("prototypical", Prototypes(features=ModelOutputs())),
        "all weights": ("classifier", AllWeights()),
    }
    right: dict[str, list[float]] = {}
    for name, (which, technique) in ways.items():
        network, _, _ = body(which, seed, rows.quick)
        for each in EACH[:2] if rows.quick else EACH:
            task = few_pictures(new, each, seed)
            with seeded(seed):
                found = score(task, technique(network, task.sealed()), "test")
            right.setdefault(name, []).append(found)
            metric = f"test error, {each} pictures"
            rows.add(f"label curve, {name}", metric, 100 * (1 - found), "%", seed)
    goal = right["prototypes"][0]
    needed, reached = _needed(right["all weights"], goal)
    for way, each, found in (("prototypes", 1.0, goal), ("all weights", needed, reached)):
        rows.add(f"{HELD_OUT}, {way}", "labels", classes * each, "labels", seed)
        rows.add(f"{HELD_OUT}, {way}", "test error", 100 * (1 - found), "%", seed)


def _needed(right: list[float], goal: float) -> tuple[float, float]:
    """(the pictures a character at which a curve is as good as a goal, the score there).

    Interpolated linearly between points; the last point where the curve is never as good.
    """
    for place, found in enumerate(right):
        if found >= goal:
            if not place:
                return EACH[0], found
            low, before = right[place - 1], EACH[place - 1]
            return before + (EACH[place] - before) * (goal - low) / (found - low), goal
    return EACH[len(right) - 1], right[-1]


def _kept() -> Path:
    """Where bodies are kept between runs."""
    folder = Path(tempfile.gettempdir()) / "shoestring-one-shot"
    folder.mkdir(exist_ok=True)
    return folder


def main() -> None:
    torch.set_num_threads(1)
    rows = start("one_shot", "omniglot-cpu", __doc__ or "")
    untrained(rows)
    jobs = {name: partial(adapted, rows, name) for name in WAYS}
    jobs["label curve"] = partial(label_curve, rows)
    for name, job in jobs.items():
        for seed in SEEDS[:1] if rows.quick or name in SIDE else SEEDS:
            if rows.wanted(name) and not rows.done(name, seed):
                job(seed)
                rows.add(name, "done", 1, "", seed)
    rows.close()


if __name__ == "__main__":
    main()
