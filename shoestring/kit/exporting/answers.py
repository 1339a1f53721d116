"""Check that an exported graph answers as its module does."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from shoestring.artifact.format.file import ShoeError
from shoestring.artifact.format.graph import Graph
from shoestring.artifact.format.tensors import Tensor
from shoestring.artifact.kernels import sign_layers
from shoestring.artifact.runtime.loaded import Loaded
from shoestring.core import array
from shoestring.kit.quantised.module import Grid, Quantised
from shoestring.kit.tracing.compare import TOLERANCE, all_close
from shoestring.kit.tracing.example import Example, ExportError, arrays, tensors
from shoestring.kit.weights.parameters import Parameters

QUANTISED_TOLERANCE = 0.1
"""The tolerance where a module rounds activations or takes their signs: a sum that differs in one
bit may be rounded to the next integer, here and there.
"""
_HALF_PRECISION = 8
"""How many times the tolerance is larger where the module computes in half precision."""


def tolerance_of(
    model: nn.Module, parameters: Parameters, expected: Any, graph: Graph, values: list[Tensor]
) -> float:
    """How far the answers of a graph may be off those of the module, as `all_close` takes it.

    `expected`: what the module returns. `values`: the tensors of the graph's file.
    """
    rounds = any(isinstance(module, Quantised | Grid) for module in model.modules())
    if rounds or sign_layers.layers(graph, values):
        return QUANTISED_TOLERANCE
    computed = [weight.raw for weight in parameters] + tensors(expected)
    is_half = any(value.dtype in (torch.float16, torch.bfloat16) for value in computed)
    return TOLERANCE * (_HALF_PRECISION if is_half else 1)


def check_outputs(expected: Any) -> None:
    """Check that what a module returns can be in a file.

    Raises ExportError where it has no tensor or a complex one.
    """
    outputs = tensors(expected)
    if not outputs:
        raise ExportError(
            f"the model returns no tensor but {type(expected).__name__}: make forward() return "
            "tensors, alone or in tuples, lists and dicts"
        )
    if any(output.is_complex() for output in outputs):
        raise ExportError(
            "the model returns complex numbers, which files do not hold: return "
            "torch.view_as_real() of them"
        )


def check_answer(
    loaded: Loaded, example: Example, expected: Any, tolerance: float, where: str = ""
) -> None:
    """Check that a loaded file returns on an example what the module returned there.

    `expected`: what the module returned. `where`: what the error adds about the example.
    Raises ExportError where the file fails, or returns other shapes or other values.
    """
    try:
        answer = loaded(*example.args, **example.kwargs)
    except (ShoeError, ValueError) as error:
        raise ExportError(f"the exported graph fails{where}: {error}") from error
    for value, ours in zip(tensors(expected), arrays(answer), strict=True):
        theirs = array(value.float() if value.dtype == torch.bfloat16 else value)
        if theirs.shape != ours.shape:
            raise ExportError(
                f"the exported graph returns shape {ours.shape} and the module "
                f"{theirs.shape}{where}"
            )
        if not (
            all_close(ours, theirs, tolerance)
            or (tolerance == QUANTISED_TOLERANCE and _are_close_shares(ours, theirs))
        ):
            difference = float(np.nanmax(np.abs(ours.astype(np.float64) - theirs)))
            raise ExportError(
                f"the exported graph differs from the module by {difference:.3g}{where}; if "
                "forward() draws random numbers or changes the module, make it give the same "
                "answer twice in evaluation mode"
            )


def _are_close_shares(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether both are numbers from 0 to 1 within QUANTISED_TOLERANCE of each other.

    The outputs of a sigmoid or a softmax are measured in units of 1, however small they are.
    """
    both = np.stack([ours, theirs]).astype(np.float64)
    return bool(
        both.size
        and both.min() >= 0
        and both.max() <= 1
        and np.abs(both[0] - both[1]).max() <= QUANTISED_TOLERANCE
    )
