"""What learns beside the labelling page, and what writes the file at the end."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from shoestring.artifact import load
from shoestring.artifact.errors import missing
from shoestring.core import score, seeded
from shoestring.core.limits import BudgetError
from shoestring.kit import Supervised, save, train
from shoestring.label import (
    Annotation,
    Box,
    Choice,
    Collection,
    Example,
    Margin,
    PeakDoubts,
    Span,
    label_forecast,
    little_to_gain,
)
from shoestring.label.collect import Learned, Point, Suggestion
from shoestring.label.collect.background import Learn
from shoestring.plan import compress
from shoestring.plan.judge import TellsNothingError
from shoestring.recipes.own_boxes import OwnBoxes, own_boxes
from shoestring.recipes.own_data import HELD_OUT, OwnData, own_data
from shoestring.recipes.own_spans import OwnSpans, own_spans

MOST_LOOKED_AT = 2000
"""Examples without a label among which a model chooses: a sample of them where there are more."""
MOST_SUGGESTED = 500
MORE, WORTH_POINTS = 200, 0.5
"""So many more labels are weighed, and pay where they add so many points."""
FEWEST_SCORED, FEWEST_FOR_ADVICE = 5, 30
"""Examples that a score is of, at least, and those from which on it says whether to stop."""
MINUTES = 1.0
"""Of the search for the smallest file at the end."""
_BY = "the model"
_MOST_NOTES = 20


def learner(collection: Collection) -> tuple[Learn | None, str]:
    """What learns from the labels of a collection, and a sentence where nothing does."""
    if collection.kind is Span:
        return learn_spans, ""
    if any(one.picture is not None for one in collection.examples):
        try:
            import PIL  # noqa: F401
        except ModuleNotFoundError:
            return None, str(missing("PIL", extra="images", what="no model learns from pictures"))
    return (learn_boxes if collection.kind is Box else learn_choices), ""


def learn_choices(collection: Collection, curve: Sequence[Point]) -> Learned:
    """Train on the classes so far; those come first where two classes are about as likely.

    Raises ValueError where there are too few labels.
    """
    torch.set_num_threads(1)
    own = own_data(_with_part_of_the_pool(collection))
    model = _trained(own.model, own.task, own.training)
    return _learned(_least_sure(model, own), model, own, collection, curve)


def _least_sure(model: nn.Module, own: OwnData) -> tuple[Suggestion, ...]:
    """Suggestions for the pool, those with the least margin between two classes first."""
    pool = own.task.pool()
    if not len(pool):
        return ()
    chosen = Margin().choose(model, own.task, min(len(pool), MOST_SUGGESTED))
    outputs = own.task.outputs(model, own.task.inputs(chosen))
    likely, classes = outputs.float().softmax(-1).max(-1)
    return tuple(
        Suggestion(
            name=own.examples[int(index)],
            prediction=Annotation(
                labels=(Choice(name=own.names[number]),), by=_BY, score=probability
            ),
        )
        for index, number, probability in zip(
            chosen.tolist(), classes.tolist(), likely.tolist(), strict=True
        )
    )


def forecast(curve: Sequence[Point], left: int = MORE) -> str:
    """What more labels would bring, and whether to stop, in a sentence; "" of too few points.

    It is the rule of `label.little_to_gain`: stop where even the high end of the interval is too
    little.

    `left`: how many examples have no label yet: more than these are not forecast.
    """
    more = min(MORE, left)
    if more < 1:
        return ""
    points = [
        (one.labels, one.score, one.error or least_error(one.score, HELD_OUT * one.labels))
        for one in curve
    ]
    try:
        found = label_forecast(points)
    except ValueError:  # too few points: the page shows the curve alone
        return ""
    gain = found.gain(more)
    assert gain.low is not None and gain.middle is not None and gain.high is not None
    low, middle, high = (100 * one for one in (gain.low, gain.middle, gain.high))
    stop = little_to_gain(found, labels=more, points=WORTH_POINTS).stop
    advice = "Stop now" if stop else "Go on"
    return (
        f"{advice}: {more} more labels would add about {middle:.1f} points (80 % interval: "
        f"{low:.1f} to {high:.1f})"
    )


def _advice(
    curve: Sequence[Point], point: Point | None, scored: int, collection: Collection
) -> str:
    """The forecast, or that too few examples are scored for one; "" of too few points."""
    left = len(_without_labels(collection.examples))
    said = forecast([*curve, point] if point is not None else curve, left)
    if said and scored < FEWEST_FOR_ADVICE:
        return (
            f"{scored} examples are too few to say whether to stop: it takes {FEWEST_FOR_ADVICE} "
            "that the model does not learn from"
        )
    return said


def least_error(score: float, scored: float) -> float:
    """A standard error of a share that is above 0, also where all or none are right.

    Two right and two wrong answers are added, so that five of five right are not certainty.
    Source: Agresti & Coull 1998.

    `score`: the share, 0 to 1. `scored`: of so many examples, above 0.
    """
    share = (score * scored + 2) / (scored + 4)
    return math.sqrt(share * (1 - share) / (scored + 4))


def learn_spans(collection: Collection, curve: Sequence[Point]) -> Learned:
    """Train on the spans so far; the texts of which it is least sure come first.

    Raises ValueError where there are too few labels.
    """
    torch.set_num_threads(1)
    own = own_spans(collection)
    model = _trained(own.model, own.task, own.training)
    pool = [one for one in _unlabelled(collection) if one.text is not None]
    said = own.predict(model, [one.text or "" for one in pool])
    pairs = [(one, replace(found, by=_BY)) for one, found in zip(pool, said, strict=True)]
    pairs.sort(key=lambda pair: pair[1].score or 0.0)
    suggestions = tuple(
        Suggestion(name=one.name, prediction=found) for one, found in pairs[:MOST_SUGGESTED]
    )
    return _learned(suggestions, model, own, collection, curve)


def learn_boxes(collection: Collection, curve: Sequence[Point]) -> Learned:
    """Train on the boxes so far; the pictures with the most doubtful boxes come first.

    Raises ValueError where there are too few labels.
    """
    torch.set_num_threads(1)
    own = own_boxes(_with_part_of_the_pool(collection))
    model = _trained(own.model, own.task, own.training)
    return _learned(_most_doubtful(model, own), model, own, collection, curve)


def _most_doubtful(model: nn.Module, own: OwnBoxes) -> tuple[Suggestion, ...]:
    pool = own.task.pool()
    if not len(pool):
        return ()
    chosen = PeakDoubts().choose(model, own.task, min(len(pool), MOST_SUGGESTED)).tolist()
    return tuple(
        Suggestion(name=own.examples[index], prediction=replace(found, by=_BY))
        for index, found in zip(chosen, own.proposals(model, chosen), strict=True)
    )


def deliver(collection: Collection, path: Path) -> str:
    """Train on all labels, search for the smallest file that loses nothing, and write it.

    The file is as it was trained where the machine is too slow for a search in a minute, and where
    too few labels are held out to search by, which the sentence says.

    Returns a sentence with the score on what was held out. Raises ValueError for too few labels.
    """
    torch.set_num_threads(1)
    kinds: dict[Any, Any] = {Choice: own_data, Span: own_spans, Box: own_boxes}
    own: Any = kinds[collection.kind](collection)
    model = _trained(own.model, own.task, own.training)
    held, note = len(own.validation), ""
    try:
        if held < FEWEST_SCORED:
            raise BudgetError(
                f"a search for a smaller file takes {FEWEST_SCORED} examples or more that it did "
                "not learn from: label more"
            )
        compress(model, own.task, "", path, minutes=MINUTES)
    except (BudgetError, TellsNothingError) as error:
        save(model, own.task, path)
        note = f"; it is as it was trained ({error})"
    value = 100 * score(own.task, load(path), "validation")
    size = f"{path} has {path.stat().st_size:,} bytes and "
    if collection.kind is Box:
        return (
            f"{size}a mean average precision of {value:.1f} % on {held:,} pictures that it did not "
            f"learn from{note}"
        )
    return (
        f"{size}answers {value:.1f} % right of {'the words of ' if collection.kind is Span else ''}"
        f"{held:,} example{'s' if held != 1 else ''} that it did not learn from{note}"
    )


def _trained(model: nn.Module, task: Supervised, training: Any) -> nn.Module:
    with seeded(0):
        return train(model, task.sealed(), training)


def _learned(
    suggestions: tuple[Suggestion, ...],
    model: nn.Module,
    own: OwnData | OwnSpans | OwnBoxes,
    collection: Collection,
    curve: Sequence[Point],
) -> Learned:
    """What a round brings: suggestions, a point of the curve, what more labels would bring."""
    scored = len(own.validation)
    point = _point(model, own.task, collection, scored)
    return Learned(
        suggestions=suggestions,
        point=point,
        forecast=_advice(curve, point, scored, collection),
        notes=own.notes[:_MOST_NOTES],
    )


def _point(model: nn.Module, task: Supervised, collection: Collection, scored: int) -> Point | None:
    if scored < FEWEST_SCORED:
        return None
    sealed = task.sealed()
    labelled = len(collection.examples) - len(_without_labels(collection.examples))
    value = score(sealed, model, "validation")
    if collection.kind is Box:
        # The standard error of a mean average precision would take fifty passes of decoding.
        return Point(labels=labelled, score=value)
    error = sealed.standard_error(model, "validation")
    return Point(labels=labelled, score=value, error=error or least_error(value, scored))


def _without_labels(examples: Sequence[Example]) -> list[Example]:
    return [one for one in examples if not one.annotations]


def _unlabelled(collection: Collection) -> list[Example]:
    """A sample of the examples without an answer."""
    found = _without_labels(collection.examples)
    return random.Random(0).sample(found, min(len(found), MOST_LOOKED_AT))


def _with_part_of_the_pool(collection: Collection) -> Collection:
    """A collection of the examples with answers and a sample of the others."""
    sample = {one.name for one in _unlabelled(collection)}
    kept = tuple(one for one in collection.examples if one.annotations or one.name in sample)
    return replace(collection, examples=kept)
