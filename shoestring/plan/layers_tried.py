"""The layers on which a planner tries an action: one at a time, or in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from torch import nn

from shoestring.core import ActsOnLayers, Task, Technique
from shoestring.kit import Patterns, chosen, compressible
from shoestring.kit.weights.layers import fitting

Layers = tuple[str, ...]
"""Names of layers that are tried together, most often one."""
Action = TypeVar("Action", bound=Technique)


def check_action(action: Any, who: str) -> None:
    """Raise TypeError for an action without the fields `only` and `keep`."""
    if not isinstance(action, Technique) or not isinstance(action, ActsOnLayers):
        raise TypeError(
            f"{who} needs a technique that acts on layers, with the fields `only` and `keep`, and "
            f"{action!r} has none: give it the step that has them (of a chain, one at a time)"
        )


def ready(action: Action, model: nn.Module, task: Task) -> Action:
    """The action, with what it needs of the whole model worked out once."""
    return action.prepared(model, task)


def limited(action: Action, *, only: Sequence[str] = (), keep: Sequence[str] = ()) -> Action:
    """The action on these layers only, or with these kept besides those that it keeps already."""
    more: dict[str, Any] = {"keep": (*action.keep, *map(exactly, keep))}  # type: ignore[attr-defined]
    if only:
        more["only"] = tuple(map(exactly, only))
    return replace(action, **more)  # type: ignore[type-var]


def exactly(name: str) -> str:
    """The pattern that fits only this name."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def layers_tried(
    model: nn.Module, task: Task, action: Any, groups: Sequence[Patterns], who: str
) -> list[Layers]:
    """The layers that an action may change (`action.layers`), in the order of the model.

    Layers of one group are one item, and so are layers that share a weight.

    `groups`: patterns of layers that belong together.
    `who`: the caller, for messages.

    Raises TypeError for a group that is text; ValueError where the action finds no layer, and for a
    group that names no layer, or one of another group.
    """
    weights = compressible(model, who)
    shared = [weight.layers for weight in weights if len(weight.layers) > 1]
    names = list(action.layers(model, task))
    if not names:
        raise ValueError(f"{who}: {action!r} finds no layer to change in this model")
    names = chosen(names, action.only, action.keep, f"{who}: {type(action).__name__}")
    together = {name: frozenset([name]) for name in names}
    sets: list[Layers] = [*shared]
    grouped: dict[str, Patterns] = {}
    for group in groups:
        if isinstance(group, str):
            raise TypeError(
                f"{who}: a group is a tuple of names of layers, not {group!r}: write ({group!r},)"
            )
        mine = fitting(names, group, f"{who}: groups=")
        for name in mine:
            if name in grouped:
                raise ValueError(
                    f"{who}: the layer {name!r} is in two groups, {grouped[name]} and {group}: "
                    "leave it in one"
                )
            grouped[name] = group
        sets.append(tuple(mine))
    for members in sets:
        union = frozenset().union(*(together[name] for name in members if name in together))
        together |= dict.fromkeys(union, union)
    index = {name: i for i, name in enumerate(names)}
    return [
        tuple(sorted(members, key=index.__getitem__))
        for members in dict.fromkeys(together[name] for name in names)
    ]


def layer_names(layers: Layers) -> str:
    """The names of layers, for people; the empty name is that of the model itself."""
    return " + ".join(name or "(the model itself)" for name in layers)


def size_of(model: nn.Module, layers: Layers) -> int:
    """How many numbers the parameters of these layers hold, each parameter counted once."""
    parts = [model.get_submodule(name) for name in layers]
    return sum(
        parameter.numel()
        for parameter in {id(p): p for part in parts for p in part.parameters()}.values()
    )
