"""What the tensors of a file that is written may still ask of its readers."""

from __future__ import annotations

from shoestring.artifact.coding import work
from shoestring.artifact.coding.matrices import FEW
from shoestring.artifact.format.tensors import Tensor


class Allowance:
    """The work that tensors may ask for, as they are written one after the other.

    Every reader allows it: nothing is added for the code stream, as for old files.
    """

    def __init__(self, tensors: list[Tensor]) -> None:
        declared = [tensor.bits.size * max(tensor.bits.itemsize, 4) for tensor in tensors]
        self._left = work.allowance(sum(declared))
        # Each tensor may ask for what it declares, and one of few numbers for something more.
        self._shares = [work.allowance(size) - work.SECOND for size in reversed(declared)]
        self._few = [
            300_000 + 20_000 * tensor.bits.size if tensor.bits.size <= FEW else 0
            for tensor in reversed(tensors)
        ]
        self._later, self._later_few = sum(self._shares), sum(self._few)

    def next(self) -> int:
        """What the next tensor may ask for, in nanoseconds, so that something is left for others.

        A tensor that asks for more all the same leaves less.
        """
        self._later -= self._shares.pop()
        self._later_few -= self._few.pop()
        return self._left - self._later - min(self._later_few, work.SECOND // 2)

    def spend(self, asked: int) -> None:
        """The next tensor asks for so much."""
        self._left -= asked
