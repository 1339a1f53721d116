"""What workers send of their gradients: a value, what a worker keeps of it, and the workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor


class WorkerGroup(Protocol):
    """The workers that a worker takes a mean with. All of them call the same in the same order."""

    @property
    def count(self) -> int:
        """How many they are, with this one; 1 or more."""
        ...

    def mean_(self, tensor: Tensor) -> None:
        """Make a tensor the mean of those of all workers, bit for bit alike in all (all-reduce).

        `tensor`: of real numbers in contiguous memory; it is changed. Sums are of its type.
        """
        ...

    def gathered(self, sent: Tensor) -> list[Tensor]:
        """The bytes of all workers, in their order (all-gather).

        `sent`: uint8, one axis, as long in all workers.
        """
        ...


class GradientCoder(Protocol):
    """What a worker keeps of an exchange from step to step, and what it does with gradients."""

    @property
    def tensors(self) -> list[Tensor]:
        """What a snapshot of a training keeps: they are changed in place, and are always the same
        ones."""
        ...

    def encode(self, gradients: Sequence[Tensor]) -> Tensor:
        """What this worker sends of its gradients: uint8, one axis, always as long.

        Where the exchange feeds errors back, what is left out is added to the next gradients.
        Raises ValueError for gradients of other shapes than the coder was made for.
        """
        ...

    def decode(self, sent: Tensor) -> list[Tensor]:
        """The gradients that some worker's bytes stand for, in single precision.

        Raises ValueError for what cannot have come from a coder of these shapes.
        """
        ...

    def mean(self, gradients: Sequence[Tensor], group: WorkerGroup) -> list[Tensor]:
        """The mean of the group's gradients as all of its workers get it.

        The tensors may be the coder's own, which the next call overwrites. The mean is bit for bit
        alike in all workers, if their processors compute alike.
        Raises what `encode` and `decode` do.
        """
        ...


@runtime_checkable
class GradientExchange(Protocol):
    """How gradients are sent, such as `EightBits()`: a value."""

    def coder(self, gradients: Sequence[Tensor]) -> GradientCoder:
        """A coder for one worker.

        `gradients`: tensors of the shapes of the gradients, such as the parameters.
        """
        ...


def check_exchange(exchange: object) -> None:
    """Raise TypeError for what is no exchange of gradients."""
    if isinstance(exchange, type) or not isinstance(exchange, GradientExchange):
        raise TypeError(
            f"gradients are exchanged as {exchange!r}: give SinglePrecision(), EightBits(), "
            "TopK(), PowerSGD() or another exchange of shoestring.parallel"
        )
