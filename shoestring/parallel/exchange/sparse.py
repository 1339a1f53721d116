"""A few numbers of the gradients: the largest ones, or random ones; the others wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from shoestring.parallel.exchange.one_bit import check_momentum
from shoestring.parallel.exchange.places import packed, packed_bytes, unpacked
from shoestring.parallel.exchange.protocols import GradientCoder, WorkerGroup
from shoestring.parallel.exchange.shapes import (
    Shapes,
    bytes_of,
    checked,
    mean_of_decoded,
    numbers,
)


@dataclass(frozen=True)
class TopK:
    """The largest numbers of all gradients are sent, with their places; the others are kept.

    What is kept is added to the next gradients, until it is among the largest. A number takes 4
    bytes, and its place about log2(1 / share) + 2 bits: 8.6 where a hundredth is sent, for which an
    index takes 32 or 64.

    Source: Stich, Cordonnier & Jaggi 2018, "Sparsified SGD with memory", algorithm 1; Lin et al.
    2018, "Deep gradient compression", section 3.2, for momentum.
    Differs: the largest of all tensors together, where the second source takes those of each; the
    share is the same from the first step on, and workers do not clip.

    `share`: of the numbers that is sent, above 0 and up to 1; one is always sent.
    `momentum`: the share of a worker's last step that stays in each step, 0 or more and below 1;
        that of a number ends when it is sent. The optimizer should have none if workers do.

    Raises ValueError for numbers out of range.
    """

    share: float = 0.01
    momentum: float = 0.0

    def __post_init__(self) -> None:
        _check_share(self.share)
        check_momentum(self.momentum)

    def coder(self, gradients: Sequence[Tensor]) -> GradientCoder:
        """A coder for one worker."""
        return _TopK(Shapes.of(gradients), self.share, self.momentum)


@dataclass(frozen=True)
class RandomK:
    """Random numbers of the gradients are sent, at the same places in all workers.

    Nothing is said of the places: all workers draw the same, from the seed and how many steps there
    were. So sums of what they send are means at these places. The numbers that are not sent are
    kept, and added to the next gradients.

    Source: Stich, Cordonnier & Jaggi 2018, algorithm 1 (rand-k).

    `share`: of the numbers that is sent, above 0 and up to 1; one is always sent.
    `seed`: of the places, the same in all workers.

    Raises ValueError for a share out of range.
    """

    share: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        _check_share(self.share)

    def coder(self, gradients: Sequence[Tensor]) -> GradientCoder:
        """A coder for one worker."""
        return _RandomK(Shapes.of(gradients), self.share, self.seed)


def _check_share(share: float) -> None:
    if not 0 < share <= 1:
        raise ValueError(f"a share of {share!r} is sent: give more than 0, and 1 or less")


def _count(share: float, total: int) -> int:
    return min(total, max(1, round(share * total)))


class _TopK:
    """The numbers, from the lowest place to the highest; then the places."""

    def __init__(self, shapes: Shapes, share: float, momentum: float) -> None:
        self.shapes, self.momentum = shapes, momentum
        self.count = _count(share, shapes.total)
        self.kept = torch.zeros(shapes.total)
        self.velocity = torch.zeros(shapes.total) if momentum else None
        self.tensors = [one for one in (self.kept, self.velocity) if one is not None]

    def encode(self, gradients: Sequence[Tensor]) -> Tensor:
        """The largest numbers and their places; the others are kept."""
        vector = self.shapes.vector(gradients)
        if self.velocity is not None:
            vector = self.velocity.mul_(self.momentum).add_(vector)
        self.kept += vector
        places = self.kept.abs().topk(self.count, sorted=False).indices.sort().values
        values = self.kept[places]
        for one in self.tensors:
            one[places] = 0
        where = torch.from_numpy(packed(places.numpy(), self.shapes.total))
        return bytes_of(values, where)

    def decode(self, sent: Tensor) -> list[Tensor]:
        """The numbers at their places, and 0 elsewhere."""
        total, begin = self.shapes.total, 4 * self.count
        checked(sent, begin + packed_bytes(self.count, total))
        places = torch.from_numpy(unpacked(sent[begin:].numpy(), self.count, total))
        return self.shapes.split(_spread(numbers(sent[:begin]), places, total))

    def mean(self, gradients: Sequence[Tensor], group: WorkerGroup) -> list[Tensor]:
        """The mean of what all workers sent."""
        return mean_of_decoded(self, gradients, group)


class _RandomK:
    """The number of the step, then the numbers at its places."""

    def __init__(self, shapes: Shapes, share: float, seed: int) -> None:
        self.shapes, self.seed = shapes, seed
        self.count = _count(share, shapes.total)
        self.kept = torch.zeros(shapes.total)
        self.done = torch.zeros(1, dtype=torch.int64)
        self.tensors = [self.kept, self.done]

    def encode(self, gradients: Sequence[Tensor]) -> Tensor:
        """The numbers at the step's places; the others are kept."""
        done = self.done.clone()
        _, values = self._taken(gradients)
        return bytes_of(done, values)

    def decode(self, sent: Tensor) -> list[Tensor]:
        """The numbers at the places of their step, and 0 elsewhere."""
        checked(sent, 8 + 4 * self.count)
        places = self._places(int(numbers(sent[:8], torch.int64)))
        return self.shapes.split(_spread(numbers(sent[8:]), places, self.shapes.total))

    def mean(self, gradients: Sequence[Tensor], group: WorkerGroup) -> list[Tensor]:
        """The mean at the step's places, and 0 elsewhere. All workers are at the same step."""
        places, values = self._taken(gradients)
        group.mean_(values)
        return self.shapes.split(_spread(values, places, self.shapes.total))

    def _taken(self, gradients: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The places of a step, and the numbers there, which are no longer kept."""
        self.kept += self.shapes.vector(gradients)
        places = self._places(int(self.done))
        values = self.kept[places]
        self.kept[places] = 0
        self.done += 1
        return places, values

    def _places(self, step: int) -> Tensor:
        drawn = torch.Generator().manual_seed((self.seed * 1_000_003 + step) % 2**63)
        return torch.randperm(self.shapes.total, generator=drawn)[: self.count]


def _spread(values: Tensor, places: Tensor, total: int) -> Tensor:
    vector = torch.zeros(total)
    vector[places] = values
    return vector
