"""Exchanges of gradients beside torch's own hooks, in two processes with gloo, in alternation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import (
    allreduce_hook,
    bf16_compress_hook,
)
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState, powerSGD_hook
from torch.multiprocessing import start_processes  # pyright: ignore[reportPrivateImportUsage]

from shoestring.artifact.scratch import scratch_folder
from shoestring.parallel import BFloat16Gradients, GradientExchange, PowerSGD, SinglePrecision
from shoestring.parallel.programs import join_programs

PAIRS: dict[str, tuple[GradientExchange, str]] = {
    "single precision": (SinglePrecision(), "allreduce_hook"),
    "bfloat16": (BFloat16Gradients(), "bf16_compress_hook"),
    "PowerSGD, rank 1": (PowerSGD(1), "powerSGD_hook"),
    "PowerSGD, rank 4": (PowerSGD(4), "powerSGD_hook"),
}
"""Each exchange, and the name of torch's hook for the same."""

Hook = Callable[[Any], Any]
Times = dict[str, list[tuple[float, float]]]


def beside_torch(shapes: Sequence[torch.Size], rounds: int) -> Times:
    """Seconds of a mean, ours and torch's, in each round of the first of two processes.

    Both begin with gradients as the parameters have them, and end with the mean in one vector. So
    torch's time has what its DistributedDataParallel does before it calls a hook: it copies the
    gradients into a vector that it keeps.
    """
    with scratch_folder() as folder:
        arguments = (list(shapes), rounds, str(folder))
        start_processes(_worker, arguments, nprocs=2, start_method="fork")
        return torch.load(folder / "times.pt")


class _Bucket:
    """What torch's hooks are given."""

    def __init__(self, gradients: Sequence[Tensor]) -> None:
        self.vector = torch.empty(sum(one.numel() for one in gradients))
        parts = self.vector.split([one.numel() for one in gradients])
        self.each = [part.view(one.shape) for part, one in zip(parts, gradients, strict=True)]

    def fill(self, gradients: Sequence[Tensor]) -> None:
        for part, one in zip(self.each, gradients, strict=True):
            part.copy_(one)

    def gradients(self) -> list[Tensor]:
        return self.each

    def buffer(self) -> Tensor:
        return self.vector

    def index(self) -> int:
        return 0

    def is_last(self) -> bool:
        return True


def _worker(rank: int, shapes: list[torch.Size], rounds: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    programs = join_programs(60.0)
    drawn = torch.Generator().manual_seed(rank)
    gradients = [0.01 * torch.randn(shape, generator=drawn) for shape in shapes]
    times: Times = {}
    for name, (exchange, _) in PAIRS.items():
        coder, hook, bucket = exchange.coder(gradients), _hook(exchange), _Bucket(gradients)

        def theirs_too(hook: Hook = hook, bucket: _Bucket = bucket) -> None:
            bucket.fill(gradients)
            hook(bucket)

        times[name] = []
        for _ in range(rounds + 3):
            ours = _seconds(lambda coder=coder: coder.mean(gradients, programs))
            theirs = _seconds(theirs_too)
            times[name].append((ours, theirs))
        del times[name][:3]  # the first ones reserve memory
    if not rank:
        torch.save(times, Path(folder) / "times.pt")
    dist.destroy_process_group()


def _hook(exchange: GradientExchange) -> Hook:
    """Torch's mean of a bucket, to the end."""
    if isinstance(exchange, PowerSGD):
        state = PowerSGDState(None, exchange.rank, start_powerSGD_iter=2)
        state.start_powerSGD_iter = 0
        return lambda bucket: powerSGD_hook(state, bucket).wait()
    hook = bf16_compress_hook if isinstance(exchange, BFloat16Gradients) else allreduce_hook
    whole: Any = dist.group.WORLD
    return lambda bucket: hook(whole, bucket).wait()


def _seconds(work: Callable[[], object]) -> float:
    """Of both processes' work, begun together."""
    dist.barrier()
    began = perf_counter()
    work()
    return perf_counter() - began
