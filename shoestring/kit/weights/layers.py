"""Which layers a technique may touch.

Names, lists of patterns, and what to say of a pattern that fits nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from torch import nn

from shoestring.kit.weights.parameters import (
    ShortfallWarning,
    SkippedWarning,
    Weight,
    parameters_of,
)

Patterns = tuple[str, ...]
"""Names of layers (paths of modules, as in `named_modules()`); `*` matches anything, dots included.
"""


_MOST, _NAMED, _FURTHER = 0.5, 3, 0.1


class NoLayerError(ValueError):
    """A pattern fits no layer of those that a technique may touch.

    It is in `pattern`, and the message says which are near.
    """

    def __init__(self, pattern: str, names: Sequence[str], where: str) -> None:
        near = get_close_matches(pattern, names, 3, 0.5) or names[:3]
        also = (
            f"{'the nearest are' if len(near) < len(names) else 'there are'} {', '.join(near)}"
            if names
            else "there is none"
        )
        super().__init__(f"{where} names {pattern!r}, and there is no such layer; {also}")
        self.pattern = pattern


def fitting(names: Sequence[str], patterns: Patterns, where: str) -> list[str]:
    """The names, in their order, that fit a pattern.

    Raises NoLayerError, beginning with `where`, for one that fits none.
    """
    if isinstance(patterns, str):
        raise TypeError(
            f"{where} is a tuple of names of layers, not {patterns!r}: write ({patterns!r},)"
        )
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise NoLayerError(pattern, names, where)
    return [name for name in names if any(fnmatchcase(name, one) for one in patterns)]


def chosen(names: Sequence[str], only: Patterns, keep: Patterns, who: str) -> list[str]:
    """The names, in their order, that fit a pattern of `only` (all of them where it is empty) and
    none of `keep`.

    Raises NoLayerError, a ValueError, for a pattern that fits no name: it says which names are
    near.
    """
    wanted = fitting(names, only, f"{who}: only=") if only else list(names)
    left = fitting(names, keep, f"{who}: keep=")
    return [name for name in wanted if name not in left]


def touched(weights: Sequence[Weight], only: Patterns, keep: Patterns, who: str) -> list[Weight]:
    """Of these weights, those of a layer that fits a pattern of `only` (all where it is empty), and
    of none of `keep`.

    A tied weight has several layers. Raises NoLayerError for a pattern that fits no layer of these
    weights.
    """
    if not only and not keep:
        return list(weights)
    names = list(dict.fromkeys(name for one in weights for name in one.layers))
    wanted = set(chosen(names, only, (), who))
    left = set(chosen(names, (), keep, who))
    return [
        one for one in weights if wanted.intersection(one.layers) and left.issuperset(one.layers)
    ]


def say_what_is_left(model: nn.Module, weights: Sequence[Weight], touched: str, why: str) -> None:
    """Where these are less than half of a model's weights with two axes or more, a SkippedWarning
    that names the largest layers of the others.

    It begins with what was `touched` ("PostTraining rounded"), and ends with `why` the others were
    not and what to do.
    """
    mine = {id(weight.raw) for weight in weights}
    every = [
        one
        for one in parameters_of(model)
        if one.is_parameter and one.raw.is_floating_point() and one.raw.ndim >= 2
    ]
    total = sum(one.raw.numel() for one in every)
    share = sum(one.raw.numel() for one in every if id(one.raw) in mine) / max(total, 1)
    if share >= _MOST or not total:
        return
    left: dict[str, int] = {}
    for one in every:
        if id(one.raw) not in mine:
            name = one.layers[0] or one.name
            left[name] = left.get(name, 0) + one.raw.numel()
    largest = sorted(left, key=left.__getitem__, reverse=True)[:_NAMED]
    named = ", ".join(f"{name} ({left[name] / total:.0%})" for name in largest)
    warnings.warn(
        f"{touched} {share:.0%} of the weights; not {named}: {why}", SkippedWarning, stacklevel=4
    )


def say_how_far(
    who: str, asked: float, reached: float, of: str, why: str, units: float = float("inf")
) -> None:
    """A ShortfallWarning where a technique left a tenth of the whole more than it was asked to, and
    more than half of one of its `units`.
    """
    if reached > asked + max(_FURTHER, 0.5 / units) + 1e-9:
        text = f"{who} was asked to leave {asked:.0%} of the {of} and left {reached:.0%}: {why}"
        warnings.warn(text, ShortfallWarning, stacklevel=4)
