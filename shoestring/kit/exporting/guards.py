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
    """Expressions of torch's that hold of the lengths of the inputs at which a graph is right."""

    codes: list[CodeType] = field(default_factory=list)
    noted: bool = True
    """Whether all guards are known and can be read.

    Where not, more lengths are tried by running the model.
    """

    def bounds(self) -> set[int]:
        """Whole numbers that guards compare with, one less and one more.

        Where what they say may change.
        """
        numbers = {
            one
            for code in self.codes
            for one in code.co_consts
            if type(one) is int and 1 < one < 1 << 31
        }
        return {one + off for one in numbers for off in (-1, 0, 1)}

    def hold(self, example: Example, lengths: Mapping[str, int]) -> bool:
        """Whether they do where axes of these names (as the example has them) are so long.

        An expression that cannot be read is taken to.
        """

        def sized(leaf: Any) -> Any:
            if not isinstance(leaf, torch.Tensor):
                return leaf
            names = example.axes.get(id(leaf), {})
            return _Sized(
                [lengths.get(names.get(axis, ""), size) for axis, size in enumerate(leaf.shape)]
            )

        given = {"call": (tree.map(sized, example.args), tree.map(sized, example.kwargs))}
        known = {
            "L": given,
            "math": math,
            "torch": torch,
            "__builtins__": {"max": max, "min": min, "int": int, "abs": abs},
        }
        return all(self._holds(code, known) for code in self.codes)

    def _holds(self, code: CodeType, known: dict[str, Any]) -> bool:
        try:
            return bool(eval(code, known))
        except ZeroDivisionError:
            return True
        except (
            Exception
        ):  # a function that only torch knows: what it says is tried by running the model
            self.noted = False
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
    """Within, the guards of the program that torch exports last."""
    found, plain = Guards(), torch.export.export

    def export(*args: Any, **kwargs: Any) -> Any:
        program = plain(*args, **kwargs)
        # Asked for so, guards become steps of the program, which are left out of the graph; a
        # second look notes them. Its own steps may be others.
        try:
            look = plain(*args, **kwargs | {_DEFERRED: False})
        except Exception:
            look = None
        found.noted = hasattr(look, "_guards_code")
        found.codes = list(_compiled(getattr(look, "_guards_code", None) or ()))
        return program

    torch.export.export = export
    try:
        yield found
    finally:
        torch.export.export = plain


def _compiled(guards: Sequence[str]) -> Iterator[CodeType]:
    for guard in dict.fromkeys(guards):
        if "size()" in guard:
            try:
                yield compile(guard, "<guard>", "eval")
            except SyntaxError:
                continue
