"""What a planner can do to a model: every technique that says at which stage of a chain it belongs."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import log10
from typing import Any

import shoestring
from shoestring.core import Stage, Technique
from shoestring.kit import AdamW, Training
from shoestring.prune import Blocks, Lightest
from shoestring.quantize import (
    GPTQ,
    BFloat16,
    Binary,
    MinMax,
    PerChannel,
    PostTraining,
    Rate,
    Real,
    WeightOnly,
    WeightSharing,
)

_TUNED: tuple[Technique, ...] = (
    PostTraining(rounding=GPTQ()),
    WeightOnly(
        rest=PerChannel(), ranges=MinMax()
    ),  # of 32 weights: as good at 3 and 4 bits, and 100 times as fast
    WeightSharing(vector_levels=16),
    Blocks(training=Training(1000, AdamW(2e-3))),
    Blocks(first=Lightest(), training=Training(1000, AdamW(2e-3))),
    Blocks(),
    Rate(rise=0.6, training=Training(10_000, AdamW(3e-3))),
    Rate(rise=0.6, training=Training(10_000, AdamW(1.2e-2))),
    Rate(
        rise=0.6, training=Training(10_000, AdamW(3e-4))
    ),  # for what was pretrained with small steps
    Binary(inputs=Real()),
    Binary(),
)
"""Settings that did better than the defaults under a budget.

A technique that is not here begins with its defaults.
"""
_FIRST = (BFloat16, WeightOnly, PostTraining, WeightSharing)
_NEAREST_FROM = 7
"""Bits from which rounding to the nearest is as good as GPTQ, and faster."""


LARGE, _FEWER_EXAMPLES = 10**8, 128
"""From how many operations times layers on GPTQ takes long, and on how many examples it then goes
by: mostly a batch, so that a run rounds all layers.
"""
_WORK = 1e10
"""Multiplications of GPTQ on a layer, besides those that go by the examples, from which on that
layer alone may take long.
"""
_A_LAYER, _A_SECOND = 0.03, 2e10
"""Of the time of the whole command, what such a layer may take.

And the multiplications of a core in a second.
"""


@dataclass(frozen=True)
class Move:
    """A technique as a planner begins with it."""

    technique: Technique

    @property
    def name(self) -> str:
        """In words: the class, and what tells it from another move of the class."""
        own, mine = type(self.technique).__name__, self.technique
        others = [one for one in _TUNED if type(one) is type(mine) and one != mine]
        if mine not in _TUNED or not others:
            return own
        told = [
            f.name
            for f in fields(mine)  # type: ignore[arg-type]
            if any(getattr(one, f.name) != getattr(mine, f.name) for one in others)
        ]
        values = [getattr(mine, name) for name in told]
        return f"{own} at {', '.join(_told(value) for value in values)}"

    @property
    def stage(self) -> Stage:
        """Where in a chain it belongs."""
        assert self.technique.stage is not None
        return self.technique.stage

    @property
    def trains(self) -> bool:
        """Whether it trains: techniques that do have a field `training`."""
        return any(f.name == "training" for f in fields(self.technique))  # type: ignore[arg-type]

    @property
    def works_untrained(self) -> bool:
        """Whether what it makes without training is of use, and nothing else makes the same."""
        return (not self.trains and self.stage is not Stage.CODE) or isinstance(
            self.technique, WeightSharing
        )

    @property
    def first(self) -> int:
        """How early it is tried without training.

        What is fast and does well comes first, what the planner does not know last.
        """
        return _FIRST.index(type(self.technique)) if type(self.technique) in _FIRST else -1

    @property
    def is_strange(self) -> bool:
        """Whether it is a technique of somebody else's."""
        return not type(self.technique).__module__.startswith("shoestring.")

    @property
    def turns(self) -> bool:
        """Whether it has something to turn: a strength, or bytes that it ends at."""
        return self.technique.strength is not None

    @property
    def aims(self) -> bool:
        """Whether it can be told at how many bytes to end."""
        return self.technique.toward(1000.0) is not None

    def at(self, dial: float, steps: int) -> Technique:
        """The technique at a dial (0: gentle, 1: harsh.

        Above 1: at how many bytes to end), training for so many steps.
        """
        made: Any = self.technique
        if dial > 1:
            made = made.toward(dial)
            assert made is not None
        elif made.strength is not None:
            made = made.strength.set(made, dial)
        if self.trains:
            made = replace(
                made, training=replace(made.training, steps=steps) if steps else Training(0)
            )
        if isinstance(made, PostTraining) and made.bits >= _NEAREST_FROM:
            made = replace(made, rounding=PostTraining().rounding)
        return made


def _told(value: Any) -> str:
    return f"{value.optimizer.learning_rate:g}" if isinstance(value, Training) else repr(value)


def moves() -> list[Move]:
    """All that the rooms of the house offer, in the order of a chain, and what else was imported
    that has a stage.
    """
    for room in pkgutil.iter_modules(shoestring.__path__, "shoestring."):
        if room.ispkg and room.name.rpartition(".")[2] not in ("cli", "recipes", "plan"):
            importlib.import_module(room.name)
    kinds = sorted(
        _kinds(Technique), key=lambda kind: (kind.stage, kind.__module__, kind.__qualname__)
    )
    found: list[Move] = []
    for kind in kinds:
        tuned = [one for one in _TUNED if type(one) is kind]
        try:
            found += [Move(one) for one in tuned or [kind()]]
        except TypeError:  # a field without a default: a person must set it
            continue
    return found


def sooner(
    found: Sequence[Move], products: int, shapes: Sequence[tuple[int, int]], seconds: float
) -> list[Move]:
    """The same, with a GPTQ that ends in time.

    On a large network it looks at fewer examples, which makes no difference there and takes a
    quarter of the time or less; and layers that would take it too long by themselves go to the
    nearest.
    `products`: the operations on an example times the layers, since each layer is rounded by what
        those before it give.
    `shapes`: terms and outputs of each layer.
    `seconds`: of the whole command, to half a power of ten, so that commands of like length try the
        same.
    """

    def timely(technique: Technique) -> Technique:
        if not isinstance(technique, PostTraining) or not isinstance(
            rounding := technique.rounding, GPTQ
        ):
            return technique
        if products >= LARGE:
            technique = replace(technique, examples=_FEWER_EXAMPLES)
        if any(GPTQ.work(*shape) > _WORK for shape in shapes):
            most = float(
                f"{10.0 ** (round(2 * log10(_A_LAYER * seconds * _A_SECOND)) / 2):.0e}"
            )  # 3e10, not 31622776601.7
            technique = replace(technique, rounding=replace(rounding, most=most))
        return technique

    return [Move(timely(one.technique)) for one in found]


def _kinds(kind: type[Technique]) -> set[type[Technique]]:
    """The classes below one, as far as they can be made and say a stage of those that this planner
    knows how to use.
    """
    below = {one for child in kind.__subclasses__() for one in {child, *_kinds(child)}}
    return {
        one
        for one in below
        if one.stage is not None and one.stage not in (Stage.LABELS, Stage.WORKERS)
    }


@dataclass(frozen=True)
class Arm:
    """A kind of chain: one move for each of some stages, in their order."""

    moves: tuple[Move, ...]

    @property
    def name(self) -> str:
        """In words."""
        return " + ".join(move.name for move in self.moves)

    @property
    def trains(self) -> bool:
        """Whether any move trains."""
        return any(move.trains for move in self.moves)

    def chain(self, dials: Sequence[float], steps: int) -> tuple[Technique, ...]:
        """The techniques at these dials (one for each move), which train for so many steps in all."""
        shares = [_SHARE.get(move.stage, 1.0) if move.trains else 0.0 for move in self.moves]
        total = sum(shares) or 1.0
        return tuple(
            move.at(
                dial, max(round_steps(steps * share / total), 1 if steps and move.trains else 0)
            )
            for move, dial, share in zip(self.moves, dials, shares, strict=True)
        )

    def place(self, *stages: Stage) -> int | None:
        """The place of the first move of one of these stages that has something to turn."""
        return next(
            (i for i, move in enumerate(self.moves) if move.stage in stages and move.turns), None
        )


_SHARE = {Stage.STRUCTURE: 1.0, Stage.WEIGHTS: 2.0, Stage.NUMBERS: 1.0}
"""Of the training of a chain, how much each stage gets beside the others."""


def round_steps(steps: float) -> int:
    """A number of steps of two digits, no more than that many.

    Plans that were made twice then agree.
    """
    whole = int(steps)
    if whole < 100:
        return max(whole // 10 * 10, whole if whole < 10 else 10)
    unit = 10 ** (len(str(whole)) - 2)
    return whole // unit * unit
