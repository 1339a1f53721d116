"""Copies of modules, with all that people keep in them.

What was computed, locks, and what cannot be copied by its name.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from shoestring.core import unwrapped

_ATOMS = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type(None),
    type,
    FunctionType,
    BuiltinFunctionType,
    ModuleType,
    torch.dtype,
    torch.device,
)
_LOCK, _RLOCK = type(threading.Lock()), type(threading.RLock())


class UncopyableError(TypeError):
    """A module holds what cannot be copied; the message names it and says what to do."""


def clone(model: nn.Module) -> nn.Module:
    """A copy that shares nothing with the model, states included.

    Of one that torch.compile or DataParallel wraps, of what is within.
    What modules computed and kept, in lists and dictionaries too, is copied without its graph of
    gradients; locks are new ones. Raises TypeError for what is no module, UncopyableError (a
    TypeError) for one that holds what cannot be copied (an open file), by its name.
    """
    model = unwrapped(model)
    if not isinstance(model, nn.Module):
        raise TypeError(f"a torch module is wanted as the model, not {type(model).__name__}")
    _check_closures(model)
    known = _replaced(model)
    with _flattened(model):
        try:
            copied = copy.deepcopy(model, known)
        except Exception as error:
            raise UncopyableError(_culprit(model, error)) from error
    for module in copied.modules():
        if hasattr(module, "parametrizations") and parametrize.is_parametrized(module):
            # torch gives a parametrized module a class of its own, with a property per weight,
            # which a copy would share: the next parametrization of either would then show in both.
            own = type(module)
            kept = {
                name: one
                for name, one in vars(own).items()
                if name not in ("__dict__", "__weakref__")
            }
            module.__class__ = type(own.__name__, own.__bases__, kept)  # pyright: ignore[reportAttributeAccessIssue]
        for name, child in list(module._modules.items()):
            if (
                type(child).__name__ == "OptimizedModule"
            ):  # compiled code would be that of the original
                module._modules[name] = unwrapped(child)
    flatten_again(copied)
    return copied


def _check_closures(model: nn.Module) -> None:
    """Raises UncopyableError for a function kept on a module that holds one of the model's modules
    or parameters: a copy's would be the original's.
    """
    own = {id(one) for one in (*model.modules(), *model.parameters(), *model.buffers())}
    for path, module in model.named_modules():
        for name, function in vars(module).items():
            if not isinstance(function, FunctionType):
                continue
            for cell in function.__closure__ or ():
                try:
                    held = cell.cell_contents
                except ValueError:  # not filled yet
                    continue
                if id(held) in own:
                    where = f"{path}.{name}".lstrip(".")
                    raise UncopyableError(
                        f"the model cannot be copied, and techniques work on a copy: {where} is a "
                        f"function that holds a {type(held).__name__} of the "
                        "model, which a copy of it would share: make it a method"
                    )


def _replaced(root: Any) -> dict[int, Any]:
    """By id, what takes the place of what does not deep-copy.

    Values of what was computed with gradients, and new locks.
    """
    found: dict[int, Any] = {}
    kept: list[Any] = []  # what was made on the way lives as long as its id is looked at
    seen: set[int] = set()
    waiting: list[Any] = [root]
    while waiting:
        one = waiting.pop()
        if isinstance(one, _ATOMS) or id(one) in seen:
            continue
        seen.add(id(one))
        kept.append(one)
        if isinstance(one, Tensor):
            if not one.is_leaf:
                found[id(one)] = one.detach().clone()
        elif (made := _new_lock(one, found)) is not None:
            found[id(one)] = made
        else:
            waiting += [part for _, part in _parts(one)]
    return found


def _new_lock(one: Any, found: dict[int, Any]) -> Any:
    """A lock of the same kind, which nobody holds; None for what is no lock."""
    if isinstance(one, threading.Condition):  # several conditions may share a lock
        within: Any = one._lock  # type: ignore[attr-defined]
        found.setdefault(id(within), _RLOCK() if isinstance(within, _RLOCK) else threading.Lock())
        return threading.Condition(found[id(within)])
    if isinstance(one, _LOCK | _RLOCK):
        return found.get(id(one)) or (threading.Lock() if isinstance(one, _LOCK) else _RLOCK())
    return threading.local() if isinstance(one, threading.local) else None


def _parts(one: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds, each with how it is reached from it."""
    if isinstance(one, dict):
        yield from ((f"[{key!r}]", value) for key, value in list(one.items()))
    elif isinstance(one, list | tuple | set | frozenset | deque):
        yield from ((f"[{place}]", value) for place, value in enumerate(list(one)))
    elif isinstance(one, MethodType):
        yield "", one.__self__
    names = [
        name
        for kind in type(one).__mro__
        for name in getattr(kind, "__slots__", ())
        if isinstance(name, str)
    ]
    for name in names:
        if not name.startswith("__"):
            try:
                value = getattr(one, name)
            except Exception:  # a slot that is empty, or somebody's own getattr
                continue
            yield f".{name}", value
    if isinstance(own := getattr(one, "__dict__", None), dict):
        yield from ((f".{name}", value) for name, value in list(own.items()))


@contextmanager
def _flattened(model: nn.Module) -> Iterator[None]:
    """A recurrent network keeps a list of its weights that, after a forward with gradients, cannot
    be copied.
    """
    recurrent = [module for module in model.modules() if isinstance(module, nn.RNNBase)]
    kept = [(module, module._flat_weights, module._flat_weight_refs) for module in recurrent]
    for module in recurrent:
        absent: list[Any] = [None] * len(module._flat_weights_names)
        module._flat_weights, module._flat_weight_refs = [], absent
    try:
        yield
    finally:
        for module, flat, refs in kept:
            module._flat_weights, module._flat_weight_refs = flat, refs


def flatten_again(model: nn.Module) -> None:
    """Have each recurrent network list its weights anew, without a graph of gradients."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.RNNBase):
                module._init_flat_weights()


def _culprit(model: nn.Module, error: Exception) -> str:
    """Which attribute of which module cannot be copied, and what to do."""
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if name in ("_modules", "_parameters"):
                continue
            where, what, why = _deepest(f"{path}.{name}".lstrip("."), value, error)
            if what is not None:
                kind = "an open file" if hasattr(what, "fileno") else f"a {type(what).__name__}"
                return (
                    f"the model cannot be copied, and techniques work on a copy: {where} is "
                    f"{kind} ({_first_line(why)}). Make it where "
                    "forward() needs it, or take it off the module before "
                    f"(model.{path + '.' if path else ''}{name} = None)"
                )
    return (
        "the model cannot be copied, and techniques work on a copy: copy.deepcopy(model) "
        f"says {_first_line(error)}"
    )


def _deepest(where: str, value: Any, error: Exception) -> tuple[str, Any, Exception]:
    """(where, what it is, why) of the innermost part that cannot be copied.

    None for what where all can.
    """
    seen: set[int] = set()
    what: Any = None
    while id(value) not in seen and (why := _fault(value)) is not None:
        seen.add(id(value))
        what, error = value, why
        inner = next(
            ((step, part) for step, part in _parts(value) if _fault(part) is not None), None
        )
        if inner is None:
            break
        where, value = where + inner[0], inner[1]
    return where, what, error


def _fault(value: Any) -> Exception | None:
    """Why a part cannot be copied; None where it can."""
    try:
        copy.deepcopy(value, _replaced(value))
    except Exception as error:
        return error
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
