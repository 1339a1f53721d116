"""What is known of a recipe before it runs: its record. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoestring.recipes.running import Run


@dataclass(frozen=True)
class Published:
    """A published number: `source` is the paper and its table, `conditions` what it is of."""

    metric: str
    value: float
    unit: str
    source: str
    conditions: str


@dataclass(frozen=True)
class Measure:
    """A column of a recipe's table; `metric` is that of the rows, `form` a format specification.

    `higher`: more is better, as of a score. `subject`: that of the rows, where it is not the line's
    own.
    """

    title: str
    metric: str
    unit: str
    form: str
    higher: bool = False
    subject: str | None = None


@dataclass(frozen=True)
class Line:
    """A line of a recipe's table: the rows of `subject` in the results file.

    `metrics`: the names of the metrics, a name for each column from the left, where they are not
    those of the measures.
    `file`: the results file, where it is not the recipe's own.
    """

    title: str
    subject: str
    metrics: tuple[str, ...] = ()
    file: str | None = None


@dataclass(frozen=True, kw_only=True)
class Results:
    """Where our numbers are: a file in `benchmarks/results`, and what its rows say.

    `before` is what went in, `ours` what came out (the claim first), `baselines` the cheapest
    honest way to the same, and `peers` are other people's tools. The row in the table of exchange
    rates compares the first of `ours` with the first of
    `before`: `saved` and `lost` are what it compares, `price` is what `ours` took. `also`: columns
    of the table alone.
    """

    file: str
    before: tuple[Line, ...]
    ours: tuple[Line, ...]
    baselines: tuple[Line, ...] = ()
    peers: tuple[Line, ...] = ()
    saved: Measure | None = Measure("bytes", "size", "bytes", ",.0f")
    lost: Measure | None = Measure("test error", "test error", "%", ".2f")
    also: tuple[Measure, ...] = ()
    price: Measure | None = None

    def measures(self) -> tuple[Measure, ...]:
        """The columns of the table, from the left."""
        return tuple(
            one for one in (self.saved, self.lost, *self.also, self.price) if one is not None
        )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe's record; it stands in the recipe's file, and is read without running that file.

    `name`: that of the recipe's function, which `shoestring.recipes` has. `line`: what it does, in
    one line. `scarce`: what you lack; `instead`: what you give for it. `data`: the data sets.
    `minutes`: about how long a seed takes on one core, and `quick_minutes` how long with --quick.
    `extras`: the extras of the installation that it needs. `page`: its page in `docs/`. `run` runs
    it end to end; `module` is its file's, and set by what finds it.
    """

    name: str
    line: str
    scarce: str
    instead: str
    data: tuple[str, ...]
    minutes: float
    quick_minutes: float
    page: str
    run: Callable[[Run], None]
    extras: tuple[str, ...] = ("train",)
    published: tuple[Published, ...] = ()
    results: Results | None = None
    module: str = ""

    def as_dict(self) -> dict[str, Any]:
        """What a reader of results wants to know, as plain JSON values."""
        return {
            "name": self.name,
            "line": self.line,
            "scarce": self.scarce,
            "instead": self.instead,
            "data": list(self.data),
            "minutes": self.minutes,
            "quick_minutes": self.quick_minutes,
            "extras": list(self.extras),
            "page": self.page,
            "published": [vars(one).copy() for one in self.published],
        }
