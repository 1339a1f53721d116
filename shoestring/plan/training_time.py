"""The time of training, from a few steps of it."""

from __future__ import annotations

from time import monotonic

import numpy as np
import torch
from torch import nn

from shoestring.core import Task, batches, seeded
from shoestring.kit import clone

_MOST, _SECONDS = 1000, 1.0
"""Limits on counting the batches of a pass: batches, and seconds."""


def step_seconds(
    model: nn.Module,
    task: Task,
    seed: int = 0,
    optimizer: type[torch.optim.SGD] | type[torch.optim.AdamW] = torch.optim.SGD,
) -> float:
    """The median seconds of a step of training, of 3 to 12 steps on a copy of the model.

    `optimizer`: whose steps are timed; its learning rate is 0.

    The model is not changed. Raises ValueError where the training split has no batches.
    """
    model = clone(model).train()
    stepping = optimizer(
        [p for p in model.parameters() if p.requires_grad] or [torch.zeros(1, requires_grad=True)],
        lr=0.0,
    )
    taken: list[float] = []
    with seeded(seed):
        began = monotonic()
        for batch in batches(task, "train", model):
            loss = task.loss(model, batch)
            if loss.requires_grad:  # not where every parameter is frozen
                loss.backward()
            stepping.step()
            stepping.zero_grad()
            taken.append(monotonic() - began)
            began = monotonic()  # fetching the next batch counts too
            if len(taken) >= 3 and (sum(taken) > 1.5 or len(taken) >= 12):
                break
    if not taken:
        raise ValueError("the task's training split has no batches: there is nothing to train on")
    return float(np.median(taken[1:] or taken))


def steps_of_a_pass(
    task: Task, model: nn.Module | None = None, *, seconds: float = _SECONDS
) -> int:
    """The number of batches in a pass over the training split, at least 1.

    Counting stops at a thousand batches or after so many seconds.
    """
    began, count = monotonic(), 0
    for _ in batches(task, "train", model):
        count += 1
        if count == _MOST or monotonic() - began > seconds:
            break
    return max(1, count)
