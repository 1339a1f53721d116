"""Entries: the ways in which a model is called, where it has several, each by the name of a method
or of a part.

A task's `example()` names them: `{"encode": (args, kwargs), "step": (args, kwargs)}`. The entry
`encode` is what `model.encode` is: a method of the module, or a part of it such as `nn.ModuleDict`
holds. A loaded file has the same attribute, so that `predict.encode(x)` calls either. "" is the
entry of a model that is called itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shoestring.artifact.format.entries import MOST_ENTRIES, check_name

Call = tuple[tuple[Any, ...], dict[str, Any]]
"""(args, kwargs) of one call."""


def calls_of(example: Any) -> dict[str, Call]:
    """The calls of a task's example, by entry; that of a model without entries by "".

    Raises ValueError for what is neither (args, kwargs) nor a mapping of such by names that entries
    may have.
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
        name: _call(one, f"the task's example of the entry {name!r}")
        for name, one in example.items()
    }


def _call(given: Any, what: str) -> Call:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ValueError(
            f"{what} is {type(given).__name__}: give (args, kwargs), such as ((x,), {{}})"
        )
    args, kwargs = given
    if not isinstance(args, tuple | list) or not isinstance(kwargs, Mapping):
        raise ValueError(
            f"{what} is ({type(args).__name__}, {type(kwargs).__name__}): give (args, kwargs), "
            f"such as ((x,), {{}})"
        )
    return tuple(args), dict(kwargs)


def called(model: Any, entry: str) -> Callable[..., Any]:
    """What is called of a model.

    Itself for "" and "forward", else its method or part of that name; raises ValueError.
    """
    if entry in ("", "forward"):
        return model
    found = getattr(model, entry, None)
    if not callable(found) or entry in _own(model):
        raise ValueError(
            f"the task's example names the entry {entry!r}, and {type(model).__name__} has no "
            "method or part of that name: name "
            "methods of the module, or the parts of an nn.ModuleDict"
        )
    return found


def _own(model: Any) -> set[str]:
    """What every module has (`train`, `half`), which is no entry, and what every nn.ModuleDict has."""
    from torch import nn

    kinds = (nn.ModuleDict, nn.Module) if isinstance(model, nn.ModuleDict) else (nn.Module,)
    return {name for kind in kinds for name in dir(kind)} if isinstance(model, nn.Module) else set()
