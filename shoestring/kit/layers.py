"""Which layers a technique may touch: names, lists of patterns, and what to say of a pattern that fits nothing."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from torch import nn

from shoestring.kit.weights import Weight

Patterns = tuple[str, ...]
"""Names of layers (paths of modules, as in `named_modules()`); `*` matches anything, dots included."""


class NoLayerError(ValueError):
    """A pattern fits no layer of those that a technique may touch; it is in `pattern`, and the message says which are near."""

    def __init__(self, pattern: str, names: Sequence[str], where: str) -> None:
        near = get_close_matches(pattern, names, 3, 0.5) or names[:3]
        also = (
            f"{'the nearest are' if len(near) < len(names) else 'there are'} {', '.join(near)}" if names else "there is none"
        )
        super().__init__(f"{where} names {pattern!r}, and there is no such layer; {also}")
        self.pattern = pattern


def fitting(names: Sequence[str], patterns: Patterns, where: str) -> list[str]:
    """The names, in their order, that fit a pattern; raises NoLayerError, beginning with `where`, for one that fits none."""
    if isinstance(patterns, str):
        raise TypeError(f"{where} is a tuple of names of layers, not {patterns!r}: write ({patterns!r},)")
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise NoLayerError(pattern, names, where)
    return [name for name in names if any(fnmatchcase(name, one) for one in patterns)]


def chosen(names: Sequence[str], only: Patterns, keep: Patterns, who: str) -> list[str]:
    """The names, in their order, that fit a pattern of `only` (all of them where it is empty) and none of `keep`.

    Raises NoLayerError, a ValueError, for a pattern that fits no name: it says which names are near.
    """
    wanted = fitting(names, only, f"{who}: only=") if only else list(names)
    left = fitting(names, keep, f"{who}: keep=")
    return [name for name in wanted if name not in left]


def touched(model: nn.Module, weights: Sequence[Weight], only: Patterns, keep: Patterns, who: str) -> list[Weight]:
    """Of a model's weights, those of a layer that fits a pattern of `only` (all where it is empty), and of none of `keep`.

    A tied weight has several layers. Raises NoLayerError for a pattern that fits no layer of these weights.
    """
    if not only and not keep:
        return list(weights)
    layers = [layers_of(model, weight) for weight in weights]
    names = list(dict.fromkeys(name for one in layers for name in one))
    wanted = set(chosen(names, only, (), who))
    left = set(chosen(names, (), keep, who))
    return [w for w, own in zip(weights, layers, strict=True) if wanted.intersection(own) and left.issuperset(own)]


def layers_of(model: nn.Module, weight: Weight) -> tuple[str, ...]:
    """The names of the layers that own a weight: one, or more where it is tied."""
    owners = {id(module) for module, _ in weight.owners}
    return tuple(name for name, module in model.named_modules() if id(module) in owners)
