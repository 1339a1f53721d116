"""What a process of the tests of `tune` does, which is really a process, and is really killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from study_workers import say
from torch import Tensor, nn

from shoestring.core import Task
from shoestring.kit import AdamW, Constant, Unclipped
from shoestring.search import Halving, Knobs, Tuned, tune

STEPS = 45


class Far(Task):
    """The goal is a weight of 30: only a rate that is much higher than the default gets there."""

    name = "far"

    def batches(self, split: str, *, model: nn.Module | None = None) -> Iterator[Tensor]:
        for _ in range(9):
            yield torch.zeros(())

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        (weight,) = model.parameters()
        return (weight - 30).abs().sum()

    def score(self, predict: Any, split: str) -> float:
        (weight,) = predict.parameters()
        assert split == "validation"
        return -float((weight - 30).abs())


class Hanging(Far):
    """At the tenth step after so many trials it says so, and waits to be killed.

    A trial that is trained to its end is scored once, there: so its scores count the trials.
    """

    def __init__(self, trials: int, said: Path) -> None:
        self.trials, self.said, self.steps = trials, said, 0

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        self.steps += self.trials == 0
        if self.steps == 10:
            say(self.said, "in the middle")
            time.sleep(600)
        return super().loss(model, batch)

    def score(self, predict: Any, split: str) -> float:
        self.trials -= 1
        return super().score(predict, split)


def one_weight() -> nn.Module:
    return nn.Linear(1, 1, bias=False)


RATE_ALONE = Knobs(
    optimizers=(AdamW(0.03),),
    weight_decays=(1e-3, 1e-3),
    schedules=(Constant(),),
    clippings=(Unclipped(),),
)


def all_to_the_end(task: Task, folder: Path | None, most: int) -> Tuned:
    """Tune in a folder, each trial to its end."""
    return tune(
        task,
        one_weight,
        minutes=5,
        steps=STEPS,
        knobs=RATE_ALONE,
        halving=Halving(rungs=0),
        most=most,
        folder=folder,
    )


def hang(folder: Path, trials: int, said: Path, most: int) -> None:
    """Tune until the middle of the trial after so many, and wait there to be killed."""
    all_to_the_end(Hanging(trials, said), folder, most)  # type: ignore[abstract]
