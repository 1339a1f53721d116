"""Programs that were started together, as by torchrun: how they join, and that they are alike."""

from __future__ import annotations

import atexit
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from shoestring.core import Task
from shoestring.core.ledger import versions
from shoestring.kit import Training
from shoestring.kit.training.resume import data_digest
from shoestring.parallel.crew import WorkersError
from shoestring.parallel.messages import as_bytes

Value = TypeVar("Value")
_ALIKE = ("shoestring", "torch")
"""The versions that all programs must share."""


def join_programs(patience: float) -> Programs:
    """Make this program one of its group, where it is not yet.

    `patience`: the seconds after which a program that does not answer is taken for lost.
    Raises WorkersError where there is no group, or the others do not come.
    """
    if not dist.is_initialized():
        _begin_group(patience)
    return Programs(dist.get_rank(), dist.get_world_size())


def _begin_group(patience: float) -> None:
    if "WORLD_SIZE" not in os.environ or "RANK" not in os.environ:
        raise WorkersError(
            "this program is in no group: start it with torchrun --nproc-per-node 2 PROGRAM.py, or "
            "use Synchronous(2), which starts workers by itself"
        )
    try:
        dist.init_process_group("gloo", timeout=timedelta(seconds=patience))
    except (RuntimeError, ValueError) as error:
        at = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise WorkersError(
            f"program {os.environ['RANK']} of {os.environ['WORLD_SIZE']} could not join the others "
            f"within {patience:g} s at {at}: start all of them, with one address that each can "
            f"reach ({error})"
        ) from error
    atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


@dataclass(frozen=True)
class Programs:
    """The group of this program, also as an exchange knows it (`WorkerGroup`).

    `rank`: this program's number, from 0.
    `count`: of the programs, 1 or more.
    """

    rank: int
    count: int

    def mean_(self, tensor: Tensor) -> None:
        """Make a tensor the mean of those of all programs."""
        dist.all_reduce(tensor)
        tensor /= self.count

    def gathered(self, sent: Tensor) -> list[Tensor]:
        """The bytes of all programs, in their order."""
        found = [torch.empty_like(sent) for _ in range(self.count)]
        dist.all_gather(found, sent)
        return found

    def together(self, does: Callable[[], Value], step: int) -> Value:
        """What a call gives that all programs make; raises WorkersError where another does not."""
        try:
            return does()
        except RuntimeError as error:
            raise WorkersError(
                f"another program of the {self.count} is lost, hangs or did not begin, as program "
                f"{self.rank} found out at step {step}: look at what it said, and start "
                f"all again; within resuming they go on from their last snapshot ({error})"
            ) from error

    def first_unlike(self, texts: Mapping[str, str], step: int) -> tuple[str, int] | None:
        """The first of some texts that another program has otherwise, and whose number that is."""
        digests = torch.stack([_digest(text) for text in texts.values()])
        of_all = [torch.empty_like(digests) for _ in range(self.count)]
        self.together(lambda: dist.all_gather(of_all, digests), step)
        for index, what in enumerate(texts):
            others = [at for at, one in enumerate(of_all) if not one[index].equal(of_all[0][index])]
            if others:
                return what, others[0]
        return None

    def check_alike(self, model: nn.Module, task: Task, training: Training, step: int) -> None:
        """Raise ValueError where the programs are not about to do the same from a step on."""
        named = list(model.named_parameters())
        weights, buffers = hashlib.sha256(), hashlib.sha256()
        for _, p in named:
            weights.update(as_bytes([p.cpu()]))
        for one in model.buffers():
            buffers.update(as_bytes([one.cpu()]))
        alike = {
            "versions": str({name: versions().get(name) for name in _ALIKE}),
            "models": str([(n, p.shape, p.dtype, p.requires_grad) for n, p in named]),
            "weights": weights.hexdigest(),
            "buffers": buffers.hexdigest(),
            "data": data_digest(task).hex(),
            "trainings": repr(training),
            "random numbers": hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest(),
            "steps to go on from": str(step),
        }
        if (unlike := self.first_unlike(alike, step)) is not None:
            what, other = unlike
            raise ValueError(
                f"the {what} of program {other} are not those of program 0: start all with "
                "the same code, packages, data and seeds (seeded), and snapshots that are equal"
            )


def _digest(text: str) -> Tensor:
    return torch.frombuffer(bytearray(hashlib.sha256(text.encode()).digest()), dtype=torch.uint8)
