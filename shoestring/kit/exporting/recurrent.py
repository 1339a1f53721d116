"""Recurrent networks in an exported graph.

The length of the example, where torch wrote it in, taken out again.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper
from torch import nn

_RECURRENT = ("LSTM", "GRU", "RNN")


def free_lengths(model: onnx.ModelProto) -> None:
    """Have what recurrent layers give keep its own length.

    Where time comes first, torch writes the reshaping of (T, directions, N, hidden) to (T, N,
    directions × hidden) with the example's T.
    """
    body = model.graph
    makers = {name: node for node in body.node for name in node.output}
    fixed = {one.name for one in body.initializer}
    kept = numpy_helper.from_array(np.array([0, 0, -1], np.int64), "recurrent.kept")
    used = False
    for node in body.node:
        if node.op_type != "Reshape" or not (
            node.input[1] in fixed or makers[node.input[1]].op_type == "Constant"
        ):
            continue
        exchanged = makers.get(node.input[0])
        source = (
            None
            if exchanged is None or exchanged.op_type != "Transpose"
            else makers.get(exchanged.input[0])
        )
        if source is not None and source.op_type in _RECURRENT:
            node.input[1], used = kept.name, True
            del node.attribute[:]  # with allowzero, 0 would not be the length that goes in
    if used:
        body.initializer.append(kept)


def step_by_step(model: nn.Module) -> str:
    """What to say of plain recurrent layers, which torch exports a step at a time, for as many as
    the example has.
    """
    names = [name or "the model" for name, one in model.named_modules() if type(one) is nn.RNN]
    if not names:
        return ""
    return (
        " (nn.RNN is exported step by step, for the example's number of steps: "
        f"{', '.join(names)} would have to be nn.GRU or nn.LSTM)"
    )
