"""A space of networks: decisions, each with its options, and the network that they make."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

Picks = tuple[int, ...]
"""Which option was taken at each decision of a space."""


@dataclass(frozen=True)
class Decision:
    """One thing to decide about a network.

    `name`: what it decides, as "normal cell, block 2, left operation".
    `options`: what there is to choose from, in an order in which near ones are alike where there is
        one; 1 or more.
    """

    name: str
    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise ValueError(f"{self.name} has no options: give one or more")


class Architecture(ABC):
    """A network that a space describes. Frozen; its repr evaluates to it and is its name."""

    @abstractmethod
    def code(self) -> str:
        """Plain Python that needs torch only; it defines `Network`, a module without arguments."""

    def network(self) -> nn.Module:
        """The network, untrained, made by running `code`. `print(network)` gives that code."""
        made: dict[str, Any] = {"__name__": "found"}
        exec(compile(self.code(), "<found>", "exec"), made)  # our own text: numbers and names
        return made["Network"]()


class Space(ABC):
    """Networks for one kind of inputs and answers, as decisions that do not depend on each other.

    Whatever options are picked, they make a network.
    """

    @property
    @abstractmethod
    def decisions(self) -> tuple[Decision, ...]:
        """What there is to decide, in a fixed order."""

    @abstractmethod
    def made(self, picks: Sequence[int]) -> Architecture:
        """The network of these picks, one for each decision."""

    def drawn(self, draw: random.Random) -> Picks:
        """Picks at random, each option as likely."""
        return tuple(draw.randrange(len(one.options)) for one in self.decisions)

    def changed(self, picks: Picks, draw: random.Random) -> Picks:
        """The same picks with another option at one decision; the same where none has another."""
        free = [at for at, one in enumerate(self.decisions) if len(one.options) > 1]
        if not free:
            return picks
        at = draw.choice(free)
        other = draw.randrange(len(self.decisions[at].options) - 1)
        return (*picks[:at], other + (other >= picks[at]), *picks[at + 1 :])

    def checked(self, picks: Sequence[int]) -> Picks:
        """These picks; raises ValueError where they do not fit the decisions."""
        decisions = self.decisions
        if len(picks) != len(decisions):
            raise ValueError(f"{len(picks)} picks for {len(decisions)} decisions: give one each")
        for pick, one in zip(picks, decisions, strict=True):
            if not 0 <= pick < len(one.options):
                raise ValueError(
                    f"{one.name} has {len(one.options)} options, and {pick} was picked: give 0 to "
                    f"{len(one.options) - 1}"
                )
        return tuple(picks)

    def options(self, picks: Sequence[int]) -> list[Any]:
        """The options that these picks take; raises ValueError where they do not fit."""
        taken = zip(self.decisions, self.checked(picks), strict=True)
        return [one.options[pick] for one, pick in taken]

    @property
    def count(self) -> int:
        """How many picks there are; several may make the same network."""
        return math.prod(len(one.options) for one in self.decisions)
