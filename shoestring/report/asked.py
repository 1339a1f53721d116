"""The budget of a search: what was asked for, and what the delivered file has of it."""

from __future__ import annotations

from shoestring.core import Share
from shoestring.core.budget import is_lower, is_of_score
from shoestring.core.limits import named_score, phrase
from shoestring.core.resource import LIMITED
from shoestring.kit import Trial
from shoestring.plan.kept import KeptSearch
from shoestring.plan.verdict import Verdict, judge
from shoestring.report.document import Budget, Limit, finite


def budget_of(search: KeptSearch, delivered: Trial | None) -> Budget | None:
    """The budget of a search; None for a search without one.

    `delivered`: the trial of the delivered file, which limits are judged on; None: not known.
    The limit on time is in the text alone, since it is of the search and of no file.
    """
    if not (text := str(search.budget)):
        return None
    base = search.frontier.base
    verdict = None if delivered is None else judge(search.limits, delivered, base)
    limits = tuple(
        _limit(search, name, delivered, verdict)
        for name in search.limits.limits()
        if is_of_score(name) or not LIMITED[name].getting
    )
    met = None
    if verdict is not None and (verdict.broken or not verdict.undecided):
        met = verdict.fits
    return Budget(text=text, limits=limits, met=met)


def _limit(
    search: KeptSearch, name: str, delivered: Trial | None, verdict: Verdict | None
) -> Limit:
    """A limit as one on the field of an axis: a drop is the least score that it allows."""
    value = search.limits.limits()[name]
    assert not isinstance(value, Share), "Budget.against makes a number of a share"
    given = search.budget.limits().get(name)
    words = phrase(name, value if given is None else given)
    if not is_of_score(name):
        field, at_most, at_least = LIMITED[name].field, value, None
        measured = None if delivered is None else getattr(delivered.cost, field)
    else:
        kind, _of = named_score(name)
        field = _of or "score"
        before = search.frontier.base if field == "score" else search.limits.came_in_of(name)
        at_most, at_least = None, value if is_lower(name) else before - value
        if kind == "drop":
            words += f": at least {at_least:.4g}"
        scores = {} if delivered is None else {"score": delivered.score, **delivered.scores}
        measured = scores.get(field)
    if isinstance(given, Share):
        words += f": at most {phrase(name, value).partition('<=')[2]}"
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
