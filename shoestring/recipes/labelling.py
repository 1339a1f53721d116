"""What learns beside the labelling page, and what writes the file at the end."""

from __future__ import annotations

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
from shoestring.kit import Supervised, train
from shoestring.label import Annotation, Box, Choice, Collection, Example, Span
from shoestring.label.collect import Learned, Point, Suggestion
from shoestring.label.collect.background import Deliver, Learn
from shoestring.plan import compress
from shoestring.recipes.own_data import OwnData, own_data
from shoestring.recipes.own_spans import own_spans

MOST_LOOKED_AT = 2000
"""Examples without a label among which a model chooses: a sample of them where there are more."""
MOST_SUGGESTED = 500
FEWEST_SCORED = 5
"""Examples that a score is of, at least."""
MINUTES = 1.0
"""Of the search for the smallest file at the end."""
_BY = "the model"


def learner(collection: Collection) -> tuple[Learn | None, str]:
    """What learns from the labels of a collection, and a sentence where nothing does."""
    if collection.kind is Box:
        return None, "no model draws boxes here: the order is random, and every box is yours"
    if collection.kind is Span:
        return learn_spans, ""
    if any(one.picture is not None for one in collection.examples):
        try:
            import PIL  # noqa: F401
        except ModuleNotFoundError:
            return None, str(missing("PIL", extra="images", what="no model learns from pictures"))
    return learn_choices, ""


def learn_choices(collection: Collection, curve: Sequence[Point]) -> Learned:
    """Train on the classes so far; the examples of which it is least sure come first.

    Raises ValueError where there are too few labels.
    """
    torch.set_num_threads(1)
    own = own_data(_with_part_of_the_pool(collection))
    model = _trained(own.model, own.task, own.training)
    point = _point(model, own.task, collection, len(own.validation))
    return Learned(suggestions=_least_sure(model, own), point=point, notes=_notes(own.notes))


def _least_sure(model: nn.Module, own: OwnData) -> tuple[Suggestion, ...]:
    """Suggestions for the pool, the least sure first.

    Source: least confident, Lewis & Gale 1994.
    """
    pool = own.task.pool()
    if not len(pool):
        return ()
    outputs = own.task.outputs(model, own.task.inputs(pool))
    likely, classes = outputs.float().softmax(-1).max(-1)
    suggestions: list[Suggestion] = []
    for at in likely.argsort()[:MOST_SUGGESTED].tolist():
        said = Annotation(
            labels=(Choice(name=own.names[int(classes[at])]),), by=_BY, score=float(likely[at])
        )
        suggestions.append(Suggestion(name=own.examples[int(pool[at])], prediction=said))
    return tuple(suggestions)


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
    return Learned(
        suggestions=tuple(
            Suggestion(name=one.name, prediction=found) for one, found in pairs[:MOST_SUGGESTED]
        ),
        point=_point(model, own.task, collection, len(own.validation)),
        notes=_notes(own.notes),
    )


def deliverer(collection: Collection) -> Deliver | None:
    """What trains a model at the end and writes its file; None where nothing does."""
    return None if collection.kind is Box else deliver


def deliver(collection: Collection, path: Path) -> str:
    """Train on all labels, search for the smallest file that loses nothing, and write it.

    Returns a sentence with the score on what was held out. Raises ValueError for too few labels.
    """
    torch.set_num_threads(1)
    own: Any = own_spans(collection) if collection.kind is Span else own_data(collection)
    model = _trained(own.model, own.task, own.training)
    compress(model, own.task, "", path, minutes=MINUTES)
    held = len(own.validation)
    value = 100 * score(own.task, load(path), "validation")
    return (
        f"{path} has {path.stat().st_size:,} bytes and answers {value:.1f} % right of "
        f"{'the words of ' if collection.kind is Span else ''}{held:,} examples that it did not "
        "learn from"
    )


def _trained(model: nn.Module, task: Supervised, training: Any) -> nn.Module:
    with seeded(0):
        return train(model, task.sealed(), training)


def _point(model: nn.Module, task: Supervised, collection: Collection, scored: int) -> Point | None:
    if scored < FEWEST_SCORED:
        return None
    sealed = task.sealed()
    labelled = len(collection.examples) - len(_without_labels(collection.examples))
    error = sealed.standard_error(model, "validation")
    return Point(labels=labelled, score=score(sealed, model, "validation"), error=error)


def _notes(notes: Sequence[str]) -> tuple[str, ...]:
    return tuple(notes)[:20]


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
