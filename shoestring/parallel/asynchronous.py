"""Worker processes that do not wait for one another: a server applies each gradient as it comes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task
from shoestring.kit import Training
from shoestring.kit.training.steps import Steps
from shoestring.parallel.exchange.plain import SinglePrecision
from shoestring.parallel.exchange.protocols import GradientExchange, check_exchange
from shoestring.parallel.joining import Listening
from shoestring.parallel.late_gradients import (
    AsItComes,
    LateGradients,
    check_at_end,
    check_late,
)
from shoestring.parallel.messages import as_bytes
from shoestring.parallel.serving import Gradient, Served

PATIENCE = 30.0
"""The seconds without an answer after which a worker is taken for hung."""


@dataclass(frozen=True)
class Asynchronous:
    """Worker processes on this machine that do not wait: gradients come late, and are applied.

    This process keeps the weights. A worker takes them, makes the gradient of a batch, hands it in,
    and takes the weights as they are then. A step of a `Training` is one gradient of one worker,
    and each batch is used once, so that the workers together see as many batches as one process
    does in as many steps. A gradient is about as many steps late as there are other workers; who is
    first depends on the machine, so two runs differ. `SimulatedAsynchronous` does not.

    Workers are copies of this process (fork), with one thread each. One that ends, hangs or sends
    what cannot be is replaced, with a LostWorkerWarning, and its batch is made again. What they see
    and what is lost with them is as in `Synchronous`. Each worker has its own running statistics in
    batch norms; the model's are their mean. After a kill of this process, within `resuming`, up to
    `count` batches are seen twice and as many not at all.

    Source: Dean et al. 2012 (Downpour SGD, with one batch between exchanges).

    `count`: of the workers, 1 or more; more than the machine has cores bring nothing.
    `late`: what a late gradient is worth.
    `exchange`: how gradients are sent to this process; weights come back in their own precision.
    `patience`: the seconds that a worker may take for a step, above 0.
    `slower`: how many times as long each worker shall take, 1 or more, in their order; for trials
        of what a slow machine does. It sleeps. Workers without a number take their time.
    `listening`: where workers of other machines may join while the training runs; they leave as
        they like. None: nowhere.

    Raises ValueError for numbers out of range, TypeError for another kind of late gradients or
    exchange. A training raises ValueError for a model that is not on the processor, has weights of
    half precision or layers that remember what happens in training, and WorkersError where all
    workers fail.
    """

    count: int
    late: LateGradients = AsItComes()
    exchange: GradientExchange = SinglePrecision()
    patience: float = PATIENCE
    slower: tuple[float, ...] = ()
    listening: Listening | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_workers(self.count, self.patience, self.slower)
        check_late(self.late)
        check_exchange(self.exchange)
        if self.listening is not None and not isinstance(self.listening, Listening):
            raise TypeError(
                f"listening as {self.listening!r}: give Listening(address, key), or None"
            )

    def steps_of(self, model: nn.Module, task: Task, training: Training) -> Steps:
        """The steps of a training by these workers."""
        return _Steps(self, model, task, training)


def check_workers(count: object, patience: float, slower: tuple[float, ...]) -> None:
    """Raise ValueError for numbers of workers that are out of range."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"{count!r} workers: give an integer, 1 or more")
    if not 0 < patience < math.inf:
        raise ValueError(f"a patience of {patience!r} s: give seconds above 0")
    if len(slower) > count:
        raise ValueError(f"{len(slower)} slow workers of {count}: give at most one number for each")
    for times in slower:
        if not 1 <= times < math.inf:
            raise ValueError(f"a worker that takes {times!r} times as long: give 1 or more")


class _Steps(Served):
    def __init__(
        self, workers: Asynchronous, model: nn.Module, task: Task, training: Training
    ) -> None:
        super().__init__(
            *(model, task, training, workers.count, workers.patience, workers.slower),
            exchange=workers.exchange,
            listening=workers.listening,
        )
        self.late = workers.late
        remembers = self.late.remembers
        self.squares = [torch.zeros_like(p) for p in self.parameters] if remembers else []
        self.copies: dict[int, list[Tensor]] = {}
        self.begun: dict[int, int] = {}
        self.issued = -1
        self.lost: list[int] = []
        self.worker = 0

    @property
    def state(self) -> list[Tensor]:
        """With the mean squares of gradients, where late ones are corrected by them."""
        return [*super().state, *self.squares]

    def backward(self, batch: Any) -> float:
        """Wait for the next gradient of any worker; it is in the parameters afterwards, corrected.

        `batch`: the next one that a worker has to do; the gradient may be that of another.
        """
        self.note(batch)
        self.issued = max(self.issued, int(self.done))
        while True:
            self._hand_out()
            gradient = self.answer()
            if isinstance(gradient, Gradient):
                return self._take(gradient)
            self.lost.append(gradient)

    def height(self, number: int, steps: int) -> float:
        """The rate of a step, less where the gradient is late."""
        late = int(self.done) - self.begun[self.worker]
        return super().height(number, steps) * self.late.rate(late)

    def step(self, number: int, steps: int) -> None:
        """Apply the gradients that came last."""
        super().step(number, steps)
        if number + 1 == steps:
            check_at_end(self.parameters, steps)
        self.done += 1

    def _hand_out(self) -> None:
        """Give each worker that has nothing to do a batch, and the weights as they are."""
        self.welcome()
        weights = None
        for place in self.crew.idle():
            if (ticket := self._next(place)) is None:
                continue
            weights = as_bytes(self.parameters) if weights is None else weights
            self.copies[place] = [p.detach().clone() for p in self.parameters]
            self.begun[place] = int(self.done)
            if not self.hand(place, ticket, weights):
                self.lost.append(ticket)
                self.again.add(ticket)

    def _next(self, place: int) -> int | None:
        """The number of a batch that nobody has; None where there is none for this worker."""
        if self.lost and not self.crew.is_of_another_machine(place):
            return self.lost.pop()
        if self.issued >= self.training.steps:
            return None
        self.issued += 1
        return self.issued - 1

    def _take(self, gradient: Gradient) -> float:
        """Put a worker's gradient into the parameters; returns its loss."""
        self.worker = gradient.place
        self.forget(gradient.ticket)
        copies = self.copies[self.worker]
        for index, (p, copy) in enumerate(zip(self.parameters, copies, strict=True)):
            p.grad = gradient.each[index]
            if p.grad is not None:
                squares = self.squares[index] if self.squares else None
                self.late.corrected(p.grad, p.data - copy, squares)
        return gradient.loss
