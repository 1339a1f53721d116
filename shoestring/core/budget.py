"""Budget: limits on a Cost and on the score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from shoestring.core.cost import Cost
from shoestring.core.limits import (
    NAMED,
    NAMES,
    SCORES,
    BudgetError,
    Share,
    check_limit,
    is_lower,
    is_of_score,
    keeps,
    limits_in_words,
    named_score,
    phrase,
    read_limit,
    units_of,
)
from shoestring.core.resource import LIMITED

__all__ = [
    "Budget",
    "BudgetError",
    "Share",
    "is_lower",
    "is_of_score",
    "limits_in_words",
    "scores_limited",
]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits on the cost and the score of a model; None means no limit.

    Read one with `Budget.parse("size<=40KB, latency<=50%, drop<=0.3%")`. In the grammar 1 KB is
    1,000 bytes. `%` of a resource is a share of what came in. `%` of drop and score means points,
    for scores between 0 and 1.

    Of having a model; each may also be a Share of what came in:

    `size`, `memory`: in bytes.
    `latency`: in milliseconds a run.
    `operations`: per example.
    `energy`: in joules a run.
    `flash`, `ram`: in bytes, on the microcontroller that the meters have as their target.
    `instructions`: of a run there, emulated.

    Of getting a model:

    `labels`: how many may be bought.
    `time`, `person_time`: in seconds.
    `training_operations`: a multiply and an add are two.
    `communication`: in bytes.

    Of the score:

    `drop`: how much of the validation score may be lost, in its unit, 0 or more.
    `score`: the least validation score, a lower limit.
    `named`: limits on scores that the task has by name (`Task.scores`), written as in the grammar:
        `{"drop(recall)": 0.005, "score(recall)": 0.9}`.

    Raises BudgetError for a limit that limits nothing or that no model can keep.
    """

    size: float | Share | None = None
    latency: float | Share | None = None
    operations: float | Share | None = None
    memory: float | Share | None = None
    energy: float | Share | None = None
    flash: float | Share | None = None
    ram: float | Share | None = None
    instructions: float | Share | None = None
    labels: float | None = None
    time: float | None = None
    person_time: float | None = None
    training_operations: float | None = None
    communication: float | None = None
    drop: float | None = None
    score: float | None = None
    named: Mapping[str, float] = field(default_factory=dict, hash=False)
    came_in: Mapping[str, float] = field(default_factory=dict, compare=False, repr=False)
    """The scores by name of the model that came in, from which named drops count; see `against`."""

    def __post_init__(self) -> None:
        for name in self.named:
            if NAMED.fullmatch(name) is None:
                raise BudgetError(
                    f"there is no limit called {name!r}: limits by name are written drop(recall) "
                    "and score(recall), with the name of a score in the brackets"
                )
        for name, limit in self.limits().items():
            check_limit(name, limit)

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read the grammar `limit<=number unit, ...`.

        Raises BudgetError where it cannot be read; the message says what was expected.
        """
        limits: dict[str, float | Share] = {}
        named: dict[str, float] = {}
        for part in text.split(","):
            name, limit = read_limit(part.strip(), text)
            if name in limits or name in named:
                raise BudgetError(f"{name} is limited twice in the budget {text!r}: keep one")
            if name in NAMES:
                limits[name] = limit
            else:
                assert not isinstance(limit, Share), "a score is limited in points"
                named[name] = limit
        return cls(**limits, named=named)  # type: ignore[arg-type]

    @property
    def relative(self) -> tuple[str, ...]:
        """The names of the limits that are a Share of what came in."""
        return tuple(name for name, limit in self.limits().items() if isinstance(limit, Share))

    def against(self, cost: Cost, scores: Mapping[str, float] | None = None) -> Budget:
        """The same budget, with each Share multiplied by the cost of the model that came in.

        `cost`: of the model that came in.
        `scores`: its scores by name, from which drops by name count.

        Raises BudgetError, which names the limit, where that cost was not measured or is not above
        0, and for a limit on a score that the task does not have.
        """
        self._check_names(scores)
        absolute: dict[str, float] = {}
        for name in self.relative:
            resource = LIMITED[name]
            came_in, limit = getattr(cost, resource.field), getattr(self, name)
            if came_in is None or not 0 < came_in < math.inf:
                why = "nobody measured" if came_in is None else f"it has {came_in:g}"
                raise BudgetError(
                    f"{phrase(name, limit)} needs the {resource.about} of what came in, above 0 "
                    f"({why}): measure them, or give the limit in {units_of(resource)}"
                )
            absolute[name] = limit.fraction * came_in
        return replace(self, came_in=dict(scores or self.came_in), **absolute)  # type: ignore[arg-type]

    def without(self, name: str) -> Budget:
        """The same budget without one limit, such as "size" or "drop(recall)"."""
        if name in self.named:
            named = {known: limit for known, limit in self.named.items() if known != name}
            return replace(self, named=named)
        return replace(self, **{name: None})

    def exceeded(
        self,
        cost: Cost,
        drop: float | None,
        score: float | None = None,
        scores: Mapping[str, float] | None = None,
    ) -> dict[str, tuple[float | None, float]]:
        """The limits that are not kept, by name: (measured value or None, limit).

        A value that was not measured counts as over budget.
        `cost`: of the model to be judged.
        `drop`: the score that it lost; None: not measured.
        `score`: its validation score.
        `scores`: its scores by name.

        Raises BudgetError where a limit is still a Share: `against` makes it a number.
        """
        over: dict[str, tuple[float | None, float]] = {}
        for name, limit in self.limits().items():
            if isinstance(limit, Share):
                raise BudgetError(
                    f"{phrase(name, limit)} is a share of what came in: call budget.against(cost), "
                    "with the cost of that, first"
                )
            value = self.measured(name, cost, drop, score, scores)
            if value is None or not keeps(name, value, limit):
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
        """The measured value that one limit applies to, in its unit; None where there is none.

        `name`: of the limit. The other arguments are those of `exceeded`.
        """
        if name in SCORES:
            return drop if name == "drop" else score
        if name not in self.named:
            return getattr(cost, LIMITED[name].field)
        kind, of = named_score(name)
        value = (scores or {}).get(of)
        if kind == "score" or value is None:
            return value
        if of not in self.came_in:
            raise BudgetError(
                f"{name} is of a score that came in: call budget.against(cost, scores) first, with "
                "the cost and the scores by name of that"
            )
        return self.came_in[of] - value

    def came_in_of(self, name: str) -> float:
        """The score, of the model that came in, that a limit by name is on; 0 if it is unknown."""
        return self.came_in.get(named_score(name)[1], 0.0)

    def _check_names(self, scores: Mapping[str, float] | None) -> None:
        known = self.came_in if scores is None else scores
        if scores is None and not known and self.named:
            raise BudgetError(
                f"{next(iter(self.named))} is of a score by name: call budget.against(cost, "
                "scores), with the scores by name of what came in too"
            )
        for limit in self.named:
            _, name = named_score(limit)
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

    def limits(self) -> dict[str, float | Share]:
        """The limits that there are, by name, such as "size" or "drop(recall)"."""
        own = {name: limit for name in NAMES if (limit := getattr(self, name)) is not None}
        return {**own, **self.named}

    def __str__(self) -> str:
        """The budget in its grammar: `Budget.parse(str(budget)) == budget`, if it has any limit."""
        return ", ".join(phrase(name, limit) for name, limit in self.limits().items())


def scores_limited(budget: Budget) -> list[str]:
    """The names of the scores that a budget limits by name, without repetition."""
    return list(dict.fromkeys(named_score(limit)[1] for limit in budget.named))
