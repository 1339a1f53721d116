"""Gradients that are sent whole: in single precision, or rounded to 16 bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from shoestring.parallel.exchange.protocols import GradientCoder, WorkerGroup
from shoestring.parallel.exchange.shapes import Shapes, bytes_of, checked, numbers


@dataclass(frozen=True)
class SinglePrecision:
    """Gradients are sent as they are: 4 bytes a number.

    Source: none; it is what torch.nn.parallel.DistributedDataParallel does.
    """

    def coder(self, gradients: Sequence[Tensor]) -> GradientCoder:
        """A coder for one worker."""
        return _Plain(Shapes.of(gradients), torch.float32)


@dataclass(frozen=True)
class BFloat16Gradients:
    """Gradients are rounded to bfloat16: 2 bytes a number, 8 bits of precision, no overflow.

    In a mean the sums of workers are rounded too, each to 8 bits, so that they stay 2 bytes: the
    error grows with the workers. A server that decodes sums in single precision.

    Source: Kalamkar et al. 2019, section 2; torch's bf16_compress_hook, which sums so too.
    Differs: the hook divides by the number of workers before it sums, and where that is no power
    of 2 it rounds once more.
    """

    def coder(self, gradients: Sequence[Tensor]) -> GradientCoder:
        """A coder for one worker."""
        return _Plain(Shapes.of(gradients), torch.bfloat16)


class _Plain:
    """Numbers of one type."""

    def __init__(self, shapes: Shapes, kind: torch.dtype) -> None:
        self.shapes, self.kind = shapes, kind
        self.tensors: list[Tensor] = []

    @cached_property
    def vectors(self) -> tuple[Tensor, Tensor]:
        """What is sent and what comes of it, one and the same where nothing is rounded.

        They are kept, since it takes longer to get new memory than to fill it.
        """
        sent = torch.empty(self.shapes.total, dtype=self.kind)
        return sent, sent if self.kind == torch.float32 else torch.empty(self.shapes.total)

    def encode(self, gradients: Sequence[Tensor]) -> Tensor:
        """The numbers, rounded."""
        return bytes_of(self.shapes.vector(gradients).to(self.kind))

    def decode(self, sent: Tensor) -> list[Tensor]:
        """The numbers."""
        checked(sent, self.shapes.total * self.kind.itemsize)
        return self.shapes.split(numbers(sent, self.kind).float())

    def mean(self, gradients: Sequence[Tensor], group: WorkerGroup) -> list[Tensor]:
        """The mean; it is rounded as the numbers are."""
        self.shapes.check(gradients)
        sent, found = self.vectors
        for part, gradient in zip(self.shapes.split(sent), gradients, strict=True):
            part.copy_(gradient.detach())
        group.mean_(sent)
        if found is not sent:
            found.copy_(sent)
        return self.shapes.split(found)
