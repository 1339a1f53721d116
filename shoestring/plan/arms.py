"""Which kinds of chain can move what a budget asks for, and how hard each of their techniques
presses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shoestring.core import Budget, Stage
from shoestring.plan.moves import Arm, Move
from shoestring.plan.verdict import HAVING

SPEED = tuple(name for name in HAVING if name != "size")
"""Limits that fewer and cheaper operations move; bytes are moved by everything."""
UNTRAINED_DIALS = (0.667, 0.0, 0.833, 1.0, 0.5, 0.333)
"""In what order an untrained technique is tried.

4 bits, 8, 3, 2, 5 and 6, where bits go from 8 to 2.
"""
MIDDLE = 0.5
MARGIN = 0.96  # of a limit on bytes, that is aimed at
PROBES = 5
SMALLER = ((0.15, 0.25, 0.4, 0.85), (0.35, 0.85), (0.85,))
"""Of the time that is left, what each file takes where files are to be ever smaller.

As many as get `WORTH_STEPS` of training or more.
"""
WORTH_STEPS = 200
MOST_STRANGE = 2  # kinds of chain with a technique of somebody else's that are tried early


def speed_limits(budget: Budget) -> list[str]:
    """The limits of a budget that only structure and kernels move."""
    return [name for name in SPEED if getattr(budget, name) is not None]


@dataclass
class Arms:
    """The kinds of chain for a budget, given what the untrained techniques were seen to move.

    `speeds`: names of the untrained moves whose files were faster, the fastest first.
    `slow`: whether the model that came in exceeds such a limit.
    `large`: whether files must become smaller than what came in.
    `fast`: whether the fastest of `speeds` is fast enough.
    """

    moves: Sequence[Move]
    slow: bool
    large: bool
    speeds: Sequence[str] = ()
    fast: bool = True
    useless: set[str] = field(default_factory=set)
    """Moves that were seen to change nothing in this model, or to fail on it."""

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
            # What has few weights left may be fast enough by itself; where nothing makes the model
            # fast, the other limits are kept.
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
        # Nobody knows how well a stranger does: it comes right after the best of ours.
        strange = [arm for arm in arms[1:] if any(move.is_strange for move in arm.moves)]
        return [
            *arms[:1],
            *strange[:MOST_STRANGE],
            *(arm for arm in arms[1:] if arm not in strange[:MOST_STRANGE]),
        ]


def bytes_place(arm: Arm) -> int | None:
    """Which of an arm's moves is turned to reach a size.

    The one that aims at it, else the last that turns.
    """
    aims = next((i for i, move in enumerate(arm.moves) if move.aims), None)
    if aims is not None:
        return aims
    turning = [
        i for i, move in enumerate(arm.moves) if move.turns and move.stage is not Stage.STRUCTURE
    ]
    return turning[0] if turning else None


def default_dials(arm: Arm) -> list[float]:
    """Where the dials of an arm stand before anything is aimed.

    Whole numbers after another technique have 8 bits.
    """
    gentle = any(move.aims or move.stage is Stage.STRUCTURE for move in arm.moves)
    return [0.0 if gentle else MIDDLE for _ in arm.moves]


def gentlest(press: Callable[[float], bool | None], probes: int = PROBES) -> float | None:
    """The least press from 0 to 1 at which `press` says yes, by bisection.

    None where it does not even at 1.
    Where `press` answers None there is no time to ask: the harshest that is known to do.
    """
    if press(0.0):
        return 0.0
    if press(1.0) is False:
        return None
    low, high = 0.0, 1.0
    for _ in range(probes - 1):
        middle = (low + high) / 2
        said = press(middle)
        if said is None:
            return high
        low, high = (low, middle) if said else (middle, high)
    return high


def shares_of_smaller(steps: Callable[[float], float]) -> tuple[float, ...]:
    """What each file takes of the time that is left where files are to be ever smaller.

    `steps` says how many a share of it is.
    """
    return next((one for one in SMALLER if steps(one[0]) >= WORTH_STEPS), SMALLER[-1])
