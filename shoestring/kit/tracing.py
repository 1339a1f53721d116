"""Getting along with torch's exporter: its errors in plain words, its chatter, and what it remembers."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings

import torch


def forget_kernels() -> None:
    """Have torch look up anew how to trace recurrent networks.

    It remembers, per process, a way that unrolls them over the example's time axis, and exports only the first one rightly.
    """
    for name in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
        for overload in ("input", "data"):
            remembered = getattr(getattr(getattr(torch.ops.aten, name), overload, None), "_dispatch_cache", None)
            if remembered is not None:
                remembered.clear()


def explain(error: BaseException) -> str:
    """The cause of a failed export in one sentence."""
    deepest: BaseException = error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    reason = (str(deepest).strip() or type(deepest).__name__).split("\n\n")[0]
    if operator := re.search(r"No ONNX function found for <OpOverload\(op='([^']+)'", reason):
        reason = f"torch.onnx.export does not know the operator {operator[1]}"
    elif fixed := re.search(r"static shape of (\d+) for dimension inputs\['call'\](.*?)\.shape\[(\d+)\]", reason):
        return (
            f"axis {fixed[3]} of {_argument(fixed[2])} varies in the task's example, but the model works for a length of "
            f"{fixed[1]} only: wrap the tensor in task.example() as Vary(x, {{}}), or name the axes that do vary"
        )
    elif any(word in reason for word in ("data-dependent", "Could not guard", "GuardOnDataDependent", "Eq(u0")):
        return (
            f"the model cannot be exported: forward() branches on the values of a tensor ({reason.splitlines()[0]}): "
            "use torch.where, so that the same steps run for every input"
        )
    return (
        f"the model cannot be exported: {reason}. What to do: write that step with functions that torch.onnx.export knows, or "
        "leave it out of forward() and do it before or after the file runs"
    )


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
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
