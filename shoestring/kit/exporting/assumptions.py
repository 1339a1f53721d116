"""What an export took for granted of the lengths of axes, and whether it is true.

A graph is recorded at the lengths of the example. Where forward() looks at a length (`if x.shape[1]
> 16`), the graph has the steps of the example's, and torch notes a guard. Here the guards are read,
the lengths are tried at which they do not hold, and one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import combinations, product
from typing import Any

import torch

from shoestring.artifact import tree
from shoestring.artifact.format.axes import Axis
from shoestring.artifact.format.graph import Graph
from shoestring.kit.exporting.guards import Guards
from shoestring.kit.tracing.example import Example, ExportError, lengthened, tensors

_LOOKED_AT = 130
"""Lengths at which guards are evaluated, at least: they cost no run."""
_LARGEST = 1 << 24
"""Numbers of an input, beyond which a length is not tried by running the model, and the bound is
written into the file.
"""
_PAIRS, _NEAR = 2, 60
_TRIED = 2
"""Lengths on each side of the example's at which a guard fails, and that are tried by running the
model.
"""


def check_lengths(
    example: Example,
    guards: Guards,
    answer: Callable[[Example], Any],
    compare: Callable[[Example, Any], None],
    runs: Callable[[Example], bool],
) -> dict[str, Axis]:
    """Axes that the file has to narrow.

    Those along which the module refuses lengths at which the graph answers.
    `answer`: what the module returns, None where it fails; `compare` raises ExportError where the
        graph does not return the same.
    `runs`: whether the graph gives anything. Raises ExportError, which names axis and bound, where
        the module answers and the graph does not answer alike.
    """
    narrowed: dict[str, Axis] = {}
    for name, length in _lengths(example).items():
        declared = Axis.read(name)
        looked = _looked_at(declared, length, guards)
        right = (
            [one for one in looked if guards.hold(example, {name: one})] if guards.codes else looked
        )
        tried = _to_try(length, looked, right)
        if not guards.noted:
            tried += [
                one
                for one in (length + 1, 2 * length, 2 * length + 1, length // 2)
                if one in looked and one > 1
            ]
        for wrong in tried:
            if wrong <= _furthest_place(example, name):
                # other inputs say where to look along this axis (offsets of bags): to look beyond
                # its end can end the process
                continue
            bounds = partial(_bounds, declared, length, right, looked, wrong)
            other = _at(example, {name: wrong})
            if wrong > length and _is_large(other):
                narrowed.setdefault(name, bounds())
                continue
            if answer(other) is None:
                if not _is_between(wrong, length, right) and runs(other):
                    narrowed[name] = bounds()
                continue
            for one in (other, *(_others_longer(example, name, wrong) if wrong > 1 else ())):
                if why := _fault(one, answer, compare):
                    raise ExportError(_refusal(bounds(), length, wrong, why))
    _check_pairs(example, guards, answer, compare)
    return narrowed


def _fault(
    at: Example, answer: Callable[[Example], Any], compare: Callable[[Example, Any], None]
) -> str:
    """How the graph answers otherwise than the module, in words.

    "" where it does not, or the module fails.
    """
    if (expected := answer(at)) is None:
        return ""
    try:
        compare(at, expected)
    except ExportError as error:
        told = str(error)
        return (
            told
            if "returns shape" in told
            else told.split(";")[0]
            if "differs" in told
            else "the exported graph fails there"
        )
    return ""


def _others_longer(example: Example, name: str, length: int) -> Iterator[Example]:
    """The example where an axis is so long and all others are longer than they were.

    By one, and by as much again and one.
    """
    for times in (1, 2):
        lengths = {name: length}
        for other, n in _lengths(example).items():
            axis = Axis.read(other)
            if other != name and (longer := times * n + axis.multiple) in axis:
                lengths[other] = longer
        if not _is_large(found := _at(example, lengths)):
            yield found


def _is_between(wrong: int, length: int, right: list[int]) -> bool:
    """Whether there are right lengths beyond a wrong one, seen from the example's.

    Bounds would shut these out too.
    """
    return (
        any(one < wrong for one in right) if wrong < length else any(one > wrong for one in right)
    )


def _check_pairs(
    example: Example,
    guards: Guards,
    answer: Callable[[Example], Any],
    compare: Callable[[Example, Any], None],
) -> None:
    """Raises ExportError where forward() takes other steps for two lengths together (`if x.shape[1]
    > x.shape[2]`), each of which alone is right.
    """
    lengths = _lengths(example)
    near = {
        name: [n for n in _near_bounds(name, lengths, guards) if guards.hold(example, {name: n})]
        if guards.codes
        else []
        for name in lengths
    }
    for one, other in combinations(lengths, 2):
        pairs = product(near[one], near[other])
        wrong = [(a, b) for a, b in pairs if not guards.hold(example, {one: a, other: b})]
        for a, b in sorted(wrong, key=lambda pair: pair[0] * pair[1])[:_PAIRS]:
            if a <= _furthest_place(example, one) or b <= _furthest_place(example, other):
                continue
            at = _at(example, {one: a, other: b})
            if not _is_large(at) and (why := _fault(at, answer, compare)):
                raise ExportError(
                    f"axes {one!r} and {other!r} vary in the task's example, but forward() takes "
                    f"other steps where they are {a} and {b} long than "
                    f"where they are {lengths[one]} and {lengths[other]} ({why}): bounds of one "
                    "axis cannot say that. Make the steps the "
                    "same for all lengths, or have one of the two fixed"
                )


def _near_bounds(name: str, lengths: Mapping[str, int], guards: Guards) -> list[int]:
    """Lengths of an axis at which what guards say of it and of another may change."""
    numbers = guards.bounds()
    some = {1, 2, 3} | numbers
    for length in lengths.values():
        some |= {length - 1, length, length + 1, 2 * length, 2 * length + 1}
        some |= {n + length for n in numbers} | {
            n // length + off for n in numbers for off in (0, 1)
        }
    some |= {math.isqrt(n) + off for n in numbers for off in (0, 1)}
    return [one for one in sorted(some) if one > 0 and one in Axis.read(name)][:_NEAR]


def _looked_at(declared: Axis, length: int, guards: Guards) -> list[int]:
    """Lengths at which guards are evaluated, rising.

    Those up to twice the example's, and about each number that a guard has.
    """
    others = {one // length for one in guards.bounds()} | guards.bounds()
    return sorted(
        one for one in {*range(1, max(_LOOKED_AT, 2 * length + 2)), *others} if one in declared
    )


def _furthest_place(example: Example, name: str) -> int:
    """The greatest whole number in a list that does not have this axis; -1 where there is none."""
    found = -1
    for leaf in tensors((example.args, example.kwargs)):
        plain = leaf.ndim == 1 and not leaf.is_floating_point() and leaf.dtype != torch.bool
        if plain and leaf.numel() and name not in example.axes.get(id(leaf), {}).values():
            found = max(found, int(leaf.max()))
    return found


def _to_try(length: int, looked: list[int], right: list[int]) -> list[int]:
    """The lengths nearest to the example's at which a guard fails, on either side, and one."""
    fails = sorted(set(looked) - set(right) - {length})
    shorter, longer = (
        [one for one in fails if 1 < one < length][-_TRIED:],
        [one for one in fails if one > length][:_TRIED],
    )
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
    return Axis(
        declared.name, least=least, most=most, multiple=math.lcm(multiple, declared.multiple)
    )


def _refusal(bounds: Axis, length: int, wrong: int, why: str) -> str:
    told = (
        f"axis {bounds.name!r} varies in the task's example, but forward() takes other steps "
        f"where it is {wrong} long than where it is "
        f"{length} ({why}): "
    )
    if bounds.least == bounds.most:
        return (
            f"{told}take {bounds.name!r} out of the axes that vary, or give axes that are "
            "always equally long one name"
        )
    shorter = (
        f" (and give an example that is shorter than {bounds.most})"
        if bounds.most == length
        else ""
    )
    return (
        f"{told}make the steps the same for every length, or declare the axis as "
        f"{declaration(bounds)}{shorter}, which the file will enforce"
    )


def declaration(axis: Axis) -> str:
    """The call that makes an axis, without what is the default."""
    words = [f"least={axis.least}"] * (axis.least > 1) + [f"most={axis.most}"] * (
        axis.most is not None
    )
    words += [f"multiple={axis.multiple}"] * (axis.multiple > 1)
    return f"Axis({', '.join([repr(axis.name), *words])})"


def suggested(example: Example, guards: Guards) -> list[Axis]:
    """Of the axes along which guards fail at some length, how they would have to be declared.

    None where no bounds would do.
    """
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
    for leaf in tensors((example.args, example.kwargs)):
        for axis, name in example.axes.get(id(leaf), {}).items():
            found.setdefault(name, leaf.shape[axis])
    return found


def _is_large(example: Example) -> bool:
    """Whether one of its tensors has more numbers than are tried."""
    return any(leaf.numel() > _LARGEST for leaf in tensors((example.args, example.kwargs)))


def _at(example: Example, lengths: Mapping[str, int]) -> Example:
    """The example where the axes of these names are so long."""

    def change(leaf: Any) -> Any:
        for axis, name in example.axes.get(id(leaf), {}).items():
            leaf = lengthened(leaf, axis, lengths[name]) if name in lengths else leaf
        return leaf

    return Example(
        tree.map(change, example.args), tree.map(change, example.kwargs), {}, example.entry
    )


def narrow(graph: Graph, axes: Mapping[str, Axis]) -> Graph:
    """The graph with these axes, by the names that they had."""
    if not axes:
        return graph
    ports = tuple(
        replace(
            one,
            shape=tuple(
                str(axes[size]) if isinstance(size, str) and size in axes else size
                for size in one.shape
            ),
        )
        for one in graph.inputs
    )
    return replace(graph, inputs=ports)
