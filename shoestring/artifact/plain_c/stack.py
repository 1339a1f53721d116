"""The deepest stack by the call graphs that GCC writes with `-fcallgraph-info=su`."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NODE = re.compile(r'node: \{ title: "([^"]*)" label: "([^"]*)"')
_EDGE = re.compile(r'edge: \{ sourcename: "([^"]*)" targetname: "([^"]*)"')
_BYTES = re.compile(r"(\d+) bytes \((\w+)")


class UnboundedStack(ValueError):
    """A stack whose depth is not known when compiling."""


def deepest(graphs: Iterable[str], entry: str) -> int:
    """The bytes of stack of a function with all that it calls.

    `graphs`: the texts of the `.ci` files of a program.
    `entry`: the name of the function.

    Functions of libraries count as 0, since the compiler does not see them. Raises UnboundedStack
    for recursion and for arrays of varying length, which name the function.
    """
    frames: dict[str, int] = {}
    calls: dict[str, set[str]] = {}
    for text in graphs:
        for title, label in _NODE.findall(text):
            found = _BYTES.search(label)
            if found is None:
                continue
            if found[2] == "dynamic":
                raise UnboundedStack(f"{_short(title)} has an array of varying length on the stack")
            frames[title] = int(found[1])
        for source, target in _EDGE.findall(text):
            calls.setdefault(source, set()).add(target)
    known: dict[str, int] = {}

    def depth(title: str, above: tuple[str, ...]) -> int:
        if title in above:
            raise UnboundedStack(f"{_short(title)} calls itself: its stack has no bound")
        if title not in known:
            below = [depth(one, (*above, title)) for one in sorted(calls.get(title, ()))]
            known[title] = frames.get(title, 0) + max(below, default=0)
        return known[title]

    return depth(entry, ())


def _short(title: str) -> str:
    """The name of a function without that of its file."""
    return title.rpartition(":")[2]
