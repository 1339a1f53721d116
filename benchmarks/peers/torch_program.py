"""Exported torch programs: read, saved and compiled, for the peers that work on them.

Compiling wants a C++ compiler.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from interface import Arrays, calibration
from torch import nn
from torch.fx import GraphModule

warnings.filterwarnings("ignore")
torch.set_num_threads(1)


def batches(given: Path, batch: int = 32) -> list[tuple[torch.Tensor, ...]]:
    """The calibration examples as arguments, so many at a time."""
    return [tuple(map(torch.from_numpy, one.values())) for one in calibration(given, batch)]


def module(given: Path) -> nn.Module:
    """The float32 model, with the axes that vary still varying."""
    return torch.export.load(given / "model.pt2").module()


def example(given: Path) -> tuple[torch.Tensor, ...]:
    """Two examples, in memory of their own: a program is saved with them."""
    return tuple(one[:2].clone() for one in batches(given)[0])


def varying(given: Path) -> tuple[dict[int, Any], ...]:
    """Of each input the axes that vary in GIVEN/model.pt2."""
    program = torch.export.load(given / "model.pt2")
    inputs = [
        node.meta["val"]
        for node in program.graph.nodes
        if node.name in program.graph_signature.user_inputs
    ]
    return tuple(
        {
            axis: torch.export.Dim.DYNAMIC
            for axis, size in enumerate(one.shape)
            if not isinstance(size, int)
        }
        for one in inputs
    )


def save(quantised: GraphModule, given: Path, out: Path) -> None:
    """Write OUT/model.pt2 without the float32 weights that the quantised program does not read."""
    read = {node.target for node in quantised.graph.nodes if node.op == "get_attr"}
    for name in [
        name
        for name, _ in (*quantised.named_parameters(), *quantised.named_buffers())
        if name not in read
    ]:
        owner, _, last = name.rpartition(".")
        delattr(quantised.get_submodule(owner), last)
    torch.export.save(
        torch.export.export(quantised, example(given), dynamic_shapes=varying(given)),
        out / "model.pt2",
    )


def opened(out: Path) -> Callable[[Arrays], np.ndarray]:
    """The model compiled by inductor with its weights frozen, for each shape anew."""
    import torch._inductor.config as settings

    settings.freezing = True
    quantised = torch.compile(torch.export.load(out / "model.pt2").module(), dynamic=False)

    def run(inputs: Arrays) -> np.ndarray:
        with torch.no_grad():
            return quantised(*map(torch.from_numpy, inputs.values())).numpy()

    return run
