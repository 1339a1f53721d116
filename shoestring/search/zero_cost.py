"""Scores of networks that were not trained, from one batch: higher is better."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from shoestring.core import Gauge, Task, batches, seeded
from shoestring.kit import clone


class UnscoredWarning(UserWarning):
    """A network has no score of this kind and is ranked last; the message says why."""


class ZeroCost(ABC):
    """A score of an untrained network: `GradientNorm()(network, task, seed)`; frozen.

    The network stays as it was, the statistics of its batch norms and its gradients included. The
    seed draws the batch and what is random in the network, and the caller's random numbers are not
    used. What cannot be scored, or is not finite, is -inf.
    """

    @abstractmethod
    def __call__(self, network: nn.Module, task: Task, seed: int = 0) -> float:
        """The score, higher is better; -inf is lowest."""


@final
@dataclass(frozen=True)
class GradientNorm(ZeroCost):
    """The lengths of the gradients of all parameters on one training batch, added.

    Source: Abdelfattah et al. 2021, section 2.2.1 (grad_norm).

    A network whose loss is NaN or infinite, or that has gradients which are, gets -inf. So does one
    without parameters to train. Batches of one example are fine unless the network has batch norms,
    which then raise ValueError.
    """

    def __call__(self, network: nn.Module, task: Task, seed: int = 0) -> float:
        tried = clone(network)
        tried.zero_grad(set_to_none=True)
        with torch.enable_grad():
            loss = _on_a_batch(tried, task, seed)
            if not loss.requires_grad or not loss.isfinite():
                return -math.inf
            loss.backward()
        lengths = [one.grad.double().norm() for one in tried.parameters() if one.grad is not None]
        return _finite(float(sum(lengths)))


@final
@dataclass(frozen=True)
class LinearRegions(ZeroCost):
    """How well a network's ReLUs tell the examples of one training batch apart.

    It is the logarithm of the determinant of the kernel, N×N, that counts for each two examples on
    how many ReLUs they agree. Two examples on one side of every ReLU lie in one linear region; then
    the determinant is 0 and the score -inf.

    Source: Mellor et al. 2021, section 3 (NASWOT), equations 1 and 2.

    The score of a network without ReLU is -inf, with an UnscoredWarning. So is, without one, that
    of a network with NaN in it. Raises ValueError for a batch of one example, which has nothing to
    be told apart from, and for ReLUs whose axis 0 is not the example.
    """

    def __call__(self, network: nn.Module, task: Task, seed: int = 0) -> float:
        tried = clone(network)
        with torch.no_grad(), _Codes() as codes:
            _on_a_batch(tried, task, seed)
        if codes.kernel is None:
            warnings.warn(
                "LinearRegions found no ReLU in the network and gives -inf: rank such networks by "
                "GradientNorm()",
                UnscoredWarning,
                stacklevel=2,
            )
            return -math.inf
        if codes.is_nan:
            return -math.inf
        if len(codes.kernel) < 2:
            raise ValueError(
                "LinearRegions has a batch of 1 example, and compares examples: give the task a "
                "batch_size of 2 or more, such as 64"
            )
        sign, logarithm = torch.linalg.slogdet(codes.kernel)
        return _finite(float(logarithm)) if sign > 0 else -math.inf


class _Codes(TorchDispatchMode):
    """Adds up, over all ReLUs that run within, on how many each two examples agree.

    `kernel`: N×N, in double precision; None before the first ReLU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernel: Tensor | None = None
        self.is_nan = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in (torch.ops.aten.relu.default, torch.ops.aten.relu_.default):
            self._add(args[0])
        return func(*args, **(kwargs or {}))

    def _add(self, given: Tensor) -> None:
        self.is_nan = self.is_nan or bool(given.isnan().any())
        signs_NA = torch.where(given.flatten(1) > 0, 1.0, -1.0) if given.dim() > 1 else None
        if signs_NA is None or (self.kernel is not None and len(self.kernel) != len(signs_NA)):
            raise ValueError(
                f"a ReLU of this network has the shape {tuple(given.shape)}, whose axis 0 is not "
                "the example: LinearRegions cannot compare examples in it; use GradientNorm()"
            )
        # Signs that agree add 1 and others -1: half of what this and their number add up to.
        agree_NN = (signs_NA @ signs_NA.T + signs_NA.shape[1]) / 2
        self.kernel = agree_NN.double() + (0 if self.kernel is None else self.kernel)


@final
@dataclass(frozen=True)
class ParameterCount(ZeroCost):
    """How many numbers are trained: the baseline that needs no batch.

    Source: none. Abdelfattah et al. 2021 and White et al. 2022 find that many scores are not ahead
    of it.
    """

    def __call__(self, network: nn.Module, task: Task, seed: int = 0) -> float:
        return float(sum(one.numel() for one in network.parameters() if one.requires_grad))


@final
@dataclass(frozen=True, kw_only=True)
class Weighed(ZeroCost):
    """What a meter measures: operations as the other baseline, or any other cost.

    `meter`: such as `meters.Operations()`. A cost that it leaves unmeasured is -inf.
    """

    meter: Gauge

    def __call__(self, network: nn.Module, task: Task, seed: int = 0) -> float:
        found = getattr(self.meter(network, task), self.meter.measures)
        return -math.inf if found is None else float(found)


def _on_a_batch(network: nn.Module, task: Task, seed: int) -> Tensor:
    """The loss of the first training batch, in training mode, since a new network's batch norms
    know no statistics.

    Raises ValueError where there is no batch, or one example where batch norms need more.
    """
    network.train()
    with seeded(seed):
        for batch in batches(task, "train", network):
            try:
                return task.loss(network, batch)
            except ValueError as error:
                if "more than 1 value per channel" not in str(error):
                    raise
                raise ValueError(
                    "a batch of 1 example has no statistics for the network's batch norms: give "
                    "the task a batch_size of 2 or more, such as 64"
                ) from error
    raise ValueError("the training split has no batch: give the task at least one example")


def _finite(score: float) -> float:
    return score if math.isfinite(score) else -math.inf
