"""Which labels to buy: a network on MNIST whose next labels are those it doubts most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from shoestring.core import Task, score, seeded
from shoestring.core.labels import label_task
from shoestring.kit import AdamW, Supervised, Training, save
from shoestring.label import CurvePoint, Margin, Random, purchases
from shoestring.models import LeNet300
from shoestring.recipes.record import Line, Measure, Recipe, Results
from shoestring.recipes.running import Run
from shoestring.tasks import mnist

_BEGIN, _BOUGHT, _ROUNDS = 50, 950, 19


def which_labels(
    model: nn.Module,
    task: Task,
    technique: Any = None,
    *,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> tuple[nn.Module, tuple[CurvePoint, ...]]:
    """(model trained with the bought labels, the curve: validation scores with so many labels).

    `model`: untrained, or pretrained on something else.
    `task`: with a pool: `Supervised(unlabelled=..., answer=...)`; `answer` may ask a person.
    `technique`: of `shoestring.label`; None for Margin().
    `seed`: of what is drawn, chosen and trained.
    `say`: called with a line after each round.

    Raises LabelBudgetError where the pool or its limit has fewer labels than are to be bought.
    """
    technique = Margin() if technique is None else technique
    points, learner = [], model
    with seeded(seed):
        for learner, now in purchases(technique, model, task.sealed()):
            count = len(label_task(now).known())
            points.append(
                CurvePoint(
                    labels=count,
                    score=score(task.sealed(), learner),
                    standard_error=task.standard_error(learner, "validation") or 0.0,
                )
            )
            say(f"{count:,} labels: {points[-1].score:.4f} on validation data")
    return learner, tuple(points)


def few_of_mnist(seed: int, *, begin: int = _BEGIN, pool: int = 10_000) -> Supervised:
    """MNIST with `begin` labels, and `pool` pictures whose labels are for sale, drawn by a seed."""
    whole = mnist(batch_size=64)
    images, labels = whole.train
    assert isinstance(images, torch.Tensor)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    given, rest = order[:begin], order[begin : begin + pool]
    return replace(
        whole, train=(images[given], labels[given]), unlabelled=images[rest], answer=labels[rest]
    )


def end_to_end(run: Run) -> None:
    """Random labels, and how many chosen ones reach the same validation score."""
    torch.set_num_threads(1)
    pool, rounds = (2000, 5) if run.quick else (10_000, _ROUNDS)
    training = Training(150 if run.quick else 300, AdamW(3e-3, 0.1))
    bought = _BOUGHT * rounds // _ROUNDS
    task = few_of_mnist(run.seed, pool=pool)
    with seeded(run.seed):
        model = LeNet300()
    drawn = Random(labels=bought, rounds=1, training=training)
    learner, (_, last) = which_labels(model, task, drawn, seed=run.seed, say=run.say)
    _rows(run, "random", learner, task, last.labels)
    chosen, reached = Margin(labels=bought, rounds=rounds, training=training), False
    count = 0
    with seeded(run.seed):
        for learner, now in purchases(chosen, model, task.sealed()):
            count = len(label_task(now).known())
            if score(task.sealed(), learner) >= last.score and not reached:
                reached = True
                _rows(run, "chosen", learner, task, count)
                save(learner, task.sealed(), run.folder / "chosen.shoe")
    if not reached:
        raise RuntimeError(
            f"{count} chosen labels did not reach the score of {last.labels:.0f} random ones"
        )
    _rows(run, "chosen, as many", learner, task, count)


def _rows(run: Run, subject: str, model: nn.Module, task: Supervised, labels: float) -> None:
    run.row(subject, "labels", labels, "labels")
    run.row(subject, "validation error", 100 * (1 - score(task.sealed(), model)), "%")
    run.row(subject, "test error", 100 * (1 - score(task, model, "test")), "%")


RECIPE = Recipe(
    name="which_labels",
    line="LeNet-300-100 on MNIST: the next labels are those that it doubts most",
    scarce="labels",
    instead="a training for every 50 labels",
    data=("MNIST",),
    minutes=0.5,
    quick_minutes=0.1,
    page="choose.md",
    run=end_to_end,
    results=Results(
        file="which_labels.mnist-cpu.jsonl",
        before=(Line("labels drawn at random", "random"),),
        ours=(
            Line("labels chosen by margin, until the validation score is that of random", "chosen"),
            Line("as many labels, chosen by margin", "chosen, as many"),
        ),
        saved=Measure("labels", "labels", "labels", ",.0f"),
        price=Measure("minutes of a core", "time", "minutes of a core", ".1f", subject="recipe"),
    ),
)
