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
    """The graphs of a module, without the values of its weights.

    `graphs`: one for each entry, by its name; "" is the module itself.
    `wanted`: the indices, among the module's parameters, of the weights that the graphs use.
    `constants`: constants that are too large for a graph.
    `integers`: the weights that the graphs take as integers, by their index.
    `notes`: texts by key that the file has.
    """

    graphs: Mapping[str, Graph]
    wanted: tuple[int, ...]
    constants: tuple[Tensor, ...]
    integers: Mapping[int, Integers] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

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
        """The content of a file with these tensors: the wanted weights, then the constants."""
        return (
            Content(self.graphs[""], tensors, notes=self.notes)
            if "" in self.graphs
            else Entries(self.graphs, tensors, notes=self.notes)
        )


def joined(parts: Mapping[str, Exported]) -> Exported:
    """The exports of entries as one, in which graphs that use the same tensor share it.

    `parts`: by the names of the entries.
    """
    wanted = sorted({index for part in parts.values() for index in part.wanted})
    constants: dict[tuple[int, tuple[int, ...], bytes], Tensor] = {}
    for part in parts.values():
        for constant in part.constants:
            constants.setdefault(_key(constant), constant)
    indices = {key: index for index, key in enumerate(constants, len(wanted))}
    graphs: dict[str, Graph] = {}
    for name, part in parts.items():
        own = [*map(wanted.index, part.wanted), *(indices[_key(one)] for one in part.constants)]
        graphs[name] = among(part.graph, own, len(wanted) + len(constants))
    integers = {index: kept for part in parts.values() for index, kept in part.integers.items()}
    return Exported(graphs, tuple(wanted), tuple(constants.values()), integers)


def disputed(parts: Mapping[str, Exported]) -> set[int]:
    """The indices of weights that one entry takes as integers and another in floating point."""
    integers = {index for part in parts.values() for index in part.integers}
    return {
        index
        for index in integers
        for part in parts.values()
        if index in part.wanted and index not in part.integers
    }


def _key(tensor: Tensor) -> tuple[int, tuple[int, ...], bytes]:
    """Equal for tensors of equal type, shape and bits."""
    return tensor.element, tensor.bits.shape, tensor.bits.tobytes()
