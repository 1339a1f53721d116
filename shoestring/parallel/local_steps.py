"""Worker processes that take several steps by themselves before they meet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task
from shoestring.kit import DivergedError, Training
from shoestring.kit.training.steps import Steps
from shoestring.parallel.asynchronous import PATIENCE, check_workers
from shoestring.parallel.messages import as_bytes
from shoestring.parallel.serving import Gradient, Served


@dataclass(frozen=True)
class LocalSGD:
    """Worker processes take `every` steps each, by themselves; then their weights are averaged.

    So weights go over the wire once in `every` steps. A step of a `Training` is one step of one
    worker, and each batch is used once. Each worker has its own state of the optimizer, which it
    keeps when weights are averaged, and its own moving averages in batch norms. Two runs are equal.
    Workers are those of `Synchronous`. One that is replaced, also since a technique changed the
    model between steps, begins with a new state of the optimizer, and so do all where a training
    goes on after a kill.

    Source: Stich 2019, "Local SGD converges fast and communicates little"; Lin et al. 2020, "Don't
    use large mini-batches, use local SGD" (post-local: a first part with averages after each step).

    `count`: of the workers, 1 or more.
    `every`: steps of each worker between two averages, 1 or more.
    `after`: the share of the training in which weights are averaged after each step, before that;
        0 to 1. 0.5 is usual for post-local SGD.
    `patience`, `slower`: as `Synchronous` has them; patience is for one worker's `every` steps.

    Raises ValueError for numbers out of range. A training raises what that of `Synchronous` does.
    """

    count: int
    every: int = 8
    after: float = 0.0
    patience: float = PATIENCE
    slower: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_workers(self.count, self.patience, self.slower)
        _check_every(self.every)
        if not 0 <= self.after <= 1:
            raise ValueError(f"local steps after {self.after!r}: give a share, 0 to 1")

    def steps_of(self, model: nn.Module, task: Task, training: Training) -> Steps:
        """The steps of a training by these workers."""
        return _Averaged(self, model, task, training)


@dataclass(frozen=True)
class ElasticAveraging:
    """Worker processes that each keep weights of their own, drawn now and then towards a centre.

    After `every` steps a worker moves a part of the way to the centre, which moves as far towards
    the worker; nobody waits. The centre is what comes out. Workers explore further from one another
    than where weights are the same in all. A step of a `Training` is one step of one worker, and
    each batch is used once.

    Source: Zhang, Choromanska & LeCun 2015, "Deep learning with elastic averaging SGD", algorithm 1
    (asynchronous).

    `count`: of the workers, 1 or more.
    `every`: steps of a worker between two meetings (τ of the paper), 1 or more.
    `pull`: of all workers together, β of the paper: each moves `pull` / `count` of the way; above 0
        and at most 1.
    `patience`, `slower`: as `Asynchronous` has them; patience is for one worker's `every` steps.

    Raises ValueError for numbers out of range. A training raises what that of `Asynchronous` does.
    """

    count: int
    every: int = 8
    pull: float = 0.9
    patience: float = PATIENCE
    slower: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_workers(self.count, self.patience, self.slower)
        _check_every(self.every)
        if not 0 < self.pull <= 1:
            raise ValueError(f"a pull of {self.pull!r}: give a share above 0, at most 1")

    def steps_of(self, model: nn.Module, task: Task, training: Training) -> Steps:
        """The steps of a training by these workers."""
        return _Elastic(self, model, task, training)


def _check_every(every: object) -> None:
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ValueError(f"meeting every {every!r} steps: give an integer, 1 or more")


class _Averaged(Served):
    def __init__(self, workers: LocalSGD, model: nn.Module, task: Task, training: Training) -> None:
        super().__init__(model, task, training, workers.count, workers.patience, workers.slower)
        self.count, self.every = workers.count, workers.every
        alone = round(workers.after * training.steps)
        self.local_from = alone - alone % workers.count
        self.end_of_round = -1
        self.wanted: list[int] = []
        self.arrived: dict[int, Gradient] = {}
        self.loss = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether a round is over."""
        return int(self.done) in (0, self.end_of_round) or self.end_of_round < 0

    def backward(self, batch: Any) -> float:
        """The mean loss of the steps that a worker takes by itself from this batch on."""
        self.note(batch)
        ticket = int(self.done)
        if ticket >= self.end_of_round:
            self._begin_round(ticket)
        if ticket in self.chunks:
            while ticket not in self.arrived:
                # the same worker for the same part of each round: it has the optimizer's state
                self.hand_out(self.wanted, self.weights)
                found = self.answer()
                if isinstance(found, Gradient):
                    self.arrived[found.ticket] = found
                else:
                    self.wanted.append(found)
            self.loss = self.arrived[ticket].loss
        self.forget(ticket)
        return self.loss

    def step(self, number: int, steps: int) -> None:
        """Where a round is over, take the mean of the workers' weights."""
        self.done += 1
        if int(self.done) < self.end_of_round:
            return
        shares = [self.chunks[ticket] for ticket in sorted(self.arrived)]
        each = [self.arrived[ticket].each for ticket in sorted(self.arrived)]
        with torch.no_grad():
            for index, p in enumerate(self.parameters):
                total = torch.zeros_like(p)
                for share, weights in zip(shares, each, strict=True):
                    one = weights[index]
                    assert one is not None
                    total += share * one
                p.copy_(total / sum(shares))
        _check_finite(self.parameters)

    def made(self, ticket: int) -> tuple[float, list[Tensor | None]]:
        """What a worker makes: the mean loss of its steps, and its weights after them."""
        losses = []
        for one in range(ticket, ticket + self._length(ticket)):
            losses.append(self.lost_on(one))
            if not math.isfinite(losses[-1]):
                break
            Steps.step(self, one, self.training.steps)
        return fmean(losses), [p.detach() for p in self.parameters]

    def _begin_round(self, ticket: int) -> None:
        self.chunks, self.arrived = dict[int, int](), {}
        begin = ticket
        for _ in range(self.count):
            if begin < self.training.steps:
                self.chunks[begin] = self._length(begin)
                begin += self.chunks[begin]
        self.end_of_round, self.wanted = begin, list(self.chunks)
        self.weights = as_bytes(self.parameters)

    def _length(self, ticket: int) -> int:
        """How many steps a worker takes from a batch on."""
        every = self.every if ticket >= self.local_from else 1
        return min(every, self.training.steps - ticket)


class _Elastic(Served):
    def __init__(
        self, workers: ElasticAveraging, model: nn.Module, task: Task, training: Training
    ) -> None:
        super().__init__(model, task, training, workers.count, workers.patience, workers.slower)
        self.every, self.pull = workers.every, workers.pull / workers.count
        self.own: list[Tensor] | None = None
        self.issued, self.left = -1, 0
        self.lost: list[int] = []
        self.moves: list[Tensor | None] = []
        self.loss = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether the steps of the last worker that came are all counted."""
        return self.left == 0

    def backward(self, batch: Any) -> float:
        """The mean loss of the steps of the next worker that comes to the centre."""
        self.note(batch)
        self.issued = max(self.issued, int(self.done))
        if not self.left:
            while True:
                self._hand_out()
                found = self.answer()
                if isinstance(found, Gradient):
                    break
                self.lost.append(found)
            self.left, self.loss, self.moves = self._length(found.ticket), found.loss, found.each
            for ticket in range(found.ticket, found.ticket + self.left):
                self.forget(ticket)
        return self.loss

    def step(self, number: int, steps: int) -> None:
        """Move the centre, when a worker has come."""
        self.done += 1
        self.left -= 1
        if self.moves:
            with torch.no_grad():
                for p, move in zip(self.parameters, self.moves, strict=True):
                    assert move is not None
                    p += move
            self.moves = []
            _check_finite(self.parameters)

    def made(self, ticket: int) -> tuple[float, list[Tensor | None]]:
        """What a worker makes: the mean loss of its steps, and by how much it moves the centre."""
        centre = [p.detach().clone() for p in self.parameters]
        for p, own in zip(self.parameters, self.own or centre, strict=True):
            p.data.copy_(own)
        losses = []
        for one in range(ticket, ticket + self._length(ticket)):
            losses.append(self.lost_on(one))
            if not math.isfinite(losses[-1]):
                break
            Steps.step(self, one, self.training.steps)
        pairs = zip(self.parameters, centre, strict=True)
        moves = [self.pull * (p.detach() - middle) for p, middle in pairs]
        pairs = zip(self.parameters, moves, strict=True)
        self.own = [p.detach() - move for p, move in pairs]
        return fmean(losses), [*moves]

    def _length(self, ticket: int) -> int:
        return min(self.every, self.training.steps - ticket)

    def _hand_out(self) -> None:
        weights = None
        for place in self.crew.idle():
            if self.lost:
                ticket = self.lost.pop()
            elif self.issued < self.training.steps:
                ticket = self.issued
                self.issued += self._length(ticket)
            else:
                continue
            weights = as_bytes(self.parameters) if weights is None else weights
            self.hand(place, ticket, weights)


def _check_finite(parameters: list[nn.Parameter]) -> None:
    if not all(bool(p.isfinite().all()) for p in parameters):
        raise DivergedError(
            "weights are NaN or infinite after workers met: use a lower learning rate"
        )
