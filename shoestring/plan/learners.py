"""Techniques that learn from few labels and from examples without, and buy none."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from time import monotonic
from typing import Any

from torch import nn

from shoestring.core import Task, Technique, seeded
from shoestring.kit import Training
from shoestring.plan.moves import Move, techniques_of_labels
from shoestring.unlabelled import FixMatch, FreeMatch, LabelsAlone, MeanTeacher, PseudoLabel

_OURS = (LabelsAlone, MeanTeacher, PseudoLabel, FixMatch, FreeMatch)
"""Which of our techniques come before the others, by what docs/unlabelled.md has measured."""
_SHORT, _LONG = 4, 16
"""Steps of the two trainings by which a technique is timed."""


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A technique, and the seconds that it takes: `fixed`, and `step` for each step of training."""

    technique: Technique
    fixed: float
    step: float

    @property
    def name(self) -> str:
        """Of the technique."""
        return type(self.technique).__name__

    @property
    def key(self) -> str:
        """What it is called in the folder of a search."""
        return repr(self.technique)

    def seconds(self, steps: int) -> float:
        """With so many steps."""
        return self.fixed + self.step * steps

    def at(self, steps: int) -> Technique:
        """The technique with so many steps."""
        return trained(self.technique, steps)


def learners() -> Iterator[Any]:
    """The techniques that learn from labels that are there, in the order in which they are tried.

    They are of the stage of labels, buy none, can be made without arguments, and have a `training`.
    First come those that say so (`first_choice`), and those of a third party that was imported.
    """
    made: list[Any] = techniques_of_labels()
    found = [
        one
        for one in made
        if (has := {each.name for each in fields(one)}) >= {"training"} and "labels" not in has
    ]
    return iter(sorted(found, key=_order))


def _order(technique: Any) -> tuple[bool, bool, int, str]:
    own = _OURS.index(type(technique)) if type(technique) in _OURS else len(_OURS)
    third_party = Move(technique).is_third_party
    return not technique.first_choice, not third_party, own, repr(technique)


def trained(technique: Any, steps: int) -> Technique:
    """The technique with so many steps in each of its trainings, such as a pretraining."""
    trainings = {
        one.name: replace(value, steps=steps)
        for one in fields(technique)
        if isinstance(value := getattr(technique, one.name), Training)
    }
    return replace(technique, **trainings)


def timed(technique: Technique, model: nn.Module, task: Task, seed: int, least: float) -> Timed:
    """The technique with its seconds, from two short runs.

    `task`: sealed. `least`: the seconds of an ordinary step, below which none can be.
    Raises what the technique raises.
    """
    taken = []
    for steps in (_SHORT, _LONG):
        began = monotonic()
        with seeded(seed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the training that counts warns
            trained(technique, steps)(model, task)
        taken.append(monotonic() - began)
    step = max((taken[1] - taken[0]) / (_LONG - _SHORT), least)
    return Timed(technique=technique, fixed=max(taken[1] - _LONG * step, 0.0), step=step)
