"""Budget: limits on a Cost and on the score."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches

from shoestring.core.cost import Cost
from shoestring.core.resource import LIMITED, Resource, units_in_words

_SCORES = ("drop", "score")  # limits in units of the score
_MAY_BE_ZERO = ("drop", "labels", "person_time", "communication")
_NAMES = (*LIMITED, *_SCORES)
_OTHER_WORDS = {
    "accuracy": "score",
    "loss": "drop",
    "speed": "latency",
    "ms": "latency",
    "ram": "memory",
    "flops": "operations",
    "macs": "operations",
    "filesize": "size",
    "power": "energy",
    "minutes": "time",
    "traffic": "communication",
    "bandwidth": "communication",
    "work": "person_time",
}
_LIMIT = re.compile(
    r"\s*([A-Za-z_]+)\s*(<=|>=|=<|=>|==|[<>=≤≥])\s*([-+]?(?:inf|nan)|[-+0-9.eE]+)\s*([A-Za-z%]*)\s*",
    re.IGNORECASE,
)
# a score is an average: forgive the last bits of the floating point, never a whole example
_SLACK = 1e-9


class BudgetError(ValueError):
    """A budget that cannot be read, or that nothing could ever meet."""


@dataclass(frozen=True)
class Share:
    """A limit relative to what came in.

    `Share(0.5)` is half of it, and `latency<=50%` in the grammar.
    """

    fraction: float


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits; `None` means no limit.

    Read one with `Budget.parse("size<=40KB, latency<=50%, drop<=0.3%")`.
    `size` and `memory` in bytes, `latency` in milliseconds, `operations` per example, `energy` in
    joules a run; each of these may be a Share of what came in instead. `labels` bought, `time` and
    `person_time` in seconds, `training_operations`, `communication` in bytes: of getting a model.
    `drop`: of the score, in its units.
    `score`: the least validation score, the one limit that is a lower one. 1 KB is 1,000 bytes. `%`
        of a resource is a share of what came in; `%` of drop and score means points, for scores
        between 0 and 1. Raises BudgetError for a limit that limits nothing or that no model can
        keep.
    """

    size: float | Share | None = None
    latency: float | Share | None = None
    operations: float | Share | None = None
    memory: float | Share | None = None
    energy: float | Share | None = None
    labels: float | None = None
    time: float | None = None
    person_time: float | None = None
    training_operations: float | None = None
    communication: float | None = None
    drop: float | None = None
    score: float | None = None

    def __post_init__(self) -> None:
        for name, limit in self._limits().items():
            _check(name, limit)

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read the grammar `limit<=number unit, ...`; raises BudgetError with what was expected."""
        limits: dict[str, float | Share] = {}
        for part in text.split(","):
            name, limit = _read(part.strip(), text)
            if name in limits:
                raise BudgetError(f"{name} is limited twice in the budget {text!r}: keep one")
            limits[name] = limit
        return cls(**limits)  # type: ignore[arg-type]

    @property
    def relative(self) -> tuple[str, ...]:
        """The names of the limits that are a share of what came in."""
        return tuple(name for name, limit in self._limits().items() if isinstance(limit, Share))

    def against(self, cost: Cost) -> Budget:
        """The same budget with each share turned into a limit, by the cost of what came in.

        Raises BudgetError, naming the limit, where that cost was not measured or is not above 0.
        """
        absolute: dict[str, float] = {}
        for name in self.relative:
            resource = LIMITED[name]
            came_in, limit = getattr(cost, resource.field), getattr(self, name)
            if came_in is None or not 0 < came_in < math.inf:
                why = "nobody measured" if came_in is None else f"it has {came_in:g}"
                raise BudgetError(
                    f"{_phrase(name, limit)} needs the {resource.about} of what came in, above 0 "
                    f"({why}): measure them, or give the "
                    f"limit in {_units(resource)}"
                )
            absolute[name] = limit.fraction * came_in
        return replace(self, **absolute)  # type: ignore[arg-type]

    def exceeded(
        self, cost: Cost, drop: float | None, score: float | None = None
    ) -> dict[str, tuple[float | None, float]]:
        """The limits that are not kept: name -> (measured or None, limit).

        Unmeasured counts as over budget.
        Raises BudgetError where a limit is still a share: `against` makes it a number.
        """
        over: dict[str, tuple[float | None, float]] = {}
        for name, limit in self._limits().items():
            if isinstance(limit, Share):
                raise BudgetError(
                    f"{_phrase(name, limit)} is a share of what came in: call "
                    "budget.against(cost), with the cost of that, first"
                )
            value: float | None = (
                {"drop": drop, "score": score}[name]
                if name in _SCORES
                else getattr(cost, LIMITED[name].field)
            )
            if value is None or not _keeps(name, value, limit):
                over[name] = (value, limit)
        return over

    def _limits(self) -> dict[str, float | Share]:
        return {f.name: limit for f in fields(self) if (limit := getattr(self, f.name)) is not None}

    def __str__(self) -> str:
        """The budget in its own grammar, so that `Budget.parse(str(budget)) == budget` where there
        is a limit at all.
        """
        return ", ".join(_phrase(name, limit) for name, limit in self._limits().items())


def limits_in_words() -> str:
    """The limits that a budget may have, with their units."""
    return (
        f"{units_in_words(getting=False)}, each also in % of what came in; "
        f"{units_in_words(getting=True)}; drop, the score that may be "
        "lost, and score>=, the least score (for both, % means points)"
    )


def _keeps(name: str, value: float, limit: float) -> bool:
    if name == "score":
        return value >= limit - _SLACK
    return value <= limit + (_SLACK if name == "drop" else 0.0)


def _check(name: str, limit: float | Share) -> None:
    """Raises BudgetError for a limit that limits nothing or that nothing can keep."""
    share = isinstance(limit, Share)
    if share and (name in _SCORES or LIMITED[name].getting):
        raise BudgetError(f"{name} cannot be a share of what came in: give a number")
    number = limit.fraction if isinstance(limit, Share) else limit
    least = (
        "above or below 0"
        if name == "score"
        else "0 or more"
        if name in _MAY_BE_ZERO
        else "more than 0"
    )
    if math.isfinite(number) and (
        name == "score" or number > 0 or (number == 0 and name in _MAY_BE_ZERO)
    ):
        return
    nothing = number == (-math.inf if name == "score" else math.inf)
    why = "limits nothing" if nothing else "cannot be met by any model"
    told = f"{100 * number:g}%" if share else f"{number:g}"
    raise BudgetError(
        f"the limit {name}{_sign(name)}{told} {why}: give a {'percentage' if share else 'number'} "
        f"{least}"
    )


def _read(part: str, text: str) -> tuple[str, float | Share]:
    """The name and the value of one limit in the grammar."""
    match = _LIMIT.fullmatch(part)
    if match is None:
        raise BudgetError(
            f"cannot read {part!r} in the budget {text!r}: write limits like 'size<=40KB, "
            "latency<=50%, drop<=0.3%'"
        )
    name, sign, number, unit = match[1].lower(), match[2], match[3], match[4]
    if name not in _NAMES:
        raise BudgetError(
            f"there is no limit called {name!r}: the limits are {', '.join(_NAMES)}{_nearest(name)}"
        )
    if sign != _sign(name):
        kind = "a lower" if name == "score" else "an upper"
        raise BudgetError(
            f"cannot read {part!r}: {name} is {kind} limit, so write "
            f"{name}{_sign(name)}{number}{unit}"
        )
    try:
        if unit == "%":
            share = float(Decimal(number).scaleb(-2))  # exact, where times 0.01 would round twice
            return name, share if name in _SCORES else _share(name, part, share)
        return name, float(number) * _factor(name, number, unit, part)
    except (ValueError, InvalidOperation) as error:
        if isinstance(error, BudgetError):
            raise
        raise BudgetError(f"{number!r} in {part!r} is not a number") from None


def _share(name: str, part: str, fraction: float) -> Share:
    if LIMITED[name].getting:
        raise BudgetError(
            f"{part!r}: {name} is of getting a model, and what came in has none to take a share "
            "of: give it in "
            f"{_units(LIMITED[name])}"
        )
    return Share(fraction)


def _factor(name: str, number: str, unit: str, part: str) -> float:
    """How much of the limit's own unit one of `unit` is."""
    known = {"": 1.0} if name in _SCORES else LIMITED[name].units
    for one, factor in known.items():
        if one.lower() == unit.lower():
            return factor
    if name in _SCORES:
        raise BudgetError(f"{part!r}: {name} is given in no unit, %, not in {unit!r}")
    wrong = (
        f"not in {unit!r}"
        if unit
        else f"and needs a unit: {name}<={number}{LIMITED[name].unit}, say"
    )
    share = "" if LIMITED[name].getting else f", or {name}<=50%, a share of what came in"
    raise BudgetError(f"{part!r}: {name} is given in {_units(LIMITED[name])}, {wrong}{share}")


def _units(resource: Resource) -> str:
    return ", ".join(unit or "no unit" for unit in resource.units)


def _nearest(name: str) -> str:
    """What was meant, perhaps.

    The limit whose name, or whose field of a Cost, is nearly the same, or for which people have
    another word.
    """
    known = (
        _OTHER_WORDS
        | {one: one for one in _NAMES}
        | {resource.field: limit for limit, resource in LIMITED.items()}
    )
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {known[near[0]]}?" if near else ""


def _sign(name: str) -> str:
    return ">=" if name == "score" else "<="


def _phrase(name: str, limit: float | Share) -> str:
    if isinstance(limit, Share):
        return f"{name}<={Decimal(repr(float(limit.fraction))).scaleb(2).normalize():f}%"
    unit = "" if name in _SCORES else LIMITED[name].unit
    if unit == "B" and limit >= 1000 and limit == round(limit):
        for larger in ("GB", "MB", "KB"):
            factor = LIMITED[name].units[larger]
            text = f"{limit / factor:.12g}"
            if limit >= factor and float(text) * factor == limit:
                return f"{name}<={text}{larger}"
    number = int(limit) if limit == int(limit) else float(limit)
    return f"{name}{_sign(name)}{number!r}{unit}"
