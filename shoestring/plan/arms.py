"""Which kinds of chain can meet a budget, and at which dials their techniques begin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shoestring.core import Budget, Stage
from shoestring.plan.moves import Arm, Move
from shoestring.plan.verdict import BYTES, HAVING

SPEED = tuple(name for name in HAVING if name not in BYTES)
"""Limits that only fewer or cheaper operations help to keep; every technique saves bytes."""
UNTRAINED_DIALS = (0.667, 0.0, 0.833, 1.0, 0.5, 0.333)
"""The dials of an untrained technique in the order in which they are tried.

Where bits go from 8 to 2 these are 4, 8, 3, 2, 5 and 6 bits.
"""
MIDDLE = 0.5
"""The dial half way between gentle and harsh."""
MARGIN = 0.96
"""Share of a limit on bytes that is aimed at."""
PROBES = 5
"""Trials of a bisection for the gentlest dial."""
NEAR_ENOUGH = 0.1
"""Distance below a limit, as a logarithm, at which no gentler dial is looked for."""
STEEP = 3.0
"""How much the logarithm of a cost is taken to fall from the gentlest dial to the harshest."""
LEAST_STEP = 0.15
"""The least step from one dial to the next, until one is over the limit and one is not."""
SMALLER = ((0.15, 0.25, 0.4, 0.85), (0.35, 0.85), (0.85,))
"""Share of the time left for each file, where files are to be ever smaller.

The first list whose first file gets `WORTH_STEPS` steps of training is used.
"""
WORTH_STEPS = 200
MOST_THIRD_PARTY = 2
"""How many kinds of chain with a third party's technique are tried early."""


def speed_limits(budget: Budget) -> list[str]:
    """The limits of a budget that only structure and kernels help to keep."""
    return [name for name in SPEED if getattr(budget, name) is not None]


@dataclass
class Arms:
    """The kinds of chain for a budget, given what the untrained techniques achieved.

    `moves`: all that may be in a chain.
    `slow`: whether the model that came in exceeds a limit on speed.
    `large`: whether files must become smaller than what came in.
    `speeds`: names of the untrained moves whose files were faster, the fastest first.
    `fast`: whether one of `speeds` is fast enough.
    """

    moves: Sequence[Move]
    slow: bool
    large: bool
    speeds: Sequence[str] = ()
    fast: bool = True
    useless: set[str] = field(default_factory=set)
    """Names of moves that changed nothing in this model, or failed on it."""

    def all(self) -> list[Arm]:
        """The arms, the most promising first."""
        at = {
            stage: [m for m in self.moves if m.stage is stage and m.name not in self.useless]
            for stage in Stage
        }
        by_name = {m.name: m for m in at[Stage.NUMBERS] if not m.trains}
        kernels = [by_name[name] for name in self.speeds if name in by_name][:1]
        trained_numbers = [m for m in at[Stage.NUMBERS] if m.trains]
        structure = [m for m in at[Stage.STRUCTURE] if m.trains and m.turns]
        aiming = [m for m in at[Stage.WEIGHTS] if m.aims]
        weights = [m for m in at[Stage.WEIGHTS] if not m.aims]
        chains: list[tuple[Move, ...]] = []
        if self.slow and self.large:
            # A model with few weights left may be fast enough by itself. Where nothing makes it
            # fast enough, the other limits are kept.
            thinner = [(s, a, *kernels) for a in aiming for s in structure]
            first = thinner[: len(structure)] if not self.fast else []
            chains += [
                *first,
                *((a, *kernels) for a in aiming if kernels),
                *thinner,
                *((a,) for a in aiming),
            ]
            chains += [(s, *kernels) for s in structure if kernels]
            chains += [(n,) for n in trained_numbers]
        elif self.slow:
            chains += [(s, *kernels) for s in structure]
            chains += [(n,) for n in trained_numbers]
            chains += [(s, n) for s in structure for n in trained_numbers if not kernels]
        else:
            chains += [(a,) for a in aiming]
            chains += [(w, n) for n in at[Stage.NUMBERS] if n.turns for w in weights][
                : max(3, len(weights))
            ]
            chains += [(n,) for n in trained_numbers]
            chains += [(s, a) for s in structure for a in aiming]
            chains += [(w,) for w in weights]
        arms = [arm for arm in map(Arm, dict.fromkeys(chains)) if arm.trains]
        # How well a third party's technique does is not known: it comes right after our best.
        early = [arm for arm in arms[1:] if any(move.is_third_party for move in arm.moves)]
        early = early[:MOST_THIRD_PARTY]
        return [*arms[:1], *early, *(arm for arm in arms[1:] if arm not in early)]


def bytes_index(arm: Arm) -> int | None:
    """The index of the move whose dial is turned to reach a size; None where there is none.

    It is the first move that aims at bytes, else the first that turns and is not structure.
    """
    aims = next((i for i, move in enumerate(arm.moves) if move.aims), None)
    if aims is not None:
        return aims
    return next(
        (i for i, move in enumerate(arm.moves) if move.turns and move.stage is not Stage.STRUCTURE),
        None,
    )


def default_dials(arm: Arm) -> list[float]:
    """The dials of an arm before anything is aimed.

    All are gentle in a chain with structure or with a move that aims at bytes, so integers there
    have 8 bits; else all are at the middle.
    """
    gentle = any(move.aims or move.stage is Stage.STRUCTURE for move in arm.moves)
    return [0.0 if gentle else MIDDLE for _ in arm.moves]


def gentlest(press: Callable[[float], bool | None], probes: int = PROBES) -> float | None:
    """The least dial from 0 to 1 at which `press` is true, by bisection; None where none is.

    `press`: whether a dial is harsh enough; None where there is no time to tell, and then the
        gentlest dial that is known to be enough is returned, or 1.
    `probes`: how many dials are tried at most, besides 0.
    """
    if press(0.0):
        return 0.0
    if press(1.0) is False:
        return None
    low, high = 0.0, 1.0
    for _ in range(probes - 1):
        middle = (low + high) / 2
        is_enough = press(middle)
        if is_enough is None:
            return high
        low, high = (low, middle) if is_enough else (middle, high)
    return high


def gentlest_by(excess: Callable[[float], float | None], probes: int = PROBES) -> float | None:
    """The least dial from 0 to 1, about, at which `excess` is not above 0; None where none is.

    It is looked for by interpolation, which takes fewer trials than `gentlest` where the excess is
    known as a number.

    `excess`: how far a dial is over its limit, as a logarithm; None where that cannot be told.
    `probes`: how many dials are tried at most.
    """
    over: tuple[float, float] | None = None
    enough: tuple[float, float] | None = None
    dial = MIDDLE
    for _ in range(probes):
        value = excess(dial)
        if value is None:
            break
        if -NEAR_ENOUGH <= value <= 0:
            return dial
        if value > 0:
            over = (dial, value)
        else:
            enough = (dial, value)
        if (value > 0 and dial == 1) or (value <= 0 and dial == 0):
            break
        if over is None or enough is None:
            step = max(abs(value) / STEEP, LEAST_STEP)
            dial = min(dial + step, 1.0) if value > 0 else max(dial - step, 0.0)
        else:
            (low, above), (high, below) = over, enough
            between = min(max((above + NEAR_ENOUGH / 2) / (above - below), 0.1), 0.9)
            dial = low + (high - low) * between
    return None if enough is None else enough[0]


def shares_of_smaller(steps: Callable[[float], float]) -> tuple[float, ...]:
    """The share of the time left for each file, where files are to be ever smaller.

    `steps`: the steps of training that fit into a share.
    """
    return next((shares for shares in SMALLER if steps(shares[0]) >= WORTH_STEPS), SMALLER[-1])
