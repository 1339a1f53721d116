"""The budget of a search: what was asked for, and what the delivered file has of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from shoestring.core import Budget as Asked
from shoestring.core import Share
from shoestring.core.budget import is_lower, is_of_score
from shoestring.core.limits import BudgetError, named_score, phrase
from shoestring.core.resource import LIMITED
from shoestring.kit import Trial
from shoestring.plan.kept import KeptSearch
from shoestring.plan.verdict import Verdict, judge
from shoestring.report.document import Axis, Budget, Limit, finite, rounded


def budget_of(search: KeptSearch, delivered: Trial | None, scores: Sequence[Axis]) -> Budget | None:
    """The budget of a search; None for a search without one.

    `delivered`: the trial of the delivered file, which limits are judged on; None: not known.
    `scores`: the axes of the document, in whose units limits are told.
    The limits on time and on labels are of the search and of no file: their fields "time" and
    "labels" are those of no axis.
    """
    if not search.budget.limits():
        return None
    percent = {axis.field for axis in scores if axis.unit == "%"}
    base = search.frontier.base
    verdict = None if delivered is None else judge(search.limits, delivered, base)
    limits = tuple(
        _limit(search, name, delivered, verdict, percent)
        for name in search.limits.limits()
        if is_of_score(name) or not LIMITED[name].getting
    )
    if search.budget.time is not None:
        limits += (_time(search, search.budget.time),)
    if isinstance(most := search.budget.labels, int | float):
        limits += (_labels(search, most),)
    met = None
    if verdict is not None and (verdict.broken or not verdict.undecided):
        met = verdict.fits
    return Budget(text=_text(search, percent), limits=limits, met=met)


def _text(search: KeptSearch, percent: set[str]) -> str:
    """The budget as it was typed, where that is known, else in its grammar."""
    typed = (text for option, text in pairwise(search.command) if option == "--budget")
    for text in typed:
        try:
            if Asked.parse(text) == search.budget:
                return text
        except BudgetError:  # a damaged note
            continue
    return ", ".join(
        _phrase(name, limit, percent) for name, limit in search.budget.limits().items()
    )


def _phrase(name: str, limit: float | Share, percent: set[str]) -> str:
    """A limit in the grammar; one on a score that is told in percent has a percentage."""
    if isinstance(limit, Share) or not is_of_score(name) or _field(name) not in percent:
        return phrase(name, limit)
    return f"{name}{'>=' if is_lower(name) else '<='}{100 * limit:.6g}%"


def _field(name: str) -> str:
    """The field of the axis of a limit on a score."""
    return named_score(name)[1] or "score"


def seconds_of(search: KeptSearch) -> float | None:
    """The seconds that the whole search took, with 3 digits; None where that is not known."""
    if search.timed is None or search.timed.seconds is None:
        return None
    return rounded(search.timed.seconds, 3)


def _time(search: KeptSearch, most: float) -> Limit:
    """The limit on the time of the search, in seconds; kept where the whole search kept it."""
    seconds = seconds_of(search)
    return Limit(
        field="time",
        at_most=most,
        at_least=None,
        words=phrase("time", most),
        measured=seconds,
        kept=None if seconds is None else seconds <= most,
    )


def _labels(search: KeptSearch, most: float) -> Limit:
    """The limit on the labels that the search bought."""
    return Limit(
        field="labels",
        at_most=most,
        at_least=None,
        words=phrase("labels", most),
        measured=search.labels,
        kept=None if search.labels is None else search.labels <= most,
    )


def _limit(
    search: KeptSearch,
    name: str,
    delivered: Trial | None,
    verdict: Verdict | None,
    percent: set[str],
) -> Limit:
    """A limit as one on the field of an axis: a drop is the least score that it allows.

    `percent`: the fields of scores that are told in percent.
    """
    value = search.limits.limits()[name]
    assert not isinstance(value, Share), "Budget.against makes a number of a share"
    given = search.budget.limits().get(name)
    words = _phrase(name, value if given is None else given, percent)
    if not is_of_score(name):
        field, at_most, at_least = LIMITED[name].field, value, None
        measured = None if delivered is None else getattr(delivered.cost, field)
    else:
        kind, field = named_score(name)[0], _field(name)
        before = search.frontier.base if field == "score" else search.limits.came_in_of(name)
        at_most, at_least = None, value if is_lower(name) else before - value
        if kind == "drop":
            told = f"{100 * at_least:.4g} %" if field in percent else f"{at_least:.4g}"
            words += f": at least {told}"
        scores = {} if delivered is None else {"score": delivered.score, **delivered.scores}
        measured = scores.get(field)
    if isinstance(given, Share):
        unit = LIMITED[name].unit
        number = f"{value:,.0f}" if unit == "B" or value >= 1000 else f"{value:.3g}"
        words += f": at most {number} {unit}".rstrip()
    kept = None
    if verdict is not None and name not in verdict.undecided:
        kept = name not in verdict.broken
    return Limit(
        field=field,
        at_most=at_most,
        at_least=at_least,
        words=words,
        measured=finite(measured),
        kept=kept,
    )
