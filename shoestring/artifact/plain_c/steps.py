"""How far neighbours in an array are apart, and axes that can be one."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod


def joined(
    axes: Sequence[int], steps: Sequence[tuple[int, ...]]
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Axes and the steps of several arrays along them, with neighbours joined where possible.

    Axes of length 1 go. Two axes become one where for every array a step of the first is as long as
    all steps of the second.
    """
    kept: list[int] = []
    moves: list[list[int]] = [[] for _ in steps]
    for place, length in enumerate(axes):
        if length == 1:
            continue
        now = [one[place] for one in steps]
        if kept and all(move[-1] == length * step for move, step in zip(moves, now, strict=True)):
            kept[-1] *= length
            for move, step in zip(moves, now, strict=True):
                move[-1] = step
            continue
        kept.append(length)
        for move, step in zip(moves, now, strict=True):
            move.append(step)
    return tuple(kept) or (1,), [tuple(move) or (0,) for move in moves]


def dense_steps(shape: Sequence[int]) -> tuple[int, ...]:
    """How far apart neighbours along each axis of an array are."""
    return tuple(prod(shape[place + 1 :]) for place in range(len(shape)))
