"""Several graphs over one list of tensors: each is an entry of the model and has a name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from shoestring.artifact.format import graph as graphs
from shoestring.artifact.format import graph_reader
from shoestring.artifact.format.graph import MOST_NODES, Graph
from shoestring.artifact.format.tensors import MOST_TENSORS
from shoestring.artifact.wire import Reader, Writer

MOST_ENTRIES = 8  # what a runtime may take for each graph is bounded, and so is this
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_RESERVED = ("entries", "inputs", "outputs", "run", "signature")  # what a loaded file has itself


def check_name(name: object) -> str:
    """Why an entry cannot have this name, in words; "" where it can."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return "a letter must come first, then letters, digits and underscores, at most 64 in all"
    return "a loaded file has an attribute of that name" if name in _RESERVED else ""


def encode(named: Mapping[str, Graph]) -> bytes:
    """The graphs as `docs/format.md` lays them out, before deflating.

    Raises OperatorError, and ValueError for no graph, too many, too many nodes, or a name that
    cannot be.
    """
    if not 0 < len(named) <= MOST_ENTRIES:
        raise ValueError(f"a file holds 1 to {MOST_ENTRIES} entries and there are {len(named)}")
    if (nodes := sum(len(graph.nodes) for graph in named.values())) > MOST_NODES:
        raise ValueError(
            f"a file holds at most {MOST_NODES} nodes and its graphs have {nodes} together"
        )
    out = Writer()
    out.varint(len(named))
    for name, graph in named.items():
        if why := check_name(name):
            raise ValueError(f"an entry cannot be called {name!r}: {why}")
        body = graphs.encode(graph)
        out.text(name)
        out.varint(len(body))
        out += body
    return bytes(out)


def decode(data: bytes) -> dict[str, Graph]:
    """The graphs by name, with every reference checked; raises ShoeError."""
    reader = Reader(data, "graphs")
    found: dict[str, Graph] = {}
    nodes = constants = 0
    count = reader.varint(MOST_ENTRIES)
    if not count:
        raise reader.fail("there is no entry")
    for _ in range(count):
        name = reader.text()
        if not _NAME.fullmatch(name):
            raise reader.fail(
                "an entry's name has other characters than letters, digits and underscores"
            )
        if name in found:
            raise reader.fail("two entries have the same name")
        found[name] = graph_reader.decode(bytes(reader.take(reader.varint())))
        nodes, constants = nodes + len(found[name].nodes), constants + len(found[name].constants)
        if nodes > MOST_NODES or constants > MOST_TENSORS:
            raise reader.fail(
                f"the graphs have {nodes} nodes and {constants} constants together, too many"
            )
    reader.end()
    return found


def used(graph: Graph) -> tuple[int, ...]:
    """Which of the tensors of its file a graph reads, by their places, rising."""
    first = len(graph.inputs)
    read = {number for node in graph.nodes for number in node.inputs if number is not None} | set(
        graph.results
    )
    return tuple(place for place in range(graph.weights) if first + place in read)


def alone(graph: Graph) -> Graph:
    """The graph with none but the tensors that it reads (`used`), in their order."""
    places = {place: turn for turn, place in enumerate(used(graph))}
    return _renumbered(graph, places, len(places))


def among(graph: Graph, places: Sequence[int], count: int) -> Graph:
    """The graph over a longer list of `count` tensors, of which its own are those at `places`."""
    return _renumbered(graph, dict(enumerate(places)), count)


def _renumbered(graph: Graph, places: Mapping[int, int], count: int) -> Graph:
    """The graph over `count` tensors, with the new place of each tensor that it reads by the old
    one.
    """
    first, behind = len(graph.inputs), len(graph.inputs) + graph.weights

    def numbers(old: Iterable[int | None]) -> Iterable[int | None]:
        for number in old:
            if number is None or number < first:
                yield number
            else:
                yield (
                    first + places[number - first]
                    if number < behind
                    else number - graph.weights + count
                )

    nodes = tuple(replace(node, inputs=tuple(numbers(node.inputs))) for node in graph.nodes)
    results = tuple(number for number in numbers(graph.results) if number is not None)
    return replace(graph, weights=count, nodes=nodes, results=results)
