"""Counts the operations of training steps, on a few of the steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from torch import nn

from shoestring.core.kinds import outputs_of
from shoestring.core.spending import is_counting, spend
from shoestring.kit.tracing.operations import CountedOperations

_EVERY = 200
"""One of so many steps may be counted, and two at the beginning.

A counted step takes up to three times as long, because torch calls Python for each operator.
"""


class StepCounter:
    """Counts the operations of a training, and reports them with `spend` at the end.

    It counts the forward and backward pass of one step for each batch shape, and multiplies by the
    steps of that shape. Matrix products, convolutions and attention count, those of a teacher too;
    a multiply and an add are two. A counted step computes the same results, bit by bit. Nothing is
    counted outside of `apply`.

    The count is None where a shape was not counted (two steps are, and one more in each 200), where
    a batch has no tensors, or where a step uses an operator that is not counted.
    """

    def __init__(self, model: nn.Module) -> None:
        self._on = is_counting()
        self._steps: dict[Any, int] = {}
        self._each: dict[Any, int | None] = {}
        compiled = ("torch._dynamo", "torch.jit")  # these run other code under a dispatch mode
        self._can = not any(type(part).__module__.startswith(compiled) for part in model.modules())

    @contextmanager
    def step(self, batch: Any) -> Iterator[bool]:
        """The context of the forward and backward pass of one step, and whether it is counted."""
        if not self._on:
            yield False
            return
        key = tuple((tuple(one.shape), one.dtype) for one in outputs_of(batch).values())
        taken = sum(self._steps.values())
        self._steps[key] = self._steps.get(key, 0) + 1
        if key in self._each or not key or not self._can or len(self._each) > 1 + taken // _EVERY:
            yield False
            return
        with CountedOperations() as counted:
            yield True
        self._each[key] = counted.operations

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Report the operations of the steps; of a training that failed, those until then."""
        if not self._on or not self._steps:
            return
        each = [(count, self._each.get(key)) for key, count in self._steps.items()]
        known = [count * operations for count, operations in each if operations is not None]
        spend("training_operations", sum(known) if len(known) == len(each) else None)
