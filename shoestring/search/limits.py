"""The networks of a space that keep the limits, by estimates, before any of them is trained."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shoestring.core import Budget, BudgetError, Cost, Gauge, Share, Task
from shoestring.core.limits import phrase
from shoestring.core.resource import LIMITED
from shoestring.search.space import Picks, Space

DRAWS = 40
"""Networks that are drawn to begin with, where one is looked for that keeps the limits."""
STEPS = 300
"""How often a decision is changed to come nearer to the limits."""


def limits_of_networks(limits: str | Budget) -> Budget:
    """The limits; raises BudgetError for those that a search of networks cannot keep."""
    text = limits if isinstance(limits, str) else str(limits)
    budget = Budget.parse(text) if text.strip() else Budget()
    for name in budget.limits():
        if name not in LIMITED or LIMITED[name].getting:
            raise BudgetError(
                f"a search of networks is within limits on having one, and {name} is none: "
                "leave it out"
            )
    if budget.relative:
        raise BudgetError(
            f"{budget.relative[0]} is a share of what came in, and nothing came in: give a number, "
            "or use Budget.against(cost) with the cost of the model to beat"
        )
    return budget


def broken_limits(limits: Budget, estimate: Cost, cost: Cost) -> dict[str, tuple[float, float]]:
    """The limits that a network breaks: of each the value, and the limit.

    Bytes are those of the estimate, since a file is compressed later. Of other resources the file's
    count, where there is one.
    """
    known = cost if estimate.bytes is None else cost | Cost(bytes=estimate.bytes)
    found = dict[str, tuple[float, float]]()
    for name, limit in limits.limits().items():
        if name not in LIMITED or LIMITED[name].getting:
            continue
        value = getattr(known, LIMITED[name].field)
        if value is None:
            value = getattr(estimate, LIMITED[name].field)
        assert not isinstance(limit, Share)
        if value is not None and value > limit:
            found[name] = (float(value), float(limit))
    return found


@dataclass
class Feasible:
    """Tells which networks of a space keep limits, by estimates of untrained ones.

    `limits`: in numbers. Only those count here that an estimate is of; the others are decided on
        the files of networks that are trained.
    `estimates`: meters that read an untrained network.
    """

    space: Space
    task: Task
    limits: Budget
    estimates: Sequence[Gauge]

    def __post_init__(self) -> None:
        self._costs: dict[Picks, Cost] = {}
        self._left: dict[Picks, int] = {}

    def cost(self, picks: Picks) -> Cost:
        """What a network is estimated to cost; it is built once.

        Estimates are made in their order, the quick ones first, up to the first that breaks a
        limit.
        """
        if picks not in self._costs:
            network, cost, left = self.space.made(picks).network(), Cost(), len(self.estimates)
            for estimate in self.estimates:
                cost |= estimate(network, self.task)
                left -= 1
                if broken_limits(self.limits, cost, Cost()):
                    break
            self._costs[picks], self._left[picks] = cost, left
        return self._costs[picks]

    def over(self, picks: Picks) -> Mapping[str, float]:
        """The limits that a network breaks: by how many times its estimate is above each."""
        broken = broken_limits(self.limits, self.cost(picks), Cost())
        return {name: value / limit for name, (value, limit) in broken.items()}

    @property
    def refused(self) -> int:
        """How many networks were looked at that break a limit, by their estimates."""
        return sum(bool(self.over(picks)) for picks in self._costs)

    def refuses(self, picks: Picks, cost: Cost) -> bool:
        """Whether a network breaks a limit, by its estimates or by the cost of its file."""
        return bool(broken_limits(self.limits, self.cost(picks), cost))

    def keeps(self, picks: Picks) -> bool:
        """Whether a network keeps the limits, by its estimates."""
        return not self.over(picks)

    def nearer(self, picks: Picks, draw: random.Random) -> Picks:
        """A network near this one that keeps the limits.

        One decision after the other is changed, where the network then breaks the limits by less.
        Raises BudgetError where that ends at a network that still breaks one.
        """
        for _ in range(STEPS):
            if self.keeps(picks):
                return picks
            other = self.space.changed(picks, draw)
            if self._excess(other) <= self._excess(picks):
                picks = other
        if self.keeps(picks):
            return picks
        raise BudgetError(self._blocked(picks))

    def drawn(self, draw: random.Random) -> Picks:
        """A network at random that keeps the limits.

        It is drawn until one keeps them; where none of `DRAWS` does, the nearest is changed.
        Raises BudgetError where none is found: it names the nearest, and the limit that blocks.
        """
        seen = list[Picks]()
        for _ in range(DRAWS):
            picks = self.space.drawn(draw)
            if self.keeps(picks):
                return picks
            seen.append(picks)
        return self.nearer(min(seen, key=self._excess), draw)

    def _excess(self, picks: Picks) -> tuple[int, float]:
        """How far a network is from the limits: (0, 0) where it keeps them.

        The estimates that were not made, then the sum of the logarithms of what is above limits.
        """
        over = self.over(picks)
        return self._left[picks], sum(math.log(times) for times in over.values())

    def _blocked(self, picks: Picks) -> str:
        """Why nothing fits, for an error."""
        cost = self.cost(picks)
        broken = broken_limits(self.limits, cost, Cost())
        worst, (value, limit) = max(broken.items(), key=lambda one: one[1][0] / one[1][1])
        resource = LIMITED[worst]
        return (
            f"of {len(self._costs):,} networks of the space none keeps "
            f"{phrase(worst, limit)}: the nearest is estimated at "
            f"{f'{value:.4g} {resource.unit}'.strip()} "
            f"({resource.about}). Allow that much, or give a space with smaller networks. The "
            f"nearest: {self.space.made(picks)!r}"
        )
