"""Any text and any description of the step: ids of the reference, or an error that says what."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_text import known, letters_of, reference
from tiers import repetitions

from shoestring.artifact import HashedText, InputChain, ShoeError
from shoestring.artifact.chains import hashed_text_loop
from shoestring.artifact.chains.input_chain import KEY, input_chain_of

quiet = settings(derandomize=True, database=None, deadline=None, max_examples=repetitions(60, 600))
# All of Unicode, also what is no character, and what a hash or a cut may stumble over.
CHARACTERS = st.one_of(
    st.characters(),
    st.characters(categories=["Cs", "Cc", "Cn", "Mn", "Co"]),
    st.sampled_from("\n\r\t \x00aAΣςİßﬁ\u0301\u0345\u200d\u2028東ก\U0001f600"),
)
TEXTS = st.lists(st.text(CHARACTERS, max_size=40), max_size=6)
STEPS = st.builds(
    HashedText,
    lengths=st.sets(st.integers(1, 8), min_size=1).map(lambda some: tuple(sorted(some))),
    buckets=st.sampled_from([1, 2, 977, 1 << 15, 1 << 22]),
    most=st.sampled_from([1, 7, 256, 1 << 16]),
    pages=st.sampled_from([(), (0, 0), (0, 3, 0x1F6, 0x10FF)]),
)


@quiet
@given(texts=TEXTS, step=STEPS)
def test_ids_are_those_of_the_reference_with_numba_and_without(texts, step) -> None:
    wanted = [reference(text, step) for text in texts]
    for loops in (False, True):
        if loops and not hashed_text_loop.available():
            continue
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hashed_text_loop, "worth_it", lambda _, loops=loops: loops)
            ids, counts, share = step.features(texts)
        pieces = np.split(ids, np.cumsum(counts)[:-1]) if texts else []
        assert [piece.tolist() for piece in pieces] == wanted
        assert share.tolist() == [known(text, step) for text in texts]
        assert ids.size == 0 or (ids.min() >= 1 and ids.max() <= step.buckets)


@quiet
@given(texts=TEXTS, top=st.integers(1, 9), among=st.sampled_from([(), ("a",), ("a", "b_x")]))
def test_each_text_has_an_answer_whose_scores_are_shares(texts, top, among) -> None:
    labels = ("a", "b_x", "b_y")

    def run(ids: np.ndarray) -> np.ndarray:
        return np.stack([(ids % 3 == k).sum(1) for k in range(3)], 1).astype(np.float32)

    step = HashedText(pages=(0, 0))
    answers = step.answers(texts, labels, run, top=top, among=among)
    assert len(answers) == len(texts)
    for answer in answers:
        assert all(0 <= score <= 1 for _, score in answer)
        if answer[0][0] != "und":
            assert {label for label, _ in answer} <= set(among or labels)
            assert len(answer) == min(top, len(among or labels))
            assert sum(score for _, score in answer) <= 1 + 1e-6
        json.dumps(step.described("", answer))
        assert step.line(answer)


SETS = st.lists(
    st.lists(st.integers(0, 0x21FF) | st.integers(0, 12), min_size=2, max_size=6).filter(
        lambda some: len(some) % 2 == 0
    ),
    min_size=3,
    max_size=3,
)


@quiet
@given(texts=TEXTS, sets=SETS, top=st.integers(1, 4), pages=st.sampled_from([(), (0, 0x1F6)]))
def test_labels_are_left_out_where_most_letters_are_elsewhere(texts, sets, top, pages) -> None:
    def run(ids: np.ndarray) -> np.ndarray:
        return np.tile(np.array([1.0, 3.0, 2.0], np.float32), (len(ids), 1))

    scripts = tuple(number for one in sets for number in (len(one) // 2, *one))
    step = HashedText(scripts=scripts, script_of=(0, 1, 2), pages=pages, most=1 << 16)
    for loops in {False, hashed_text_loop.available()}:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hashed_text_loop, "worth_it", lambda _, loops=loops: loops)
            answers = step.answers(texts, ("a", "b", "c"), run, top=top)
        for text, answer in zip(texts, answers, strict=True):
            blocks = [ord(c) >> 7 for c in letters_of(text, step) if c != " "]
            inside = [
                sum(
                    any(f <= b <= t for f, t in zip(one[::2], one[1::2], strict=True))
                    for b in blocks
                )
                for one in sets
            ]
            left = [k for k in (1, 2, 0) if blocks and 2 * inside[k] >= len(blocks)]
            if known(text, step) < 0.5:
                assert answer == [("und", pytest.approx(1 - known(text, step)))]
            elif left:
                assert [label for label, _ in answer] == ["abc"[k] for k in left[:top]]
            else:
                assert answer == [("und", pytest.approx(1 - max(inside) / len(blocks)))]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@quiet
@given(
    field=st.sampled_from(
        [*("kind", "lengths", "buckets", "most", "pages", "more"), "scripts", "script_of"]
    ),
    junk=JUNK | st.lists(st.integers(-2, 1 << 22), max_size=10),
)
def test_a_description_is_a_step_or_is_refused(field, junk) -> None:
    notes = InputChain(steps=(HashedText(),), labels=("a",)).notes()
    content = json.loads(notes[KEY])
    content["steps"][0][field] = junk
    try:
        chain = input_chain_of({KEY: json.dumps(content)})
    except ShoeError as error:
        assert str(error)
    else:
        assert chain is not None
        assert isinstance(chain.steps[0], HashedText)
        chain.steps[0].features(["a dog"])
