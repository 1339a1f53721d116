"""Which layer hurts, and the fewest layers that must stay, on the digits.

`python benchmarks/sensitivity.py`. Some minutes.
The small LeNet (four layers), seed 0: each layer alone pruned to a tenth, given four levels, and
put on 8 bits; the time is that of a batch of 32 images on one thread, in alternation with the
original. Three seeds: the fewest layers that `fallback` keeps, beside all 16 ways of keeping
layers, for pruning to a tenth. Scores are of validation data (400 images). --quick: no 8 bits, one
seed.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, combinations
from time import perf_counter

import torch
from rows import Rows, start
from torch import nn

from shoestring.core import Task, Technique, score, seeded
from shoestring.kit import Training
from shoestring.meters import Latency
from shoestring.plan import fallback, sensitivity
from shoestring.prune import Magnitude
from shoestring.quantize import PostTraining, WeightSharing
from shoestring.recipes import digits_lenet

ACTIONS: list[Technique] = [
    Magnitude(density=0.1, training=Training(0)),
    WeightSharing(levels=4, training=Training(0)),
    PostTraining(),
]
LAYERS = ("layers.0", "layers.3", "layers.7", "layers.9")
DROPS = (0.01, 0.03, 0.15)
TIMED = Latency(batch=32)


def main() -> None:
    rows = start("sensitivity", "digits-cpu", __doc__ or "")
    torch.set_num_threads(1)
    for seed in (0,) if rows.quick else (0, 1, 2):
        model, task = digits_lenet(seed)
        for action in ACTIONS[: 2 if rows.quick else 3] if seed == 0 else ():
            name = type(action).__name__
            if rows.wanted(name) and not rows.done(name, seed):
                alone(rows, name, model, task, action)
        if rows.wanted("fallback") and not rows.done("fallback", seed):
            fewest(rows, model, task, seed)
    rows.close()


def alone(rows: Rows, name: str, model: nn.Module, task: Task, action: Technique) -> None:
    """The table of one action."""
    began = perf_counter()
    table = sensitivity(model, task, action, meters=[TIMED])
    rows.add(name, "seconds", perf_counter() - began, "s", 0)
    for one in table.effects:
        found = {
            "score lost": (one.score_lost, "score"),
            "standard error": (one.score_error, "score"),
            "saved": (one.bytes_saved, "bytes"),
            "time saved": (one.milliseconds_saved, "ms"),
            "time saved, low": (one.milliseconds_low, "ms"),
            "time saved, high": (one.milliseconds_high, "ms"),
        }
        for metric, (value, unit) in found.items():
            if value is not None:
                rows.add(name, f"{one.layer}: {metric}", value, unit, 0, timed=unit == "ms")
    rows.add(name, "of the model: time", table.milliseconds or 0.0, "ms", 0, timed=True)
    rows.add(name, "of the model: file", table.bytes, "bytes", 0)
    rows.add(name, "done", 1, "", 0)


def fewest(rows: Rows, model: nn.Module, task: Task, seed: int) -> None:
    """How many layers fallback keeps, and how few of all ways of keeping layers would do."""
    action = Magnitude(density=0.1, training=Training(0))
    base = score(task, model)
    subsets = list(
        chain.from_iterable(combinations(LAYERS, count) for count in range(len(LAYERS) + 1))
    )
    lost = {
        keep: base - score(task, changed(model, task, replace(action, keep=keep)))
        for keep in subsets
    }
    for drop in DROPS:
        found = fallback(model, task, action, drop=drop)
        best = min(len(keep) for keep, value in lost.items() if value <= drop)
        rows.add("fallback", f"drop {drop}: layers kept", len(found.kept), "layers", seed)
        rows.add("fallback", f"drop {drop}: fewest of all ways", best, "layers", seed)
        rows.add("fallback", f"drop {drop}: score lost", found.lost or 0.0, "score", seed)
        rows.add("fallback", f"drop {drop}: models made", found.trials, "models", seed)
    rows.add("fallback", "done", 1, "", seed)


def changed(model: nn.Module, task: Task, action: Technique) -> nn.Module:
    """The model that the action makes."""
    with seeded(0):
        return action(model, task.sealed())


if __name__ == "__main__":
    main()
