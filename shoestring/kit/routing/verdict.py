"""How rows were divided among experts, what is wrong with that, and what to do."""

from __future__ import annotations

import math
from dataclasses import dataclass

STARVED = 0.1
"""An expert is starved below this multiple of an equal share."""
COLLAPSED = 0.5
"""A router has collapsed where the rows spread as over fewer than this share of the experts."""
DROPPED = 0.005
"""From this share of dropped rows on, it is said."""


class RoutingWarning(UserWarning):
    """A mixture of experts uses few of its experts, or dropped rows in training."""


@dataclass(frozen=True, kw_only=True)
class RoutingFault:
    """Something wrong with a routing: its name, what was seen, and what to do about it."""

    name: str
    says: str
    do: str


@dataclass(frozen=True, kw_only=True)
class Routing:
    """How the rows of a mixture were divided among its experts.

    `name`: the mixture's, in the model; "" for the model itself.
    `shares`: of each expert, adding up to 1.
    `dropped`: the share of rows beyond the capacity, 0 to 1.
    """

    name: str
    shares: tuple[float, ...]
    dropped: float = 0.0

    @property
    def spread(self) -> float:
        """Over how many experts the rows spread: e to the power of the entropy of the shares."""
        return math.exp(-sum(share * math.log(share) for share in self.shares if share > 0))

    @property
    def starved(self) -> tuple[int, ...]:
        """The numbers of the experts that get less than a tenth of an equal share."""
        least = STARVED / len(self.shares)
        return tuple(number for number, share in enumerate(self.shares) if share < least)

    def faults(self) -> tuple[RoutingFault, ...]:
        """What is wrong, each with what to do; none where nothing is."""
        count, name = len(self.shares), self.name or "the model"
        found: list[RoutingFault] = []
        if self.spread < COLLAPSED * count:
            best = max(range(count), key=lambda number: self.shares[number])
            found.append(
                RoutingFault(
                    name="collapsed router",
                    says=f"the router of {name} has collapsed: expert {best} gets "
                    f"{100 * self.shares[best]:.1f} % of the rows, and they spread as over "
                    f"{self.spread:.1f} of {count} experts",
                    do="Raise `balance` (0.01 is usual) or `jitter`, or lower the learning rate",
                )
            )
        elif self.starved:
            told = ", ".join(f"{n} ({100 * self.shares[n]:.2f} %)" for n in self.starved)
            found.append(
                RoutingFault(
                    name="starved experts",
                    says=f"experts of {name} that hardly any row reaches: {told}. Their bytes are "
                    "in the file for nothing",
                    do="Train longer, raise `balance`, or give fewer experts",
                )
            )
        if self.dropped >= DROPPED:
            found.append(
                RoutingFault(
                    name="dropped rows",
                    says=f"{100 * self.dropped:.1f} % of the rows of {name} were beyond the "
                    "capacity of their expert and got no output from it in training",
                    do="Raise `capacity_factor` or `balance`",
                )
            )
        return tuple(found)

    def verdict(self) -> str:
        """What is wrong and what to do, in sentences; "" where nothing is."""
        return "; ".join(f"{one.says}. {one.do}" for one in self.faults())
