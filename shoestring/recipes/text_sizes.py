"""Which network goes into a text file of a size: by the size, and by trying several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from shoestring.artifact import save as write_whole
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


def best_shape(
    make: Callable[[TextSettings, Path], TextResult],
    settings: TextSettings,
    path: Path,
    *,
    size: int,
    minutes: float,
    now: Callable[[], float] = monotonic,
    say: Callable[[str], None] = lambda text: None,
) -> TextResult:
    """Try networks of several shapes, and keep the file with the best validation score, at `path`.

    The first of `shapes_for` is made whatever time it takes; a further one while it may be done in
    the minutes, if it takes as long as the longest did.

    `make`: trains a network with these settings into this file, no larger than `size`.
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
        for shape in shapes_for(size):
            started = now()
            if longest and started - began + longest > 60 * minutes:
                break
            try:
                found = make(shape(settings), tried)
            except ValueError as error:
                missed = error
                say(f"{shape}: {error}")
            else:
                say(f"{shape}: {found.bytes:,} bytes, validation {100 * found.validation:.2f} %")
                if best is None or found.validation > best.validation:
                    best = found
                    write_whole(path, tried.read_bytes())
            longest = max(longest, now() - started)
    if best is None:
        assert missed is not None
        raise missed
    return best
