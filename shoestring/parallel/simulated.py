"""Many workers in one process: what they learn is real, their times are simulated.

One process makes the gradients of all workers one after the other, each with the weights that its
worker would have, and encodes and decodes what they would send of them. So the weights that come
out are those of such a training; only who ends when is simulated, by `StepTimes`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task, spend
from shoestring.kit import Training
from shoestring.kit.training.steps import Steps
from shoestring.parallel.exchange.plain import SinglePrecision
from shoestring.parallel.exchange.protocols import GradientExchange, check_exchange
from shoestring.parallel.exchange.traffic import traffic
from shoestring.parallel.late_gradients import (
    AsItComes,
    LateGradients,
    check_at_end,
    check_late,
)
from shoestring.parallel.meeting import means
from shoestring.parallel.step_times import StepTimes


@dataclass(frozen=True)
class SimulatedAsynchronous:
    """Workers that do not wait: each takes the weights, makes a gradient, and hands it in late.

    A server keeps the weights. A worker that hands in a gradient has it applied at once, and takes
    the weights as they are then. A step of a `Training` is one gradient of one worker, so the
    workers together see as many batches as one process does in as many steps. A gradient is about
    as many steps late as there are other workers.

    Batch norms keep one moving average, that of all workers. Momentum is the server's: it makes
    late gradients last, so give none or little. Gradients are clipped after they are corrected.
    Each step spends the bytes of the gradient and those of the weights in single precision.

    Source: Dean et al. 2012 (Downpour SGD, with one batch between exchanges).

    `times`: of the workers' steps; `StepTimes.equal(8)` for eight alike.
    `late`: what a late gradient is worth.
    `exchange`: how gradients are sent; what the server has of one is what it decodes.

    Raises TypeError for other times, or another kind of late gradients or exchange.
    """

    times: StepTimes
    late: LateGradients = AsItComes()
    exchange: GradientExchange = SinglePrecision()

    def __post_init__(self) -> None:
        _check_times(self.times)
        check_late(self.late)
        check_exchange(self.exchange)

    def steps_of(self, model: nn.Module, task: Task, training: Training) -> Steps:
        """The steps of a training by these workers."""
        return _Asynchronous(self, model, task, training)

    def simulated_time(self, steps: int) -> float:
        """The simulated time of so many steps, in the unit of `times`; 0 for none."""
        _check_steps(steps)
        return next(islice(self.times.ends(), steps - 1, None))[0] if steps else 0.0


@dataclass(frozen=True)
class SimulatedSynchronous:
    """Workers that wait for one another: the mean of their gradients is applied.

    A step of a `Training` is one gradient of one worker here too, and so the weights change in each
    step that ends a round of all workers, and in the last one. The workers together see as many
    batches as one process does in as many steps, and change the weights less often. A parameter
    that only some of a round had a gradient for gets the mean of those. Each round spends the bytes
    that workers without a server send one another.

    Source: Chen et al. 2016, "Revisiting distributed synchronous SGD" (backups).

    `times`: of the workers' steps; `StepTimes.equal(8)` for eight alike.
    `backups`: of each round so many gradients, those that come last, are not waited for, and are
        lost; 0 or more, fewer than the workers.
    `exchange`: how gradients are sent.

    Raises ValueError for backups out of range, TypeError for other times or another exchange. With
    backups, a training raises ValueError for an exchange that keeps something from step to step,
    which it would miss where nobody waits for it.
    """

    times: StepTimes
    backups: int = 0
    exchange: GradientExchange = SinglePrecision()

    def __post_init__(self) -> None:
        _check_times(self.times)
        check_exchange(self.exchange)
        if not isinstance(self.backups, int) or not 0 <= self.backups < len(self.times.each):
            raise ValueError(
                f"{self.backups!r} of {len(self.times.each)} workers are not waited for: give 0 or "
                "more, fewer than the workers"
            )

    def steps_of(self, model: nn.Module, task: Task, training: Training) -> Steps:
        """The steps of a training by these workers."""
        return _Synchronous(self, model, task, training)

    def simulated_time(self, steps: int) -> float:
        """The simulated time of so many steps, in the unit of `times`; 0 for none.

        A last round that is not full takes as long as a full one.
        """
        _check_steps(steps)
        rounds = -(-steps // len(self.times.each))
        last = -1 - self.backups
        return math.fsum(sorted(one)[last] for one in islice(self.times.rounds(), rounds))


def _check_times(times: object) -> None:
    if not isinstance(times, StepTimes):
        raise TypeError(
            f"the times of workers are {times!r}: give StepTimes, as StepTimes.equal(8)"
        )


def _check_steps(steps: int) -> None:
    if steps < 0:
        raise ValueError(f"the time of {steps!r} steps: give 0 or more")


class _Simulated(Steps):
    """Steps of which each is a gradient of one worker."""

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        training: Training,
        workers: SimulatedAsynchronous | SimulatedSynchronous,
    ) -> None:
        super().__init__(model, task, training)
        half = {str(p.dtype) for p in self.parameters if torch.finfo(p.dtype).bits < 32}
        if half:
            raise ValueError(
                f"workers are simulated with weights of single precision, and some are {half.pop()}"
                ": sums of their gradients overflow. Train model.float(), with precision=Mixed()"
            )
        self.done = torch.zeros((), dtype=torch.int64)
        self.taken = 0
        self.count = len(workers.times.each)
        zeros = [torch.zeros_like(p) for p in self.parameters]
        self.coders = [workers.exchange.coder(zeros) for _ in range(self.count)]
        self.traffic = traffic(workers.exchange, zeros)

    @property
    def state(self) -> list[Tensor]:
        """With what coders keep, and how many steps were done: a training that goes on has the same
        workers' turns."""
        kept = [one for coder in self.coders for one in coder.tensors]
        return [*super().state, self.done, *kept]

    def turn(self, turns: Iterator[Any]) -> Any:
        """Of these turns that of the next step; a training that goes on passes over the others."""
        ahead = int(self.done) - self.taken
        self.taken = int(self.done) + 1
        return next(islice(turns, ahead, None))


class _Asynchronous(_Simulated):
    def __init__(
        self, workers: SimulatedAsynchronous, model: nn.Module, task: Task, training: Training
    ) -> None:
        super().__init__(model, task, training, workers)
        self.late = workers.late
        self.turns = workers.times.ends()
        self.copies = [[p.detach().clone() for p in self.parameters] for _ in range(self.count)]
        self.begun = torch.zeros(self.count, dtype=torch.int64)
        remembers = self.late.remembers
        self.squares = [torch.zeros_like(p) for p in self.parameters] if remembers else []
        self.worker = 0

    @property
    def state(self) -> list[Tensor]:
        """With the weights of each worker, and since which step it has them."""
        copies = [one for copy in self.copies for one in copy]
        return [*super().state, *copies, *self.squares, self.begun]

    def backward(self, batch: Any) -> float:
        """The loss of a batch with a worker's weights; its gradients, corrected, are in the
        parameters afterwards."""
        _, self.worker = self.turn(self.turns)
        copies = self.copies[self.worker]
        held = [p.data for p in self.parameters]
        try:
            for p, copy in zip(self.parameters, copies, strict=True):
                p.data = copy
            loss = super().backward(batch)
        finally:
            for p, now in zip(self.parameters, held, strict=True):
                p.data = now
        if math.isfinite(loss):
            self._send()
        for number, (p, copy) in enumerate(zip(self.parameters, copies, strict=True)):
            if p.grad is not None:
                squares = self.squares[number] if self.squares else None
                self.late.corrected(p.grad, p.data - copy, squares)
        return loss

    def _send(self) -> None:
        """Make the gradients what the server decodes of the worker's."""
        coder = self.coders[self.worker]
        sent = coder.encode([_gradient(p) for p in self.parameters])
        for p, one in zip(self.parameters, coder.decode(sent), strict=True):
            if p.grad is not None or bool(one.any()):
                p.grad = torch.zeros_like(p).copy_(one)
        spend("communicated_bytes", len(sent) + sum(4 * p.numel() for p in self.parameters))

    def height(self, number: int, steps: int) -> float:
        """The rate of a step, less where the gradient is late."""
        late = int(self.done) - int(self.begun[self.worker])
        return super().height(number, steps) * self.late.rate(late)

    def step(self, number: int, steps: int) -> None:
        """Apply the worker's gradients, and give it the weights."""
        super().step(number, steps)
        if number + 1 == steps:
            check_at_end(self.parameters, steps)
        self.done += 1
        self.begun[self.worker] = self.done
        for p, copy in zip(self.parameters, self.copies[self.worker], strict=True):
            copy.copy_(p.detach())


class _Synchronous(_Simulated):
    def __init__(
        self, workers: SimulatedSynchronous, model: nn.Module, task: Task, training: Training
    ) -> None:
        super().__init__(model, task, training, workers)
        if workers.backups and self.coders[0].tensors:
            raise ValueError(
                f"with {workers.backups} backups a worker misses rounds, and {workers.exchange!r} "
                "keeps something from each to the next: give backups=0, or SinglePrecision(), "
                "BFloat16Gradients() or EightBits()"
            )
        self.turns = _in_rounds(workers)
        self.gradients = [[torch.zeros_like(p) for p in self.parameters] for _ in self.coders]
        self.hits = torch.zeros(len(self.parameters), dtype=torch.int64)
        self.counted = torch.zeros((), dtype=torch.int64)

    @property
    def state(self) -> list[Tensor]:
        """With the gradients of a round that is not over."""
        kept = [one for each in self.gradients for one in each]
        return [*super().state, *kept, self.hits, self.counted]

    def backward(self, batch: Any) -> float:
        """The loss of a batch; its gradients are among those of the round, if they count."""
        in_time = self.turn(self.turns)
        loss = super().backward(batch)
        if in_time:
            kept = self.gradients[int(self.counted)]
            for number, (p, one) in enumerate(zip(self.parameters, kept, strict=True)):
                one.copy_(_gradient(p))
                self.hits[number] += p.grad is not None
            self.counted += 1
        return loss

    def step(self, number: int, steps: int) -> None:
        """Where a round is over, or the training, apply the mean of its gradients."""
        self.done += 1
        if int(self.done) % self.count and number + 1 < steps:
            return
        if counted := int(self.counted):
            mean = means(self.coders[:counted], self.gradients[:counted])[0]
            for p, hits, one in zip(self.parameters, self.hits.tolist(), mean, strict=True):
                p.grad = None
                if hits or bool(one.any()):
                    p.grad = torch.zeros_like(p).copy_(one)
                    p.grad *= counted / hits if 0 < hits < counted else 1.0
            super().step(number, steps)
            spend("communicated_bytes", self.traffic.among(counted))
        for one in (self.hits, self.counted):
            one.zero_()


def _gradient(parameter: nn.Parameter) -> Tensor:
    """The gradient of a parameter; zeros where it has none."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _in_rounds(workers: SimulatedSynchronous) -> Iterator[bool]:
    """Of each gradient of a round, and round after round, whether it is in time.

    Each round begins with another worker, so that a slow one does not always have the same turn.
    """
    count = len(workers.times.each)
    for number, times in enumerate(workers.times.rounds()):
        order = sorted(range(count), key=lambda worker: times[worker])
        last = set(order[count - workers.backups :])
        yield from ((place + number) % count not in last for place in range(count))
