"""How many bytes an exchange sends, and how long they would be on a wire: a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from shoestring.parallel.exchange.protocols import GradientExchange


@dataclass(frozen=True)
class Traffic:
    """The bytes of one step.

    `sent`: what a worker sends a server of its gradients.
    `reduced`: the bytes of each tensor that the workers take a mean of, one after the other.
    `gathered`: the bytes of each message that all workers get from all.
    """

    sent: int
    reduced: tuple[int, ...]
    gathered: tuple[int, ...]

    def among(self, workers: int) -> int:
        """The bytes that so many workers together send one another for a mean.

        A mean goes around in a ring: each worker sends each part of it but one twice. Of a message
        each worker sends a copy to each other one.
        """
        _check_workers(workers)
        ring = 2 * (workers - 1) * sum(self.reduced)
        return ring + workers * (workers - 1) * sum(self.gathered)


def traffic(exchange: GradientExchange, gradients: Sequence[Tensor]) -> Traffic:
    """The bytes of a step, counted on a step of one worker with these gradients.

    `gradients`: tensors of the shapes of the gradients, such as the parameters.
    """
    group = _Counting()
    exchange.coder(gradients).mean(gradients, group)
    sent = len(exchange.coder(gradients).encode(gradients))
    return Traffic(sent, tuple(group.reduced), tuple(group.messages))


@dataclass
class _Counting:
    """A group of one worker that notes what it would send others."""

    reduced: list[int] = field(default_factory=list)
    messages: list[int] = field(default_factory=list)
    count: int = 1

    def mean_(self, tensor: Tensor) -> None:
        """Note its bytes."""
        if tensor.numel():
            self.reduced.append(tensor.numel() * tensor.element_size())

    def gathered(self, sent: Tensor) -> list[Tensor]:
        """Note its bytes."""
        self.messages.append(len(sent))
        return [sent]


@dataclass(frozen=True)
class Wire:
    """A network between workers, each of which has one line to it: a model, not a measurement.

    Times are those of the bytes at the line's rate, and of the latency of each message. Headers,
    other traffic, and waiting for slow workers are not in it, and computation goes on beside none
    of it.

    `bits_per_second`: of each worker's line, in either direction at once; above 0.
    `latency_seconds`: from the begin of a message at one worker to that at another, 0 or more.
    `is_shared`: whether only one of the workers can send at a time, as by radio.

    Raises ValueError for numbers out of range.
    """

    bits_per_second: float
    latency_seconds: float
    is_shared: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.bits_per_second < math.inf or not 0 <= self.latency_seconds < math.inf:
            raise ValueError(
                f"a wire with {self.bits_per_second!r} bits a second and a latency of "
                f"{self.latency_seconds!r} s: give a rate above 0, and a latency of 0 or more"
            )

    def reduce_seconds(self, size: int, workers: int) -> float:
        """Modelled seconds in which workers take a mean of a tensor, in a ring.

        There are 2 · (workers - 1) rounds, in each of which each worker sends one part of as many
        as there are workers (Patarasuk & Yuan 2009).

        `size`: the tensor's bytes.
        """
        _check_workers(workers)
        return 2 * (workers - 1) * self._round(size / workers, workers)

    def gather_seconds(self, size: int, workers: int) -> float:
        """Modelled seconds in which each worker gets the messages of all others, in a ring.

        `size`: the bytes of one message.
        """
        _check_workers(workers)
        return (workers - 1) * self._round(size, workers)

    def server_seconds(self, up: int, down: int, workers: int) -> float:
        """Modelled seconds in which all workers send a server a message and get one back.

        All pass over the server's line, first those to it and then those from it.

        `up`, `down`: the bytes of one message to the server, and of one from it.
        """
        _check_workers(workers)
        return 2 * self.latency_seconds + workers * (up + down) * 8 / self.bits_per_second

    def mean_seconds(self, step: Traffic, workers: int) -> float:
        """Modelled seconds of one step's exchange among workers without a server."""
        return math.fsum(
            [
                *(self.reduce_seconds(size, workers) for size in step.reduced),
                *(self.gather_seconds(size, workers) for size in step.gathered),
            ]
        )

    def _round(self, size: float, workers: int) -> float:
        """Each worker sends its neighbour so many bytes."""
        at_once = workers if self.is_shared else 1
        return self.latency_seconds + at_once * size * 8 / self.bits_per_second


def _check_workers(workers: int) -> None:
    if workers < 1:
        raise ValueError(f"{workers!r} workers: give 1 or more")


WIRES = {
    "Wi-Fi": Wire(100e6, 3e-3, is_shared=True),
    "100 Mbit/s": Wire(100e6, 2e-4),
    "1 Gbit/s": Wire(1e9, 1e-4),
    "10 Gbit/s": Wire(10e9, 5e-5),
}
"""Networks as they are usual; their latencies and the rate of the first are assumptions."""
