"""Getting along with torch's exporter.

Its errors in plain words, its chatter, and what it remembers.
"""

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
    """Have torch look up anew how to trace recurrent networks.

    It remembers, per process, a way that unrolls them over the example's time axis, and exports
    only the first one rightly.
    """
    for name in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
        for overload in ("input", "data"):
            remembered = getattr(
                getattr(getattr(torch.ops.aten, name), overload, None), "_dispatch_cache", None
            )
            if remembered is not None:
                remembered.clear()


def explain(error: BaseException) -> str:
    """The cause of a failed export in one sentence."""
    deepest: BaseException = error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    reason, line = (str(deepest).strip() or type(deepest).__name__).split("\n\n")[0], line_of(error)
    if _is_packed(deepest):
        return (
            f"the model cannot be exported: it packs sequences (pack_padded_sequence{line}), and "
            "how many steps there are would then "
            "depend on the values of the lengths. What to do: run the recurrent network on the "
            "padded batch, and take what it gives at the "
            "last real step, outputs[torch.arange(len(outputs)), lengths - 1], which is the same; "
            "of two directions run the one "
            "backwards as a network of its own, on the batch reversed within its lengths "
            "(torch.gather)"
        )
    if operator := re.search(r"No ONNX function found for <OpOverload\(op='([^']+)'", reason):
        reason = f"torch.onnx.export does not know the operator {operator[1]}"
    elif fixed := re.search(
        r"static shape of (\d+) for dimension inputs\['call'\](.*?)\.shape\[(\d+)\]", reason
    ):
        return (
            f"axis {fixed[3]} of {_argument(fixed[2])} varies in the task's example, but the "
            f"model {_FIXED} "
            f"{fixed[1]} only: wrap the tensor in task.example() as Vary(x, {{}}), or name the "
            "axes that do vary"
        )
    elif any(
        word in reason
        for word in ("data-dependent", "Could not guard", "GuardOnDataDependent", "Eq(u0")
    ):
        return (
            "the model cannot be exported: forward() branches on the values of a tensor "
            f"({reason.splitlines()[0]}{line}): "
            "use torch.where, so that the same steps run for every input"
        )
    return (
        f"the model cannot be exported: {reason}{line}. What to do: write that step with "
        "functions that torch.onnx.export knows, or "
        "leave it out of forward() and do it before or after the file runs"
    )


def advice(error: BaseException, otherwise: str) -> str:
    """What to do where a model fails on an example, by what it says."""
    said = str(error)
    if any(word in said for word in ("CUDA", "cuda", "same device", "HIP", "mps")):
        return (
            "files are made on the processor: have forward() take devices from its inputs "
            "and weights (x.device), and fix none"
        )
    if "not implemented for 'Half'" in said or "not implemented for 'BFloat16'" in said:
        return "the processor has no kernel for that type: convert the model with model.float()"
    if "same dtype" in said or "same data type" in said or "scalar types" in said:
        return (
            "the model and the task's inputs are of different types: give inputs in types that it "
            "takes, or convert the model, as "
            "with model.float()"
        )
    return otherwise


def line_of(error: BaseException) -> str:
    """Which line of the user's own was at it, in words that follow others; "" where none is known."""
    found = ""
    one: BaseException | None = error
    while one is not None:
        for frame, _ in traceback.walk_tb(one.__traceback__):
            found = _own(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name) or found
            node = frame.f_locals.get(
                "node"
            )  # of a graph that is already traced: it says where it was
            told = node.meta.get("stack_trace") if isinstance(node, torch.fx.Node) else None
            for file, line, name in re.findall(r'File "([^"]+)", line (\d+), in (\w+)', told or ""):
                found = _own(file, int(line), name) or found
        one = one.__cause__
    return found


def _own(file: str, line: int, name: str) -> str:
    """A line, where it is in neither torch's code, nor onnxscript's, nor Python's, nor that of
    these rooms.
    """
    path = Path(file)
    house, installed = Path(__file__).parents[1], Path(torch.__file__).parents[1]
    theirs = [
        installed / "torch",
        installed / "onnxscript",
        *(house / room for room in ("core", "kit", "quantize", "prune", "plan")),
    ]
    if file.startswith("<") or any(one in path.parents for one in theirs):
        return ""
    if Path(sys.base_prefix) in path.parents and "site-packages" not in path.parts:
        return ""
    return f", at {path.name}:{line} in {name}()"


def _is_packed(error: BaseException) -> bool:
    """Whether a sequence was being packed, unpacked, or run through a recurrent network when this
    was raised.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name in ("pack_padded_sequence", "pad_packed_sequence", "pack_sequence"):
            return True
        if isinstance(frame.f_locals.get("orig_input"), PackedSequence):
            return True
    return False


def _argument(path: str) -> str:
    """The place `[0][1]` or `[1]['mask']` within (args, kwargs) in words."""
    kind, place, *deeper = re.findall(r"\[([^\]]+)\]", path)
    name = f"argument {place}" if kind == "0" else f"the argument {place}"
    return name + "".join(f"[{one}]" for one in deeper)


@contextlib.contextmanager
def quiet():
    """The exporter's chatter is not the user's business; what fails is raised."""
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
    """Of a stand-in for a class of numbers.

    What belongs to the class belongs to it, and what torch keeps open stays open.
    """

    def __instancecheck__(cls, one: Any) -> bool:
        return isinstance(one, cls.__bases__[0])

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
    """`int` of a size that is not fixed yet is that size."""


class _Float(float, metaclass=_Kind):
    """`float` likewise."""


def _len(one: Any) -> Any:
    """`len` likewise, of a tensor."""
    return one.shape[0] if isinstance(one, torch.Tensor) and one.ndim else len(one)


def attempted(export: Callable[[], Any], model: nn.Module, hint: str = "") -> Any:
    """What an export gives; tried again with `open_sizes` where it fails for a size that is fixed.

    Raises ExportError, with the hint behind.
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
    """Within, `len`, `int` and `float` in the code of a model leave a size that varies as it is,
    where Python makes it a plain number.

    That code is the modules of Python that its classes come from, and all of the same packages;
    torch's is left alone.
    """
    roots: dict[int, dict[str, Any]] = {}
    for module in model.modules():
        for one in (
            *(function for kind in type(module).__mro__ for function in vars(kind).values()),
            *vars(module).values(),
        ):
            if isinstance(one, FunctionType):
                roots[id(one.__globals__)] = one.__globals__
    packages = {
        str(one.get("__name__", "")).partition(".")[0] for one in roots.values()
    } - _NOT_THE_MODELS
    roots |= {
        id(vars(one)): vars(one)
        for name, one in list(sys.modules.items())
        if name.partition(".")[0] in packages and one is not None
    }
    own = [
        one for one in roots.values() if str(one.get("__name__", "")).partition(".")[0] in packages
    ]
    changed = [
        (one, name, to)
        for one in own
        for name, to in (("len", _len), ("int", _Int), ("float", _Float))
        if name not in one
    ]
    for names, name, to in changed:
        names[name] = to
    try:
        yield
    finally:
        for names, name, _ in changed:
            del names[name]
