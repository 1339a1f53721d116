"""Programs that were started together train one model, of which each keeps a part."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from shoestring.core import Task, seeded, spend
from shoestring.kit import Training
from shoestring.kit.training.resume import Batches, snapshots
from shoestring.kit.training.settings import Clipped, Unclipped
from shoestring.kit.training.statistics import norms_of, statistics_kept
from shoestring.kit.training.steps import Steps, in_precision
from shoestring.parallel.asynchronous import PATIENCE
from shoestring.parallel.programs import Programs, join_programs
from shoestring.parallel.serving import APART
from shoestring.parallel.sharding import Shards


@dataclass(frozen=True)
class Sharded:
    """Programs that were started together train one model, and each keeps a part of the weights.

    They are started as those of `AllReduced`, count steps as those do, and come to the same
    weights. But of each weight, its gradient and the optimizer's numbers for it, a program has one
    part among as many as there are programs, by its first axis. The weights of a layer are gathered
    when the layer is called, and again for its gradients, and dropped afterwards. So memory is
    spared, and about half as much again is sent as by `AllReduced`.

    A layer is gathered for its own call only. Where a module reads the weights of another one, or
    two layers share a weight, name a class that holds both in `blocks`. The model is called as
    `model(...)`, and all programs call the same layers in the same order in each step, which is
    checked before the weights change.

    Each program begins with the whole model, and has it at the end, when the optimizer's numbers
    are gone: one parameter is gathered after the other. Where a training ends early, by Ctrl-C or
    by a program that is lost, weights stay in parts, and the model cannot be used any more. There
    are no snapshots. The operations of a training are not counted. On Linux, pieces of memory of
    1 MB or more go back to the system when they are freed, from then on in the whole process.

    Source: Zhao et al. 2023, "PyTorch FSDP", section 3, as `torch.distributed.fsdp.fully_shard`.

    `blocks`: classes of modules whose weights are gathered together, when the module is called;
        others are gathered layer by layer.
    `patience`: the seconds after which a program that does not answer is taken for lost, above 0.

    Raises ValueError for a patience out of range and TypeError for blocks that are no classes of
    modules. A training raises WorkersError where this program is in no group or another one is lost
    or hangs; and ValueError within `resuming`, where something changes the model between steps,
    where the programs differ in what they are about to do or in what they did in a step, and, with
    their names, for weights that cannot be sharded: those with states (masks, codebooks), of other
    devices than the processor, of less than 32 bits, and tied ones that no block holds.
    """

    blocks: tuple[type[nn.Module], ...] = ()
    patience: float = PATIENCE

    def __post_init__(self) -> None:
        wrong = [
            one for one in self.blocks if not (isinstance(one, type) and issubclass(one, nn.Module))
        ]
        if wrong:
            raise TypeError(f"a block is {wrong[0]!r}: give classes of modules, such as (Block,)")
        if not 0 < self.patience < math.inf:
            raise ValueError(f"a patience of {self.patience!r} s: give seconds above 0")

    def steps_of(self, model: nn.Module, task: Task, training: Training) -> Steps:
        """The steps of a training by this program and the others; the model is sharded now."""
        if snapshots() is not None:
            raise ValueError(
                "a training with Sharded() keeps no snapshots: train outside of resuming, or use "
                "AllReduced()"
            )
        programs = join_programs(self.patience)
        programs.check_alike(model, task, training, 0)
        return _Steps(Shards(model, self.blocks, programs), programs, task, training)


class _Steps(Steps):
    def __init__(self, shards: Shards, programs: Programs, task: Task, training: Training) -> None:
        # the optimizer has plain tensors, this program's parts; fused ones take no others
        plain = replace(training, clipping=Unclipped())
        super().__init__(nn.ParameterList(shards.local()), task, plain)
        self.model, self.clipping = shards.model, training.clipping
        self.shards, self.programs, self.count = shards, programs, programs.count
        self.done, self.loss = 0, 0.0
        self.mine: Any = None
        self.norms = norms_of(self.model).values()
        self.averages = [
            one
            for norm in self.norms
            for one in (norm.running_mean, norm.running_var)
            if isinstance(one, Tensor)
        ]
        self.can_gather = True  # all programs are at one place, or come to it

    def begin(self, step: int, batches: Batches, *, changes: bool) -> None:
        """See that nothing else changes the model."""
        if changes:
            self.end()
            raise ValueError(
                "something changes the model between the steps of this training, and no program "
                "has the whole model there: use AllReduced() in place of Sharded()"
            )
        self.can_gather = False

    def backward(self, batch: Any) -> float:
        """The mean loss of the round; where it is over, its mean gradient is in the parameters."""
        number = self.done
        if number % self.count == self.programs.rank:
            self.mine = batch
        if not self._ends(number):
            return self.loss
        # All programs make a gradient in each round. Those that have no batch in the last one take
        # that of another program, and it counts nothing.
        active = number % self.count + 1
        has_batch = self.programs.rank < active
        own = number - number % self.count + self.programs.rank if has_batch else number
        self.shards.forget(number)
        self.model.zero_grad()
        self.optimizer.zero_grad()  # they are the same memory
        with seeded((torch.initial_seed() + APART * (own + 1)) % (1 << 31)):
            loss = self._loss_of(self.mine if has_batch else batch, has_batch)
            self.loss = self._mean(loss.item() if has_batch else 0.0, active)
            if math.isfinite(self.loss):
                (loss * (has_batch * self.count / active)).backward()
        self.mine = None
        self._check_together()
        if math.isfinite(self.loss):
            self._average_statistics()
        else:
            self.can_gather = True
        return self.loss

    def step(self, number: int, steps: int) -> None:
        """Where a round is over, or the training, apply the mean of its gradients."""
        ends = self._ends(self.done)
        self.done += 1
        if not ends:
            return
        sharded = self.shards.parameters
        if isinstance(self.clipping, Clipped):
            nn.utils.clip_grad_norm_(sharded, self.clipping.norm)
        for local, p in zip(self.parameters, sharded, strict=True):
            local.grad = None if p.grad is None else cast(Any, p.grad).to_local()
        super().step(number, steps)
        self.can_gather = self.done == self.training.steps

    def end(self) -> None:
        """Make the model whole again, where all programs do, and report what this one sent."""
        spend("communicated_bytes", self.shards.sent)
        spend("training_operations", None)
        if self.can_gather:
            self.optimizer.state.clear()  # memory for the whole weights
            for one in self.parameters:
                one.grad = None
            self.shards.gather()

    def _ends(self, number: int) -> bool:
        return number % self.count == self.count - 1 or number + 1 == self.training.steps

    def _loss_of(self, batch: Any, has_batch: bool) -> Tensor:
        try:
            keeps = nullcontext() if has_batch else statistics_kept(self.norms)
            with keeps, in_precision(self.model, self.training):
                return self.task.loss(self.model, batch)
        except RuntimeError as error:
            if "DTensor" not in str(error):
                raise
            raise ValueError(
                "a weight was used that is not gathered, because its own layer was not called: "
                "name the class of the module that uses it in Sharded(blocks=(...,)), and call "
                f"the model as model(...) ({error})"
            ) from error

    def _mean(self, loss: float, active: int) -> float:
        """The mean of the losses that count in this round."""
        total = torch.tensor([loss], dtype=torch.float64)
        self.programs.together(lambda: dist.all_reduce(total), self.done)
        return float(total) / active

    def _check_together(self) -> None:
        """Raise ValueError where programs exchanged other things: then gradients are mixed up."""
        hits = [p.grad is not None for p in self.shards.parameters]
        alike = {"calls of layers": str(self.shards.calls), "gradients": str(hits)}
        if (unlike := self.programs.first_unlike(alike, self.done)) is not None:
            what, other = unlike
            raise ValueError(
                f"the {what} of program {other} in the round of step {self.done} are not those of "
                "program 0: with Sharded() all programs use the same layers in each step, whatever "
                "their batches are; use AllReduced() for a model whose layers depend on its input"
            )

    def _average_statistics(self) -> None:
        """Make running statistics the mean of those of all programs."""
        if not self.averages:
            return
        flat = torch.cat([one.reshape(-1).double() for one in self.averages])
        self.programs.together(lambda: dist.all_reduce(flat), self.done)
        pieces = flat.split([one.numel() for one in self.averages])
        for one, total in zip(self.averages, pieces, strict=True):
            one.copy_((total / self.count).reshape(one.shape))
