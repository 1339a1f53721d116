"""The record of a recipe: what is known before it runs. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoestring.recipes.running import Run


@dataclass(frozen=True)
class Published:
    """A published number.

    `metric`, `value`, `unit`: what was measured.
    `source`: the paper and its table.
    `conditions`: the network, the data and what was counted.
    """

    metric: str
    value: float
    unit: str
    source: str
    conditions: str


@dataclass(frozen=True)
class Measure:
    """A column of a recipe's table.

    `title`: its heading.
    `metric`: of the rows in the results file.
    `unit`: of the values.
    `form`: a format specification.
    `higher`: whether higher is better, as for a score.
    `subject`: of the rows; None for the subject of the line.
    """

    title: str
    metric: str
    unit: str
    form: str
    higher: bool = False
    subject: str | None = None


@dataclass(frozen=True)
class Line:
    """A line of a recipe's table.

    `title`: its heading.
    `subject`: of the rows in the results file.
    `metrics`: the metric of each column from the left; empty for those of the measures.
    `file`: the results file; None for the recipe's own.
    `cheaper`: of a baseline: getting it costs less than our first line. Where it is as good, the
        table of exchange rates says so and has no rate.
    """

    title: str
    subject: str
    metrics: tuple[str, ...] = ()
    file: str | None = None
    cheaper: bool = False


@dataclass(frozen=True, kw_only=True)
class Results:
    """Our numbers: a file in `benchmarks/results`, and the table that is made from its rows.

    The row in the table of exchange rates compares the first line of `ours` with the first line of
    `before`.

    `file`: the results file.
    `before`: the models that went in.
    `ours`: the results, with the claim first.
    `baselines`: the cheapest honest way to the same.
    `peers`: other tools.
    `saved`, `lost`: what is compared; None for no such column.
    `also`: further columns of the table.
    `price`: what `ours` took to get.
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
        """The columns of the table, from left to right."""
        columns = (self.saved, self.lost, *self.also, self.price)
        return tuple(measure for measure in columns if measure is not None)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The record of a recipe, which is read from the recipe's file without running that file.

    A recipe is a file in `shoestring/recipes` with a function and a `Recipe`, and a test::

        RECIPE = Recipe(
            name="xnor_convnet",      # shoestring.recipes.xnor_convnet is the function
            line="a small network on MNIST with binary weights",
            scarce="bytes",
            instead="one pass of training more",
            data=("MNIST",),
            minutes=4,
            quick_minutes=0.7,
            page="binary.md",
            run=end_to_end,           # a function of this file, which takes a Run
        )

    `name`: of the recipe and of its function.
    `line`: what it does, in one line.
    `scarce`: what you lack.
    `instead`: what you give for it.
    `data`: the data sets.
    `minutes`, `quick_minutes`: the time for one seed on one core, in full and with --quick.
    `page`: its page in `docs/`.
    `run`: runs it end to end.
    `extras`: the extras of the installation that it needs.
    `published`: published numbers.
    `elsewhere`: a paper with numbers on other data, which do not stand beside ours; "" for none.
    `advantage`: what ours has and the published networks have not, for fairness; "" for nothing.
    `results`: our numbers; None for none.
    `module`: of its file; set when the record is read.
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
    elsewhere: str = ""
    advantage: str = ""
    results: Results | None = None
    module: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The record without `run`, `results` and `module`, as plain JSON values."""
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
            "elsewhere": self.elsewhere,
            "advantage": self.advantage,
        }
