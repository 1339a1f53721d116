"""A training that nobody has to tune: the optimizer by the kind of inputs, the rest as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from statistics import fmean

from torch import nn

from shoestring.core import Task, batches, check_task, seeded
from shoestring.kit import Adagrad, AdamW, Training
from shoestring.kit.training.steps import Steps
from shoestring.kit.weights.copying import clone_in_training

LOOKED_AT = 8
"""Training batches of which the gradients are looked at."""
RARE = 0.1
"""A table is hit rarely where a batch changes fewer than this share of its rows."""
LARGE = 0.5
"""Inputs are sparse where tables that are hit rarely have more than this share of the weights."""

DENSE = AdamW(3e-3, weight_decay=0.01)
SPARSE = Adagrad(0.1)
_SCHEDULE = (
    "Cosine(0.02): the rate rises during a fiftieth of the steps, so that first steps are small, "
    "and falls to 0, so that the end needs no choosing"
)


@dataclass(frozen=True, kw_only=True)
class DefaultTraining:
    """A training, and why it is as it is.

    `training`: to be given to `kit.train` and to techniques.
    `why`: a sentence for each thing that was decided.
    `sparse`: the share of the weights that are in tables of which each batch changes few rows, 0
        to 1.
    """

    training: Training
    why: tuple[str, ...]
    sparse: float

    def __str__(self) -> str:
        return "\n".join([repr(self.training), *(f"- {one}" for one in self.why)])


def default_training(model: nn.Module, task: Task, steps: int) -> DefaultTraining:
    """A training for this model that needs no tuning: one has to choose only the number of steps.

    A model whose weights are mostly tables of which a batch changes few rows (vectors of words,
    hashed features) gets Adagrad. Any other one gets AdamW with a little weight decay. Which rows
    change is read off the gradients of a few training batches, whatever the layers are called.
    `range_test` finds a rate for this model alone.

    Source: Duchi et al. 2011, section 1.1 (Adagrad for rare features); Loshchilov & Hutter 2019
    (AdamW, cosine).

    The model, its mode and the random numbers stay as they were.
    `steps`: of the training, 0 or more.

    Raises ValueError for steps out of range, for a model without a parameter that learns, and where
    the training split is empty.
    """
    check_task(task)
    training = Training(steps)
    if not any(one.requires_grad for one in model.parameters()):
        raise ValueError(
            "the model has no parameter that learns: a training needs one with requires_grad"
        )
    rare, weights = _hit_rarely(model, task), _weights(model)
    share = sum(weights[name] for name in rare) / sum(weights.values())
    if share > LARGE:
        hit = max(rare.values())
        told = (
            f"{SPARSE!r}: {share:.0%} of the weights are in {', '.join(sorted(rare))}, of which a "
            f"batch changes {hit:.1%} of the rows at most, so each row needs a rate of its own"
        )
        chosen = SPARSE
    else:
        chosen, tables = DENSE, ""
        if rare:
            tables = (
                f"; {', '.join(sorted(rare))}, hit rarely, have {share:.0%} of the weights only"
            )
        told = f"{DENSE!r}: what the model takes in is dense{tables}"
    return DefaultTraining(
        training=replace(training, optimizer=chosen), why=(told, _SCHEDULE), sparse=share
    )


def suited(training: Training, model: nn.Module, task: Task) -> Training:
    """A training with the optimizer that `default_training` gives this model.

    Raises as `default_training`.
    """
    chosen = default_training(model, task, training.steps).training
    return replace(training, optimizer=chosen.optimizer)


def _hit_rarely(model: nn.Module, task: Task) -> dict[str, float]:
    """The tables of which a batch changes few rows, and the mean share of the rows, by name.

    A table is a parameter with two axes. Its rows change where its gradient is not 0. Where the
    first batch changes more of every table, the other batches are not looked at.
    """
    copy, shares = clone_in_training(model), dict[str, list[float]]()
    with seeded(0):
        stepping = Steps(copy, task, Training(LOOKED_AT))
        shown = list(islice(batches(task, "train", copy), LOOKED_AT))
        if not shown:
            raise ValueError(
                "the task's training split has no batches: there is nothing to train on"
            )
        for batch in shown:
            stepping.backward(batch)
            for name, weight in copy.named_parameters():
                if weight.ndim == 2 and weight.grad is not None:
                    hit = weight.grad.detach().ne(0).any(1).float().mean()
                    shares.setdefault(name, []).append(float(hit))
            if not any(mean < RARE for (mean, *_) in shares.values()):
                break
    means = {name: fmean(found) for name, found in shares.items()}
    return {name: mean for name, mean in means.items() if 0 < mean < RARE}


def _weights(model: nn.Module) -> dict[str, int]:
    return {name: one.numel() for name, one in model.named_parameters() if one.requires_grad}
