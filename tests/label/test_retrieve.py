"""The part of a heap that is worth looking at: texts by a query, frames by their tags."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from shoestring.label import Choice, Collection, Example
from shoestring.label.retrieve import (
    FrameIndex,
    Segment,
    TextIndex,
    best_part,
    found_at,
    frame_index,
    least_for,
)

TEXTS = [
    "The delivery was late, and the parcel was wet.",
    "Great taste, and it came in time.",
    "Late again! Late, late, late.",
    "",
]


def heap() -> Collection:
    examples = tuple(Example(name=str(at), text=text) for at, text in enumerate(TEXTS))
    return Collection(examples=examples, kind=Choice)


def test_texts_that_answer_a_query_come_first():
    pytest.importorskip("bm25s")
    index = TextIndex(TEXTS)
    scores = index.scores("late parcel")
    assert scores.argmax() == 0 and scores[2] > scores[1] == scores[3] == 0
    assert not index.scores("zebra").any() and index.unknown("late zebra") == ("zebra",)
    best = best_part(heap(), scores, 0.5)
    assert [one.name for one in best.examples] == ["0", "2"]
    assert best.examples[0].priority == pytest.approx(float(scores[0]))
    assert best.notes == ("The 2 of 4 examples with the highest scores, by their score.",)
    with pytest.raises(ValueError, match="none of 2 texts has a word that counts"):
        TextIndex(["", "the"])


def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(ModuleNotFoundError, match=r"A search in texts: .*extra `retrieve`"):
        TextIndex(TEXTS)


def test_how_much_is_found():
    relevant = [True, False, True, False]
    assert found_at([4, 3, 2, 1], relevant, (0, 0.25, 0.5, 0.75, 1)) == (0, 0.5, 0.5, 1, 1)
    # All alike: half of the examples have half of what is relevant.
    assert found_at([0, 0, 0, 0], relevant, (0.25, 0.5)) == (0.25, 0.5)
    assert best_part(heap(), [0, 0, 0, 0], 0.01).examples[0].name == "0"
    for scores, share, says in (
        ([1, 2], 0.5, "shape"),
        ([1, 2, 3, np.nan], 0.5, "example 3 is NaN"),
        ([1, 2, 3, 4], 0, "share is 0"),
    ):
        with pytest.raises(ValueError, match=says):
            best_part(heap(), scores, share)
    with pytest.raises(ValueError, match="nothing is relevant"):
        found_at([1, 2], [False, False], (0.5,))


def test_segments_of_a_video():
    is_cat = np.array([0, 0.9, 0.2, 0.8, 0, 0, 0, 0.7, 0, 0])
    index = FrameIndex(probabilities=np.stack([is_cat, 1 - is_cat], 1), names=("cat", "none"))
    assert index.segments("cat", 0.5) == [
        Segment(start=1, end=2, score=0.9),
        Segment(start=3, end=4, score=0.8),
        Segment(start=7, end=8, score=0.7),
    ]
    joined = index.segments("cat", 0.5, gap=1, around=1)
    assert joined == [Segment(start=0, end=9, score=0.9)]
    assert index.segments("cat", 0.5, gap=1)[0] == Segment(start=1, end=4, score=0.9)
    assert index.looked_at(index.segments("cat", 0.5)).sum() == 3
    assert index.segments("cat", 0.95) == []
    with pytest.raises(ValueError, match="no tag 'dog': there are cat, none"):
        index.segments("dog", 0.5)
    with pytest.raises(ValueError, match="do not sum to 1"):
        FrameIndex(probabilities=np.ones((2, 2)), names=("a", "b"))


def test_an_index_is_made_by_a_network():
    frames = torch.eye(3)[[0, 1, 2, 1]] * 20
    index = frame_index(lambda part: part, frames, ("a", "b", "c"), batch=3)
    assert index.probabilities.argmax(1).tolist() == [0, 1, 2, 1]
    with pytest.raises(ValueError, match="there are no frames"):
        frame_index(lambda part: part, frames[:0], ("a", "b", "c"))
    with pytest.raises(ValueError, match="gives NaN for a frame from 0 on"):
        frame_index(lambda part: part * np.nan, frames, ("a", "b", "c"))


def test_the_threshold_that_finds_enough():
    scores, relevant = [0.9, 0.8, 0.3, 0.2, 0.1], [True, False, True, True, False]
    assert [least_for(scores, relevant, one) for one in (0.3, 0.5, 0.67, 1)] == [0.9, 0.3, 0.2, 0.2]
    with pytest.raises(ValueError, match="0 frames are relevant"):
        least_for(scores, [False] * 5, 0.9)
