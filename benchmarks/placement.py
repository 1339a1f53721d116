"""Which device runs which layer: `python benchmarks/placement.py`.

Ten networks of 12 to 19 layers, whose milliseconds are measured here, on three sets of devices,
whose speeds, wires and memories are modelled. All methods are compared with the exact optimum,
which branch and bound proves. Then three networks with all their layers, which are compared with
the best that any method found. Reinforcement learning and random draws see as many placements, with
three seeds, and with one of the large networks. The width of the dynamic programming, and the rate
and the entropy of the learning, are chosen on made-up graphs: the least width that is within 5 % of
the optimum on all, and the learning with the least mean.
About fifteen minutes of a core. Goes on where it was interrupted.
--quick: two networks, 200 placements, one seed, and nothing is chosen.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean
from time import perf_counter, process_time

import torch
from placement_networks import LARGE, SMALL, Network, devices, made_up
from rows import Rows, start

from shoestring.core import seeded
from shoestring.parallel import (
    BalancedParts,
    BranchAndBound,
    DynamicProgramming,
    EarliestEnd,
    LayerGraph,
    OneDevice,
    PlacementMethod,
    PlacementProblem,
    PolicyGradient,
    RandomPlacements,
    layer_costs,
    simulated_run,
)

SEEDS, SAMPLES = (0, 1, 2), 4000
WIDTHS = (16, 64, 256, 1024, 4096)
LEARNING = tuple(
    PolicyGradient(samples=SAMPLES, rate=rate, entropy=entropy, seed=100)
    for rate in (0.01, 0.03)
    for entropy in (0.1, 0.3)
)
MADE_UP, OF_LEARNING = 20, 4  # graphs for the width, and for the rate
CHOSEN = "chosen on made-up graphs"
DYNAMIC, LEARNT, DRAWN = "dynamic programming", "reinforcement learning", "random placements"
PLAIN: dict[str, PlacementMethod] = {
    "each layer where it ends first": EarliestEnd(),
    "parts that take as long": BalancedParts(),
    "all on one device": OneDevice(),
}
METHODS = (DYNAMIC, LEARNT, DRAWN, *PLAIN)

Found = tuple[str, str, float, str, int | None, bool]
"""Subject, metric, value, unit, seed, and whether it is a timing."""


def main() -> None:
    torch.set_num_threads(1)
    rows = start("placement", "measured-layers-modelled-devices-cpu", __doc__ or "")
    warm_up()
    width, learning = (256, LEARNING[0]) if rows.quick else chosen(rows)
    learning = replace(learning, samples=200 if rows.quick else SAMPLES)
    methods: dict[str, PlacementMethod] = {DYNAMIC: DynamicProgramming(width=width), **PLAIN}
    for name, network in list({**SMALL, **LARGE}.items())[: 2 if rows.quick else None]:
        if not rows.wanted(name) or rows.done(name, None):
            continue
        graph = measured(network)
        seeds = SEEDS if name in SMALL and not rows.quick else SEEDS[:1]
        found: list[Found] = []
        for where, (some, links) in devices(graph).items():
            problem = PlacementProblem(graph, some, links)
            found += compared(
                f"{name}, {where}", problem, methods, learning, seeds, is_small=name in SMALL
            )
        # All at once: a network that was interrupted is measured again.
        rows.add(name, "layers", len(graph), "")
        total = sum(layer.milliseconds for layer in graph.layers)
        rows.add(name, "all on this machine", total, "ms", timed=True)
        for subject, metric, value, unit, seed, is_timed in found:
            rows.add(subject, metric, value, unit, seed, timed=is_timed)
        rows.add(name, "done", 1, "")
    rows.close()


def warm_up() -> None:
    """Torch loads a part of itself when a first policy learns; it is not part of a search."""
    graph = made_up(random.Random(0))
    some, links = devices(graph)["a card"]
    PolicyGradient(samples=2, batch=1).devices_of(PlacementProblem(graph, some, links))


def measured(network: Network) -> LayerGraph:
    with seeded(0):
        graph = layer_costs(network.build(), network.example(), runs=10)
    return graph.joined(network.layers)


def compared(
    subject: str,
    problem: PlacementProblem,
    methods: dict[str, PlacementMethod],
    learning: PolicyGradient,
    seeds: Sequence[int],
    *,
    is_small: bool,
) -> list[Found]:
    """The rows of a network on a set of devices; of small ones the least is the optimum."""
    found: list[tuple[str, int | None, float, float]] = [
        (method, None, *searched(methods[method], problem)) for method in methods
    ]
    for seed in seeds:
        learnt = replace(learning, seed=seed)
        drawn = RandomPlacements(samples=learning.samples, seed=seed)
        found.append((LEARNT, seed, *searched(learnt, problem)))
        found.append((DRAWN, seed, *searched(drawn, problem)))
    least = min(milliseconds for _, _, milliseconds, _ in found)
    rows: list[Found] = []
    if is_small:
        least, seconds = searched(BranchAndBound(), problem)
        rows.append((subject, "the optimum, seconds", seconds, "s of a core", None, True))
    rows.append((subject, "the least", least, "ms, modelled", None, True))
    for method, seed, milliseconds, seconds in found:
        # A placement that does not fit has no time: its row says so, and JSON has no infinity.
        fits = milliseconds < math.inf
        rows.append((subject, f"{method}, fits", float(fits), "", seed, False))
        if fits:
            above = 100 * (milliseconds / least - 1)
            rows.append((subject, f"{method}, above the least", above, "%", seed, True))
        rows.append((subject, f"{method}, seconds", seconds, "s of a core", seed, True))
    return rows


def searched(method: PlacementMethod, problem: PlacementProblem) -> tuple[float, float]:
    """(milliseconds of the placement, infinite where there is none; seconds of the search)."""
    began = process_time()
    found = method.devices_of(problem)
    seconds = process_time() - began
    return math.inf if found is None else simulated_run(problem, found).milliseconds, seconds


def chosen(rows: Rows) -> tuple[int, PolicyGradient]:
    """The width and the learning that are best on made-up graphs on the four uneven devices."""
    draw, problems = random.Random(1), list[PlacementProblem]()
    for _ in range(MADE_UP):
        graph = made_up(draw)
        some, links = devices(graph)["four uneven"]
        problems.append(PlacementProblem(graph, some, links))
    if not rows.done(CHOSEN, None):
        began = perf_counter()
        least = [searched(BranchAndBound(), problem)[0] for problem in problems]
        for width in WIDTHS:
            above = _above(DynamicProgramming(width=width), problems, least)
            rows.add(CHOSEN, f"width {width}, within 5 %", _within(above), "of all")
        for learnt in LEARNING:
            above = _above(learnt, problems[:OF_LEARNING], least)
            rows.add(CHOSEN, _told(learnt), mean(above), "% above the optimum")
        rows.add(CHOSEN, "seconds", perf_counter() - began, "s", timed=True)
        rows.add(CHOSEN, "done", 1, "")
    told = {row["metric"]: row["value"] for row in rows.rows if row["subject"] == CHOSEN}
    wide = [width for width in WIDTHS if told[f"width {width}, within 5 %"] == 1.0]
    return min(wide, default=WIDTHS[-1]), min(LEARNING, key=lambda one: told[_told(one)])


def _told(learnt: PolicyGradient) -> str:
    return f"rate {learnt.rate}, entropy {learnt.entropy}"


def _above(
    method: PlacementMethod, problems: Sequence[PlacementProblem], least: Sequence[float]
) -> list[float]:
    """How much longer than the optimum each placement takes, in percent; 1,000 for none."""
    times = [searched(method, problem)[0] for problem in problems]
    return [min(1000.0, 100 * (time / best - 1)) for time, best in zip(times, least, strict=False)]


def _within(above: Sequence[float]) -> float:
    return mean(float(one <= 5) for one in above)


if __name__ == "__main__":
    main()
