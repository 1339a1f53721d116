"""A forecast of scores at larger sizes, as lines that a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shoestring.label import Interval
from shoestring.plan.scaling import Scaling, affordable

DOUBLING_YEARS = (1.5, 2.0, 3.0)


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What a forecast is asked for.

    `found`: the forecast.
    `sizes`: at which the score is wanted, each above 0.
    `unit`: of the sizes, in the plural.
    `target`: a score whose size is wanted, below the best there can be; None for none.
    `price`: of one of the unit; None where nobody says.
    `affords`: the size that is paid for today; with a target, the years are told until that of the
        target is. None where nobody says.
    """

    found: Scaling
    sizes: Sequence[float]
    unit: str = "examples"
    target: float | None = None
    price: float | None = None
    affords: float | None = None

    def __str__(self) -> str:
        points = self.found.points
        lines = [
            f"{len(points)} small runs, {points[0].size:,.6g} to {self.found.largest:,.6g} "
            f"{self.unit}: scores of {min(one.score for one in points):.4g} to "
            f"{max(one.score for one in points):.4g}"
        ]
        if self.found.undecided:
            return "\n".join([*lines, f"undecided: {self.found.undecided}"])
        for size in self.sizes:
            told = self.found.at(size).text(lambda value: f"{value:.4f}")
            lines.append(f"  {size:>14,.6g} {self.unit}: {told}")
        lines.append(f"  with any number: {self.found.floor().text(lambda value: f'{value:.4f}')}")
        if self.target is not None:
            lines += self._of_target(self.target)
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        plain = self.found.as_json(self.sizes, self.target)
        plain["unit"] = self.unit
        if self.target is not None and self.affords is not None and not self.found.undecided:
            plain["years"] = {
                f"{years:g}": _ends(self._years(self.found.size_for(self.target), years))
                for years in DOUBLING_YEARS
            }
        return plain

    def _of_target(self, target: float) -> list[str]:
        """The size that a score takes, its price, and the years until it is affordable."""
        wanted = self.found.size_for(target)
        if wanted.middle is None and wanted.low is None:
            return [
                f"a score of {target:g} is out of reach: 1,000 times the {self.unit} measured are "
                "not enough, nine times of ten. A better network or better data may do"
            ]
        told = [f"a score of {target:g} takes {_interval(wanted, ',.2g', self.unit)}"]
        if self.price is not None:
            price = self.price
            paid = Interval(
                low=_times(wanted.low, price),
                middle=_times(wanted.middle, price),
                high=_times(wanted.high, price),
            )
            told.append(f"  at {price:g} each: {_interval(paid, ',.2g')}")
        if self.affords is not None:
            told.append(f"  for the money that pays for {self.affords:,.4g} {self.unit} today:")
            for years in DOUBLING_YEARS:
                words = _interval(self._years(wanted, years), ".1f", "years")
                told.append(f"    in {words}, if twice as many are had every {years:g} years")
        return told

    def _years(self, wanted: Interval, doubling_years: float) -> Interval:
        affords = self.affords
        assert affords is not None
        low, middle, high = (
            None if one is None else affordable(one, affords, doubling_years)
            for one in (wanted.low, wanted.middle, wanted.high)
        )
        return Interval(low=low, middle=middle, high=high)


def _times(size: float | None, price: float) -> float | None:
    return None if size is None else size * price


def _interval(wanted: Interval, form: str, unit: str = "") -> str:
    """An interval in words; what has no end, or no middle, is said so."""
    low, middle, high = (
        "no number" if one is None else _number(one, form)
        for one in (wanted.low, wanted.middle, wanted.high)
    )
    after = f" {unit}" if unit else ""
    if wanted.middle is None:
        return f"{low}{after} at best, and more likely no number is enough"
    return f"about {middle}{after} ({low} to {'no number at all' if wanted.high is None else high})"


def _number(value: float, form: str) -> str:
    """A number; of two digits, without an exponent, where it is large."""
    if form.endswith("g"):
        value = float(f"{value:.2g}")
        return f"{value:,.0f}" if value >= 10 else f"{value:g}"
    return f"{value:{form}}"


def _ends(wanted: Interval) -> dict[str, float | None]:
    return {"low": wanted.low, "middle": wanted.middle, "high": wanted.high}
