"""The reader's own texts with marked spans become a task, and a network marks them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shoestring import kit
from shoestring.artifact import load
from shoestring.core import seeded
from shoestring.kit.corpora.conllu import NO_TAG
from shoestring.label import Annotation, Choice, Collection, Example, Span
from shoestring.recipes.own_spans import own_spans, places_of, span_f1, spans_of, tags_of

TOWNS = ["Ulm", "New York", "Bonn", "San José", "Oslo"]


def towns(count: int = 60, *, complete: bool = True) -> Collection:
    draw, examples = np.random.default_rng(0), []
    for number in range(count):
        town = str(draw.choice(TOWNS))
        before = str(draw.choice(["I live in ", "We went to ", "She's from "]))
        text = f"{before}{town} 🙂 today."
        span = Span(start=len(before), end=len(before) + len(town), name="town")
        said = Annotation(labels=(span,), complete=complete)
        examples.append(Example(name=str(number), text=text, annotations=(said,)))
    return Collection(examples=tuple(examples), kind=Span, names=("town",))


def test_spans_are_learned_and_the_file_tags_texts(tmp_path: Path):
    collection = towns()
    own = own_spans(collection)
    assert not set(own.train) & set(own.validation)
    with seeded(0):
        kit.train(own.model, own.task, own.training)
    held = [one for one in collection.examples if one.name in own.validation]
    found = own.predict(own.model, [one.text or "" for one in held])
    assert span_f1([one.annotations[0] for one in held], found) > 0.95
    assert all(one.score is not None and 0 < one.score <= 1 for one in found)
    kit.save(own.model, own.task, tmp_path / "own.shoe")
    (tagged,) = load(tmp_path / "own.shoe")(["I live in Ulm now."])
    assert ("Ulm", "B-town") in tagged


def test_places_are_characters_and_words_of_the_file():
    text = "👍🏽 don't go  to São Paulo"
    assert [text[start:end] for start, end in places_of(text)][-4:] == ["go", "to", "São", "Paulo"]


def test_tags_and_spans_are_each_others_way_back():
    places = [(0, 1), (2, 3), (4, 5), (6, 7)]
    spans = (Span(start=0, end=3, name="a"), Span(start=4, end=5, name="a"))
    tags, widened = tags_of(places, Annotation(labels=spans))
    assert tags == ["B-a", "I-a", "B-a", "O"] and widened == 0
    assert tuple(spans_of(places, tags)) == spans
    assert [*spans_of(places, ["I-a", "I-b", "O", "I-b"])] == [
        Span(start=0, end=1, name="a"),
        Span(start=2, end=3, name="b"),
        Span(start=6, end=7, name="b"),
    ]


def test_a_span_inside_a_word_is_widened_and_told():
    tags, widened = tags_of([(0, 5), (6, 9)], Annotation(labels=(Span(start=1, end=3, name="a"),)))
    assert tags == ["B-a", "O"] and widened == 1


def test_what_is_not_complete_is_unknown_outside():
    said = Annotation(labels=(Span(start=0, end=1, name="a"),), complete=False)
    assert tags_of([(0, 1), (2, 3)], said)[0] == ["B-a", NO_TAG]
    own = own_spans(towns(complete=False))
    assert own.task.input_chain is not None
    assert "O" not in own.task.input_chain.labels


def test_texts_for_testing_are_the_test_split():
    whole = towns(30)
    first, *others = whole.examples
    own = own_spans(replace(whole, examples=(replace(first, split="test"), *others)))
    assert own.task.has_test and not own_spans(whole).task.has_test
    assert first.name not in {*own.train, *own.validation}
    assert len({*own.train, *own.validation}) == 29


def test_f1_by_hand():
    a, b = Span(start=0, end=1, name="a"), Span(start=0, end=2, name="a")
    assert span_f1([Annotation(labels=(a, b))], [Annotation(labels=(a,))]) == pytest.approx(2 / 3)
    assert span_f1([Annotation()], [Annotation()]) == 1.0


@pytest.mark.parametrize(
    ("collection", "says"),
    [
        (Collection(examples=(), kind=Choice), "of kind Choice"),
        (towns(1), r"too few labels to learn from \(1 texts\)"),
        (
            Collection(
                examples=tuple(
                    Example(name=str(n), text="a b", annotations=(Annotation(),)) for n in range(3)
                ),
                kind=Span,
            ),
            "one with a span in it",
        ),
    ],
    ids=["choices", "one text", "no span"],
)
def test_what_cannot_be_learned_from_is_told(collection: Collection, says: str):
    with pytest.raises(ValueError, match=says):
        own_spans(collection)
