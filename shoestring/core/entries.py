"""Entries: the ways to call a model that has several, by the names of its methods or parts.

A task's `example()` names them: `{"encode": (args, kwargs), "step": (args, kwargs)}`. The entry
`encode` is `model.encode`: a method of the module, or a part of it, such as one of an
`nn.ModuleDict`. A loaded file has the same attribute, so that `predict.encode(x)` calls either. A
model that is called itself has one entry, "".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shoestring.artifact.format.entries import MOST_ENTRIES, check_name

Call = tuple[tuple[Any, ...], dict[str, Any]]
"""(args, kwargs) of one call."""


def calls_of(example: Any) -> dict[str, Call]:
    """The calls of a task's example, by entry; "" for a model that is called itself.

    `example`: (args, kwargs), or a mapping from entries to such pairs.
    Raises ValueError for another example, and for a name that an entry cannot have.
    """
    if not isinstance(example, Mapping):
        return {"": _call(example, "the task's example")}
    if not 0 < len(example) <= MOST_ENTRIES:
        raise ValueError(
            f"the task's example names {len(example)} entries: a model may have 1 to {MOST_ENTRIES}"
        )
    for name in example:
        if why := check_name(name):
            raise ValueError(f"the task's example names an entry {name!r}, which cannot be: {why}")
    return {
        name: _call(call, f"the task's example of the entry {name!r}")
        for name, call in example.items()
    }


def _call(given: Any, what: str) -> Call:
    """(args, kwargs) as a tuple and a dict; raises ValueError for another object."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ValueError(
            f"{what} is {type(given).__name__}: give (args, kwargs), such as ((x,), {{}})"
        )
    args, kwargs = given
    if not isinstance(args, tuple | list) or not isinstance(kwargs, Mapping):
        raise ValueError(
            f"{what} is ({type(args).__name__}, {type(kwargs).__name__}): give (args, kwargs), "
            "such as ((x,), {})"
        )
    return tuple(args), dict(kwargs)


def called(model: Any, entry: str) -> Callable[..., Any]:
    """The callable of an entry: the model for "" and "forward", else its method or part.

    Raises ValueError where the model has no such method or part.
    """
    if entry in ("", "forward"):
        return model
    target = getattr(model, entry, None)
    if not callable(target) or entry in _inherited(model):
        raise ValueError(
            f"the task's example names the entry {entry!r}, and {type(model).__name__} has no "
            "method or part of that name: name methods of the module, or the parts of an "
            "nn.ModuleDict"
        )
    return target


def _inherited(model: Any) -> set[str]:
    """The attributes of every module (`train`, `half`) or nn.ModuleDict, which are not entries."""
    from torch import nn

    kinds = (nn.ModuleDict, nn.Module) if isinstance(model, nn.ModuleDict) else (nn.Module,)
    return {name for kind in kinds for name in dir(kind)} if isinstance(model, nn.Module) else set()
