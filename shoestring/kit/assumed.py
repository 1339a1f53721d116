"""What an export took for granted of the lengths of axes, and whether it is true.

A graph is recorded at the lengths of the example. Where forward() looks at a length (`if x.shape[1] > 16`), the graph has the steps of
the example's, and torch notes a guard. Here the guards are read, the lengths are tried at which they do not hold, and one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import CodeType
from typing import Any

import torch

from shoestring.artifact.axes import Axis
from shoestring.artifact.graph import Graph
from shoestring.kit.example import Example, ExportError, lengthened, over

_DEFERRED = "prefer_deferred_runtime_asserts_over_guards"
_LOOKED_AT = 130
"""Lengths at which guards are evaluated, at least: they cost no run."""
_LARGEST = 1 << 24
"""Numbers of an input, beyond which a length is not tried by running the model, and the bound is written into the file."""
_TRIED = 2
"""Lengths on each side of the example's at which a guard fails, and that are tried by running the model."""


@dataclass
class Guards:
    """What must hold of the lengths of the inputs for a graph to be right: expressions of torch's."""

    codes: list[CodeType] = field(default_factory=list)
    noted: bool = True
    """Whether this torch notes guards at all: where it does not, more lengths are tried by running the model."""

    def bounds(self) -> set[int]:
        """Whole numbers that guards compare with, one less and one more: where what they say may change."""
        numbers = {one for code in self.codes for one in code.co_consts if type(one) is int and 1 < one < 1 << 31}
        return {one + off for one in numbers for off in (-1, 0, 1)}

    def hold(self, example: Example, lengths: Mapping[str, int]) -> bool:
        """Whether they do where axes of these names (as the example has them) are so long; an expression that cannot be read is taken to."""

        def sized(leaf: Any) -> Any:
            if not isinstance(leaf, torch.Tensor):
                return leaf
            names = example.axes.get(id(leaf), {})
            return _Sized([lengths.get(names.get(axis, ""), size) for axis, size in enumerate(leaf.shape)])

        given = {"call": (over(sized, example.args), over(sized, example.kwargs))}
        known = {"L": given, "math": math, "torch": torch, "__builtins__": {"max": max, "min": min, "int": int, "abs": abs}}
        return all(_holds(code, known) for code in self.codes)


class _Sized:
    """Stands for a tensor in a guard."""

    def __init__(self, lengths: list[int]) -> None:
        self.lengths = lengths

    def size(self) -> list[int]:
        """As a tensor's."""
        return self.lengths


def _holds(code: CodeType, known: dict[str, Any]) -> bool:
    try:
        return bool(eval(code, known))
    except Exception:  # a division by a length of nought, or what is none of our business
        return True


@contextmanager
def noted() -> Iterator[Guards]:
    """Within, the guards of the program that torch exports last."""
    found, plain = Guards(), torch.export.export

    def export(*args: Any, **kwargs: Any) -> Any:
        try:  # noted rather than made a part of the program, which would be left out of the graph
            program = plain(*args, **kwargs | {_DEFERRED: False})
        except Exception:
            program = plain(*args, **kwargs)
        found.noted = hasattr(program, "_guards_code")
        found.codes = list(_compiled(getattr(program, "_guards_code", None) or ()))
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


def check_lengths(
    example: Example,
    guards: Guards,
    answer: Callable[[Example], Any],
    compare: Callable[[Example, Any], None],
    runs: Callable[[Example], bool],
) -> dict[str, Axis]:
    """Axes that the file has to narrow: those along which the module refuses lengths at which the graph answers.

    `answer`: what the module returns, None where it fails; `compare` raises ExportError where the graph does not return the same;
    `runs`: whether the graph gives anything. Raises ExportError, which names axis and bound, where the module answers and the graph does not answer alike.
    """
    narrowed: dict[str, Axis] = {}
    for name, length in _lengths(example).items():
        declared = Axis.read(name)
        looked = _looked_at(declared, length, guards)
        right = [one for one in looked if guards.hold(example, {name: one})] if guards.codes else looked
        tried = _to_try(length, looked, right)
        if not guards.noted:
            tried += [one for one in (length + 1, 2 * length, 2 * length + 1, length // 2) if one in looked and one > 1]
        for wrong in tried:
            if wrong <= _furthest_place(example, name):
                continue  # other inputs say where to look along this axis (offsets of bags): to look beyond its end can end the process
            other = _at(example, name, wrong)
            if max(leaf.numel() for leaf in _tensors(other)) > _LARGEST and wrong > length:
                narrowed.setdefault(name, _bounds(declared, length, right, looked, wrong))
                continue
            expected = answer(other)
            if expected is None:
                if runs(other):
                    narrowed[name] = _bounds(declared, length, right, looked, wrong)
                continue
            try:
                compare(other, expected)
            except ExportError as error:
                why = _why(str(error))
                raise ExportError(_refusal(_bounds(declared, length, right, looked, wrong), length, wrong, why)) from None
    return narrowed


def _looked_at(declared: Axis, length: int, guards: Guards) -> list[int]:
    """Lengths at which guards are evaluated, rising: those up to twice the example's, and about each number that a guard has."""
    others = {one // length for one in guards.bounds()} | guards.bounds()
    return sorted(one for one in {*range(1, max(_LOOKED_AT, 2 * length + 2)), *others} if one in declared)


def _furthest_place(example: Example, name: str) -> int:
    """The greatest whole number in a list that does not have this axis; -1 where there is none."""
    found = -1

    def look(leaf: Any) -> None:
        nonlocal found
        plain = isinstance(leaf, torch.Tensor) and leaf.ndim == 1 and not leaf.is_floating_point() and leaf.dtype != torch.bool
        if plain and leaf.numel() and name not in example.axes.get(id(leaf), {}).values():
            found = max(found, int(leaf.max()))

    over(look, (example.args, example.kwargs))
    return found


def _to_try(length: int, looked: list[int], right: list[int]) -> list[int]:
    """The lengths nearest to the example's at which a guard fails, on either side, and one."""
    fails = sorted(set(looked) - set(right) - {length})
    shorter, longer = [one for one in fails if 1 < one < length][-_TRIED:], [one for one in fails if one > length][:_TRIED]
    return shorter[::-1] + longer + ([1] if 1 in looked and length > 1 else [])


def _bounds(declared: Axis, length: int, right: list[int], looked: list[int], wrong: int) -> Axis:
    """The axis with the bounds within which the guards hold, around the example's length."""
    right = [one for one in right if one != wrong and (one > 1 or wrong > 1)]
    step = math.gcd(*(one - length for one in right)) if len(right) > 1 else 0
    multiple = step if step > 1 and length % step == 0 else 1
    allowed = [one for one in looked if one % multiple == 0]
    at = allowed.index(length) if length in allowed else 0
    low = at
    while low > 0 and allowed[low - 1] in right:
        low -= 1
    high = at
    while high + 1 < len(allowed) and allowed[high + 1] in right:
        high += 1
    least = allowed[low] if low > 0 or allowed[low] > multiple else declared.least
    most = declared.most if high + 1 == len(allowed) else allowed[high]
    return Axis(declared.name, least=least, most=most, multiple=math.lcm(multiple, declared.multiple))


def _why(error: str) -> str:
    if "returns shape" in error:
        return error
    return error.split(";")[0] if "differs" in error else "the exported graph fails there"


def _refusal(bounds: Axis, length: int, wrong: int, why: str) -> str:
    told = (
        f"axis {bounds.name!r} varies in the task's example, but forward() takes other steps where it is {wrong} long than where it is "
        f"{length} ({why}): "
    )
    if bounds.least == bounds.most:
        return f"{told}take {bounds.name!r} out of the axes that vary, or give axes that are always equally long one name"
    return f"{told}make the steps the same for every length, or declare the axis as {declaration(bounds)}, which the file will enforce"


def declaration(axis: Axis) -> str:
    """The call that makes an axis, without what is the default."""
    words = [f"least={axis.least}"] * (axis.least > 1) + [f"most={axis.most}"] * (axis.most is not None)
    return f"Axis({', '.join([repr(axis.name), *words, *[f'multiple={axis.multiple}'] * (axis.multiple > 1)])})"


def suggested(example: Example, guards: Guards) -> list[Axis]:
    """Of the axes along which guards fail at some length, how they would have to be declared; none where no bounds would do."""
    found: list[Axis] = []
    for name, length in _lengths(example).items():
        declared = Axis.read(name)
        looked = [one for one in _looked_at(declared, length, guards) if one > 1]
        right = [one for one in looked if guards.hold(example, {name: one})]
        bounds = _bounds(declared, length, right, looked, 1)
        if len(right) < len(looked) and bounds.least != bounds.most:
            found.append(bounds)
    return found


def _lengths(example: Example) -> dict[str, int]:
    """Of each name of an axis that varies, how long it is."""
    found: dict[str, int] = {}

    def note(leaf: Any) -> None:
        for axis, name in example.axes.get(id(leaf), {}).items():
            found.setdefault(name, leaf.shape[axis])

    over(note, (example.args, example.kwargs))
    return found


def _tensors(example: Example) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    over(lambda leaf: found.append(leaf) if isinstance(leaf, torch.Tensor) else None, (example.args, example.kwargs))
    return found


def _at(example: Example, name: str, length: int) -> Example:
    """The example where the axes of a name are so long."""

    def change(leaf: Any) -> Any:
        for axis, one in example.axes.get(id(leaf), {}).items():
            leaf = lengthened(leaf, axis, length) if one == name else leaf
        return leaf

    return Example(over(change, example.args), over(change, example.kwargs), {})


def narrow(graph: Graph, axes: Mapping[str, Axis]) -> Graph:
    """The graph with these axes, by the names that they had."""
    if not axes:
        return graph
    ports = tuple(
        replace(one, shape=tuple(str(axes[size]) if isinstance(size, str) and size in axes else size for size in one.shape))
        for one in graph.inputs
    )
    return replace(graph, inputs=ports)
