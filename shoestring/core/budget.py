"""Budget: limits on a Cost and on the score."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
    r"\s*([A-Za-z_]+\s*(?:\([^()<>=,]*\))?)\s*(<=|>=|=<|=>|==|[<>=≤≥])\s*([-+]?(?:inf|nan)|[-+0-9.eE]+)\s*([A-Za-z%]*)\s*",
    re.IGNORECASE,
)
_NAMED = re.compile(r"(drop|score)\(([^()<>=,]+)\)")
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
    `score`: the least validation score, the one limit that is a lower one.
    `named`: limits on further scores that the task has by name (`Task.scores`), as the grammar
        writes them: `{"drop(recall)": 0.005, "score(recall)": 0.9}`. 1 KB is 1,000 bytes. `%` of a
        resource is a share of what came in; `%` of drop and score means points, for scores between
        0 and 1. Raises BudgetError for a limit that limits nothing or that no model can keep.
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
    named: Mapping[str, float] = field(default_factory=dict, hash=False)
    came_in: Mapping[str, float] = field(default_factory=dict, compare=False, repr=False)
    """The scores by name of the model that came in, which a named drop is of; set by `against`."""

    def __post_init__(self) -> None:
        for name in self.named:
            if _NAMED.fullmatch(name) is None:
                raise BudgetError(
                    f"there is no limit called {name!r}: limits by name are written drop(recall) "
                    "and "
                    "score(recall), with the name of a score in the brackets"
                )
        for name, limit in self._limits().items():
            _check(name, limit)

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read the grammar `limit<=number unit, ...`; raises BudgetError with what was expected."""
        limits: dict[str, float | Share] = {}
        named: dict[str, float] = {}
        for part in text.split(","):
            name, limit = _read(part.strip(), text)
            if name in limits or name in named:
                raise BudgetError(f"{name} is limited twice in the budget {text!r}: keep one")
            if name in _NAMES:
                limits[name] = limit
            else:
                assert not isinstance(limit, Share), "a score is limited in points"
                named[name] = limit
        return cls(**limits, named=named)  # type: ignore[arg-type]

    @property
    def relative(self) -> tuple[str, ...]:
        """The names of the limits that are a share of what came in."""
        return tuple(name for name, limit in self._limits().items() if isinstance(limit, Share))

    def against(self, cost: Cost, scores: Mapping[str, float] | None = None) -> Budget:
        """The same budget with each share turned into a limit, by the cost of what came in.

        `scores`: the scores by name that it had, of which drops by name are.
        Raises BudgetError, naming the limit, where that cost was not measured or is not above 0,
        and for a limit on a score that the task does not have.
        """
        self._check_names(scores)
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
        return replace(self, came_in=dict(scores or self.came_in), **absolute)  # type: ignore[arg-type]

    def without(self, name: str) -> Budget:
        """The same budget without the limit of this name, such as "size" or "drop(recall)"."""
        if name in self.named:
            return replace(
                self, named={one: limit for one, limit in self.named.items() if one != name}
            )
        return replace(self, **{name: None})

    def exceeded(
        self,
        cost: Cost,
        drop: float | None,
        score: float | None = None,
        scores: Mapping[str, float] | None = None,
    ) -> dict[str, tuple[float | None, float]]:
        """The limits that are not kept: name -> (measured or None, limit).

        Unmeasured counts as over budget.
        `scores`: those by name. A drop by name is what is lost of the score that came in.
        Raises BudgetError where a limit is still a share: `against` makes it a number.
        """
        over: dict[str, tuple[float | None, float]] = {}
        for name, limit in self._limits().items():
            if isinstance(limit, Share):
                raise BudgetError(
                    f"{_phrase(name, limit)} is a share of what came in: call "
                    "budget.against(cost), with the cost of that, first"
                )
            value = self.measured(name, cost, drop, score, scores)
            if value is None or not _keeps(name, value, limit):
                over[name] = (value, limit)
        return over

    def measured(
        self,
        name: str,
        cost: Cost,
        drop: float | None,
        score: float | None,
        scores: Mapping[str, float] | None,
    ) -> float | None:
        """What a limit is on, measured, in the limit's units; None where nobody measured it.

        The others are those of `exceeded`.
        """
        if name in _SCORES:
            return drop if name == "drop" else score
        if name not in self.named:
            return getattr(cost, LIMITED[name].field)
        kind, of = _named(name)
        value = (scores or {}).get(of)
        if kind == "score" or value is None:
            return value
        if of not in self.came_in:
            raise BudgetError(
                f"{name} is of a score that came in: call budget.against(cost, scores) first, "
                "with the "
                "cost and the scores by name of that"
            )
        return self.came_in[of] - value

    def came_in_of(self, name: str) -> float:
        """The score of what came in that a limit by name is on; 0 where nobody knows it."""
        return self.came_in.get(_named(name)[1], 0.0)

    def _check_names(self, scores: Mapping[str, float] | None) -> None:
        known = self.came_in if scores is None else scores
        if scores is None and not known and self.named:
            raise BudgetError(
                f"{next(iter(self.named))} is of a score by name: call budget.against(cost, "
                "scores), with "
                "the scores by name of what came in too"
            )
        for limit in self.named:
            _, name = _named(limit)
            if name in known:
                continue
            near = get_close_matches(name, known, n=1, cutoff=0.5)
            has = (
                f"its scores are {', '.join(known)}"
                if known
                else "it has none by name: give them by Task.scores"
            )
            raise BudgetError(
                f"the budget limits {limit}, and the task has no score called {name!r}: {has}"
                + (f"; did you mean {near[0]}?" if near else "")
            )

    def _limits(self) -> dict[str, float | Share]:
        own = {name: limit for name in _NAMES if (limit := getattr(self, name)) is not None}
        return {**own, **self.named}

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
        "lost, and score>=, the least score (for both, % means points), also drop(NAME) and "
        "score(NAME) of scores that the task has by name"
    )


def is_of_score(name: str) -> bool:
    """Whether a limit is on a score, the task's own or one by name, and not on a resource."""
    return _kind(name) in _SCORES


def is_lower(name: str) -> bool:
    """Whether a limit is a lower one: score, and score(name)."""
    return _kind(name) == "score"


def _kind(name: str) -> str:
    """A limit without the name of a score: "drop" of "drop(recall)"."""
    return name.partition("(")[0]


def _named(limit: str) -> tuple[str, str]:
    """("drop" or "score", the name) of a limit on a score by name."""
    kind, _, name = limit.partition("(")
    return kind, name.removesuffix(")")


def scores_limited(budget: Budget) -> list[str]:
    """The names of the scores that a budget limits by name, each once."""
    return list(dict.fromkeys(_named(limit)[1] for limit in budget.named))


def _keeps(name: str, value: float, limit: float) -> bool:
    if is_lower(name):
        return value >= limit - _SLACK
    return value <= limit + (_SLACK if is_of_score(name) else 0.0)


def _check(name: str, limit: float | Share) -> None:
    """Raises BudgetError for a limit that limits nothing or that nothing can keep."""
    share = isinstance(limit, Share)
    if share and (is_of_score(name) or LIMITED[name].getting):
        raise BudgetError(f"{name} cannot be a share of what came in: give a number")
    number = limit.fraction if isinstance(limit, Share) else limit
    least = (
        "above or below 0"
        if is_lower(name)
        else "0 or more"
        if _kind(name) in _MAY_BE_ZERO
        else "more than 0"
    )
    if math.isfinite(number) and (
        is_lower(name) or number > 0 or (number == 0 and _kind(name) in _MAY_BE_ZERO)
    ):
        return
    nothing = number == (-math.inf if is_lower(name) else math.inf)
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
    name, sign, number, unit = _limit_name(match[1]), match[2], match[3], match[4]
    if name not in _NAMES and _NAMED.fullmatch(name) is None:
        raise BudgetError(
            f"there is no limit called {name!r}: the limits are {', '.join(_NAMES)}{_nearest(name)}"
        )
    if sign != _sign(name):
        kind = "a lower" if is_lower(name) else "an upper"
        raise BudgetError(
            f"cannot read {part!r}: {name} is {kind} limit, so write "
            f"{name}{_sign(name)}{number}{unit}"
        )
    try:
        if unit == "%":
            share = float(Decimal(number).scaleb(-2))  # exact, where times 0.01 would round twice
            return name, share if is_of_score(name) else _share(name, part, share)
        return name, float(number) * _factor(name, number, unit, part)
    except (ValueError, InvalidOperation) as error:
        if isinstance(error, BudgetError):
            raise
        raise BudgetError(f"{number!r} in {part!r} is not a number") from None


def _limit_name(text: str) -> str:
    """The name of a limit as it is kept: of "Drop ( recall )", "drop(recall)".

    Names of scores are kept as they are written.
    """
    kind, bracket, name = text.partition("(")
    return (
        f"{kind.strip().lower()}({name.removesuffix(')').strip()})"
        if bracket
        else kind.strip().lower()
    )


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
    known = {"": 1.0} if is_of_score(name) else LIMITED[name].units
    for one, factor in known.items():
        if one.lower() == unit.lower():
            return factor
    if is_of_score(name):
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
    return ">=" if is_lower(name) else "<="


def _phrase(name: str, limit: float | Share) -> str:
    if isinstance(limit, Share):
        return f"{name}<={Decimal(repr(float(limit.fraction))).scaleb(2).normalize():f}%"
    unit = "" if is_of_score(name) else LIMITED[name].unit
    if unit == "B" and limit >= 1000 and limit == round(limit):
        for larger in ("GB", "MB", "KB"):
            factor = LIMITED[name].units[larger]
            text = f"{limit / factor:.12g}"
            if limit >= factor and float(text) * factor == limit:
                return f"{name}<={text}{larger}"
    number = int(limit) if limit == int(limit) else float(limit)
    return f"{name}{_sign(name)}{number!r}{unit}"
