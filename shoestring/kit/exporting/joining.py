"""Join the exports of a model's entries into one, in which each tensor stands once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shoestring.artifact.format.entries import among
from shoestring.artifact.format.file import Content, Entries
from shoestring.artifact.format.graph import Graph
from shoestring.artifact.format.tensors import Tensor
from shoestring.kit.quantised.integers import Integers


@dataclass(frozen=True)
class Exported:
    """The graph of each of a module's entries ("" where it is called itself), which weights they
    want (`wanted`: places among `members`), constants too large for a graph, and which of the
    weights they want as whole numbers.
    """

    graphs: Mapping[str, Graph]
    wanted: tuple[int, ...]
    constants: tuple[Tensor, ...]
    integers: Mapping[int, Integers] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        """The only graph; raises ValueError where the entries have names."""
        if self.graphs.keys() != {""}:
            raise ValueError(
                f"the model has entries ({', '.join(self.graphs)}): take the graph of one from "
                "`graphs`"
            )
        return self.graphs[""]

    def content(self, tensors: list[Tensor]) -> Content | Entries:
        """What a file of these tensors holds: the wanted weights, then the constants."""
        return (
            Content(self.graphs[""], tensors)
            if "" in self.graphs
            else Entries(self.graphs, tensors)
        )


def joined(parts: Mapping[str, Exported]) -> Exported:
    """The exports of entries as one: each tensor once, whichever of the graphs read it."""
    wanted = sorted({place for part in parts.values() for place in part.wanted})
    constants: dict[tuple[int, tuple[int, ...], bytes], Tensor] = {}
    for part in parts.values():
        for one in part.constants:
            constants.setdefault(_key(one), one)
    order = {key: len(wanted) + turn for turn, key in enumerate(constants)}
    graphs: dict[str, Graph] = {}
    for name, part in parts.items():
        own = [*map(wanted.index, part.wanted), *(order[_key(one)] for one in part.constants)]
        graphs[name] = among(part.graph, own, len(wanted) + len(constants))
    integers = {place: whole for part in parts.values() for place, whole in part.integers.items()}
    return Exported(graphs, tuple(wanted), tuple(constants.values()), integers)


def disputed(parts: Mapping[str, Exported]) -> set[int]:
    """Weights that one entry wants as whole numbers and another as they are, by their places."""
    whole = {place for part in parts.values() for place in part.integers}
    return {
        place
        for place in whole
        for part in parts.values()
        if place in part.wanted and place not in part.integers
    }


def _key(one: Tensor) -> tuple[int, tuple[int, ...], bytes]:
    return one.element, one.bits.shape, one.bits.tobytes()
