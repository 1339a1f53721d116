"""Guards: what torch's exporter assumed of the lengths of inputs, as expressions to evaluate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

import torch

from shoestring.artifact import tree
from shoestring.kit.tracing.example import Example

_DEFERRED = "prefer_deferred_runtime_asserts_over_guards"


@dataclass
class Guards:
    """Conditions on the lengths of the inputs under which a graph is right.

    `expressions`: torch's guards, compiled.
    `are_complete`: whether all guards are known and can be evaluated. Where not, the model is run
        at more lengths.
    """

    expressions: list[CodeType] = field(default_factory=list)
    are_complete: bool = True

    def bounds(self) -> set[int]:
        """The integers in the guards, each with its neighbours: there a guard may change."""
        numbers = {
            constant
            for expression in self.expressions
            for constant in expression.co_consts
            if type(constant) is int and 1 < constant < 1 << 31
        }
        return {number + offset for number in numbers for offset in (-1, 0, 1)}

    def hold(self, example: Example, lengths: Mapping[str, int]) -> bool:
        """Whether the guards hold on the example with axes of other lengths.

        A guard that cannot be evaluated counts as one that holds.
        `lengths`: by the names of axes that the example has.
        """
        if not self.expressions:
            return True

        def sized(leaf: Any) -> Any:
            if not isinstance(leaf, torch.Tensor):
                return leaf
            names = example.axes.get(id(leaf), {})
            return _Sized(
                [lengths.get(names.get(axis, ""), size) for axis, size in enumerate(leaf.shape)]
            )

        call = (tree.map(sized, example.args), tree.map(sized, example.kwargs))
        variables = {
            "L": {"call": call},
            "math": math,
            "torch": torch,
            "__builtins__": {"max": max, "min": min, "int": int, "abs": abs},
        }
        return all(self._holds(expression, variables) for expression in self.expressions)

    def _holds(self, expression: CodeType, variables: dict[str, Any]) -> bool:
        try:
            return bool(eval(expression, variables))
        except ZeroDivisionError:
            return True
        except Exception:
            # It calls a function that only torch knows; running the model shows what it says.
            self.are_complete = False
            return True


class _Sized:
    """Stands for a tensor in a guard."""

    def __init__(self, lengths: list[int]) -> None:
        self.lengths = lengths

    def size(self) -> list[int]:
        """As a tensor's."""
        return self.lengths


@contextmanager
def noted() -> Iterator[Guards]:
    """A context whose value has the guards of the program that torch exports last within it."""
    guards, plain_export = Guards(), torch.export.export

    def export(*args: Any, **kwargs: Any) -> Any:
        program = plain_export(*args, **kwargs)
        # The ONNX exporter asks torch to turn guards into steps of the program, which are not part
        # of the graph. A second export notes them; its own steps may be others.
        try:
            second = plain_export(*args, **kwargs | {_DEFERRED: False})
        except Exception:
            second = None
        guards.are_complete = hasattr(second, "_guards_code")
        guards.expressions = list(_compiled(getattr(second, "_guards_code", None) or ()))
        return program

    torch.export.export = export
    try:
        yield guards
    finally:
        torch.export.export = plain_export


def _compiled(guards: Sequence[str]) -> Iterator[CodeType]:
    """The guards about lengths, compiled, each once."""
    for guard in dict.fromkeys(guards):
        if "size()" in guard:
            try:
                yield compile(guard, "<guard>", "eval")
            except SyntaxError:
                continue
