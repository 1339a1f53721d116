"""Several graphs over one list of tensors. Each is an entry of the model and has a name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from shoestring.artifact.format import graph as graphs
from shoestring.artifact.format import graph_reader
from shoestring.artifact.format.graph import Graph
from shoestring.artifact.format.graph_limits import Tally
from shoestring.artifact.wire import Reader, ShoeError, Writer

MOST_ENTRIES = 8  # a runtime's memory is bounded for each graph, so the number of graphs is too
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_RESERVED = ("entries", "inputs", "outputs", "run", "signature")  # attributes of a loaded file


def check_name(name: object) -> str:
    """Why an entry cannot have this name, in words; "" if it can."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return "a letter must come first, then letters, digits and underscores, at most 64 in all"
    return "a loaded file has an attribute of that name" if name in _RESERVED else ""


def encode(named: Mapping[str, Graph], *, unnamed: bool = False) -> bytes:
    """The graphs in the bytes that `docs/format.md` describes, not yet deflated.

    Raises OperatorError for an operator or attribute that files cannot hold. Raises ValueError for
    no graph, for more than MOST_ENTRIES, for graphs that have more together than `graph_limits`
    allows, and for a name that `check_name` rejects.
    `unnamed`: whether a single graph may have the name "".
    """
    if not 0 < len(named) <= MOST_ENTRIES:
        raise ValueError(f"a file holds 1 to {MOST_ENTRIES} entries and there are {len(named)}")
    out, tally = Writer(), Tally(ValueError)
    out.varint(len(named))
    for name, graph in named.items():
        if not (unnamed and named.keys() == {""}) and (why := check_name(name)):
            raise ValueError(f"an entry cannot be called {name!r}: {why}")
        body = graphs.encode(graph, tally)
        out.text(name)
        out.varint(len(body))
        out += body
    return bytes(out)


def decode(data: bytes, *, unnamed: bool = False) -> dict[str, Graph]:
    """The graphs by name, with every reference checked; raises ShoeError for invalid bytes.

    `unnamed`: whether a single graph may have the name "".
    """
    reader = Reader(data, "graphs")
    named: dict[str, Graph] = {}
    tally = Tally(ShoeError)
    count = reader.varint(MOST_ENTRIES)
    if not count:
        raise reader.fail("there is no entry")
    for _ in range(count):
        name = reader.text()
        if not _NAME.fullmatch(name) and (name or count > 1 or not unnamed):
            raise reader.fail(
                "an entry's name has other characters than letters, digits and underscores"
            )
        if name in named:
            raise reader.fail("two entries have the same name")
        body = bytes(reader.take(reader.varint()))
        named[name] = graph_reader.decode(body, tally=tally)
    reader.end()
    return named


def used(graph: Graph) -> tuple[int, ...]:
    """The indices of the file's tensors that a graph reads, in rising order."""
    first = len(graph.inputs)
    read = {number for node in graph.nodes for number in node.inputs if number is not None} | set(
        graph.results
    )
    return tuple(index for index in range(graph.weights) if first + index in read)


def alone(graph: Graph) -> Graph:
    """The graph over only the tensors that it reads (`used`), in their order."""
    new = {old: index for index, old in enumerate(used(graph))}
    return _renumbered(graph, new, len(new))


def among(graph: Graph, indices: Sequence[int], count: int) -> Graph:
    """The graph over a longer list of tensors; the opposite of `alone`.

    `indices`: the indices of the graph's own tensors in the longer list.
    `count`: the length of the longer list.
    """
    return _renumbered(graph, dict(enumerate(indices)), count)


def _renumbered(graph: Graph, new: Mapping[int, int], count: int) -> Graph:
    """The graph over `count` tensors.

    `new`: the new index of each tensor that the graph reads, by the old index.
    """
    first, behind = len(graph.inputs), len(graph.inputs) + graph.weights

    def numbers(old: Iterable[int | None]) -> Iterable[int | None]:
        for number in old:
            if number is None or number < first:
                yield number
            else:
                yield (
                    first + new[number - first]
                    if number < behind
                    else number - graph.weights + count
                )

    nodes = tuple(replace(node, inputs=tuple(numbers(node.inputs))) for node in graph.nodes)
    results = tuple(number for number in numbers(graph.results) if number is not None)
    return replace(graph, weights=count, nodes=nodes, results=results)
