"""Gradients as one vector, and numbers as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from shoestring.parallel.exchange.protocols import GradientCoder, WorkerGroup


@dataclass(frozen=True)
class Shapes:
    """The shapes of gradients. `each`: in their order."""

    each: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(gradients: Sequence[Tensor]) -> Shapes:
        """Those of these tensors; raises ValueError where they have no number."""
        if not any(one.numel() for one in gradients):
            raise ValueError("a coder of no gradients: give the parameters that are trained")
        return Shapes(tuple(tuple(one.shape) for one in gradients))

    @cached_property
    def lengths(self) -> list[int]:
        """How many numbers each gradient has."""
        return [torch.Size(one).numel() for one in self.each]

    @cached_property
    def total(self) -> int:
        """How many numbers all of them have."""
        return sum(self.lengths)

    def check(self, gradients: Sequence[Tensor]) -> None:
        """Raise ValueError for gradients of other shapes."""
        if (found := tuple(tuple(one.shape) for one in gradients)) != self.each:
            raise ValueError(
                f"gradients of the shapes {_brief(found)}, and the coder is for "
                f"{_brief(self.each)}: make a coder for them"
            )

    def vector(self, gradients: Sequence[Tensor]) -> Tensor:
        """A new vector of all numbers, in single precision, in this process's memory."""
        self.check(gradients)
        return torch.cat([one.detach().reshape(-1).float() for one in gradients]).cpu()

    def split(self, vector: Tensor) -> list[Tensor]:
        """The gradients as parts of a vector of all numbers."""
        parts = vector.split(self.lengths)
        return [part.view(shape) for part, shape in zip(parts, self.each, strict=True)]


def _brief(shapes: tuple[tuple[int, ...], ...]) -> str:
    told = ", ".join("×".join(map(str, one)) or "()" for one in shapes[:4])
    return told + (f" and {len(shapes) - 4} more" if len(shapes) > 4 else "") or "none"


def bytes_of(*parts: Tensor) -> Tensor:
    """The bytes of tensors, one after the other: uint8, one axis; of one alone they are shared."""
    each = [part.contiguous().reshape(-1).view(torch.uint8) for part in parts]
    return each[0] if len(each) == 1 else torch.cat(each)


def numbers(sent: Tensor, kind: torch.dtype = torch.float32) -> Tensor:
    """A vector of the numbers that bytes are. `sent`: any part of what `checked` returned."""
    return sent.clone().view(kind)  # a part may begin where such a number cannot


def checked(sent: Tensor, length: int) -> Tensor:
    """Bytes that somebody sent, if so many; raises ValueError for anything else."""
    if sent.dtype != torch.uint8 or sent.ndim != 1:
        raise ValueError(
            f"gradients came as {sent.dtype} with {sent.ndim} axes: they are bytes, uint8 with one"
        )
    if len(sent) != length:
        raise ValueError(
            f"gradients came as {len(sent):,} bytes, and those of this model are {length:,}: do "
            "all workers have the same model and the same exchange?"
        )
    return sent.contiguous()


class Alone:
    """A group of one worker."""

    count = 1

    def mean_(self, tensor: Tensor) -> None:
        """Leave it."""

    def gathered(self, sent: Tensor) -> list[Tensor]:
        """That alone."""
        return [sent]


def mean_of_decoded(
    coder: GradientCoder, gradients: Sequence[Tensor], group: WorkerGroup
) -> list[Tensor]:
    """The mean of what all workers sent, each of which sends all others its bytes."""
    first, *others = (coder.decode(one) for one in group.gathered(coder.encode(gradients)))
    for other in others:
        for total, one in zip(first, other, strict=True):
            total += one
    return [total.div_(group.count) for total in first]
