"""What a network will cost, estimated before it is trained or exported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch.utils.flop_counter import FlopCounterMode

from shoestring.core import Cost, Task
from shoestring.core.task import evaluating
from shoestring.kit import clone, parameters_of
from shoestring.kit.tracing.example import examples_of

_TENSOR_BYTES, _GRAPH_BYTES = 12.0, 25.0
"""Bytes of a file for each tensor, and for each module that computes something.

Measured on files of random networks of `Stages`; a file that is trained to be small has the same.
"""


@final
@dataclass(frozen=True)
class CountedOperations:
    """`operations`: of one run on one example, counted by torch as the network runs.

    A multiplication and an addition are two. Convolutions and products of matrices count, as in
    `meters.Operations`, which counts those of a file.
    """

    measures: ClassVar[str] = "operations"

    def why_not(self) -> str | None:
        """None: operations can be counted everywhere."""
        return None

    def __call__(self, subject: Any, task: Task) -> Cost:
        model = clone(subject).cpu()
        total = 0.0
        for example in examples_of(task):
            counter = FlopCounterMode(display=False)
            with evaluating(model), torch.no_grad(), counter:
                example.run(model)
            lengths = [
                tensor.shape[0]
                for tensor in (*example.args, *example.kwargs.values())
                if id(tensor) in example.axes and 0 in example.axes[id(tensor)]
            ]
            total += counter.get_total_flops() / (lengths[0] if lengths else 1)
        return Cost(operations=round(total))


@final
@dataclass(frozen=True)
class CodedBytes:
    """`bytes`: of the file, as if each weight took so many bits after coding.

    Weights that are rounded to 8 bits without training take about 7, to 4 bits about 3.4. Weights
    that are trained to take few bytes (`quantize.Rate`) take 0.3 to 3 without a loss.

    `bits`: of a weight, above 0.

    Raises ValueError for a number out of range.
    """

    bits: float = 4.0

    measures: ClassVar[str] = "bytes"

    def __post_init__(self) -> None:
        if not 0 < self.bits <= 32:
            raise ValueError(f"{self.bits!r} bits a weight: give a number above 0, at most 32")

    def why_not(self) -> str | None:
        """None: bytes can be estimated everywhere."""
        return None

    def __call__(self, subject: Any, task: Task) -> Cost:
        weights = [weight.raw for weight in parameters_of(subject)]
        modules = sum(1 for part in subject.modules() if not list(part.children()))
        matrices = sum(one.numel() for one in weights if one.ndim > 1)
        # Of the four vectors of a batch norm one stays, in single precision, in the file.
        vectors = sum(one.numel() for one in weights if one.ndim <= 1) / 4
        fixed = _TENSOR_BYTES * len(weights) / 2 + _GRAPH_BYTES * modules
        return Cost(bytes=round((self.bits * matrices + 32 * vectors) / 8 + fixed))
