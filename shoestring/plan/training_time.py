"""How long training takes, found by a few steps of it."""

from __future__ import annotations

from time import monotonic

import numpy as np
import torch
from torch import nn

from shoestring.core import Task, batches, seeded
from shoestring.kit import clone

_MOST, _SECONDS = 1000, 1.0  # batches that are counted, and for how long


def step_seconds(model: nn.Module, task: Task, seed: int = 0) -> float:
    """How long a step of training takes, from a few of them on a copy of the model.

    Raises ValueError where there are no batches.
    """
    model = clone(model).train()
    optimizer = torch.optim.SGD(
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
            optimizer.step()
            optimizer.zero_grad()
            taken.append(monotonic() - began)
            began = monotonic()  # before the next batch is fetched, which takes its time too
            if len(taken) >= 3 and (sum(taken) > 1.5 or len(taken) >= 12):
                break
    if not taken:
        raise ValueError("the task's training split has no batches: there is nothing to train on")
    return float(np.median(taken[1:] or taken))


def steps_of_a_pass(task: Task, model: nn.Module | None = None) -> int:
    """How many batches one pass over the training split has, counted up to a thousand and for a
    second.
    """
    began, count = monotonic(), 0
    for _ in batches(task, "train", model):
        count += 1
        if count == _MOST or monotonic() - began > _SECONDS:
            break
    return max(1, count)
