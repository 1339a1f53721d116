"""Sentences about a search that a reader must see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from shoestring.core.technique import gist
from shoestring.kit import Trial
from shoestring.plan.blocking import blocking
from shoestring.plan.kept import KeptSearch
from shoestring.plan.verdict import judge
from shoestring.report.document import Axis, Point

_NAMED = 4
"""Chains that are being tried and are named."""


def about_trials(search: KeptSearch, working: bool) -> Iterator[str]:
    """Sentences about the trials: whether there are any, which failed, whose files are gone.

    Raises ValueError or OSError where the study cannot be read.
    """
    failed = sum(trial.score is None for trial in search.trials)
    if not search.trials:
        yield (
            "No trial is finished yet: the first file is there within seconds."
            if working
            else "No trial was finished here: the same command again goes on with the search."
        )
    elif failed == len(search.trials):
        yield (
            f"All {failed:,} trials failed, and their notes say why: the model that came in is the "
            "only file."
        )
    if gone := len(search.trials) - failed - len(search.held):
        yield (
            f"The files of {gone:,} trials are no longer there, since others beat them: their "
            "points are shown, and cannot be picked."
        )
    if search.study.has_others():
        yield (
            "This folder also has other trials (of sensitivity, or of another model, task, data or "
            "seed), which are no points here."
        )
    if claimed := search.study.claimed():
        words = ", ".join(gist(key.technique) for key in claimed[:_NAMED])
        others = ", and others" if len(claimed) > _NAMED else ""
        yield f"Being tried now: {words}{others}."


def about_labels(search: KeptSearch) -> Iterator[str]:
    """Sentences about labels that the search bought, and about what it learnt without any."""
    for told in filter(None, (search.bought, search.learnt)):
        yield f"{told[:1].upper()}{told[1:]}."


def about_budget(search: KeptSearch, delivered: Trial | None, working: bool) -> Iterator[str]:
    """Sentences about limits that the delivered file breaks, and that noise leaves open."""
    if delivered is None or not search.budget.limits():
        return
    base = search.frontier.base
    verdict = judge(search.limits, delivered, base)
    for name, (value, limit) in verdict.undecided.items():
        yield (
            f"{name} cannot be decided: {value:.4g} was measured, {limit:.4g} is the limit, and "
            "the noise is larger than the difference; a quieter machine would tell."
        )
    if verdict.broken:
        yield (
            f"The budget is not kept{' yet' if working else ''}: this is the nearest file that was "
            "found."
        )
        held = [search.original, *search.held]
        for words in blocking(search.limits, delivered, held, base):
            yield f"{words[:1].upper()}{words[1:]}."


def about_test(before: Point, after: Point | None, score: Axis) -> Iterator[str]:
    """A sentence where the loss on test data is far from that on validation data."""
    if after is None or after.test is None or before.test is None or not after.error:
        return
    if score.field not in after.scores or score.field not in before.scores:
        return
    tested = before.test - after.test
    seen = before.scores[score.field] - after.scores[score.field]
    if abs(tested - seen) > 2 * after.error:
        unit, factor = (" points", 100) if score.unit == "%" else ("", 1)
        yield (
            f"On test data {factor * tested:.2f}{unit} of the {score.name} are lost, which lies "
            f"outside the {factor * seen:.2f} ± {2 * factor * after.error:.2f}{unit} on validation "
            "data (two standard errors): expect what the test says."
        )


def about_file(file: Path, working: bool) -> str:
    """The sentence for a file that is not there; "" while a search goes on, which will write it."""
    if working:
        return ""
    return (
        f"{file.name} is not there: what was delivered is not known, and `shoestring frontier` "
        "with --pick writes a point of the frontier."
    )


def of_another(file: Path) -> str:
    """The sentence for a file that the search did not make."""
    return (
        f"{file.name} is none of the files of this search: another command wrote it, and only its "
        "bytes are known."
    )
