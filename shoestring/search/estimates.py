"""What a network will cost, estimated before it is trained or exported."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, ClassVar, final

import torch
from torch.utils.flop_counter import FlopCounterMode

from shoestring.core import Cost, Task
from shoestring.core.task import evaluating
from shoestring.kit import clone, parameters_of
from shoestring.kit.tracing.example import examples_of
from shoestring.search.milliseconds import OperationTable, UnknownOperatorError

_TENSOR_BYTES, _GRAPH_BYTES = 12.0, 25.0
"""About the bytes of a file for each tensor, and for each module that computes something."""

LATE = (
    "there is no more time to measure operations: those that are new are guessed from what they "
    "compute, and the files of networks decide"
)


class UnestimatedWarning(UserWarning):
    """A cost is not estimated, and is decided on files; the message says why."""


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

    Weights that are rounded to 4 bits without training take a little less. Those that are trained
    to take few bytes (`quantize.Rate`) take far less: give fewer bits for a small limit on bytes.

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


@final
@dataclass(frozen=True, kw_only=True)
class TabledMilliseconds:
    """`milliseconds`: of a run of the network's file, from a table of operations of this machine.

    Operations that are new to the table are measured, which takes tenths of a second each, unless
    the network would break a limit by far: then they are guessed. A network with an operation that
    the table has no rule for is not estimated: its file decides.

    `table`: best one that is `fitted` to networks of the space.
    `known_above`: milliseconds. A network that is guessed to take more is not measured.
    `seconds`: for measuring, in all. Then all others are guessed.
    """

    table: OperationTable
    known_above: float = math.inf
    seconds: float = math.inf
    _took: list[float] = field(default_factory=list, init=False, repr=False, compare=False)

    measures: ClassVar[str] = "milliseconds"

    def why_not(self) -> str | None:
        """None: the table measures with its own meter."""
        return None

    def __call__(self, subject: Any, task: Task) -> Cost:
        try:
            return Cost(milliseconds=self._estimated(subject, task))
        except UnknownOperatorError as error:
            warnings.warn(str(error), UnestimatedWarning, stacklevel=2)
            return Cost()

    def _estimated(self, network: Any, task: Task) -> float:
        late = sum(self._took) >= self.seconds
        if self.table.measurements:
            guess, new = self.table.guessed(network, task)
            if late and new:
                warnings.warn(LATE, UnestimatedWarning, stacklevel=3)
            if late or not new or guess > self.known_above:
                return guess
        began = monotonic()
        found = self.table(network, task)
        self._took.append(monotonic() - began)
        return found
