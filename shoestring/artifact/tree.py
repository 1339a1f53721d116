"""Nests of tuples, lists and mappings.

The one place that walks them, takes them apart and puts them together.
A nest is what a model takes or returns: lists, tuples, named tuples and mappings, within each
other. All else is a leaf: tensors, arrays and numbers, None, and dataclasses too.

    leaves, structure = flatten({"ids": x, "pair": (y, z)})    [x, y, z] and {"ids": 0, "pair": (1,
    2)} fill(structure, leaves)                                    {"ids": x, "pair": (y, z)}
    paths({"ids": x, "pair": (y, z)})                          [("ids", x), ("pair.0", y),
    ("pair.1", z)]
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any

Structure = Any
"""A nest with the number of a leaf in place of each leaf, and None in place of what is no leaf that
counts.
"""
_Pairs = list[tuple[Any, Any]]


def items(nest: Any, keys: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """(the keys and indices that lead to it, leaf) of each leaf, in order.

    A mapping is walked in the order of its items.
    """
    branches = _branches(nest)
    if branches is None:
        return [(keys, nest)]
    return [item for key, branch in branches for item in items(branch, (*keys, key))]


def leaves(nest: Any) -> list[Any]:
    """The leaves, in order."""
    branches = _branches(nest)
    return (
        [nest] if branches is None else [leaf for _, branch in branches for leaf in leaves(branch)]
    )


def paths(nest: Any, start: str = "") -> list[tuple[str, Any]]:
    """(name, leaf) of each leaf, in order.

    "boxes.0", "1", and `start` for a nest that is a leaf itself.
    """
    found: list[tuple[str, Any]] = []
    for keys, leaf in items(nest):
        path = start
        for key in keys:
            path = f"{path}.{key}".lstrip(".")
        found.append((path, leaf))
    return found


def map(change: Callable[[Any], Any], nest: Any) -> Any:
    """The nest with each leaf changed.

    Tuples, lists and dictionaries keep their class; any other mapping becomes a dict.
    """
    return _rebuilt(nest, change, _of_class)


def flatten(nest: Any, keep: Callable[[Any], bool] | None = None) -> tuple[list[Any], Structure]:
    """The leaves, in order, and the nest with their numbers in their places.

    `keep`: the leaves that count; None: all of them.
    In the structure mappings are dicts, and tuples and lists are of these classes, but for named
    tuples, which keep theirs.
    """
    found: list[Any] = []

    def number(leaf: Any) -> int | None:
        if keep is not None and not keep(leaf):
            return None
        found.append(leaf)
        return len(found) - 1

    structure = _rebuilt(nest, number, _of_plain_class)
    return found, structure


def fill(structure: Structure, leaves: Sequence[Any]) -> Any:
    """The nest of a structure with these leaves in place of their numbers.

    None where the structure has no number.
    """
    return map(lambda number: leaves[number] if isinstance(number, int) else None, structure)


def match(structure: Structure, nest: Any, where: str) -> dict[int, Any]:
    """What a nest has in the places of a structure's numbers, by these numbers.

    A list may stand for a tuple, and the reverse.
    `where` says in errors which nest it is. Raises TypeError where it is not nested as the
    structure is.
    """
    if isinstance(structure, int):
        return {structure: nest}
    found: dict[int, Any] = {}
    if isinstance(structure, Mapping):
        if not isinstance(nest, Mapping) or nest.keys() != structure.keys():
            keys = ", ".join(repr(key) for key in structure) or "(none)"
            raise TypeError(f"{where} is wanted as a dictionary with the keys {keys}")
        for key, branch in structure.items():
            found |= match(branch, nest[key], f"{where}[{key!r}]")
    elif isinstance(structure, list | tuple):
        if not isinstance(nest, list | tuple) or len(nest) != len(structure):
            raise TypeError(f"{where} is wanted as a list or tuple of {len(structure)}")
        for index, (branch, one) in enumerate(zip(structure, nest, strict=True)):
            found |= match(branch, one, f"{where}[{index}]")
    return found


def plain(nest: Any) -> Any:
    """The nest as tuples, lists and dicts with text for keys, whatever their classes.

    What a file can say of it.
    """

    def make(node: Any, pairs: _Pairs) -> Any:
        if isinstance(node, Mapping):
            return {str(key): value for key, value in pairs}
        return (tuple if isinstance(node, tuple) else list)(value for _, value in pairs)

    return _rebuilt(nest, lambda leaf: leaf, make)


def _branches(nest: Any) -> Iterable[tuple[Any, Any]] | None:
    """(key or index, branch) of each branch of a nest; None for a leaf."""
    if isinstance(nest, list | tuple):
        return enumerate(nest)
    return nest.items() if isinstance(nest, Mapping) else None


def _rebuilt(nest: Any, change: Callable[[Any], Any], make: Callable[[Any, _Pairs], Any]) -> Any:
    """The nest with its leaves changed, each node made of the node before and of (key or index,
    branch) of its new branches.
    """
    branches = _branches(nest)
    if branches is None:
        return change(nest)
    return make(nest, [(key, _rebuilt(branch, change, make)) for key, branch in branches])


def _of_class(node: Any, pairs: _Pairs) -> Any:
    """A node of the class of another one."""
    if isinstance(node, list | tuple):
        values = [value for _, value in pairs]
        return type(node)(*values) if _is_named(node) else type(node)(values)
    if type(node) is dict or not isinstance(node, dict | UserDict):
        return dict(pairs)
    made = copy(node)
    for key, value in pairs:
        made[key] = value
    return made


def _of_plain_class(node: Any, pairs: _Pairs) -> Any:
    """A node that may have numbers for leaves.

    Classes that look at what they are given are not made.
    """
    if isinstance(node, Mapping):
        return dict(pairs)
    values = [value for _, value in pairs]
    if _is_named(node):
        return node._make(values)
    return tuple(values) if isinstance(node, tuple) else values


def _is_named(node: Any) -> bool:
    return isinstance(node, tuple) and isinstance(getattr(node, "_fields", None), tuple)
