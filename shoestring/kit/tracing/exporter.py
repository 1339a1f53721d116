"""Torch's exporter: its errors explained, its messages silenced, its caches cleared."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from shoestring.kit.tracing.example import ExportError

_FIXED = "works for a length of"
_NOT_THE_MODELS = {
    "torch",
    "builtins",
    "numpy",
    "typing",
    "collections",
    "functools",
    "shoestring",
    "",
}


def forget_kernels() -> None:
    """Clear the cache in which torch keeps how to trace recurrent networks.

    Otherwise only the first export of a process is right: later ones unroll the network over the
    example's time axis.
    """
    for name in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
        for overload in ("input", "data"):
            operator = getattr(getattr(torch.ops.aten, name), overload, None)
            if (cache := getattr(operator, "_dispatch_cache", None)) is not None:
                cache.clear()


def explain(error: BaseException) -> str:
    """A message that says why an export failed, and what to do."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    reason, line = (str(cause).strip() or type(cause).__name__).split("\n\n")[0], line_of(error)
    if _is_packed(cause):
        return (
            f"the model cannot be exported: it packs sequences (pack_padded_sequence{line}), and "
            "how many steps there are would then depend on the values of the lengths. What to do: "
            "run the recurrent network on the padded batch, and take what it gives at the last "
            "real step, outputs[torch.arange(len(outputs)), lengths - 1], which is the same; of "
            "two directions run the one backwards as a network of its own, on the batch reversed "
            "within its lengths (torch.gather)"
        )
    if operator := re.search(r"No ONNX function found for <OpOverload\(op='([^']+)'", reason):
        reason = f"torch.onnx.export does not know the operator {operator[1]}"
    elif fixed := re.search(
        r"static shape of (\d+) for dimension inputs\['call'\](.*?)\.shape\[(\d+)\]", reason
    ):
        return (
            f"axis {fixed[3]} of {_argument(fixed[2])} varies in the task's example, but the model "
            f"{_FIXED} {fixed[1]} only: wrap the tensor in task.example() as Vary(x, {{}}), or "
            "name the axes that do vary, those of every input that is as long (a mask, say)"
        )
    elif any(
        word in reason
        for word in ("data-dependent", "Could not guard", "GuardOnDataDependent", "Eq(u0")
    ):
        return (
            "the model cannot be exported: forward() branches on the values of a tensor "
            f"({reason.splitlines()[0]}{line}): use torch.where, so that the same steps run for "
            "every input"
        )
    return (
        f"the model cannot be exported: {reason}{line}. What to do: write that step with functions "
        "that torch.onnx.export knows, or leave it out of forward() and do it before or after the "
        "file runs"
    )


def advice(error: BaseException, otherwise: str) -> str:
    """What to do where a model fails on an example, by its error; `otherwise` for other errors."""
    message = str(error)
    if any(word in message for word in ("CUDA", "cuda", "same device", "HIP", "mps")):
        return (
            "files are made on the processor: have forward() take devices from its inputs and "
            "weights (x.device), and fix none"
        )
    if "not implemented for 'Half'" in message or "not implemented for 'BFloat16'" in message:
        return "the processor has no kernel for that type: convert the model with model.float()"
    if any(word in message for word in ("same dtype", "same data type", "scalar types")):
        return (
            "the model and the task's inputs are of different types: give inputs in types that it "
            "takes, or convert the model, as with model.float()"
        )
    return otherwise


def line_of(error: BaseException) -> str:
    """The last line of the user's code in a traceback, as ", at FILE:LINE in FUNCTION()".

    "" where there is none.
    """
    where = ""
    cause: BaseException | None = error
    while cause is not None:
        for frame, _ in traceback.walk_tb(cause.__traceback__):
            where = _own(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name) or where
            node = frame.f_locals.get("node")  # a node of a traced graph knows its traceback
            trace = node.meta.get("stack_trace") if isinstance(node, torch.fx.Node) else None
            for file, line, name in re.findall(
                r'File "([^"]+)", line (\d+), in (\w+)', trace or ""
            ):
                where = _own(file, int(line), name) or where
        cause = cause.__cause__
    return where


def _own(file: str, line: int, name: str) -> str:
    """A line as `line_of` writes it; "" in code of torch, onnxscript, Python or Shoestring."""
    path = Path(file)
    shoestring, installed = Path(__file__).parents[2], Path(torch.__file__).parents[1]
    libraries = [
        installed / "torch",
        installed / "onnxscript",
        *(shoestring / room for room in ("core", "kit", "quantize", "prune", "plan")),
    ]
    if file.startswith("<") or any(folder in path.parents for folder in libraries):
        return ""
    if Path(sys.base_prefix) in path.parents and "site-packages" not in path.parts:
        return ""
    return f", at {path.name}:{line} in {name}()"


def _is_packed(error: BaseException) -> bool:
    """Whether an error was raised while a sequence was packed or unpacked, or an RNN ran on it."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name in ("pack_padded_sequence", "pad_packed_sequence", "pack_sequence"):
            return True
        if isinstance(frame.f_locals.get("orig_input"), PackedSequence):
            return True
    return False


def _argument(path: str) -> str:
    """The path `[0][1]` or `[1]['mask']` within (args, kwargs) in words."""
    kind, key, *deeper = re.findall(r"\[([^\]]+)\]", path)
    name = f"argument {key}" if kind == "0" else f"the argument {key}"
    return name + "".join(f"[{inner}]" for inner in deeper)


@contextlib.contextmanager
def quiet():
    """Within, warnings, logs and printed text of the exporter are dropped; errors are raised."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


class _Kind(type):
    """The class of a stand-in for `int` or `float`, which leaves symbolic sizes symbolic.

    It equals the class that it stands for, and has the same instances.
    """

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.__bases__[0])

    def __eq__(cls, other: Any) -> bool:
        return other is cls.__bases__[0] or other is cls

    def __hash__(cls) -> int:
        return hash(cls.__bases__[0])

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        number = cls.__bases__[0]
        if len(args) == 1 and isinstance(args[0], torch.SymInt | torch.SymFloat):
            return torch.sym_int(args[0]) if number is int else torch.sym_float(args[0])
        return number(*args, **kwargs)


class _Int(int, metaclass=_Kind):
    """`int`, which returns a symbolic size as it is."""


class _Float(float, metaclass=_Kind):
    """`float`, which returns a symbolic number as it is."""


def _len(value: Any) -> Any:
    """`len`, which returns the symbolic size of a tensor."""
    return value.shape[0] if isinstance(value, torch.Tensor) and value.ndim else len(value)


def attempted(export: Callable[[], Any], model: nn.Module, hint: str = "") -> Any:
    """The result of an export, which is tried again within `open_sizes` where a size was fixed.

    Raises ExportError that ends with `hint`.
    """
    try:
        return export()
    except Exception as error:
        reason, cause = explain(error), error
    if _FIXED in reason:
        with contextlib.suppress(Exception), open_sizes(model):
            return export()
    raise ExportError(reason + hint) from cause


@contextlib.contextmanager
def open_sizes(model: nn.Module) -> Iterator[None]:
    """Within, `len`, `int` and `float` in a model's code return a symbolic size as it is.

    Python's make it a fixed number. The model's code is the Python modules that its classes come
    from, and all modules of the same packages, but not torch.
    """
    scopes: dict[int, dict[str, Any]] = {}  # the globals of Python modules, by id
    for module in model.modules():
        for function in (
            *(attribute for kind in type(module).__mro__ for attribute in vars(kind).values()),
            *vars(module).values(),
        ):
            if isinstance(function, FunctionType):
                scopes[id(function.__globals__)] = function.__globals__
    packages = {_package(scope) for scope in scopes.values()} - _NOT_THE_MODELS
    scopes |= {
        id(vars(module)): vars(module)
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in packages and module is not None
    }
    changed = [
        (scope, name, stand_in)
        for scope in scopes.values()
        if _package(scope) in packages
        for name, stand_in in (("len", _len), ("int", _Int), ("float", _Float))
        if name not in scope
    ]
    for scope, name, stand_in in changed:
        scope[name] = stand_in
    try:
        yield
    finally:
        for scope, name, _ in changed:
            del scope[name]


def _package(scope: dict[str, Any]) -> str:
    return str(scope.get("__name__", "")).partition(".")[0]
