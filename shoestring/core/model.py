"""The module inside what a caller gives as a model, and errors for what is not a model."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BUILD_IT = "build the module, load its weights with load_state_dict(), and give that"
# attributes under which objects that are built around a module keep it
_ATTRIBUTES = ("model", "module", "module_", "net", "network")


def unwrapped(model: Any) -> Any:
    """The module inside torch.compile, DataParallel or DistributedDataParallel, at any depth.

    Raises TypeError for an object that is not a module, and for a module without the Python code
    that techniques and the exporter follow; the message says what to give instead.
    """
    while (inner := _inner(model)) is not None:
        model = inner
    if description := _not_a_model(model):
        raise TypeError(f"a torch module is wanted as the model, and this is {description}")
    return model


def _inner(model: Any) -> Any:
    """The module that this one wraps; None where it wraps none."""
    torch = sys.modules.get("torch")
    if (
        torch is None
        or not isinstance(model, torch.nn.Module)
        or isinstance(model, torch.jit.ScriptModule)
    ):
        return None
    wraps = isinstance(model, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel)
    return model._modules.get("module" if wraps else "_orig_mod")


def _not_a_model(given: Any) -> str:
    """What an object is, and what to give in its place; "" for a module that is accepted."""
    torch = sys.modules.get("torch")
    kind = type(given).__name__
    if torch is not None and isinstance(given, torch.nn.Module):
        if isinstance(given, torch.jit.ScriptModule):
            return (
                f"{kind}, a module of torch.jit, of which only compiled code is there: give the "
                "Python module that was scripted or traced (`original` in "
                "torch.jit.script(original)), with its weights"
            )
        if kind == "FullyShardedDataParallel":
            return f"{kind}, which holds a part of each weight: {_BUILD_IT}"
        return ""
    if isinstance(given, str | Path):
        words, suffix = repr(str(given)), Path(given).suffix.lower()
        if suffix == ".onnx":
            return f"the path {words}: shoestring.from_onnx({words}) makes a module of that file"
        if suffix == ".shoe":
            return (
                f"the path {words}: shoestring.from_shoe({words}) makes a module of that file, and "
                f"shoestring.load_into({words}, module) gives one of your own class its weights"
            )
        return f"the path {words}: {_BUILD_IT}"
    if isinstance(given, Mapping):
        return (
            f"a {kind} ({', '.join(map(str, list(given)[:3])) or 'empty'}), weights without their "
            f"module: {_BUILD_IT}"
        )
    if isinstance(given, type):
        return (
            f"the class {given.__name__}: give an instance of it, {given.__name__}(...), with its "
            "trained weights"
        )
    if isinstance(given, tuple | list):
        return f"a {kind} of {len(given)}: give the module alone"
    if kind == "ExportedProgram":
        return (
            "an ExportedProgram: give the Python module that was exported, or what its module() "
            "returns"
        )
    if kind == "Loaded":
        return (
            "a file that was loaded, which only runs: shoestring.from_shoe(path) makes a module of "
            "it, and shoestring.load_into(path, module) gives one of your own class its weights"
        )
    module = () if torch is None else torch.nn.Module
    if attribute := next(
        (name for name in _ATTRIBUTES if isinstance(getattr(given, name, None), module)), None
    ):
        return f"{kind}, which is built around a module: give its .{attribute}"
    if callable(given) and hasattr(given, "__name__"):
        return (
            f"the function {given.__name__}: call it if it makes the model, and give what it "
            "returns"
        )
    return f"{kind}, which is none"
