"""Workers of one process that take a mean together, each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from torch import Tensor

from shoestring.parallel.exchange.protocols import GradientCoder


def means(
    coders: Sequence[GradientCoder], gradients: Sequence[Sequence[Tensor]]
) -> list[list[Tensor]]:
    """The mean as each worker gets it, by the coders' own exchange.

    A coder waits for the others in the middle of a mean, which is why each has a thread. Sums are
    made in the order of the workers, so that the same gradients always have the same mean.

    `coders`, `gradients`: of each worker.

    Raises what a coder raises.
    """
    meeting = _Meeting(len(coders))
    if len(coders) == 1:
        return [coders[0].mean(gradients[0], _Member(meeting, 0))]

    def one(number: int) -> list[Tensor]:
        try:
            return coders[number].mean(gradients[number], _Member(meeting, number))
        except BaseException:
            meeting.barrier.abort()  # nobody waits for this one any longer
            raise

    with ThreadPoolExecutor(len(coders)) as pool:
        waited = [pool.submit(one, number) for number in range(len(coders))]
    errors = [error for each in waited if (error := each.exception()) is not None]
    for error in errors:
        if not isinstance(error, threading.BrokenBarrierError):
            raise error
    return [each.result() for each in waited]


@dataclass
class _Meeting:
    """Where the workers meet. `brought`: what each has brought, by its number."""

    count: int
    brought: dict[int, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.count)

    def all_of(self, number: int, tensor: Tensor) -> list[Tensor]:
        """What all have brought, in their order."""
        self.brought[number] = tensor
        self.barrier.wait()
        found = [self.brought[one] for one in range(self.count)]
        self.barrier.wait()  # and nobody brings the next before all have seen this
        return found


@dataclass
class _Member:
    """The group of all, for one of them."""

    meeting: _Meeting
    number: int

    @property
    def count(self) -> int:
        """How many they are."""
        return self.meeting.count

    def mean_(self, tensor: Tensor) -> None:
        """Make a tensor the mean of those of all; sums are rounded as the tensor's numbers are."""
        first, *others = self.meeting.all_of(self.number, tensor.clone())
        tensor.copy_(first)
        for other in others:
            tensor += other
        tensor /= self.count

    def gathered(self, sent: Tensor) -> list[Tensor]:
        """The bytes of all, in their order."""
        return self.meeting.all_of(self.number, sent)
