"""Worker processes that wait for one another: a server applies the mean of their gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task
from shoestring.kit import Training
from shoestring.kit.training.steps import Steps
from shoestring.parallel.asynchronous import PATIENCE, check_workers
from shoestring.parallel.exchange.plain import SinglePrecision
from shoestring.parallel.exchange.protocols import GradientExchange, check_exchange
from shoestring.parallel.messages import as_bytes
from shoestring.parallel.serving import Gradient, Served


@dataclass(frozen=True)
class Synchronous:
    """Worker processes on this machine that wait for one another: their mean gradient is applied.

    This process keeps the weights. In each round every worker makes the gradient of one batch with
    the same weights. A step of a `Training` is one gradient of one worker, and so the weights
    change in each step that ends a round, and in the last one. Two runs are equal where no worker
    is left behind, and equal to those of `SimulatedSynchronous`, but for random numbers of the
    model (dropout), and for the moving averages of batch norms: each worker has its own, and the
    model's are their mean.

    Workers are copies of this process (fork), with one thread each. One that ends, hangs or sends
    what cannot be is replaced, with a LostWorkerWarning, and its batch is made again: weights are
    the same, but for running statistics that the worker had, and for what its exchange had not sent
    yet. What a technique changes between steps workers see at once if it is a buffer or a frozen
    weight of the model, and within ten steps if it is anything else. What a layer or a task
    remembers elsewhere than in buffers is lost with the worker; a WorkersWarning names it, and
    tells where batches of workers are not those of this process.

    Source: Chen et al. 2016, "Revisiting distributed synchronous SGD" (backups).

    `count`: of the workers, 1 or more; more than the machine has cores bring nothing.
    `backups`: of each round so many gradients, those that come last, are not waited for, and are
        lost; 0 or more, fewer than the workers.
    `exchange`: how gradients are sent to this process; weights come back in their own precision.
    `patience`: the seconds that a worker may take for a step, above 0.
    `slower`: how many times as long each worker shall take, 1 or more, in their order; for trials
        of what a slow machine does. It sleeps. Workers without a number take their time.

    Raises ValueError for numbers out of range. A training raises what that of `Asynchronous` does.
    """

    count: int
    backups: int = 0
    exchange: GradientExchange = SinglePrecision()
    patience: float = PATIENCE
    slower: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_workers(self.count, self.patience, self.slower)
        check_exchange(self.exchange)
        if not isinstance(self.backups, int) or not 0 <= self.backups < self.count:
            raise ValueError(
                f"{self.backups!r} of {self.count} workers are not waited for: give 0 or more, "
                "fewer than the workers"
            )

    def steps_of(self, model: nn.Module, task: Task, training: Training) -> Steps:
        """The steps of a training by these workers."""
        return _Steps(self, model, task, training)


class _Steps(Served):
    def __init__(
        self, workers: Synchronous, model: nn.Module, task: Task, training: Training
    ) -> None:
        super().__init__(
            *(model, task, training, workers.count, workers.patience, workers.slower),
            exchange=workers.exchange,
        )
        self.count, self.backups = workers.count, workers.backups
        self.sums = [torch.zeros_like(p) for p in self.parameters]
        self.hits = torch.zeros(len(self.parameters), dtype=torch.int64)
        self.counted = torch.zeros((), dtype=torch.int64)
        self.weights = b""
        self.end_of_round = self.in_time = -1
        self.wanted: list[int] = []
        self.arrived: dict[int, Gradient] = {}
        self.loss = 0.0

    @property
    def state(self) -> list[Tensor]:
        """With the gradients of a round that is not over."""
        return [*super().state, *self.sums, self.hits, self.counted]

    def backward(self, batch: Any) -> float:
        """The loss of a batch, whose gradients are added to those of the round, if they count."""
        self.note(batch)
        ticket = int(self.done)
        if ticket >= self.end_of_round:
            self._begin_round(ticket)
        while ticket not in self.arrived and not self._is_full():
            self.hand_out(self.wanted, self.weights)
            gradient = self.answer()
            if isinstance(gradient, Gradient):
                if self._is_of_round(gradient.ticket):
                    self.arrived[gradient.ticket] = gradient
            elif self._is_of_round(gradient):
                self.wanted.append(gradient)
        return self._add(ticket)

    def step(self, number: int, steps: int) -> None:
        """Where a round is over, or the training, apply the mean of its gradients."""
        self.done += 1
        if int(self.done) < self.end_of_round:
            return
        for index, (p, total) in enumerate(zip(self.parameters, self.sums, strict=True)):
            hits = int(self.hits[index])
            p.grad = total / hits if hits else None
        super().step(number, steps)
        for one in (*self.sums, self.hits, self.counted):
            one.zero_()

    def _begin_round(self, ticket: int) -> None:
        begin = ticket - ticket % self.count
        self.end_of_round = min(begin + self.count, self.training.steps)
        self.in_time = max(1, self.end_of_round - begin - self.backups)
        self.wanted = list(range(ticket, self.end_of_round))
        self.arrived = {}
        self.weights = as_bytes(self.parameters)

    def _is_full(self) -> bool:
        return int(self.counted) + len(self.arrived) >= self.in_time

    def _is_of_round(self, ticket: int) -> bool:
        return self.end_of_round - self.count <= ticket < self.end_of_round

    def _add(self, ticket: int) -> float:
        """Add the gradient of a batch to the round's, if it came in time; returns the loss."""
        self.forget(ticket)
        if (gradient := self.arrived.pop(ticket, None)) is None:
            return self.loss
        self.counted += 1
        for index, found in enumerate(gradient.each):
            if found is not None:
                self.sums[index] += found
                self.hits[index] += 1
        self.loss = gradient.loss
        return self.loss
