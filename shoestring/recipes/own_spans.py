"""The reader's own texts with marked spans as a task, and a small network that marks them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from shoestring.artifact import HashedWords
from shoestring.core import evaluating, seeded
from shoestring.kit import AdamW, Supervised, Training
from shoestring.kit.corpora.conllu import NO_TAG
from shoestring.label import Annotation, Collection, Example, Span
from shoestring.models import WindowTagger
from shoestring.recipes.held_out import drawn
from shoestring.recipes.own_data import HELD_OUT
from shoestring.tasks import Sentence, tagging

_STEP = HashedWords(
    buckets=(4096, 4096, 512, 128, 512, 2048, 2048, 128, 512, 2048), rules=1
)  # fewer than for a treebank: labels are few, and a network that is small learns in seconds
_OUTSIDE, _BEGINS, _GOES_ON = "O", "B-", "I-"
_PASSES, _LEAST, _MOST = 10, 120, 2000  # of training: passes, and steps at least and at most


@dataclass(frozen=True, kw_only=True)
class OwnSpans:
    """A collection of spans as a task, and what learns it within seconds on one core.

    `task`: the tags of words, B- and I- with the class of a span, and O outside.
    `model`: an untrained network, from ids of words to logits of tags.
    `training`: how the network learns.
    `train`, `validation`: the names of the examples with labels.
    `notes`: what was left out or assumed, a sentence each.
    """

    task: Supervised
    model: nn.Module
    training: Training
    train: tuple[str, ...] = field(repr=False)
    validation: tuple[str, ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    def predict(self, model: nn.Module, texts: Sequence[str]) -> list[Annotation]:
        """What a trained model marks in each text.

        The `score` of an answer is the least probability of a word's tag, 0 to 1: 1 where a text
        has no words.
        """
        chain = self.task.input_chain
        assert chain is not None
        found: list[Annotation] = []
        with evaluating(model), torch.no_grad():
            for text in texts:
                places = places_of(text)
                words = [text[start:end] for start, end in places]
                if not words:
                    found.append(Annotation(score=1.0))
                    continue
                logits = model(torch.from_numpy(_STEP.of_sentences([words])))[0]
                likely, tags = logits.softmax(-1).max(-1)
                names = [chain.labels[tag] for tag in tags.tolist()]
                spans = tuple(spans_of(places, names))
                found.append(Annotation(labels=spans, score=float(likely.min())))
        return found


def own_spans(collection: Collection, *, held_out: float = HELD_OUT, seed: int = 0) -> OwnSpans:
    """The task, the network and its training for texts with spans.

    The task has a test split where the collection says which texts are for testing.

    The last annotation of an example that nobody skipped is its label. Where it is not complete,
    the words outside of its spans are unknown: they are not trained on and not scored.

    `held_out`: the share of labelled texts to validate on, where the collection names none.
    `seed`: of the network's first weights.
    Raises ValueError for a collection of other labels, and for fewer than two texts with labels or
    none with a span.
    """
    if collection.kind is not Span:
        raise ValueError(
            f"the labels are of kind {collection.kind.__name__}: this network marks spans of texts"
        )
    notes = list(collection.notes)
    labelled = _tagged(collection, notes)
    if len(labelled) < 2 or not any(
        tag.startswith(_BEGINS) for _, one in labelled for tag in one.tags
    ):
        raise ValueError(
            f"there are too few labels to learn from ({len(labelled)} texts): label two texts or "
            "more, one with a span in it"
        )
    test = [pair for pair in labelled if pair[0].split == "test"]
    rest = [pair for pair in labelled if pair[0].split != "test"]
    train, validation = _parts(rest, held_out, notes)
    task = tagging(
        [one for _, one in train],
        [one for _, one in validation],
        [one for _, one in test] or None,
        step=_STEP,
        name="own spans",
    )
    assert task.input_chain is not None
    rows = len(task.train[1])
    with seeded(seed):
        model = WindowTagger(
            _STEP.ids, _STEP.kinds, len(task.input_chain.labels), reach=_STEP.reach
        )
    return OwnSpans(
        task=task,
        model=model,
        training=Training(min(max(_PASSES * rows // 16, _LEAST), _MOST), AdamW(8e-3)),
        train=tuple(example.name for example, _ in train),
        validation=tuple(example.name for example, _ in validation),
        notes=tuple(notes),
    )


def _tagged(collection: Collection, notes: list[str]) -> list[tuple[Example, Sentence]]:
    """The labelled texts with the tag of each word; says in `notes` which spans became wider."""
    labelled: list[tuple[Example, Sentence]] = []
    widened = 0
    for example in collection.examples:
        said = [one for one in example.annotations if not one.skipped]
        if example.text is not None and said and (places := places_of(example.text)):
            tags, moved = tags_of(places, said[-1])
            widened += moved
            words = tuple(example.text[start:end] for start, end in places)
            labelled.append((example, Sentence(words=words, tags=tuple(tags))))
    if widened:
        notes.append(
            f"{widened:,} spans do not begin and end where words do: the network learns the words "
            "that they touch"
        )
    return labelled


def _parts(
    labelled: list[tuple[Example, Sentence]], held_out: float, notes: list[str]
) -> tuple[list[tuple[Example, Sentence]], list[tuple[Example, Sentence]]]:
    """What is trained on, and what is validated on; it depends on the names of the examples."""
    held = [pair for pair in labelled if pair[0].split == "validation"]
    rest = [pair for pair in labelled if pair[0].split != "validation"]
    if not held and held_out:
        rest.sort(key=lambda pair: drawn(pair[0].name))
        held = [pair for pair in rest if drawn(pair[0].name) < held_out]
        held = held[: len(rest) - 1] or rest[:1]
        rest = rest[len(held) :]
    if not held:
        notes.append("nothing is held out: validation is on the texts that are learned from")
        held = rest
    return rest, held


def places_of(text: str) -> list[tuple[int, int]]:
    """Where each word of a text begins and ends, in characters; words are those of the file."""
    found, place = [], 0
    for word in _STEP.words_of(text):
        place = text.index(word, place)
        found.append((place, place + len(word)))
        place += len(word)
    return found


def tags_of(places: Sequence[tuple[int, int]], said: Annotation) -> tuple[list[str], int]:
    """The tag of each word, and how many spans had to be widened to whole words.

    A word gets the first span that touches it. Words outside have no tag (`NO_TAG`) where not all
    was marked.
    """
    tags = [_OUTSIDE if said.complete else NO_TAG] * len(places)
    taken = [False] * len(places)
    widened = 0
    for span in (one for one in said.labels if isinstance(one, Span)):
        touched = [
            number
            for number, (start, end) in enumerate(places)
            if start < span.end and span.start < end and not taken[number]
        ]
        if not touched:
            widened += 1
            continue
        widened += (places[touched[0]][0], places[touched[-1]][1]) != (span.start, span.end)
        for number in touched:
            taken[number] = True
            tags[number] = _GOES_ON + span.name
        tags[touched[0]] = _BEGINS + span.name
    return tags, widened


def spans_of(places: Sequence[tuple[int, int]], tags: Sequence[str]) -> Iterator[Span]:
    """The spans that tags of words say; I- after another class or after O begins one, too."""
    start = end = 0
    name = ""
    for (first, last), tag in zip(places, tags, strict=True):
        goes_on = tag == _GOES_ON + name and name
        if not goes_on and name:
            yield Span(start=start, end=end, name=name)
            name = ""
        if not goes_on and tag != _OUTSIDE:
            start, name = first, tag[len(_BEGINS) :]
        end = last
    if name:
        yield Span(start=start, end=end, name=name)


def span_f1(wanted: Sequence[Annotation], found: Sequence[Annotation]) -> float:
    """The F1 of spans, 0 to 1: one is right where its ends and its class are; 1 for none at all."""
    right = count = 0
    for ours, theirs in zip(wanted, found, strict=True):
        one, other = set(ours.labels), set(theirs.labels)
        right += len(one & other)
        count += len(one) + len(other)
    return 2 * right / count if count else 1.0
