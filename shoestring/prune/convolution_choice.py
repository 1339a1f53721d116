"""Which cheaper layers to take for a model's convolutions, and which of them to put back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from shoestring.artifact.progress import progress
from shoestring.prune.convolution_kinds import Kind

_WEIGHINGS = 24
"""Measurements of the whole model at most: with more layers, some are put back at a time."""


@dataclass(frozen=True)
class Candidate:
    """What may replace a layer: its kind, its layers, what they cost, and what they lose.

    `cost`: in operations, or as the meter measures.
    `error`: the share of the variance of the layer's outputs that it does not explain.
    """

    kind: Kind
    layers: nn.Sequential
    cost: float
    error: float


Found = dict[str, tuple[float, list[Candidate]]]
"""Of each layer its own cost, and the candidates that pay."""


@dataclass(frozen=True)
class PutBack:
    """Layers that stay as they were: without their replacement the model costs no more.

    `kinds`: what had replaced each, by its name.
    `replaced`, `without`: what the model costs with the replacements, and without.
    """

    kinds: dict[str, Kind]
    replaced: float
    without: float

    def told(self, measure: str) -> str:
        """The layers, and why, in words. `measure`: the name of what was measured."""
        names = ", ".join(f"{name} ({kind!r})" for name, kind in self.kinds.items())
        return (
            f"{names}: in the model it does not pay, {measure} are {self.replaced:.4g} with it "
            f"and {self.without:.4g} without"
        )


def cheapest(found: Found, goal: float) -> dict[str, Candidate]:
    """The candidates to take, so that the layers together cost at most `goal`.

    Greedy: the next change is that which loses the least for the cost that it saves.
    """
    taken: dict[str, Candidate] = {}
    costs = {name: cost for name, (cost, _) in found.items()}
    errors = dict.fromkeys(found, 0.0)
    while sum(costs.values()) > goal:
        changes = [
            ((one.error - errors[name]) / (costs[name] - one.cost), name, one)
            for name, (_, candidates) in found.items()
            for one in candidates
            if one.cost < costs[name]
        ]
        if not changes:
            break
        _, name, best = min(changes, key=lambda change: change[0])
        taken[name], costs[name], errors[name] = best, best.cost, best.error
    return taken


def those_that_pay(
    found: Found,
    taken: dict[str, Candidate],
    cost: float,
    measured: Callable[[dict[str, Candidate]], float],
) -> tuple[dict[str, Candidate], list[PutBack], float]:
    """The candidates that pay in the model, the layers put back, and what the model then costs.

    Greedy: each is put back once, those first that save the least alone, and stays out where the
    model costs no more without it.

    `cost`: of the model with all of `taken`. `measured`: of the model with some of them.
    """
    order = sorted(taken, key=lambda name: found[name][0] - taken[name].cost)
    size = -(-len(order) // _WEIGHINGS) if order else 1
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    back: list[PutBack] = []
    with progress("weighing cheaper layers in the model", len(groups)) as advance:
        for names in groups:
            fewer = {name: one for name, one in taken.items() if name not in names}
            without = measured(fewer)
            advance(", ".join(names))
            if without <= cost:
                kinds = {name: taken[name].kind for name in names}
                back.append(PutBack(kinds, cost, without))
                taken, cost = fewer, without
    return taken, back, cost
