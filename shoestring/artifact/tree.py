"""Walks, flattens and rebuilds nests of tuples, lists and mappings.

A nest is what a model takes or returns: lists, tuples, named tuples and mappings inside each other.
Everything else is a leaf: tensors, arrays, numbers, None, and dataclasses too. For example, with

    nest = {"ids": x, "pair": (y, z)}

- `flatten(nest)` is `([x, y, z], {"ids": 0, "pair": (1, 2)})`, the leaves and the structure;
- `fill({"ids": 0, "pair": (1, 2)}, [x, y, z])` is the nest again;
- `paths(nest)` is `[("ids", x), ("pair.0", y), ("pair.1", z)]`.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any

Structure = Any
"""A nest with an integer, the index of the leaf, in place of each leaf that is kept; None in place
of the others.
"""
_Pairs = list[tuple[Any, Any]]


def items(nest: Any, keys: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """(keys and indices that lead to the leaf, leaf) of each leaf, in order.

    `keys`: the beginning of the keys of every leaf.
    Mappings are walked in the order of their items.
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
    """(path, leaf) of each leaf, in order, with paths such as "boxes.0" and "1".

    `start`: the beginning of every path; it is the whole path where the nest is a leaf itself.
    """
    named: list[tuple[str, Any]] = []
    for keys, leaf in items(nest):
        path = start
        for key in keys:
            path = f"{path}.{key}".lstrip(".")
        named.append((path, leaf))
    return named


def map(change: Callable[[Any], Any], nest: Any) -> Any:
    """The nest with `change(leaf)` in place of each leaf.

    Tuples, lists, dicts and `UserDict`s keep their class; any other mapping becomes a dict.
    """
    return _rebuilt(nest, change, _of_class)


def flatten(nest: Any, keep: Callable[[Any], bool] | None = None) -> tuple[list[Any], Structure]:
    """(leaves in order, the nest with the index of each leaf in its place).

    `keep`: whether a leaf is kept; the others become None in the structure. None: all are kept.
    In the structure every mapping is a dict, every tuple a tuple and every list a list; only named
    tuples keep their class.
    """
    kept: list[Any] = []

    def number(leaf: Any) -> int | None:
        if keep is not None and not keep(leaf):
            return None
        kept.append(leaf)
        return len(kept) - 1

    structure = _rebuilt(nest, number, _of_plain_class)
    return kept, structure


def fill(structure: Structure, leaves: Sequence[Any]) -> Any:
    """The nest with this structure and these leaves; the opposite of `flatten`.

    It has None wherever the structure has no integer.
    """
    return map(lambda number: leaves[number] if isinstance(number, int) else None, structure)


def match(structure: Structure, nest: Any, where: str) -> dict[int, Any]:
    """The parts of a nest that stand where a structure has its integers, by these integers.

    For example, `match({"ids": 0, "pair": (1, 2)}, {"ids": x, "pair": [y, z]}, "batch")` is
    `{0: x, 1: y, 2: z}`: a list may stand for a tuple, and a tuple for a list.
    `where`: what error messages call the nest.
    Raises TypeError where the nest does not have the structure.
    """
    if isinstance(structure, int):
        return {structure: nest}
    matched: dict[int, Any] = {}
    if isinstance(structure, Mapping):
        if not isinstance(nest, Mapping) or nest.keys() != structure.keys():
            keys = ", ".join(repr(key) for key in structure) or "(none)"
            raise TypeError(f"{where} must be a dictionary with the keys {keys}")
        for key, branch in structure.items():
            matched |= match(branch, nest[key], f"{where}[{key!r}]")
    elif isinstance(structure, list | tuple):
        if not isinstance(nest, list | tuple) or len(nest) != len(structure):
            raise TypeError(f"{where} must be a list or tuple of {len(structure)}")
        for index, (branch, part) in enumerate(zip(structure, nest, strict=True)):
            matched |= match(branch, part, f"{where}[{index}]")
    return matched


def plain(nest: Any) -> Any:
    """The nest made of plain tuples, lists and dicts with strings for keys.

    This is what a file can store.
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
    """The nest with `change(leaf)` in place of each leaf and nodes made anew.

    `make`: the new node, given the old one and (key or index, branch) of its new branches.
    """
    branches = _branches(nest)
    if branches is None:
        return change(nest)
    return make(nest, [(key, _rebuilt(branch, change, make)) for key, branch in branches])


def _of_class(node: Any, pairs: _Pairs) -> Any:
    """The branches in a node of the class of `node`, or in a dict for other mappings."""
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
    """The branches in a plain tuple, list or dict, or in a named tuple of the same class.

    The leaves of a structure are integers. Other classes might check their values, so they are not
    made. `_make` does not call the constructor of a named tuple.
    """
    if isinstance(node, Mapping):
        return dict(pairs)
    values = [value for _, value in pairs]
    if _is_named(node):
        return node._make(values)
    return tuple(values) if isinstance(node, tuple) else values


def _is_named(node: Any) -> bool:
    return isinstance(node, tuple) and isinstance(getattr(node, "_fields", None), tuple)
