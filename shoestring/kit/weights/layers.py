"""Which layers a technique may touch: names, patterns, and warnings about the layers left out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from shoestring.kit.weights.parameters import Parameters, ShortfallWarning, SkippedWarning, Weight

Patterns = tuple[str, ...]
"""Names of layers (paths of modules, as in `named_modules()`); `*` matches anything, dots included.
"""

_HALF = 0.5
"""The share of the weights below which a technique says which layers it left."""
_NAMED = 3
"""The number of layers that a warning names."""
_TOLERANCE = 0.1
"""How far above the share it was asked for a technique may stay without a warning."""


class NoLayerError(ValueError):
    """A pattern matches no layer that a technique may touch; the message names similar layers.

    `pattern`: that pattern.
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
    """The names, in their order, that match a pattern.

    `where`: the argument that has the patterns; messages begin with it.
    Raises NoLayerError for a pattern that matches no name, TypeError for a text in place of a
    tuple.
    """
    if isinstance(patterns, str):
        raise TypeError(
            f"{where} is a tuple of names of layers, not {patterns!r}: write ({patterns!r},)"
        )
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise NoLayerError(pattern, names, where)
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def chosen(names: Sequence[str], only: Patterns, keep: Patterns, who: str) -> list[str]:
    """The names, in their order, that match a pattern of `only` and none of `keep`.

    `only`: patterns; all names where it is empty.
    `keep`: patterns.
    `who`: the technique, for messages.
    Raises NoLayerError (a ValueError) for a pattern that matches no name.
    """
    wanted = fitting(names, only, f"{who}: only=") if only else list(names)
    kept = fitting(names, keep, f"{who}: keep=")
    return [name for name in wanted if name not in kept]


def touched(weights: Sequence[Weight], only: Patterns, keep: Patterns, who: str) -> list[Weight]:
    """The weights with a layer that matches `only`, and with no layer that matches `keep`.

    A tied weight has several layers. The arguments are those of `chosen`. Raises NoLayerError for a
    pattern that matches no layer of these weights.
    """
    if not only and not keep:
        return list(weights)
    names = list(dict.fromkeys(name for weight in weights for name in weight.layers))
    wanted = set(chosen(names, only, (), who))
    allowed = set(chosen(names, (), keep, who))
    return [
        weight
        for weight in weights
        if wanted.intersection(weight.layers) and allowed.issuperset(weight.layers)
    ]


def say_what_is_left(
    parameters: Parameters, weights: Sequence[Weight], touched: str, why: str
) -> None:
    """Warn of the largest layers left, where a technique touched less than half of a model.

    The model is counted in elements of its floating-point parameters with two axes or more.
    `parameters`: those of the model.
    `weights`: those that the technique touched.
    `touched`: how the SkippedWarning begins ("PostTraining rounded").
    `why`: how it ends: why the others were left, and what to do.
    """
    mine = {id(weight.raw) for weight in weights}
    counted = [
        weight
        for weight in parameters
        if weight.is_parameter and weight.raw.is_floating_point() and weight.raw.ndim >= 2
    ]
    total = sum(weight.raw.numel() for weight in counted)
    own = sum(weight.raw.numel() for weight in counted if id(weight.raw) in mine)
    share = own / max(total, 1)
    if share >= _HALF or not total:
        return
    left: dict[str, int] = {}
    for weight in counted:
        if id(weight.raw) not in mine:
            name = weight.layers[0] or weight.name
            left[name] = left.get(name, 0) + weight.raw.numel()
    largest = sorted(left, key=left.__getitem__, reverse=True)[:_NAMED]
    named = ", ".join(f"{name} ({left[name] / total:.0%})" for name in largest)
    warnings.warn(
        f"{touched} {share:.0%} of the weights; not {named}: {why}", SkippedWarning, stacklevel=4
    )


def say_how_far(
    who: str,
    asked: float,
    reached: float,
    of: str,
    why: str,
    units: float = float("inf"),
    tolerance: float = _TOLERANCE,
) -> None:
    """Warn (ShortfallWarning) where a technique left clearly more than it was asked to leave.

    That is `tolerance` more, 10 percentage points, and more than half a unit.
    `asked`, `reached`: shares, 0 to 1.
    `of`: what they are shares of ("channels").
    `units`: how many units there are.
    """
    if reached > asked + max(tolerance, 0.5 / units) + 1e-9:
        text = f"{who} was asked to leave {asked:.0%} of the {of} and left {reached:.0%}: {why}"
        warnings.warn(text, ShortfallWarning, stacklevel=4)
