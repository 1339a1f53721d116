"""What a planner can do to a model: every technique that has a stage in a chain."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from math import log10
from types import ModuleType
from typing import Any

import shoestring
from shoestring.core import Stage, Technique
from shoestring.distill import Replace, Student
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
    # With groups of 32 weights: as good at 3 and 4 bits, and 100 times as fast.
    WeightOnly(rest=PerChannel(), ranges=MinMax()),
    WeightSharing(vector_levels=16),
    Blocks(training=Training(1000, AdamW(2e-3))),
    Blocks(first=Lightest(), training=Training(1000, AdamW(2e-3))),
    Blocks(),
    Rate(rise=0.6, training=Training(10_000, AdamW(3e-3))),
    Rate(rise=0.6, training=Training(10_000, AdamW(1.2e-2))),
    # For models that were pretrained with a small learning rate.
    Rate(rise=0.6, training=Training(10_000, AdamW(3e-4))),
    Binary(inputs=Real()),
    Binary(),
)
"""Settings that did better than the defaults; other techniques begin with their defaults."""
_LATE = (Student,)
"""What comes last in its stage: a student begins with fresh weights, and takes more training than
pruning for the same score (docs/distill.md).
"""
_FIRST = (BFloat16, WeightOnly, PostTraining, WeightSharing)
"""What is tried without training, in reverse: the last is tried first."""
_NEAREST_FROM = 7
"""Bits from which rounding to the nearest is as good as GPTQ, and faster."""
LARGE = 10**8
"""Operations times layers from which GPTQ takes long."""
_FEWER_EXAMPLES = 128
"""Examples that GPTQ then uses: mostly one batch, so that one run rounds all layers."""
_WORK = 1e10
"""Multiplications of GPTQ on a layer, besides those for each example, from which it takes long."""
_A_LAYER = 0.03
"""Share of the time of the command that one such layer may take."""
_A_SECOND = 2e10
"""Multiplications of a core in a second."""


@dataclass(frozen=True)
class Move:
    """A technique with the settings at which a planner begins."""

    technique: Technique

    @property
    def name(self) -> str:
        """The class, and the fields in which it differs from other moves of that class."""
        own, mine = type(self.technique).__name__, self.technique
        if isinstance(mine, Replace):
            return f"{own} by {getattr(mine.by, '__name__', type(mine.by).__name__)}"
        others = [other for other in _TUNED if type(other) is type(mine) and other != mine]
        if mine not in _TUNED or not others:
            return own
        differing = [
            f.name
            for f in fields(mine)  # type: ignore[arg-type]
            if any(getattr(other, f.name) != getattr(mine, f.name) for other in others)
        ]
        values = [getattr(mine, name) for name in differing]
        return f"{own} at {', '.join(map(_in_words, values))}"

    @property
    def stage(self) -> Stage:
        """The stage of a chain to which its technique belongs."""
        assert self.technique.stage is not None
        return self.technique.stage

    @property
    def trains(self) -> bool:
        """Whether it trains, which is whether its technique has a field `training`."""
        return any(f.name == "training" for f in fields(self.technique))  # type: ignore[arg-type]

    @property
    def works_untrained(self) -> bool:
        """Whether it is worth trying without training, and no other move makes the same model."""
        return (not self.trains and self.stage is not Stage.CODE) or isinstance(
            self.technique, WeightSharing
        )

    @property
    def first(self) -> int:
        """How early it is tried without training: larger is earlier.

        Fast moves with good results come first, moves that the planner does not know last.
        """
        return _FIRST.index(type(self.technique)) if type(self.technique) in _FIRST else -1

    @property
    def is_third_party(self) -> bool:
        """Whether its technique is a third party's."""
        return not type(self.technique).__module__.startswith("shoestring.")

    @property
    def turns(self) -> bool:
        """Whether it has a strength to turn."""
        return self.technique.strength is not None

    @property
    def aims(self) -> bool:
        """Whether it can be given a number of bytes to end at."""
        return self.technique.toward(1000.0) is not None

    def at(self, dial: float, steps: int) -> Technique:
        """The technique at a dial, trained for so many steps.

        `dial`: from 0 (gentle) to 1 (harsh); above 1 it is the number of bytes to end at.
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


def _in_words(value: Any) -> str:
    """A field of a technique, for a name: of a Training its learning rate."""
    return f"{value.optimizer.learning_rate:g}" if isinstance(value, Training) else repr(value)


def moves() -> list[Move]:
    """A move for every technique with a stage, in the order of a chain.

    They are those of this package and those of third parties that were imported. A technique that
    cannot be made without arguments is left out.
    """
    _rooms()
    kinds = sorted(
        (kind for kind in _kinds(Technique) if kind.stage not in (Stage.LABELS, Stage.WORKERS)),
        key=lambda kind: (kind.stage, kind in _LATE, kind.__module__, kind.__qualname__),
    )
    result: list[Move] = []
    for kind in kinds:
        tuned = [technique for technique in _TUNED if type(technique) is kind]
        try:
            result += [Move(technique) for technique in tuned or [kind()]]
        except TypeError:  # a field without a default: a person must set it
            continue
    return result


def label_techniques() -> list[Technique]:
    """A technique of each kind that buys labels, with its defaults.

    They are those of this package, whose modules are imported here, and as
    `imported_label_techniques`.
    """
    _import_modules()
    return imported_label_techniques()


def imported_label_techniques() -> list[Technique]:
    """A technique of each kind that buys labels and was imported, with its defaults.

    One that cannot be made without arguments, or has no field `labels` by which to tell it how
    many, is left out.
    """
    return [one for one in _made(Stage.LABELS) if "labels" in {each.name for each in fields(one)}]


def techniques_of_labels() -> list[Technique]:
    """A technique of each kind of the stage of labels, whether it buys any or not.

    One that cannot be made without arguments is left out.
    """
    _import_modules()
    return _made(Stage.LABELS)


def _made(stage: Stage) -> list[Any]:
    """A technique of each kind of a stage that was imported, with its defaults."""
    kinds = sorted(
        (kind for kind in _kinds(Technique) if kind.stage is stage),
        key=lambda kind: (kind.__module__, kind.__qualname__),
    )
    result: list[Technique] = []
    for kind in kinds:
        with suppress(TypeError):  # a field without a default: a person must set it
            result.append(kind())
    return result


def _rooms() -> list[ModuleType]:
    """The rooms that have techniques, imported: with what each imports its classes are known."""
    return [
        importlib.import_module(room.name)
        for room in pkgutil.iter_modules(shoestring.__path__, "shoestring.")
        if room.ispkg and room.name.rpartition(".")[2] not in ("cli", "recipes", "plan")
    ]


def _import_modules() -> None:
    """Import each module of the rooms: some are read when one asks for a name of theirs only."""
    for room in _rooms():
        for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            if not module.ispkg:
                importlib.import_module(module.name)


def sooner(
    known: Sequence[Move], products: int, shapes: Sequence[tuple[int, int]], seconds: float
) -> list[Move]:
    """The same moves, with a GPTQ that ends in time.

    On a large network it uses fewer examples, which makes no difference there and takes a quarter
    of the time or less. Layers that would take too long by themselves are rounded to the nearest.

    `products`: operations on an example times layers, since each layer is rounded by the outputs of
        those before it.
    `shapes`: (terms, outputs) of each layer.
    `seconds`: of the whole command. It counts to half a power of ten, so that commands of similar
        length try the same.
    """

    def timely(technique: Technique) -> Technique:
        if not isinstance(technique, PostTraining) or not isinstance(
            rounding := technique.rounding, GPTQ
        ):
            return technique
        if products >= LARGE:
            technique = replace(technique, examples=_FEWER_EXAMPLES)
        if any(GPTQ.work(*shape) > _WORK for shape in shapes):
            power = round(2 * log10(_A_LAYER * seconds * _A_SECOND)) / 2
            most = float(f"{10.0**power:.0e}")  # 3e10, not 31622776601.7
            technique = replace(technique, rounding=replace(rounding, most=most))
        return technique

    return [Move(timely(move.technique)) for move in known]


def _kinds(kind: type[Technique]) -> set[type[Technique]]:
    """The subclasses of a technique that have a stage."""
    below = {
        descendant for child in kind.__subclasses__() for descendant in {child, *_kinds(child)}
    }
    return {descendant for descendant in below if descendant.stage is not None}


@dataclass(frozen=True)
class Arm:
    """A kind of chain: one move for each of some stages, in their order."""

    moves: tuple[Move, ...]

    @property
    def name(self) -> str:
        """The names of its moves."""
        return " + ".join(move.name for move in self.moves)

    @property
    def trains(self) -> bool:
        """Whether any move trains."""
        return any(move.trains for move in self.moves)

    def chain(self, dials: Sequence[float], steps: int) -> tuple[Technique, ...]:
        """The techniques, with one dial for each move, trained for so many steps in all."""
        shares = [_SHARE.get(move.stage, 1.0) if move.trains else 0.0 for move in self.moves]
        total = sum(shares) or 1.0
        return tuple(
            move.at(
                dial, max(round_steps(steps * share / total), 1 if steps and move.trains else 0)
            )
            for move, dial, share in zip(self.moves, dials, shares, strict=True)
        )

    def index(self, *stages: Stage) -> int | None:
        """The index of the first move of one of these stages that turns; None without one."""
        return next(
            (i for i, move in enumerate(self.moves) if move.stage in stages and move.turns), None
        )


_SHARE = {Stage.STRUCTURE: 1.0, Stage.WEIGHTS: 2.0, Stage.NUMBERS: 1.0}
"""Weights by which the training of a chain is split among its stages."""


def round_steps(steps: float) -> int:
    """A number of steps rounded down to two digits, so that plans made twice agree.

    For example, 1,234 becomes 1,200, 57 becomes 50, and 7 stays 7.
    """
    integer = int(steps)
    if integer < 100:
        return max(integer // 10 * 10, integer if integer < 10 else 10)
    unit = 10 ** (len(str(integer)) - 2)
    return integer // unit * unit
