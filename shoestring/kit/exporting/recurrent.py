"""Remove the example's length from recurrent layers of an exported graph."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper
from torch import nn

_RECURRENT = ("LSTM", "GRU", "RNN")


def free_lengths(model: onnx.ModelProto) -> None:
    """Let the outputs of recurrent layers have any length; changes the model in place.

    Where time is the first axis, torch reshapes (T, N, directions, hidden) to (T, N, directions ×
    hidden) with the example's T as a constant.
    """
    body = model.graph
    makers = {name: node for node in body.node for name in node.output}
    constants = {constant.name for constant in body.initializer}
    # For Reshape, 0 is the length that the input has.
    shape = numpy_helper.from_array(np.array([0, 0, -1], np.int64), "recurrent.shape")
    is_used = False
    for node in body.node:
        if node.op_type != "Reshape" or not (
            node.input[1] in constants or makers[node.input[1]].op_type == "Constant"
        ):
            continue
        transpose = makers.get(node.input[0])
        source = (
            None
            if transpose is None or transpose.op_type != "Transpose"
            else makers.get(transpose.input[0])
        )
        if source is not None and source.op_type in _RECURRENT:
            node.input[1], is_used = shape.name, True
            del node.attribute[:]  # with allowzero, 0 would be a length of 0
    if is_used:
        body.initializer.append(shape)


def step_by_step(model: nn.Module) -> str:
    """What an error adds for a model with nn.RNN; "" for any other.

    Torch exports nn.RNN step by step, for as many steps as the example has.
    """
    names = [
        name or "the model" for name, module in model.named_modules() if type(module) is nn.RNN
    ]
    if not names:
        return ""
    return (
        f" (nn.RNN is exported step by step, for the example's number of steps: {', '.join(names)} "
        "would have to be nn.GRU or nn.LSTM)"
    )
