"""Check what an export assumed of the lengths of axes.

A graph is recorded at the lengths of the example. Where forward() looks at a length (`if x.shape[1]
> 16`), the graph takes the branch that the example takes, and torch notes a guard. The model and
its graph are run at lengths at which a guard does not hold, and at length 1.
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

_EVALUATED = 130
"""Guards are evaluated at all lengths below this one, at least: it takes no run of the model."""
_LARGEST = 1 << 24
"""The elements of an input beyond which the model is not run at a length.

The bound is then written into the file.
"""
_RUNS = 2
"""The model is run at so many lengths at which a guard fails, on each side of the example's."""
_PAIRS = 2
"""The model is run at so many pairs of lengths at which a guard fails, for each two axes."""
_LENGTHS_IN_PAIRS = 60
"""The lengths of an axis that are combined with those of another."""


def check_lengths(
    example: Example,
    guards: Guards,
    answer: Callable[[Example], Any],
    compare: Callable[[Example, Any], None],
    runs: Callable[[Example], bool],
) -> dict[str, Axis]:
    """The axes that the file has to narrow, by their names.

    These are the axes along which the module refuses lengths at which the graph runs.

    `answer`: what the module returns; None where it fails.
    `compare`: raises ExportError where the graph does not return the given answer.
    `runs`: whether the graph runs.

    Raises ExportError, which names axis and bound, where the module answers and the graph fails or
    answers otherwise.
    """
    narrowed: dict[str, Axis] = {}
    for name, length in _lengths(example).items():
        declared = Axis.read(name)
        evaluated = _lengths_to_evaluate(declared, length, guards)
        right = [n for n in evaluated if guards.hold(example, {name: n})]
        tried = _lengths_to_run(length, evaluated, right)
        if not guards.are_complete:
            more = (length + 1, 2 * length, 2 * length + 1, length // 2)
            tried += [n for n in more if n in evaluated and n > 1]
        for wrong in tried:
            if wrong <= _largest_offset(example, name):
                # Another input has indices along this axis (offsets of bags). An index beyond its
                # end can end the process.
                continue
            bounds = partial(_bounds, declared, length, right, evaluated, wrong)
            changed = _at(example, {name: wrong})
            if wrong > length and _is_large(changed):
                narrowed.setdefault(name, bounds())
                continue
            if answer(changed) is None:
                if not _is_enclosed(wrong, length, right) and runs(changed):
                    narrowed[name] = bounds()
                continue
            for at in (changed, *(_others_longer(example, name, wrong) if wrong > 1 else ())):
                if why := _fault(at, answer, compare):
                    raise ExportError(_refusal(bounds(), length, wrong, why))
    _check_pairs(example, guards, answer, compare)
    return narrowed


def _fault(
    at: Example, answer: Callable[[Example], Any], compare: Callable[[Example, Any], None]
) -> str:
    """In words, how the graph's answer differs from the module's.

    "" where it does not differ, or where the module fails.
    """
    if (expected := answer(at)) is None:
        return ""
    try:
        compare(at, expected)
    except ExportError as error:
        message = str(error)
        return (
            message
            if "returns shape" in message
            else message.split(";")[0]
            if "differs" in message
            else "the exported graph fails there"
        )
    return ""


def _others_longer(example: Example, name: str, length: int) -> Iterator[Example]:
    """The example with one axis at a length, and all other axes longer than they were.

    They are longer by their multiple, then twice as long plus their multiple.
    """
    for times in (1, 2):
        lengths = {name: length}
        for other, n in _lengths(example).items():
            axis = Axis.read(other)
            if other != name and (longer := times * n + axis.multiple) in axis:
                lengths[other] = longer
        if not _is_large(changed := _at(example, lengths)):
            yield changed


def _is_enclosed(wrong: int, length: int, right: list[int]) -> bool:
    """Whether right lengths lie beyond a wrong one, seen from the example's.

    Bounds that exclude the wrong length would exclude these too.
    """
    return any(n < wrong for n in right) if wrong < length else any(n > wrong for n in right)


def _check_pairs(
    example: Example,
    guards: Guards,
    answer: Callable[[Example], Any],
    compare: Callable[[Example, Any], None],
) -> None:
    """Check pairs of lengths, each of which alone is right.

    Raises ExportError where forward() computes something else for two lengths together (`if
    x.shape[1] > x.shape[2]`).
    """
    lengths = _lengths(example)
    near = {
        name: [
            n for n in _lengths_to_pair(name, lengths, guards) if guards.hold(example, {name: n})
        ]
        if guards.expressions
        else []
        for name in lengths
    }
    for first, second in combinations(lengths, 2):
        pairs = product(near[first], near[second])
        wrong = [(a, b) for a, b in pairs if not guards.hold(example, {first: a, second: b})]
        for a, b in sorted(wrong, key=lambda pair: pair[0] * pair[1])[:_PAIRS]:
            if a <= _largest_offset(example, first) or b <= _largest_offset(example, second):
                continue
            at = _at(example, {first: a, second: b})
            if not _is_large(at) and (why := _fault(at, answer, compare)):
                raise ExportError(
                    f"axes {first!r} and {second!r} vary in the task's example, but forward() "
                    f"takes other steps where they are {a} and {b} long than where they are "
                    f"{lengths[first]} and {lengths[second]} ({why}): bounds of one axis cannot "
                    "say that. Make the steps the same for all lengths, or have one of the two "
                    "fixed"
                )


def _lengths_to_pair(name: str, lengths: Mapping[str, int], guards: Guards) -> list[int]:
    """Lengths of an axis at which guards about it and another axis may change, ascending."""
    numbers = guards.bounds()
    near = {1, 2, 3} | numbers
    for length in lengths.values():
        near |= {length - 1, length, length + 1, 2 * length, 2 * length + 1}
        near |= {n + length for n in numbers}
        near |= {n // length + offset for n in numbers for offset in (0, 1)}
    near |= {math.isqrt(n) + offset for n in numbers for offset in (0, 1)}
    return [n for n in sorted(near) if n > 0 and n in Axis.read(name)][:_LENGTHS_IN_PAIRS]


def _lengths_to_evaluate(declared: Axis, length: int, guards: Guards) -> list[int]:
    """Lengths at which guards are evaluated, ascending.

    All up to twice the example's length, and those near each number in a guard.
    """
    others = {n // length for n in guards.bounds()} | guards.bounds()
    below = range(1, max(_EVALUATED, 2 * length + 2))
    return sorted(n for n in {*below, *others} if n in declared)


def _largest_offset(example: Example, name: str) -> int:
    """The largest integer in a vector that does not have this axis; -1 where there is none."""
    largest = -1
    for leaf in tensors((example.args, example.kwargs)):
        is_integers = leaf.ndim == 1 and not leaf.is_floating_point() and leaf.dtype != torch.bool
        if is_integers and leaf.numel() and name not in example.axes.get(id(leaf), {}).values():
            largest = max(largest, int(leaf.max()))
    return largest


def _lengths_to_run(length: int, evaluated: list[int], right: list[int]) -> list[int]:
    """The lengths nearest to the example's at which a guard fails, on either side, and 1."""
    fails = sorted(set(evaluated) - set(right) - {length})
    shorter = [n for n in fails if 1 < n < length][-_RUNS:]
    longer = [n for n in fails if n > length][:_RUNS]
    return shorter[::-1] + longer + ([1] if 1 in evaluated and length > 1 else [])


def _bounds(
    declared: Axis, length: int, right: list[int], evaluated: list[int], wrong: int
) -> Axis:
    """The axis with bounds around the example's length within which the guards hold.

    `right`: the lengths of `evaluated` at which they hold. `wrong`: a length to exclude.
    """
    right = [n for n in right if n != wrong and (n > 1 or wrong > 1)]
    divisor = math.gcd(*(n - length for n in right)) if len(right) > 1 else 0
    multiple = divisor if divisor > 1 and length % divisor == 0 else 1
    allowed = [n for n in evaluated if n % multiple == 0]
    low = high = allowed.index(length) if length in allowed else 0
    while low > 0 and allowed[low - 1] in right:
        low -= 1
    while high + 1 < len(allowed) and allowed[high + 1] in right:
        high += 1
    least = allowed[low] if low > 0 or allowed[low] > multiple else declared.least
    most = declared.most if high + 1 == len(allowed) else allowed[high]
    return Axis(
        declared.name, least=least, most=most, multiple=math.lcm(multiple, declared.multiple)
    )


def _refusal(bounds: Axis, length: int, wrong: int, why: str) -> str:
    """The message for a wrong length, which proposes to declare the axis with these bounds."""
    problem = (
        f"axis {bounds.name!r} varies in the task's example, but forward() takes other steps where "
        f"it is {wrong} long than where it is {length} ({why}): "
    )
    if bounds.least == bounds.most:
        return (
            f"{problem}take {bounds.name!r} out of the axes that vary, or give axes that are "
            "always equally long one name"
        )
    shorter = (
        f" (and give an example that is shorter than {bounds.most})"
        if bounds.most == length
        else ""
    )
    return (
        f"{problem}make the steps the same for every length, or declare the axis as "
        f"{declaration(bounds)}{shorter}, which the file will enforce"
    )


def declaration(axis: Axis) -> str:
    """The call that makes an axis, such as `Axis('T', most=16)`; defaults are left out."""
    words = [repr(axis.name)]
    words += [f"least={axis.least}"] * (axis.least > 1)
    words += [f"most={axis.most}"] * (axis.most is not None)
    words += [f"multiple={axis.multiple}"] * (axis.multiple > 1)
    return f"Axis({', '.join(words)})"


def suggested(example: Example, guards: Guards) -> list[Axis]:
    """The axes along which guards fail at some length, with the bounds within which they hold.

    An axis for which no bounds would do is left out.
    """
    axes: list[Axis] = []
    for name, length in _lengths(example).items():
        declared = Axis.read(name)
        evaluated = [n for n in _lengths_to_evaluate(declared, length, guards) if n > 1]
        right = [n for n in evaluated if guards.hold(example, {name: n})]
        bounds = _bounds(declared, length, right, evaluated, 1)
        if len(right) < len(evaluated) and bounds.least != bounds.most:
            axes.append(bounds)
    return axes


def _lengths(example: Example) -> dict[str, int]:
    """The length of each axis that varies, by its name."""
    lengths: dict[str, int] = {}
    for leaf in tensors((example.args, example.kwargs)):
        for axis, name in example.axes.get(id(leaf), {}).items():
            lengths.setdefault(name, leaf.shape[axis])
    return lengths


def _is_large(example: Example) -> bool:
    """Whether a tensor of the example is too large to run the model on."""
    return any(leaf.numel() > _LARGEST for leaf in tensors((example.args, example.kwargs)))


def _at(example: Example, lengths: Mapping[str, int]) -> Example:
    """The example at these lengths, by the names of the axes."""

    def change(leaf: Any) -> Any:
        for axis, name in example.axes.get(id(leaf), {}).items():
            leaf = lengthened(leaf, axis, lengths[name]) if name in lengths else leaf
        return leaf

    return Example(
        tree.map(change, example.args), tree.map(change, example.kwargs), {}, example.entry
    )


def narrow(graph: Graph, axes: Mapping[str, Axis]) -> Graph:
    """The graph with these axes in place of those that have their names in the graph."""
    if not axes:
        return graph
    ports = tuple(
        replace(
            port,
            shape=tuple(
                str(axes[size]) if isinstance(size, str) and size in axes else size
                for size in port.shape
            ),
        )
        for port in graph.inputs
    )
    return replace(graph, inputs=ports)
