"""From a training with small batches to one with large batches."""

from __future__ import annotations

from dataclasses import replace

from shoestring.kit import LARS, SGD, Training


def scaled_to_batch(
    training: Training, batch: int, *, base: int, warm_up: float = 0.05
) -> Training:
    """The training for batches of another size: it sees as many examples, at another rate.

    Of batches k times larger it has a k-th of the steps. The rate of SGD and LARS is k times
    higher, and that of AdamW, Adagrad and LAMB √k times: they divide a gradient by its usual size,
    noise included, and so a mean of more examples takes larger steps already. Larger batches have
    a warm-up of at least `warm_up`, since a high rate diverges in the first steps. Give the task
    the batch too: `replace(task, batch_size=batch)`.

    The rules hold for batches that are smaller than the noise scale, which `gradient_health` tells.
    With larger ones fewer steps learn less from as many examples, at any rate.

    Source: Goyal et al. 2017, section 2.1 (linear for SGD) and 2.2 (warm-up); Krizhevsky 2014,
    Malladi et al. 2022, "On the SDEs and scaling rules for adaptive gradient algorithms" (square
    root for Adam), and You et al. 2020 (square root for LAMB).
    Differs: the warm-up starts at almost 0, not at the rate of the small batch, and is a share of
    the steps. Momentum, β₂, weight decay and clipping stay as they are.

    `training`: that is right for batches of `base` examples, 1 or more.
    `batch`: examples in a batch of the new training, 1 or more; may be smaller than `base`.
    `warm_up`: the least share of the steps in which the rate rises, 0 to 1.

    Raises TypeError for another training, ValueError for numbers out of range, and for a training
    with workers: scale it first and then give it workers.
    """
    if not isinstance(training, Training):
        raise TypeError(f"the training is {training!r}: give a Training, such as Training(1000)")
    for name, number in (("batch", batch), ("base", base)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"{name}={number!r}: give the examples of a batch, an integer above 0")
    if training.workers is not None:
        raise ValueError(
            "scaled_to_batch is of a training without workers: scale it first, and then give it "
            "workers with dataclasses.replace(training, workers=...)"
        )
    ratio, optimizer, schedule = batch / base, training.optimizer, training.schedule
    factor = ratio if isinstance(optimizer, SGD | LARS) else ratio**0.5
    longest = max(schedule.warm_up, warm_up if ratio > 1 else 0.0)
    return replace(
        training.scaled(1 / ratio),
        optimizer=replace(optimizer, learning_rate=optimizer.learning_rate * factor),
        schedule=replace(schedule, warm_up=longest),
    )
