"""Debug the reader's own data with a model: wrong labels, and what else is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from shoestring.kit import Training, resuming
from shoestring.label import Choice, Collection, Example
from shoestring.label.audit.annotators import Annotators, dawid_skene
from shoestring.label.audit.balance import ClassCount, GroupRate, balance, group_rates
from shoestring.label.audit.chance import Agreement, agreement
from shoestring.label.audit.confident import LabelError, label_errors
from shoestring.label.audit.fit import Fit, underfit_or_contradiction
from shoestring.label.audit.influence import Influence, influence
from shoestring.label.audit.near import Contradiction, Leak, Near, contradictions, leaks, near
from shoestring.label.audit.out_of_sample import OutOfSample, out_of_sample
from shoestring.label.audit.outliers import Outlier, outliers
from shoestring.label.audit.slices import (
    FailingSlice,
    Slice,
    cluster_slices,
    failing_slices,
    field_slices,
    quarters,
)
from shoestring.label.collect.answer import digest
from shoestring.recipes.audit_features import seen_alone
from shoestring.recipes.own_data import OwnData, chosen, own_data

MOST = 5_000
"""So many examples are looked at where there are more."""
FOLDS, FIRST_FOLDS, FIRST_STEPS = 5, 2, 100
_EQUAL = "all examples are equal: there is nothing that a network could tell apart"
SHARE = 0.6
"""Of the minutes, so much is for the cross-validation; the rest is for what needs its answer."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Audit:
    """What is wrong with a collection, as far as is known.

    `examples`: the names of those that were looked at, N; an index below is a place in it.
    `names`: of the classes; `labels`: of each example, N.
    `is_last`: False for a first answer, after a short training.
    `accuracy`: how often the models agree with the given label out of sample, 0 to 1; NaN where no
        model was asked.
    `errors`: the labels that are probably wrong, the least credible first; none where the models
        agree with the labels no better than by chance.
    `near`, `contradictions`, `leaks`, `outliers`, `slices`, `balance`: see there.
    `groups`: the rates of each group of the attribute; () without one.
    `annotators`, `people`: their quality, and the names of the columns; None for fewer than two.
    `influence`, `fit`: None where they were not measured; `notes` says why.
    `notes`: what was left out, sampled or assumed, a sentence each.
    `texts`: of each example; () for pictures and rows.
    `digests`: of the values of each row, to tell whether it is still what was judged; else "".
    `agreement`: of the models with the labels, beside chance, over examples that are no near copies
        of each other; None where no model was asked.
    """

    examples: tuple[str, ...] = field(repr=False)
    names: tuple[str, ...]
    labels: np.ndarray = field(repr=False)
    is_last: bool
    accuracy: float
    errors: tuple[LabelError, ...]
    near: Near
    contradictions: tuple[Contradiction, ...]
    leaks: tuple[Leak, ...]
    outliers: tuple[Outlier, ...]
    slices: tuple[FailingSlice, ...]
    balance: tuple[ClassCount, ...]
    groups: tuple[GroupRate, ...] = ()
    annotators: Annotators | None = None
    people: tuple[str, ...] = ()
    influence: Influence | None = None
    fit: Fit | None = None
    notes: tuple[str, ...] = ()
    texts: tuple[str, ...] = field(default=(), repr=False)
    digests: tuple[str, ...] = field(default=(), repr=False)
    agreement: Agreement | None = None


def audit(
    collection: Collection,
    *,
    attribute: str = "",
    minutes: float = 10.0,
    most: int = MOST,
    seed: int = 0,
    folder: str | Path | None = None,
) -> Audit:
    """The last of `audits`."""
    *_, last = audits(
        collection, attribute=attribute, minutes=minutes, most=most, seed=seed, folder=folder
    )
    return last


def audits(
    collection: Collection,
    *,
    attribute: str = "",
    minutes: float = 10.0,
    most: int = MOST,
    seed: int = 0,
    folder: str | Path | None = None,
) -> Iterator[Audit]:
    """A first answer within seconds, then the better one: what is wrong with a collection.

    All labelled examples are judged by networks that did not see them, whichever split they are in.
    Where all are equal, the only answer is what is seen without a network, such as contradictions.

    `collection`: of texts, pictures or rows with classes.
    `attribute`: a field whose groups are compared; "" for none.
    `minutes`: about how long it may take, above 0.
    `most`: examples that are looked at, drawn at random where there are more; 20 or more.
    `folder`: where snapshots of trainings are kept, so that a killed audit goes on; None: nowhere.

    Raises ValueError for labels that are no classes, for fewer than two classes, for an attribute
    that no example has, and for numbers out of range.
    """
    if not minutes > 0 or most < 20:
        raise ValueError(f"minutes is {minutes} and most {most}: give above 0, and 20 or more")
    began = monotonic()
    data = _looked_at(collection, attribute, most, seed)
    own, groups = data.own, data.together
    short = replace(own.training, steps=min(FIRST_STEPS, own.training.steps))
    if (kinds := len(np.unique(groups))) < 2:
        yield replace(data.seen, is_last=True, notes=(*data.seen.notes, _EQUAL))
        return
    timed = monotonic()
    folds = min(FIRST_FOLDS, kinds)
    asked: dict[str, Any] = {"groups": groups, "seed": seed, "names": own.names}
    early = out_of_sample(own.model, own.task, short, folds, **asked)
    per_step = (monotonic() - timed) / (short.steps * folds)
    yield (first := _judged(data, early))
    notes = list(data.seen.notes)
    with resuming(folder) if folder is not None else nullcontext():
        long = _fitting(own, per_step, minutes, notes)
        told = out_of_sample(own.model, own.task, long, min(FOLDS, kinds), **asked)
        best = _judged(data, told)
        if best.accuracy < first.accuracy:
            best = first
            notes.append("the first answer stays: the longer training was no better out of sample")

        def is_time_for(trainings: int) -> bool:
            return minutes * 60 - (monotonic() - began) > trainings * long.steps * per_step

        if best.errors and is_time_for(FOLDS + 9):
            best = replace(best, influence=_influence(data, long, seed, notes))
        elif best.errors:
            notes.append("what the wrong labels cost was not measured: it wants more minutes")
        if best.contradictions and is_time_for(5):
            fit = underfit_or_contradiction(own.model, own.task, long, groups, seed=seed)
            best = replace(best, fit=fit)
        elif best.contradictions:
            notes.append("whether the fit is too short was not measured: it wants more minutes")
    yield replace(best, is_last=True, notes=tuple(dict.fromkeys([*notes, *best.notes])))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Data:
    """The examples that are judged, and what is seen without a model."""

    own: OwnData
    used: Collection
    seen: Audit
    parts: tuple[Slice, ...]
    groups: tuple[str, ...]  # of each example its value of the attribute; () without one
    together: np.ndarray  # examples of one number are in one fold


def _looked_at(collection: Collection, attribute: str, most: int, seed: int) -> _Data:
    """What can be seen without a model."""
    if collection.kind is not Choice:
        raise ValueError(
            f"the labels are of kind {collection.kind.__name__}, and an audit is of classes: of "
            "words with tags, give their probabilities to shoestring.label.audit.tag_errors; "
            "boxes are not audited"
        )
    notes = list(collection.notes)
    used = _used(collection, most, seed, notes)
    own = own_data(replace(used, notes=()), held_out=0)
    notes += [note for note in own.notes if not note.startswith("nothing is held out")]
    by_name = {example.name: example for example in used.examples}
    examples = [by_name[name] for name in own.examples]
    splits = {example.name: example.split or "train" for example in collection.examples}
    values = _grouped(examples, attribute) if attribute else ()
    found, features = seen_alone(examples)
    labels = np.asarray(own.task.labels(own.task.known()))
    notes += found.notes
    together = _together(found, notes)
    people, votes = _votes(examples, own.names)
    seen = Audit(
        examples=own.examples,
        names=own.names,
        labels=labels,
        is_last=False,
        accuracy=float("nan"),
        errors=(),
        near=found,
        contradictions=contradictions(found, labels),
        leaks=leaks(found, [splits[name] for name in own.examples]),
        outliers=outliers(features).rows if len(features) >= 3 else (),
        slices=(),
        balance=balance(labels, own.names),
        annotators=dawid_skene(votes, len(own.names)) if len(people) > 1 else None,
        people=people,
        notes=tuple(notes),
        texts=tuple(one.text or "" for one in examples) if examples[0].text is not None else (),
        digests=tuple("" if one.text is not None else digest(one) for one in examples),
    )
    parts = _slices(examples, features, seed)
    return _Data(own=own, used=used, seen=seen, parts=parts, groups=values, together=together)


def _together(found: Near, notes: list[str]) -> np.ndarray:
    """Of each example a number; those of one number are in one fold: near duplicates."""
    groups = found.groups
    if np.bincount(groups).max() > max(len(groups) // FOLDS, 2):
        exact = [pair for pair in found.rows if pair.exact]
        groups = near(len(groups), exact).groups
        notes.append(
            "more than a fifth of the examples are nearly the same as others, in one chain: only "
            "equal ones were held out together, so that a near copy may defend a wrong label"
        )
    return groups


def _grouped(examples: Sequence[Example], attribute: str) -> tuple[str, ...]:
    """Of each example its value of the attribute; of many numbers the quarter it is in."""
    values = [example.fields.get(attribute, "") for example in examples]
    kinds = set(values) - {""}
    if not kinds:
        known = sorted({name for example in examples for name in example.fields})
        raise ValueError(
            f"no example has the field {attribute!r}: the fields are {', '.join(known) or 'none'}"
        )
    if len(kinds) == 1:
        raise ValueError(
            f"the field {attribute!r} is {kinds.pop()!r} in all examples: give another"
        )
    parts = field_slices({attribute: values})
    if not parts:
        raise ValueError(
            f"the field {attribute!r} has {len(kinds):,} different values, which are no numbers: "
            "give one whose values are groups"
        )
    groups = [""] * len(values)
    for part in parts:
        for place in np.flatnonzero(part.held).tolist():
            groups[place] = part.name.removeprefix(f"{attribute} is ") if values[place] else ""
    return tuple(groups)


def _used(collection: Collection, most: int, seed: int, notes: list[str]) -> Collection:
    """The labelled examples, in no split, drawn at random where there are too many."""
    if collection.kind is not Choice:
        raise ValueError(
            f"the labels are of kind {collection.kind.__name__}: an audit wants one class for each "
            "example; for tags of tokens see shoestring.label.audit.tag_errors"
        )
    labelled = [one for one in collection.examples if chosen(one, []) is not None]
    if collection.examples and not labelled:
        raise ValueError(
            f"none of the {len(collection.examples):,} examples has a label to audit: name the "
            "column of a table with --label, or label some first (shoestring label)"
        )
    if without := len(collection.examples) - len(labelled):
        notes.append(f"{without:,} examples have no label and are not judged")
    if len(labelled) > most:
        notes.append(f"{most:,} of {len(labelled):,} examples were drawn at random and looked at")
        kept = np.random.default_rng(seed).permutation(len(labelled))[:most]
        labelled = [labelled[place] for place in sorted(kept.tolist())]
    return replace(collection, examples=tuple(replace(one, split="") for one in labelled))


def _slices(examples: Sequence[Example], features: np.ndarray, seed: int) -> tuple[Slice, ...]:
    """Parts of the examples by their fields, their lengths and clusters of what they look like."""
    fields = {
        name: [example.fields.get(name, "") for example in examples]
        for name in dict.fromkeys(name for example in examples for name in example.fields)
    }
    parts = [*field_slices(fields)]
    if examples[0].text is not None:
        parts += quarters("length in characters", [len(one.text or "") for one in examples])
    clusters = cluster_slices(features, seed=seed)
    names = [f"like {examples[int(one.name.rpartition(' ')[2])].name}" for one in clusters]
    return (*parts, *(replace(c, name=name) for c, name in zip(clusters, names, strict=True)))


def _votes(examples: Sequence[Example], names: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """The annotators that said who they are, and what each said of each example, N×A."""
    people = tuple(sorted({one.by for example in examples for one in example.annotations} - {""}))
    place = {name: index for index, name in enumerate(people)}
    number = {name: index for index, name in enumerate(names)}
    votes = np.full((len(examples), len(people)), -1)
    for row, example in enumerate(examples):
        for one in example.annotations:
            own = [label.name for label in one.labels if isinstance(label, Choice)]
            if one.by and own and not one.skipped:
                votes[row, place[one.by]] = number.get(own[0], -1)
    return people, votes


def _judged(data: _Data, told: OutOfSample) -> Audit:
    """What a model says of each label that it did not see."""
    predicted = told.probabilities.argmax(1)
    wrong = predicted != told.labels
    rows, slices = _errors(told), failing_slices(wrong, data.parts)
    alone = np.unique(data.together, return_index=True)[1]  # copies agree together
    agreed = agreement(predicted[alone], told.labels[alone])
    notes = [*data.seen.notes, *told.notes]
    if agreed.is_by_chance:
        rows, slices = (), ()
        notes.append(_by_chance(agreed))
    groups: tuple[GroupRate, ...] = ()
    if data.groups:
        groups = group_rates(predicted, told.labels, data.groups, data.seen.names)
    return replace(
        data.seen,
        accuracy=float(1 - wrong.mean()),
        errors=rows,
        slices=slices,
        groups=groups,
        notes=tuple(notes),
        agreement=agreed,
    )


def _by_chance(agreed: Agreement) -> str:
    return (
        f"the models know no more of the labels than chance: they agree with "
        f"{100 * agreed.value:.1f} % of them, and predictions that know nothing agree with "
        f"{100 * agreed.expected:.1f} %. So no label is called wrong, and no slice: either the "
        "labels are random, or these networks cannot learn what they mean from so few examples"
    )


def _errors(told: OutOfSample) -> tuple[LabelError, ...]:
    """The labels that are probably wrong, of those of which something can be said."""
    judged = np.flatnonzero(told.told)
    if not len(judged):
        return ()
    found = label_errors(told.probabilities[judged], told.labels[judged])
    return tuple(replace(row, index=int(judged[row.index])) for row in found.rows)


def _fitting(own: OwnData, per_step: float, minutes: float, notes: list[str]) -> Training:
    """The training, shortened where the cross-validation would not end in time."""
    allowed = int(SHARE * minutes * 60 / (FOLDS * per_step))
    if allowed >= own.training.steps:
        return own.training
    steps = own.training.steps
    while steps > max(allowed, FIRST_STEPS):
        steps = steps * 4 // 5  # in such steps, so that a run that goes on after a kill agrees
    notes.append(
        f"each network learned for {steps:,} of {own.training.steps:,} steps, to end within about "
        f"{minutes:g} minutes: with more minutes the answer is surer"
    )
    return replace(own.training, steps=steps)


def _influence(data: _Data, training: Training, seed: int, notes: list[str]) -> Influence | None:
    """What leaving wrong labels out does to the score on held-out examples.

    The wrong labels are found anew, by networks that never saw the held-out examples. Suspects that
    were found with these are what contradicts them, so that leaving them out would look like a gain
    even where labels are noise.

    None where nothing can be said; `notes` gets a sentence.
    """
    held = own_data(replace(data.used, notes=()), seed=seed)
    known = np.asarray(held.task.known())
    number = dict(zip(data.own.examples, data.together.tolist(), strict=True))
    groups = np.array([number[held.examples[index]] for index in known])
    kinds = len(np.unique(groups))
    suspects = []
    if kinds > 1:
        told = out_of_sample(
            held.model, held.task, training, min(FOLDS, kinds), groups=groups, seed=seed
        )
        suspects = told.indices[[row.index for row in _errors(told)]][: len(known) // 2]
    if not len(suspects):
        notes.append(
            "what the wrong labels cost was not measured: among the examples that are left when "
            "some are held out to validate on, no label is probably wrong"
        )
        return None
    return influence(held.model, held.task, training, suspects)
