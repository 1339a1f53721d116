"""The reader's own collection as a task with a pool, and a network that learns it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.kit import AdamW, Supervised, Training
from shoestring.label import Choice, Collection, Example
from shoestring.label.majority import most_said
from shoestring.recipes.held_out import drawn
from shoestring.recipes.own_inputs import Inputs, inputs_of

HELD_OUT = 0.2
"""The share of the labelled examples that is held out to validate on."""
_BATCH = 32
_PASSES, _LEAST, _MOST = 15, 150, 1500  # of training: passes, and steps at least and at most


@dataclass(frozen=True, kw_only=True)
class OwnData:
    """A collection as a task, and what learns it within seconds to minutes on one core.

    `task`: its pool has the examples without a label, and its "train" split those with one. It has
        a test split where the collection says which examples are for testing.
    `model`: an untrained network, from a batch of the task to logits N×classes.
    `training`: how the network learns from the labels that there are now.
    `names`: the class of each output, C.
    `examples`: the name of the example at each index of the task: first the pool's.
    `validation`: the names of the examples that are validated on, in their order.
    `notes`: what was left out or assumed, a sentence each.
    """

    task: Supervised
    model: nn.Module
    training: Training
    names: tuple[str, ...]
    examples: tuple[str, ...] = field(repr=False)
    validation: tuple[str, ...] = field(repr=False)
    notes: tuple[str, ...] = ()


def own_data(collection: Collection, *, held_out: float = HELD_OUT, seed: int = 0) -> OwnData:
    """The task, the network and its training for texts, pictures or rows with classes.

    The label of an example is what most people said of it, and the last of these where it is a tie.
    Examples that were skipped by all have none and are not in the pool.

    `held_out`: the share of labelled examples to validate on, where the collection names none; 0:
        validation is on the training examples, which a note says. Which examples are held out
        depends on their names, so that it stays as it is while labels come in.
    `seed`: of the network's first weights.
    Raises ValueError for a collection of boxes or spans, and where fewer than two classes, or one
    example only of each class, have labels.
    """
    if collection.kind is not Choice:
        raise ValueError(
            f"the labels are of kind {collection.kind.__name__}: this network gives an example one "
            "class, so give a collection of Choice labels"
        )
    if not 0 <= held_out < 1:
        raise ValueError(f"held_out is {held_out}: give a share from 0 to below 1")
    given = inputs_of(collection.examples)
    notes = [*collection.notes, *given.notes]
    labels = [chosen(example, notes) for example in given.examples]
    names = _names(collection, labels)
    parts = _parts(given.examples, labels, held_out, notes)
    if len({labels[place] for place in parts.train}) < 2:
        counts = Counter(label for label in labels if label is not None)
        found = ", ".join(f"{count} {name!r}" for name, count in counts.items()) or "none"
        raise ValueError(
            f"there are too few labels to learn from ({found}): label two examples or more of each "
            "of two classes"
        )
    given = given.fitted(parts.train)
    task = _task(given, labels, names, parts)
    steps = min(max(_PASSES * len(parts.train) // _BATCH, _LEAST), _MOST)
    with seeded(seed):
        model = given.network(len(names))
    return OwnData(
        task=task,
        model=model,
        training=Training(steps, AdamW(given.learning_rate)),
        names=names,
        examples=tuple(given.examples[place].name for place in (*parts.pool, *parts.train)),
        validation=tuple(given.examples[place].name for place in parts.validation),
        notes=tuple(dict.fromkeys(notes)),
    )


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """The places of the examples of each part."""

    pool: list[int]
    train: list[int]
    validation: list[int]
    test: list[int]


def chosen(example: Example, notes: list[str]) -> str | None:
    """The class that most people gave an example; None where nobody did.

    `notes`: gets a sentence where an example has several classes at once.
    """
    votes: list[str] = []
    for annotation in example.annotations:
        own = [label.name for label in annotation.labels if isinstance(label, Choice)]
        if len(own) > 1:
            notes.append(
                f"{example.name} has several classes at once ({', '.join(own[:3])}): the first one "
                "counts, as this network gives an example one class"
            )
        if own and not annotation.skipped:
            votes.append(own[0])
    return most_said(votes) if votes else None


def _names(collection: Collection, labels: Sequence[str | None]) -> tuple[str, ...]:
    """The classes that have labels or are named, in the collection's order and then by name."""
    found = sorted({label for label in labels if label is not None} - set(collection.names))
    return (*collection.names, *found)


def _parts(
    examples: Sequence[Example], labels: Sequence[str | None], held_out: float, notes: list[str]
) -> _Parts:
    said = {split: set[int]() for split in ("validation", "test")}
    pool: list[int] = []
    rest: dict[str, list[int]] = {}
    for place, (example, label) in enumerate(zip(examples, labels, strict=True)):
        if label is None:
            skipped = bool(example.annotations) and all(one.skipped for one in example.annotations)
            if example.split not in said and not skipped:
                pool.append(place)
        elif example.split in said:
            said[example.split].add(place)
        else:
            rest.setdefault(label, []).append(place)
    validation = sorted(said["validation"])
    if not validation and held_out:
        for places in rest.values():
            places.sort(key=lambda place: drawn(examples[place].name))
            own = [place for place in places if drawn(examples[place].name) < held_out]
            validation += own[: len(places) - 1]
        if not validation and any(len(places) > 1 for places in rest.values()):
            validation = [max(rest.values(), key=len)[0]]
    train = sorted({place for places in rest.values() for place in places} - set(validation))
    if not validation:
        notes.append(
            "nothing is held out: validation is on the examples that the network learns from"
        )
        validation = train
    return _Parts(pool=pool, train=train, validation=sorted(validation), test=sorted(said["test"]))


def _task(
    given: Inputs, labels: Sequence[str | None], names: tuple[str, ...], parts: _Parts
) -> Supervised:
    number = {name: place for place, name in enumerate(names)}

    def inputs(places: list[int]) -> Tensor | tuple[Tensor, ...]:
        first, *others = (one[places] for one in given.tensors)
        return (first, *others) if others else first

    def split(places: list[int]) -> tuple[Tensor | tuple[Tensor, ...], Tensor]:
        targets = [number[label] for place in places if (label := labels[place]) is not None]
        return inputs(places), torch.tensor(targets)

    return Supervised(
        train=split(parts.train),
        validation=split(parts.validation),
        test=split(parts.test) if parts.test else None,
        unlabelled=inputs(parts.pool) if parts.pool else None,
        name="own data",
        batch_size=_BATCH,
        axes={1: "T"} if given.varies else {},
        augment=given.augment,
        input_chain=given.chain(names) if given.chain is not None else None,
    )
