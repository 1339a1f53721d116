"""Gradients of matrices as products of two narrow ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from shoestring.parallel.exchange.protocols import GradientCoder, WorkerGroup
from shoestring.parallel.exchange.shapes import Alone, Shapes, bytes_of, checked, numbers

_LEAST_SAVING = 2
"""A matrix is sent whole unless its parts have fewer numbers by more than this factor."""
_LEAST = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class PowerSGD:
    """The gradient of a matrix is sent as a product of two narrow ones, found in one power step.

    With n rows and m columns it takes rank · (n + m) numbers for n · m. A tensor of more axes is a
    matrix of its first one by the others. Vectors, and matrices that would save less than half, are
    sent whole. Sums of the narrow matrices are those of the mean gradient, so that workers reduce
    and do not gather. What the product leaves out is added to the next gradient, and the power step
    begins with the last one's result.

    Source: Vogels, Karimireddy & Jaggi 2019, algorithms 1 and 2; torch's powerSGD_hook with its
    defaults, which it equals but for rounding.
    Differs: from the first step on, where the hook lets steps pass first; a narrow column that came
    to 0 is drawn anew, where the hook comes to NaN.

    `rank`: the columns of the narrow matrices, 1 or more; a matrix has no more than its smaller
        axis.
    `seed`: of the first power step, the same in all workers.

    Raises ValueError for a rank out of range.
    """

    rank: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.rank, int) or self.rank < 1:
            raise ValueError(f"a rank of {self.rank!r}: give an integer, 1 or more")

    def coder(self, gradients: Sequence[Tensor]) -> GradientCoder:
        """A coder for one worker."""
        return _PowerSGD(Shapes.of(gradients), self.rank, self.seed)


@dataclass(frozen=True)
class _Matrix:
    """A gradient that is sent as a product. `number`: of the gradient."""

    number: int
    rows: int
    columns: int
    rank: int

    @staticmethod
    def all_of(shapes: Shapes, rank: int) -> list[_Matrix]:
        found = []
        for number, (shape, length) in enumerate(zip(shapes.each, shapes.lengths, strict=True)):
            if not length or not shape:
                continue
            rows, columns = shape[0], length // shape[0]
            its_rank = min(rank, rows, columns)
            if (rows + columns) * its_rank * _LEAST_SAVING < length:
                found.append(_Matrix(number, rows, columns, its_rank))
        return found


class _PowerSGD:
    """The left narrow matrices, what is sent whole, and the right narrow matrices."""

    def __init__(self, shapes: Shapes, rank: int, seed: int) -> None:
        self.shapes, self.seed = shapes, seed
        self.matrices = _Matrix.all_of(shapes, rank)
        compressed = {one.number for one in self.matrices}
        self.whole = [one for one in range(len(shapes.each)) if one not in compressed]
        self.lengths = [
            *(one.rows * one.rank for one in self.matrices),
            *(shapes.lengths[one] for one in self.whole),
            *(one.columns * one.rank for one in self.matrices),
        ]
        self.before_right = sum(self.lengths[: len(shapes.each)])
        self.errors = [torch.zeros(one.rows, one.columns) for one in self.matrices]
        self.rights = [self._drawn(one) for one in self.matrices]
        self.tensors = [*self.errors, *self.rights]

    def encode(self, gradients: Sequence[Tensor]) -> Tensor:
        """The narrow matrices of this worker alone."""
        return bytes_of(self._reduced(gradients, Alone()))

    def decode(self, sent: Tensor) -> list[Tensor]:
        """The products."""
        return self._products(numbers(checked(sent, 4 * sum(self.lengths))))

    def mean(self, gradients: Sequence[Tensor], group: WorkerGroup) -> list[Tensor]:
        """The products of the means. All workers began with the same rights."""
        return self._products(self._reduced(gradients, group))

    def _reduced(self, gradients: Sequence[Tensor], group: WorkerGroup) -> Tensor:
        """What `decode` reads, as the group agrees on it; what it leaves out is kept."""
        self.shapes.check(gradients)
        vector = torch.empty(sum(self.lengths))
        lefts, whole, rights = self._parts(vector)
        for part, number in zip(whole, self.whole, strict=True):
            part.copy_(gradients[number].detach())
        for one, error, left, last in zip(
            self.matrices, self.errors, lefts, self.rights, strict=True
        ):
            error += gradients[one.number].detach().reshape(error.shape).to(error)
            torch.mm(error, self._orthogonal(last, one), out=left)
        group.mean_(vector[: self.before_right])
        for error, left, right in zip(self.errors, lefts, rights, strict=True):
            left.copy_(_orthonormal(left))
            torch.mm(error.t(), left, out=right)
        group.mean_(vector[self.before_right :])
        for error, left, right, last in zip(self.errors, lefts, rights, self.rights, strict=True):
            last.copy_(right)
            error.addmm_(left, right.t(), alpha=-1)
        return vector

    def _products(self, vector: Tensor) -> list[Tensor]:
        lefts, whole, rights = self._parts(vector)
        found = dict(zip(self.whole, whole, strict=True))
        for one, left, right in zip(self.matrices, lefts, rights, strict=True):
            found[one.number] = (left @ right.t()).view(self.shapes.each[one.number])
        return [found[number] for number in range(len(found))]

    def _parts(self, vector: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Of a vector the left narrow matrices, what is sent whole, and the right ones."""
        parts = vector.split(self.lengths)
        end, begin = len(self.matrices), len(self.shapes.each)
        lefts = [p.view(m.rows, m.rank) for p, m in zip(parts, self.matrices, strict=False)]
        rights = [
            p.view(m.columns, m.rank) for p, m in zip(parts[begin:], self.matrices, strict=True)
        ]
        whole = [
            p.view(self.shapes.each[number])
            for p, number in zip(parts[end:begin], self.whole, strict=True)
        ]
        return lefts, whole, rights

    def _orthogonal(self, last: Tensor, matrix: _Matrix) -> Tensor:
        """Orthonormal columns to begin a power step with; those that came to 0 are drawn anew."""
        is_gone = ~last.any(dim=0)
        if bool(is_gone.any()):
            last = torch.where(is_gone, self._drawn(matrix), last)
        return _orthonormal(last)

    def _drawn(self, matrix: _Matrix) -> Tensor:
        drawn = torch.Generator().manual_seed((self.seed * 1_000_003 + matrix.number) % 2**63)
        return torch.randn(matrix.columns, matrix.rank, generator=drawn)


def _orthonormal(columns: Tensor) -> Tensor:
    """Orthonormal columns that span the same; one column of 0 stays so."""
    if columns.shape[1] == 1:
        return columns / columns.norm().clamp(min=_LEAST)
    return torch.linalg.qr(columns).Q
