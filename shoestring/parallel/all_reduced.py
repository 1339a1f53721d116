"""Programs that were started together, as by torchrun, train one model by a ring all-reduce."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from shoestring.core import Task, seeded, spend
from shoestring.kit import Training
from shoestring.kit.training.resume import Batches
from shoestring.kit.training.statistics import norms_of
from shoestring.kit.training.steps import Steps
from shoestring.parallel.asynchronous import PATIENCE
from shoestring.parallel.exchange.plain import SinglePrecision
from shoestring.parallel.exchange.protocols import (
    GradientCoder,
    GradientExchange,
    check_exchange,
)
from shoestring.parallel.exchange.traffic import traffic
from shoestring.parallel.programs import Programs, join_programs
from shoestring.parallel.serving import APART


@dataclass(frozen=True)
class AllReduced:
    """Programs that were started together train one model: the mean of their gradients is applied.

    Start one program for each worker, on one machine or several, with torchrun; or join them in a
    process group of torch.distributed yourself. All run the same code on the same data with the
    same seeds. A step of a `Training` is one gradient of one program, and the weights change in
    each step that ends a round, and in the last one, as with `SimulatedSynchronous`. Gradients go
    around in a ring, so that the bytes for each program hardly grow with their number. Whatever
    techniques do between steps each program does itself. Running statistics of batch norms are
    averaged in each round; other buffers are each program's own.

    Each program draws all batches and uses its own. Snapshots within `resuming` are made between
    rounds; programs on several machines need one folder that they share, or equal copies of it.

    `exchange`: how gradients are sent. What it keeps of errors from step to step is not in
        snapshots.
    `patience`: the seconds after which a program that does not answer, or does not come at the
        beginning, is taken for lost, above 0. It holds for all trainings of a program; where the
        group is your own, the group's does.

    Raises ValueError for a patience out of range, TypeError for another kind of exchange. A
    training raises WorkersError where this program is in no group or another one is lost or hangs,
    and ValueError where the programs differ in their versions, models, data or trainings, or in the
    step they go on from.
    """

    exchange: GradientExchange = SinglePrecision()
    patience: float = PATIENCE

    def __post_init__(self) -> None:
        check_exchange(self.exchange)
        if not 0 < self.patience < math.inf:
            raise ValueError(f"a patience of {self.patience!r} s: give seconds above 0")

    def steps_of(self, model: nn.Module, task: Task, training: Training) -> Steps:
        """The steps of a training by this program and the others."""
        return _Steps(join_programs(self.patience), self.exchange, model, task, training)


class _Steps(Steps):
    def __init__(
        self,
        programs: Programs,
        exchange: GradientExchange,
        model: nn.Module,
        task: Task,
        training: Training,
    ) -> None:
        super().__init__(model, task, training)
        # single precision goes with all else, and then doubles do too
        self.coder = None
        if exchange != SinglePrecision():
            self.coder = exchange.coder(self.parameters)
            self.traffic = traffic(exchange, self.parameters)
        self.programs, self.rank, self.count = programs, programs.rank, programs.count
        self.done = torch.zeros((), dtype=torch.int64)
        wide = any(p.dtype == torch.float64 for p in self.parameters)
        self.kind = torch.float64 if wide else torch.float32
        self.sums = [torch.zeros_like(p, dtype=self.kind) for p in self.parameters]
        self.hits = torch.zeros(len(self.parameters), dtype=self.kind)
        self.losses = torch.zeros(2, dtype=self.kind)  # their sum, and how many
        self.loss, self.sent = 0.0, 0
        self.averages = [
            one
            for norm in norms_of(model).values()
            for one in (norm.running_mean, norm.running_var)
            if isinstance(one, Tensor)
        ]

    @property
    def state(self) -> list[Tensor]:
        """With how many gradients were made; between rounds there is nothing else."""
        return [*super().state, self.done]

    @property
    def is_whole(self) -> bool:
        """Whether a round is over."""
        return int(self.done) % self.count == 0

    def begin(self, step: int, batches: Batches, *, changes: bool) -> None:
        """See that all programs are about to do the same."""
        self.programs.check_alike(self.model, self.task, self.training, step)

    def backward(self, batch: Any) -> float:
        """The mean loss of the round, whose mean gradient is in the parameters where it is over."""
        number = int(self.done)
        if number % self.count == self.rank:
            with seeded((torch.initial_seed() + APART * (number + 1)) % (1 << 31)):
                loss = super().backward(batch)
            self.losses += torch.tensor([loss, 1.0], dtype=self.kind)
            if math.isfinite(loss):
                for index, p in enumerate(self.parameters):
                    if p.grad is not None:
                        self.sums[index] += p.grad
                        self.hits[index] += 1
        if self._ends(number):
            self._reduce()
        return self.loss

    def step(self, number: int, steps: int) -> None:
        """Where a round is over, or the training, apply the mean of its gradients."""
        ends = self._ends(int(self.done))
        self.done += 1
        if ends:
            super().step(number, steps)

    def end(self) -> None:
        """Report what this program sent."""
        spend("communicated_bytes", self.sent)

    def _ends(self, number: int) -> bool:
        return number % self.count == self.count - 1 or number + 1 == self.training.steps

    def _reduce(self) -> None:
        """Take the mean of all programs' gradients, with their losses and running statistics."""
        gradients = self.sums if self.coder is None else []
        parts = [self.hits, self.losses, *gradients, *self.averages]
        flat = torch.cat([one.reshape(-1).to(self.kind) for one in parts])
        self.programs.together(lambda: dist.all_reduce(flat), int(self.done))
        self.sent += round(flat.nbytes * 2 * (self.count - 1) / self.count)
        pieces = flat.split([p.numel() for p in parts])
        hits, losses, *totals = [
            piece.reshape(one.shape) for one, piece in zip(parts, pieces, strict=True)
        ]
        if self.coder is None:
            means = [one / hit.clamp(1) for one, hit in zip(totals, hits, strict=False)]
        else:
            means = self._coded(self.coder, hits)
        for p, mean, hit in zip(self.parameters, means, hits, strict=True):
            p.grad = mean.to(p.dtype) if hit or bool(mean.any()) else None
        for one, total in zip(self.averages, totals[len(gradients) :], strict=True):
            one.copy_(total / self.count)
        self.loss = float(losses[0] / losses[1])
        for one in (*self.sums, self.hits, self.losses):
            one.zero_()

    def _coded(self, coder: GradientCoder, hits: Tensor) -> list[Tensor]:
        """The means by an exchange, of those programs that had a gradient."""
        mean = partial(coder.mean, self.sums, self.programs)
        found = self.programs.together(mean, int(self.done))
        self.sent += self.traffic.among(self.count) // self.count
        pairs = zip(found, hits.tolist(), strict=True)
        return [one * (self.count / hit if hit else 1.0) for one, hit in pairs]
