"""Copies of modules, with computed tensors and locks in them; what cannot be copied is named."""

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
    """A module holds an object that cannot be copied; the message names it and says what to do."""


def clone(model: nn.Module) -> nn.Module:
    """A copy of a model, with its weight states, that shares nothing with it.

    Of a model that torch.compile or DataParallel wraps, the inner model is copied. Tensors that
    modules computed and kept, in lists and dictionaries too, are copied without their graph of
    gradients. Locks become new locks. Raises TypeError for what is no module, UncopyableError (a
    TypeError) that names an object that cannot be copied (an open file).
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
            # torch gives a parametrized module a class of its own, with a property for each weight.
            # If the copy shared it, the next parametrization of either would show in both.
            own = type(module)
            attributes = {
                name: value
                for name, value in vars(own).items()
                if name not in ("__dict__", "__weakref__")
            }
            module.__class__ = type(own.__name__, own.__bases__, attributes)  # pyright: ignore[reportAttributeAccessIssue]
        for name, child in list(module._modules.items()):
            if type(child).__name__ == "OptimizedModule":  # its code would run the original
                module._modules[name] = unwrapped(child)
    flatten_again(copied)
    return copied


def clone_in_training(model: nn.Module) -> nn.Module:
    """A clone in training mode, in which frozen parts of a model in training mode stay frozen.

    Such parts are those in evaluation mode.
    """
    copied = clone(model)
    return copied if copied.training else copied.train()


def _check_closures(model: nn.Module) -> None:
    """Raises UncopyableError for a function, kept on a module, that holds a part of the model.

    The function of a copy would use that module or parameter of the original.
    """
    own = {id(part) for part in (*model.modules(), *model.parameters(), *model.buffers())}
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
                        f"function that holds a {type(held).__name__} of the model, which a copy "
                        "of it would share: make it a method"
                    )


def _replaced(root: Any) -> dict[int, Any]:
    """Replacements, by the id of the object, for what `copy.deepcopy` cannot copy.

    Tensors computed with gradients become their values, locks become new locks.
    """
    replacements: dict[int, Any] = {}
    alive: list[Any] = []  # keeps objects made on the way alive, so that no id is used twice
    seen: set[int] = set()
    waiting: list[Any] = [root]
    while waiting:
        item = waiting.pop()
        if isinstance(item, _ATOMS) or id(item) in seen:
            continue
        seen.add(id(item))
        alive.append(item)
        if isinstance(item, Tensor):
            if not item.is_leaf:
                replacements[id(item)] = item.detach().clone()
        elif (lock := _new_lock(item, replacements)) is not None:
            replacements[id(item)] = lock
        else:
            waiting += [part for _, part in _parts(item)]
    return replacements


def _new_lock(item: Any, replacements: dict[int, Any]) -> Any:
    """A free lock of the same kind; None for what is no lock."""
    if isinstance(item, threading.Condition):  # several conditions may share a lock
        inner: Any = item._lock  # type: ignore[attr-defined]
        new = _RLOCK() if isinstance(inner, _RLOCK) else threading.Lock()
        return threading.Condition(replacements.setdefault(id(inner), new))
    if isinstance(item, _LOCK | _RLOCK):
        new = threading.Lock() if isinstance(item, _LOCK) else _RLOCK()
        return replacements.get(id(item)) or new
    return threading.local() if isinstance(item, threading.local) else None


def _parts(item: Any) -> Iterator[tuple[str, Any]]:
    """(how to reach it from the object, part) of each part of an object."""
    if isinstance(item, dict):
        yield from ((f"[{key!r}]", value) for key, value in list(item.items()))
    elif isinstance(item, list | tuple | set | frozenset | deque):
        yield from ((f"[{index}]", value) for index, value in enumerate(list(item)))
    elif isinstance(item, MethodType):
        yield "", item.__self__
    names = [
        name
        for kind in type(item).__mro__
        for name in getattr(kind, "__slots__", ())
        if isinstance(name, str)
    ]
    for name in names:
        if not name.startswith("__"):
            try:
                value = getattr(item, name)
            except Exception:  # an empty slot, or a __getattr__ that raises
                continue
            yield f".{name}", value
    if isinstance(own := getattr(item, "__dict__", None), dict):
        yield from ((f".{name}", value) for name, value in list(own.items()))


@contextmanager
def _flattened(model: nn.Module) -> Iterator[None]:
    """Within, recurrent networks lack their lists of flat weights.

    After a forward pass with gradients these lists cannot be copied.
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
    """Rebuild the list of flat weights of each recurrent network, without a graph of gradients."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.RNNBase):
                module._init_flat_weights()


def _culprit(model: nn.Module, error: Exception) -> str:
    """A message that names the attribute that cannot be copied, and says what to do."""
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if name in ("_modules", "_parameters"):
                continue
            where, what, why = _innermost(f"{path}.{name}".lstrip("."), value, error)
            if what is not None:
                kind = "an open file" if hasattr(what, "fileno") else f"a {type(what).__name__}"
                return (
                    f"the model cannot be copied, and techniques work on a copy: {where} is {kind} "
                    f"({_first_line(why)}). Make it where forward() needs it, or take it off the "
                    f"module before (model.{path + '.' if path else ''}{name} = None)"
                )
    return (
        "the model cannot be copied, and techniques work on a copy: copy.deepcopy(model) says "
        f"{_first_line(error)}"
    )


def _innermost(where: str, value: Any, error: Exception) -> tuple[str, Any, Exception]:
    """(its path, the part, the error) of the innermost part that cannot be copied.

    The part is None where all parts can be copied.
    """
    seen: set[int] = set()
    what: Any = None
    while id(value) not in seen and (why := _fault(value)) is not None:
        seen.add(id(value))
        what, error = value, why
        inner = next(((way, part) for way, part in _parts(value) if _fault(part) is not None), None)
        if inner is None:
            break
        where, value = where + inner[0], inner[1]
    return where, what, error


def _fault(value: Any) -> Exception | None:
    """The error of copying a part; None where it can be copied."""
    try:
        copy.deepcopy(value, _replaced(value))
    except Exception as error:
        return error
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
