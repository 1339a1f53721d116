"""One limit of a budget: its grammar, its checks and its words."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches

from shoestring.core.resource import LIMITED, Resource, units_in_words

SCORES = ("drop", "score")  # limits in units of the score
_MAY_BE_ZERO = ("drop", "labels", "person_time", "communication")
NAMES = (*LIMITED, *SCORES)
_SYNONYMS = {
    "accuracy": "score",
    "loss": "drop",
    "speed": "latency",
    "ms": "latency",
    "rom": "flash",
    "cycles": "instructions",
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
    r"\s*([A-Za-z_]+\s*(?:\([^()<>=,]*\))?)\s*(<=|>=|=<|=>|==|[<>=≤≥])"
    r"\s*([-+]?(?:inf|nan)|[-+0-9.eE]+)\s*([A-Za-z%]*)\s*",
    re.IGNORECASE,
)
NAMED = re.compile(r"(drop|score)\(([^()<>=,]+)\)")
# A score is a mean: tolerate rounding in its last bits, and never a whole example.
_SLACK = 1e-9


class BudgetError(ValueError):
    """A budget that cannot be read, or that no model can keep."""


@dataclass(frozen=True)
class Share:
    """A limit relative to the model that came in: `Share(0.5)` is `<=50%` in the grammar.

    `fraction`: above 0; 1 is as much as the model that came in.
    """

    fraction: float


def limits_in_words() -> str:
    """The limits that a budget can have and their units, as one sentence for help and errors."""
    return (
        f"{units_in_words(getting=False)}, each also in % of what came in; "
        f"{units_in_words(getting=True)}; drop, the score that may be lost, and score>=, the least "
        "score (for both, % means points), also drop(NAME) and score(NAME) of scores that the task "
        "has by name"
    )


def least_useful(base: float) -> float:
    """The least score that a file is worth a place on a frontier with, where others have more.

    `base`: the score of the model that came in, of which a file may lose half.
    """
    return base - 0.5 * abs(base)


def is_of_score(name: str) -> bool:
    """Whether a limit is on a score (the task's own or one by name), not on a resource."""
    return _kind(name) in SCORES


def is_lower(name: str) -> bool:
    """Whether a limit is a lower limit, as score and score(name) are."""
    return _kind(name) == "score"


def _kind(name: str) -> str:
    """The part of a limit before a bracket, such as "drop" in "drop(recall)"."""
    return name.partition("(")[0]


def named_score(limit: str) -> tuple[str, str]:
    """Split a limit on a score by name, such as ("drop", "recall") for "drop(recall)"."""
    kind, _, name = limit.partition("(")
    return kind, name.removesuffix(")")


def keeps(name: str, value: float, limit: float) -> bool:
    """Whether a measured value keeps a limit."""
    if is_lower(name):
        return value >= limit - _SLACK
    return value <= limit + (_SLACK if is_of_score(name) else 0.0)


def check_limit(name: str, limit: float | Share) -> None:
    """Raise BudgetError for a limit that limits nothing or that no model can keep."""
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
    shown = f"{100 * number:g}%" if share else f"{number:g}"
    raise BudgetError(
        f"the limit {name}{_sign(name)}{shown} {why}: give a {'percentage' if share else 'number'} "
        f"{least}"
    )


def read_limit(part: str, text: str) -> tuple[str, float | Share]:
    """The name and the value of one limit.

    `part`: the limit in the grammar.
    `text`: the whole budget, for errors.
    """
    match = _LIMIT.fullmatch(part)
    if match is None:
        raise BudgetError(
            f"cannot read {part!r} in the budget {text!r}: write limits like 'size<=40KB, "
            "latency<=50%, drop<=0.3%'"
        )
    name, sign, number, unit = _limit_name(match[1]), match[2], match[3], match[4]
    if name not in NAMES and NAMED.fullmatch(name) is None:
        raise BudgetError(
            f"there is no limit called {name!r}: the limits are {', '.join(NAMES)}{_nearest(name)}"
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
    """The canonical name of a limit: "drop(recall)" for "Drop ( recall )".

    The name of a score keeps its case.
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
            f"of: give it in {units_of(LIMITED[name])}, such as {name}<=200{LIMITED[name].unit}"
        )
    return Share(fraction)


def _factor(name: str, number: str, unit: str, part: str) -> float:
    """The factor from a unit to the unit of the limit."""
    known = {"": 1.0} if is_of_score(name) else LIMITED[name].units
    for known_unit, factor in known.items():
        if known_unit.lower() == unit.lower():
            return factor
    if is_of_score(name):
        raise BudgetError(f"{part!r}: {name} is given in no unit, %, not in {unit!r}")
    wrong = (
        f"not in {unit!r}"
        if unit
        else f"and needs a unit: {name}<={number}{LIMITED[name].unit}, say"
    )
    share = "" if LIMITED[name].getting else f", or {name}<=50%, a share of what came in"
    raise BudgetError(f"{part!r}: {name} is given in {units_of(LIMITED[name])}, {wrong}{share}")


def units_of(resource: Resource) -> str:
    """The units of a resource, as a list in words."""
    return ", ".join(unit or "no unit" for unit in resource.units)


def _nearest(name: str) -> str:
    """A suggestion: the limit whose name, field of Cost or synonym is nearest; "" for none."""
    known = (
        _SYNONYMS
        | {limit: limit for limit in NAMES}
        | {resource.field: limit for limit, resource in LIMITED.items()}
    )
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {known[near[0]]}?" if near else ""


def _sign(name: str) -> str:
    return ">=" if is_lower(name) else "<="


def phrase(name: str, limit: float | Share) -> str:
    """One limit in the grammar, such as "size<=40KB"."""
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
