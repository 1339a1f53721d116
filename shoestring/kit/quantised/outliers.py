"""Examples whose numbers are far beyond those of all others.

Garbage, that a statistic over examples had better not see.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shoestring.artifact import tree
from shoestring.kit.weights.parameters import SkippedWarning

FAR = 32.0
"""Times the reach of all other examples (their number that is farthest from zero), from which on
one is taken for garbage.
"""
ENOUGH = 64
"""Examples, of which one may be garbage: of fewer nobody can tell. Of more, one in 100."""
MANY = 10
"""Of so many examples one may be far from all others before nobody can tell which are the ordinary
ones.
"""
_SOME = 8
"""Examples, of which one that is far from all others is worth a word."""


def without_outliers(batches: Sequence[Any], who: str) -> list[Any]:
    """The batches without the examples that are garbage.

    As they came, the same objects, where none is.
    An example is a slice along the first axis of the floating-point tensors and arrays of a batch,
    in tuples, lists and dicts. One is garbage where a tensor of it reaches 32 times as far from
    zero as in any other; one in 100 may be, and one in 64 or more. NaN and infinity are left to
    whoever looks. A batch is left out as a whole where its parts are not equally long, unless it is
    the only one. With a SkippedWarning from `who` that names the examples; with fewer than 64 it
    says so and leaves them in.
    """
    found = _Far()
    garbage = found.rows(batches, lambda count: range(max(count // 100, 1), 0, -1))
    said = [
        f"{where} reaches {reach:.4g} where no other reaches {rest:.4g}"
        for where, reach, rest in found.seen
    ]
    if not said:
        return list(batches)
    few = sum(map(len, garbage)) < ENOUGH
    warnings.warn(
        f"{who} {'met' if few else 'left out'} examples that are far from all others, as garbage "
        f"is: {'; '.join(said[:5])}"
        f"{f'; and {len(said) - 5} more' if len(said) > 5 else ''}. "
        f"{'Of so few it leaves out none: if this is garbage, take it out of' if few else 'Look at them in'} "
        "the training data",
        SkippedWarning,
        stacklevel=3,
    )
    if few:
        return list(batches)
    return _without(batches, garbage)


@dataclass(frozen=True)
class FarOff:
    """Examples that are far from all others, and too many to be taken for garbage unseen.

    `told`: how many, how far and where, in words.
    `others`: the batches without them, None where there are too few examples to do without some.
    """

    told: str
    others: list[Any] | None


def far_off(batches: Sequence[Any]) -> FarOff | None:
    """Those that reach 32 times as far from zero as all others in a tensor of theirs, of more than
    one in 100 and up to one in 10 examples.

    They may be garbage, or rare and meant: of that the data alone tells nothing. None where there
    are no such.
    """
    found = _Far()
    rows = found.rows(batches, lambda count: range(count // MANY, max(count // 100, 1), -1))
    if not found.seen:
        return None
    total, many = sum(map(len, rows)), sum(int(one.sum()) for one in rows)
    times = min(reach / rest for _, reach, rest in found.seen)
    named = ", ".join(where for where, _, _ in found.seen[:5]) + (
        ", …" if len(found.seen) > 5 else ""
    )
    told = (
        f"{many} of {total} examples that reach {times:.3g} times as far from zero as all "
        f"others ({named})"
    )
    return FarOff(told, None if total < ENOUGH else _without(batches, rows))


def say_far_off(batches: list[Any], who: str) -> list[Any]:
    """The batches as they are, with a SkippedWarning from `who` where some examples are far off."""
    if (far := far_off(batches)) is not None:
        warnings.warn(
            f"{who} met {far.told}, and what it measures is mostly of these. If they are garbage, "
            "take them out of the training data; if they are "
            "meant, bring the inputs to one scale before (their logarithm, say)",
            SkippedWarning,
            stacklevel=3,
        )
    return batches


def first_rows(batch: Any, count: int) -> Any:
    """The first examples of a batch.

    All of it, where it is not made of tensors that are all as long.
    """
    lengths = [
        len(one) for one in tree.leaves(batch) if isinstance(one, Tensor | np.ndarray) and one.ndim
    ]
    found = _rows(batch, torch.arange(lengths[0]) < count) if lengths else None
    return batch if found is None else found


def not_finite(batch: Any) -> list[int]:
    """The examples of a batch that hold NaN or infinity."""
    found = [~reach.isfinite() for reach in _reaches(batch).values()]
    return sorted({row for one in found for row in one.nonzero().flatten().tolist()})


class _Far:
    """Looks for examples behind a gap.

    `seen`: (where, its reach, the farthest reach of all others) of each.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, float, float]] = []

    def rows(self, batches: Sequence[Any], counts: Callable[[int], range]) -> list[Tensor]:
        """Of each batch which examples are far.

        `counts`: how many may be, of so many, the most first.
        """
        reaches = [_reaches(batch) for batch in batches]
        far = [torch.zeros(len(next(iter(own.values()), ())), dtype=torch.bool) for own in reaches]
        for place in dict.fromkeys(place for own in reaches for place in own):
            parts = [own.get(place, torch.zeros(0)) for own in reaches]
            limit, rest = _limit(torch.cat(parts), counts)
            for batch, part in enumerate(parts):
                for row in (part > limit).nonzero().flatten().tolist():
                    if row < len(far[batch]):
                        far[batch][row] = True
                    self.seen.append((f"number {row} of batch {batch}", float(part[row]), rest))
        return far


def _limit(reach: Tensor, counts: Callable[[int], range]) -> tuple[float, float]:
    """(beyond which an example is far, how far the farthest of the others reaches), of the reaches
    of all.
    """
    ordered = reach[reach.isfinite()].sort(descending=True).values
    for count in counts(len(ordered)) if len(ordered) >= _SOME else ():
        last, rest = float(ordered[count - 1]), float(ordered[count])
        if rest > 0 and last > FAR * rest:
            return FAR * rest, rest
    return float("inf"), float("inf")


def _without(batches: Sequence[Any], far: Sequence[Tensor]) -> list[Any]:
    """The batches without these examples.

    A batch that cannot be cut goes as a whole, unless it is the only one.
    """
    found = [
        _rows(batch, ~gone) if bool(gone.any()) else batch
        for batch, gone in zip(batches, far, strict=True)
    ]
    return [one for one in found if one is not None] or list(batches)


def _reaches(batch: Any) -> dict[int, Tensor]:
    """Of each tensor of floats with an axis of examples, by its place among the batch's leaves, how
    far each example is from zero.
    """
    found: dict[int, Tensor] = {}
    for place, leaf in enumerate(tree.leaves(batch)):
        one = (
            torch.from_numpy(leaf)
            if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f"
            else leaf
        )
        if isinstance(one, Tensor) and one.is_floating_point() and one.ndim and one.numel():
            found[place] = one.detach().float().abs().reshape(len(one), -1).amax(1).cpu()
    return found


def _rows(batch: Any, keep: Tensor) -> Any:
    """A batch with the examples that are kept.

    None where there are none, or it is not made of tensors that are all as long.
    """
    leaves = tree.leaves(batch)
    lengths = {len(one) for one in leaves if isinstance(one, Tensor | np.ndarray) and one.ndim}
    # A list within a batch holds one thing for each example: which, nobody can tell.
    parts = (
        batch.values()
        if isinstance(batch, dict)
        else batch
        if isinstance(batch, list | tuple)
        else ()
    )
    ragged = any(isinstance(one, list) for one in parts) or any(
        isinstance(one, str | bytes) for one in leaves
    )
    if lengths != {len(keep)} or ragged or not bool(keep.any()):
        return None

    def cut(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return leaf[keep.to(leaf.device)] if leaf.ndim else leaf
        return leaf[keep.numpy()] if isinstance(leaf, np.ndarray) and leaf.ndim else leaf

    return tree.map(cut, batch)
