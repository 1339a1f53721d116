"""Outliers: examples with numbers far beyond those of all others, which statistics leave out."""

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
"""An outlier reaches more than so many times as far from zero as any other example.

The reach of an example is the largest absolute value in its tensor.
"""
ENOUGH = 64
"""The least number of examples of which outliers are left out; one in 100 may be, and at least one.
"""
MANY = 10
"""At most one example in so many is called far off; with more, which are the ordinary ones?"""
_SOME = 8
"""The least number of examples of which an outlier is worth a warning."""


def without_outliers(batches: Sequence[Any], who: str) -> list[Any]:
    """The batches without outliers; the same objects where there are none.

    An example is a slice along the first axis of the floating-point tensors and arrays of a batch,
    in tuples, lists and dicts. It is an outlier where one of its tensors reaches more than 32 times
    as far from zero as in any example that stays. Up to one example in 100 may be an outlier, and
    at least one of 64 or more. NaN and infinity are left in. A batch whose parts have different
    lengths is left out as a whole, unless it is the only one.

    A SkippedWarning from `who` names the outliers. With fewer than 64 examples it says so, and they
    stay.
    """
    search = _OutlierSearch()
    outliers = search.rows(batches, lambda count: range(max(count // 100, 1), 0, -1))
    named = [
        f"{where} reaches {reach:.4g} where no other reaches {rest:.4g}"
        for where, reach, rest in search.seen
    ]
    if not named:
        return list(batches)
    few = sum(map(len, outliers)) < ENOUGH
    verb = "met" if few else "left out"
    more = f"; and {len(named) - 5} more" if len(named) > 5 else ""
    advice = (
        "Of so few it leaves out none: if this is garbage, take it out of"
        if few
        else "Look at them in"
    )
    warnings.warn(
        f"{who} {verb} examples that are far from all others, as garbage is: "
        f"{'; '.join(named[:5])}{more}. {advice} the training data",
        SkippedWarning,
        stacklevel=3,
    )
    return list(batches) if few else _without(batches, outliers)


@dataclass(frozen=True)
class FarOff:
    """Examples that are far from all others, but too many to be left out as outliers.

    `told`: how many they are, how far and where, in words.
    `others`: the batches without them; None where there are fewer than 64 examples.
    """

    told: str
    others: list[Any] | None


def far_off(batches: Sequence[Any]) -> FarOff | None:
    """The examples that reach more than 32 times as far as the others, where they are not rare.

    That is more than one example in 100, and up to one in 10. They may be garbage, or rare and
    meant: the data alone does not tell. None where there are no such examples.
    """
    search = _OutlierSearch()
    rows = search.rows(batches, lambda count: range(count // MANY, max(count // 100, 1), -1))
    if not search.seen:
        return None
    total, many = sum(map(len, rows)), sum(int(far.sum()) for far in rows)
    times = min(reach / rest for _, reach, rest in search.seen)
    more = ", …" if len(search.seen) > 5 else ""
    named = ", ".join(where for where, _, _ in search.seen[:5]) + more
    told = (
        f"{many} of {total} examples that reach {times:.3g} times as far from zero as all others "
        f"({named})"
    )
    return FarOff(told, None if total < ENOUGH else _without(batches, rows))


def say_far_off(batches: list[Any], who: str) -> list[Any]:
    """The batches unchanged, with a SkippedWarning from `who` where some examples are far off."""
    if (far := far_off(batches)) is not None:
        warnings.warn(
            f"{who} met {far.told}, and what it measures is mostly of these. If they are garbage, "
            "take them out of the training data; if they are meant, bring the inputs to one scale "
            "before (their logarithm, say)",
            SkippedWarning,
            stacklevel=3,
        )
    return batches


def first_rows(batch: Any, count: int) -> Any:
    """The first `count` examples of a batch; all of it where its parts have different lengths."""
    lengths = _lengths(tree.leaves(batch))
    rows = _rows(batch, torch.arange(lengths[0]) < count) if lengths else None
    return batch if rows is None else rows


def _lengths(leaves: Sequence[Any]) -> list[int]:
    """The lengths of the tensors and arrays among the leaves of a batch."""
    return [len(leaf) for leaf in leaves if isinstance(leaf, Tensor | np.ndarray) and leaf.ndim]


def not_finite(batch: Any) -> list[int]:
    """The indices of the examples of a batch that hold NaN or infinity."""
    wrong = [~reach.isfinite() for reach in _reaches(batch).values()]
    return sorted({row for part in wrong for row in part.nonzero().flatten().tolist()})


class _OutlierSearch:
    """A search for examples that are far from all others.

    `seen`: (where, its reach, the largest reach of the others) of each.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, float, float]] = []

    def rows(self, batches: Sequence[Any], counts: Callable[[int], range]) -> list[Tensor]:
        """Which examples are far, for each batch, bool (examples,).

        `counts`: the numbers of examples that may be far, by the number of all, in the order in
            which to try them.
        """
        reaches = [_reaches(batch) for batch in batches]
        far = [torch.zeros(len(next(iter(own.values()), ())), dtype=torch.bool) for own in reaches]
        for leaf in dict.fromkeys(leaf for own in reaches for leaf in own):
            parts = [own.get(leaf, torch.zeros(0)) for own in reaches]
            limit, rest = _limit(torch.cat(parts), counts)
            for batch, part in enumerate(parts):
                for row in (part > limit).nonzero().flatten().tolist():
                    if row < len(far[batch]):
                        far[batch][row] = True
                    self.seen.append((f"number {row} of batch {batch}", float(part[row]), rest))
        return far


def _limit(reach: Tensor, counts: Callable[[int], range]) -> tuple[float, float]:
    """(the reach beyond which an example is far, the largest reach of the others).

    Infinity for both where none is far.
    `reach`: the reach of each example, (examples,).
    """
    ordered = reach[reach.isfinite()].sort(descending=True).values
    for count in counts(len(ordered)) if len(ordered) >= _SOME else ():
        last, rest = float(ordered[count - 1]), float(ordered[count])
        if rest > 0 and last > FAR * rest:
            return FAR * rest, rest
    return float("inf"), float("inf")


def _without(batches: Sequence[Any], far: Sequence[Tensor]) -> list[Any]:
    """The batches without the examples that are far.

    A batch that cannot be cut is left out as a whole, unless it is the only one.
    """
    cut = [
        _rows(batch, ~gone) if bool(gone.any()) else batch
        for batch, gone in zip(batches, far, strict=True)
    ]
    return [batch for batch in cut if batch is not None] or list(batches)


def _reaches(batch: Any) -> dict[int, Tensor]:
    """The reach of each example, (examples,), by the index of the leaf among the batch's leaves.

    Of floating-point tensors and arrays with one axis or more.
    """
    reaches: dict[int, Tensor] = {}
    for index, leaf in enumerate(tree.leaves(batch)):
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f":
            leaf = torch.from_numpy(leaf)
        if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.ndim and leaf.numel():
            reaches[index] = leaf.detach().float().abs().reshape(len(leaf), -1).amax(1).cpu()
    return reaches


def _rows(batch: Any, keep: Tensor) -> Any:
    """A batch with the examples where `keep` is True, bool (examples,).

    None where there are none, or the parts of the batch are no tensors of one length.
    """
    leaves = tree.leaves(batch)
    if isinstance(batch, dict):
        parts = list(batch.values())
    else:
        parts = list(batch) if isinstance(batch, list | tuple) else []
    # A list within a batch, or a text, may hold something for each example that cannot be cut.
    uncuttable = any(isinstance(part, list) for part in parts) or any(
        isinstance(leaf, str | bytes) for leaf in leaves
    )
    if set(_lengths(leaves)) != {len(keep)} or uncuttable or not bool(keep.any()):
        return None

    def cut(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return leaf[keep.to(leaf.device)] if leaf.ndim else leaf
        return leaf[keep.numpy()] if isinstance(leaf, np.ndarray) and leaf.ndim else leaf

    return tree.map(cut, batch)
