"""Which network goes into a text file of a size: by the size, and by trying several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from torch import nn

from shoestring.artifact import save as write_whole
from shoestring.core import Task
from shoestring.kit import save
from shoestring.plan import compress
from shoestring.recipes.coding_to_size import Coded, coded_to_size
from shoestring.recipes.text_tools import TextResult, TextSettings

_LARGE, _SMALL = 1_000_000, 150_000  # bytes of a file: from where on, and up to where


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How large a network for text is.

    `tables`: how many ids each place of a word or a character has, beside those of the settings.
    `width`: the numbers of each id's embedding.
    `hidden`: the hidden units.
    """

    tables: float
    width: int
    hidden: int

    def __call__(self, settings: TextSettings) -> TextSettings:
        """The settings with a network of this shape."""
        buckets = tuple(max(1, round(self.tables * one)) for one in settings.step.buckets)
        step = replace(settings.step, buckets=buckets)
        return replace(settings, step=step, width=self.width, hidden=self.hidden)


SMALL = Shape(tables=0.5, width=8, hidden=96)
MIDDLE = Shape(tables=1, width=16, hidden=96)
WIDE = Shape(tables=1, width=16, hidden=192)
LARGE = Shape(tables=4, width=32, hidden=192)


def shapes_for(size: int) -> tuple[Shape, ...]:
    """The networks for a file of so many bytes, in the order in which they are worth trying."""
    if size >= _LARGE:
        return LARGE, WIDE, MIDDLE
    if size <= _SMALL:
        return MIDDLE, SMALL, WIDE
    return MIDDLE, WIDE, LARGE


@dataclass(frozen=True, kw_only=True)
class Planned:
    """Lets the planner bring a trained network into a file: with the arguments of `coded_to_size`.

    `minutes`: of its search.
    Raises ValueError where it finds no file of the size.
    """

    minutes: float

    def __call__(
        self,
        model: nn.Module,
        task: Task,
        path: Path,
        *,
        size: int,
        score: Callable[[Path], float],
        **_: Any,
    ) -> Coded:
        with TemporaryDirectory() as folder:
            whole, found = Path(folder) / "whole.shoe", Path(folder) / "found.shoe"
            save(model, task, whole)
            outcome = compress(model, task, f"size<={size}B", found, minutes=self.minutes)
            if not outcome.met:
                raise ValueError(
                    f"the planner found no file of {size:,} bytes in {self.minutes:.1f} minutes: "
                    f"the nearest has {found.stat().st_size:,}"
                )
            write_whole(path, found.read_bytes())
            return Coded(bytes=path.stat().st_size, before=score(whole), after=score(path))


def best_shape(
    make: Callable[[TextSettings, Path, Callable[..., Coded]], TextResult],
    settings: TextSettings,
    path: Path,
    *,
    size: int,
    minutes: float,
    now: Callable[[], float] = monotonic,
    say: Callable[[str], None] = lambda text: None,
) -> TextResult:
    """Try networks of several shapes, and keep the file with the best validation score, at `path`.

    The first of `shapes_for` is made whatever time it takes. What follows is begun while it may be
    done in the minutes, if it takes as long as the longest did: the same network coded by the
    planner, and the other shapes.

    `make`: trains a network with these settings into this file, no larger than `size`, with this
        coder (see `text_tools.tagger`); what it has trained before, it does not train again.
    `minutes`: for all of it.
    `now`: the clock, in seconds.
    `say`: gets a line about each network.
    Raises the ValueError of `make` where no network got a file of the size.
    """
    began, longest = now(), 0.0
    best: TextResult | None = None
    missed: ValueError | None = None
    with TemporaryDirectory() as folder:
        tried = Path(folder) / "tried.shoe"
        first, *others = shapes_for(size)
        for shape, by_planner in ((first, False), (first, True), *((one, False) for one in others)):
            started = now()
            if longest and started - began + longest > 60 * minutes:
                break
            coder = Planned(minutes=longest / 60) if by_planner else coded_to_size
            told = f"{shape}{', coded by the planner' if by_planner else ''}"
            try:
                found = make(shape(settings), tried, coder)
            except ValueError as error:
                missed = error
                say(f"{told}: {error}")
            else:
                say(f"{told}: {found.bytes:,} bytes, validation {100 * found.validation:.2f} %")
                if best is None or found.validation > best.validation:
                    best = found
                    write_whole(path, tried.read_bytes())
            longest = max(longest, now() - started)
    if best is None:
        assert missed is not None
        raise missed
    return best
