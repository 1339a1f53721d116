"""The layers of a model as a graph: what each costs, and whose outputs it takes."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

_UNTIL = " … "  # between the first and the last of layers that are joined


@dataclass(frozen=True)
class LayerCost:
    """A layer, what it costs, and what it takes.

    `name`: of the layer, unique in its graph.
    `milliseconds`: of one run on the machine that it was measured on, 0 or more.
    `weight_bytes`: of its parameters and buffers, 0 or more.
    `output_bytes`: of what it hands on to other layers, 0 or more.
    `inputs`: the names of the layers whose outputs it takes; none for a layer that takes what the
        model is given.
    `calls`: the names of the calls of the recorded model that it stands for; none where it was
        written by hand.

    Raises ValueError for a number out of range.
    """

    name: str
    milliseconds: float
    weight_bytes: float = 0.0
    output_bytes: float = 0.0
    inputs: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what in ("milliseconds", "weight_bytes", "output_bytes"):
            if not 0 <= getattr(self, what) < math.inf:
                raise ValueError(
                    f"the layer {self.name!r} has {what}={getattr(self, what)!r}: give a number, 0 "
                    "or more"
                )
        object.__setattr__(self, "inputs", tuple(dict.fromkeys(self.inputs)))


@dataclass(frozen=True)
class LayerGraph:
    """The layers of a model, each after those whose outputs it takes.

    Layers that are given in another order are sorted; those that need not move stay in order.

    `layers`: in any order.
    `whole`: the classes of modules that were each taken as one layer (see `layer_costs`).

    Raises ValueError for no layer, for a name that two layers have, for an input that no layer is,
    and for layers that wait for each other in a circle.
    """

    layers: tuple[LayerCost, ...]
    whole: tuple[type, ...] = ()

    def __post_init__(self) -> None:
        if not (layers := tuple(self.layers)):
            raise ValueError("a graph of no layer: give one LayerCost or more")
        known: set[str] = set()
        for layer in layers:
            if layer.name in known:
                raise ValueError(f"two layers are called {layer.name!r}: give each its own name")
            known.add(layer.name)
        for layer in layers:
            if missing := [name for name in layer.inputs if name not in known]:
                raise ValueError(
                    f"the layer {layer.name!r} takes the output of {missing[0]!r}, which is no "
                    "layer of the graph: give inputs by the names of layers"
                )
        object.__setattr__(self, "layers", tuple(_sorted(layers)))

    def __len__(self) -> int:
        return len(self.layers)

    def inputs(self) -> list[tuple[int, ...]]:
        """Of each layer the numbers of those that it takes, in order."""
        number = {layer.name: index for index, layer in enumerate(self.layers)}
        return [tuple(sorted(number[name] for name in one.inputs)) for one in self.layers]

    def takers(self) -> list[list[int]]:
        """Of each layer the numbers of those that take its output, in order."""
        takers: list[list[int]] = [[] for _ in self.layers]
        for taker, sources in enumerate(self.inputs()):
            for source in sources:
                takers[source].append(taker)
        return takers

    def joined(self, most: int) -> LayerGraph:
        """The graph with layers joined until there are at most so many, or none can be joined.

        Two are joined where the one alone takes the output of the other, and takes nothing else:
        first those that take the fewest milliseconds together. So branches stay.

        `most`: layers, 1 or more.
        """
        layers = {layer.name: layer for layer in self.layers}
        while len(layers) > most:
            takers = Counter(name for layer in layers.values() for name in layer.inputs)
            pairs = [
                (layers[layer.inputs[0]], layer)
                for layer in layers.values()
                if len(layer.inputs) == 1 and takers[layer.inputs[0]] == 1
            ]
            if not pairs:
                break
            first, second = min(pairs, key=lambda pair: sum(one.milliseconds for one in pair))
            joined = _joined(first, second)
            layers = {
                joined.name if name == second.name else name: joined
                if name == second.name
                else _renamed(layer, second.name, joined.name)
                for name, layer in layers.items()
                if name != first.name
            }
        return LayerGraph(tuple(layers.values()), self.whole)


def spanned(first: LayerCost, last: LayerCost) -> str:
    """The name of layers in a row, by the first and the last."""
    names = first.name.split(_UNTIL)[0], last.name.split(_UNTIL)[-1]
    return _UNTIL.join(dict.fromkeys(names))


def _joined(first: LayerCost, second: LayerCost) -> LayerCost:
    """Two layers of which the second alone takes what the first gives, as one."""
    return LayerCost(
        spanned(first, second),
        first.milliseconds + second.milliseconds,
        first.weight_bytes + second.weight_bytes,
        second.output_bytes,
        first.inputs,
        first.calls + second.calls,
    )


def _renamed(layer: LayerCost, before: str, after: str) -> LayerCost:
    inputs = tuple(after if name == before else name for name in layer.inputs)
    return replace(layer, inputs=inputs)


def _sorted(layers: tuple[LayerCost, ...]) -> Iterable[LayerCost]:
    """The layers so that none is before one that it takes; raises ValueError where that cannot be.

    Of those that could be next, the one that was given first is.
    """
    number = {layer.name: index for index, layer in enumerate(layers)}
    missing = [len(layer.inputs) for layer in layers]
    takers: dict[str, list[int]] = {}
    for index, layer in enumerate(layers):
        for name in layer.inputs:
            takers.setdefault(name, []).append(index)
    ready = [number[layer.name] for layer in layers if not layer.inputs]
    found: list[LayerCost] = []
    while ready:
        layer = layers[heapq.heappop(ready)]
        found.append(layer)
        for taker in takers.get(layer.name, ()):
            missing[taker] -= 1
            if not missing[taker]:
                heapq.heappush(ready, taker)
    if len(found) < len(layers):
        waiting = [layer.name for layer, left in zip(layers, missing, strict=True) if left]
        raise ValueError(
            f"layers wait for each other in a circle, among {', '.join(waiting[:5])}: unroll a "
            "recurrent layer into one layer for each step"
        )
    return found
