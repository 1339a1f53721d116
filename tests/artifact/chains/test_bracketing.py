"""Orders by brackets, against a slow obvious reference, and files that put words in order."""

from __future__ import annotations

import json

import numpy as np
import pytest
from features_back import features_back

from shoestring.artifact import BracketedWords, InputChain, ShoeError, load
from shoestring.artifact.chains.bracketing import SLOTS, TURNS, Decisions, Spans, ordered
from shoestring.artifact.chains.input_chain import input_chain_of
from shoestring.artifact.format.file import pack

STEP = BracketedWords(units=2)


def slow_score(given_P2SU: np.ndarray, begin, stop, first, cut, end, turn: int) -> float:
    """The score of one cut, a slot and a unit at a time."""
    mean = np.zeros(given_P2SU.shape[-1])
    places = [first - 1, first, cut - 1, cut, end - 1, end]
    for slot, place in enumerate(places):
        if begin <= place < stop:
            mean = mean + given_P2SU[place, turn, slot]
    mean = mean + np.mean([given_P2SU[p, turn, 6] for p in range(first, cut)], axis=0)
    mean = mean + np.mean([given_P2SU[p, turn, 7] for p in range(cut, end)], axis=0)
    half = len(mean) // 2
    return sum(max(one, 0) * (1 if at < half else -1) for at, one in enumerate(mean))


def slow_order(given, begin, stop, first, end) -> list[int]:
    if end - first == 1:
        return [first]
    options = [
        (slow_score(given, begin, stop, first, cut, end, turn), -cut, -turn)
        for cut in range(first + 1, end)
        for turn in (0, 1)
    ]
    _, cut, turn = max(options)
    left = slow_order(given, begin, stop, first, -cut)
    right = slow_order(given, begin, stop, -cut, end)
    return right + left if turn else left + right


def test_sentences_together_are_ordered_as_each_alone_by_the_reference() -> None:
    draw = np.random.default_rng(0)
    lengths = np.array([5, 1, 0, 9, 2, 14])
    given = draw.standard_normal((lengths.sum(), len(TURNS) * SLOTS * 6)).astype(np.float32)
    found = ordered(lengths, Decisions(given).best).tolist()
    wide = given.reshape(-1, len(TURNS), SLOTS, 6).astype(np.float64)
    wanted, begin = [], 0
    for length in lengths.tolist():
        if length:
            wanted += slow_order(wide, begin, begin + length, begin, begin + length)
        begin += length
    assert found == wanted
    assert found != sorted(found)


def test_the_scores_are_those_of_the_reference() -> None:
    given = np.random.default_rng(1).standard_normal((7, len(TURNS) * SLOTS * 4))
    one = np.array
    spans = Spans(first=one([0, 3]), end=one([4, 5]), begin=one([0, 0]), stop=one([7, 7]))
    scores, span_C, cut_C = Decisions(given).scores(spans)
    assert span_C.tolist() == [0, 0, 0, 1] and cut_C.tolist() == [1, 2, 3, 4]
    wide = given.reshape(-1, len(TURNS), SLOTS, 4)
    wanted = [
        [slow_score(wide, 0, 7, *ends, turn) for turn in (0, 1)]
        for ends in ((0, 1, 4), (0, 2, 4), (0, 3, 4), (3, 4, 5))
    ]
    np.testing.assert_allclose(scores, wanted)


def test_decisions_that_always_turn_reverse_and_others_keep_the_order() -> None:
    lengths = np.array([4, 0, 1, 3])

    def turning(turns: bool):
        return lambda spans: (spans.first + 1, np.full(len(spans), turns))

    assert ordered(lengths, turning(False)).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert ordered(lengths, turning(True)).tolist() == [3, 2, 1, 0, 4, 7, 6, 5]
    assert ordered(np.array([], np.int64), turning(True)).tolist() == []


def made(path, step: BracketedWords = STEP, labels: tuple[str, ...] = TURNS):
    """A file whose network gives ids back, where 32 numbers for each word are wanted."""
    path.write_bytes(
        pack(features_back(InputChain(steps=(step,), labels=labels), ("N", "T", 10), 7))
    )
    return path


def test_a_file_with_too_few_numbers_is_refused(tmp_path) -> None:
    loaded = load(made(tmp_path / "x.shoe"))
    assert loaded.input_chain is not None and loaded.input_chain.job == "preorder"
    with pytest.raises(ShoeError, match="which have 32 for 10 scores"):
        loaded("a b")


def turned(ids: np.ndarray) -> np.ndarray:
    """A network for which turning is always better, and cutting after the first word best."""
    given = np.zeros((*ids.shape[:2], len(TURNS), SLOTS, 2), np.float32)
    is_word = ids[:, :, 0] != 0
    given[..., 1, 1, 0] = is_word  # for turning: the first word is there
    return given.reshape(*ids.shape[:2], -1)


def test_words_are_put_in_order_in_batches_and_long_texts_in_pieces() -> None:
    step = BracketedWords(units=2, most=4)
    sentences = [["a", "b", "c"], [], ["x"], [*"ab.cdefgh"], ["same"] * 9]
    found = step.of_words_given(sentences, turned)
    assert found == [[2, 1, 0], [], [0], [2, 1, 0, 6, 5, 4, 3, 8, 7], [3, 2, 1, 0, 7, 6, 5, 4, 8]]
    many = [[str(number), "b"] for number in range(6000)]
    assert step.of_words_given(many, turned) == [[1, 0]] * 6000
    assert step.of_words_given([], turned) == []
    (answer,) = step.answers(["It's so."], TURNS, turned)
    assert answer == [(".", 3), ("so", 2), ("'s", 1), ("It", 0)]
    assert step.line(answer) == ". so 's It"
    assert json.loads(json.dumps(step.described("It's so.", answer))) == {
        "text": "It's so.",
        "words": [".", "so", "'s", "It"],
        "places": [3, 2, 1, 0],
    }
    assert step.answers(["It's so."], TURNS, turned, spaces=True) == [[("so.", 1), ("It's", 0)]]


def test_the_step_is_in_the_notes_of_a_file() -> None:
    chain = InputChain(steps=(BracketedWords(units=4, reach=1, most=9),), labels=TURNS)
    assert input_chain_of(chain.notes()) == chain
    assert chain(["a b", "c"]).shape == (2, 2, 10)
    assert chain.shape == (1, 1, 10)


def test_other_labels_and_numbers_of_which_none_is_the_best_are_refused() -> None:
    with pytest.raises(ValueError, match="labels of BracketedWords"):
        InputChain(steps=(STEP,), labels=("a", "b"))
    for bad in (np.nan, np.inf, 1e35):
        with pytest.raises(ShoeError, match="no order follows"):
            STEP.of_words_given([["a", "b"]], lambda ids, bad=bad: turned(ids) + bad)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"units": 3}, "make it even"),
        ({"units": 0}, "units"),
        ({"most": 1}, "most"),
        ({"reach": 99}, "reach"),
        ({"buckets": (8,)}, "buckets are 1"),
    ],
)
def test_wrong_fields_are_refused(wrong, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        BracketedWords(**wrong)
