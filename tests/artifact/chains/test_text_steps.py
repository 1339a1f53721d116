"""Words and characters as ids, against a slow obvious reference, and places in rows."""

from __future__ import annotations

from time import process_time

import numpy as np
import pytest

from shoestring.artifact import HashedCharacters, HashedWords, InputChain, ShoeError
from shoestring.artifact.chains.hashing import hashed
from shoestring.artifact.chains.input_chain import input_chain_of
from shoestring.artifact.chains.rows import positions, scored
from shoestring.artifact.chains.tokens import words_of

WORDS = [
    "The",
    "dog",
    "IPv6",
    "don't",
    "é" * 3,
    "東京",
    "x" * 200,
    "",
    "a",
    "3.5%",
    "\0",
    "😀",
    "İ",
]


def fnv(points) -> int:
    state = 2166136261
    for point in points:
        state = (state ^ point) * 16777619 & 0xFFFFFFFF
    return mixed(state)


def mixed(state: int) -> int:
    state = (state ^ state >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    state = (state ^ state >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return state ^ state >> 16


def shape(word: str) -> list[int]:
    kinds, before = [], 0
    for letter in word:
        kind = (
            1
            if letter.islower()
            else 2
            if letter.isupper()
            else 3
            if letter.isdigit()
            else 4
            if letter.isalpha()
            else ord(letter) + 5
        )
        if kind != before:
            kinds.append(kind)
        before = kind
    return kinds


def slow(step: HashedWords, word: str) -> list[int]:
    def kept(text: str) -> str:
        return text if len(text) <= 64 else text[:32] + text[-32:]

    word, small = kept(word), kept(word.lower())
    pieces = [[*map(ord, word)], [*map(ord, small)], shape(word)]
    pieces += [[*map(ord, small[-size:])] for size in step.suffixes]
    pieces += [[*map(ord, small[:size])] for size in step.prefixes]
    pieces += [pieces[1]] if step.clusters else []
    counts = [*step.buckets, *([step.clusters] if step.clusters else [])]
    found, first = [], 1
    for place, (piece, count) in enumerate(zip(pieces, counts, strict=True)):
        found.append(first + mixed((fnv(piece) + place) & 0xFFFFFFFF) % count)
        first += count
    return found


@pytest.mark.parametrize("clusters", [0, 1000])
def test_the_ids_of_words_are_those_of_the_slow_way(clusters: int) -> None:
    step = HashedWords(clusters=clusters)
    found = step.of_words(WORDS)
    assert found.tolist() == [slow(step, word) for word in WORDS]
    assert found.max() < step.ids
    assert found.shape[1] == step.kinds


def test_a_hash_by_hand() -> None:
    a = hashed([np.array([97], np.uint32)], [np.array([True])])
    assert a.tolist() == [mixed((2166136261 ^ 97) * 16777619 % 2**32)]


def test_padding_is_zero_and_a_text_is_cut_by_its_rules() -> None:
    step = HashedWords(rules=1)
    ids = step(["The dog barked.", "No"])
    assert ids.shape == (2, 4, 10)
    assert (ids[1, 1:] == 0).all()
    cut = step.words_of("I can't (really) see U.S. sites, e.g. www.x.org/a?b!")
    assert " ".join(cut) == "I ca n't ( really ) see U.S. sites , e.g. www.x.org/a?b!"
    assert HashedWords().words_of(" a\tb.\u2028c ") == ["a", "b.", "c"]


@pytest.mark.parametrize("text", ["x" * 100_000, "'" * 50_000, "a." * 30_000, "1," * 30_000])
def test_words_of_long_texts_lose_no_character(text: str) -> None:
    assert "".join(words_of(text)) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("हिन्दी भाषा।", ["हिन्दी", "भाषा", "।"]),
        ("cafe\u0301s, de\u0301ja\u0300", ["cafe\u0301s", ",", "de\u0301ja\u0300"]),
        ("شَلوم می\u200cخواهم", ["شَلوم", "می\u200cخواهم"]),
        ("\u2764\ufe0fso", ["\u2764\ufe0f", "so"]),
        ("\u0301a (\u0301a", ["\u0301", "a", "(\u0301", "a"]),
    ],
)
def test_marks_stay_with_their_letters(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize("piece", ["a-", "+", ".-", "e\u0301", "a@b", "1,", ":-", "don't"])
def test_words_of_a_long_line_take_time_in_proportion(piece: str) -> None:
    before = process_time()
    words_of(piece * (200_000 // len(piece)))
    assert process_time() - before < 10  # half a second; 100 where each place looks at all others


@pytest.mark.parametrize("length", [0, 1, 511, 512, 513, 9000])
@pytest.mark.parametrize("reach", [0, 1, 3])
def test_rows_give_each_place_what_its_text_alone_gives(length: int, reach: int) -> None:
    draw = np.random.default_rng(length + reach)
    lengths = np.array([length, 2, 0, 5])
    place, size = positions(lengths, reach)
    stream = np.zeros((size, 1), np.int64)
    stream[place, 0] = draw.integers(1, 9, lengths.sum())

    def window(ids: np.ndarray) -> np.ndarray:
        """Two scores: the window's sum modulo 7, and 3."""
        padded = np.pad(ids[:, :, 0], ((0, 0), (reach, reach)))
        count = ids.shape[1]
        sums = sum(padded[:, at : at + count] for at in range(2 * reach + 1)) % 7
        return np.stack([sums, np.full_like(sums, 3)], -1)

    best = scored(size, lambda a, b: stream[a:b], reach, window)[place]
    ends = lengths.cumsum()
    for count, end in zip(lengths, ends, strict=True):
        alone = stream[place[end - count : end]][None]
        assert best[end - count : end].tolist() == window(alone)[0].argmax(-1).tolist()


def test_characters_do_not_see_another_text() -> None:
    step = HashedCharacters()
    alone = step(["東京都"])[0]
    assert (step(["東京都", "大阪府です"])[0, :3] == alone).all()
    seen: list[np.ndarray] = []

    def begins(ids: np.ndarray) -> np.ndarray:
        seen.append(ids)
        first = (ids[..., :1] % 2).astype(float)
        return np.concatenate([first, 1 - first], -1)

    texts = ["東京都", "", "大阪 府です", "\0"]
    together = step.answers(texts, ("begin", "inside"), begins)
    assert together == [step.answers([text], ("begin", "inside"), begins)[0] for text in texts]
    assert ["".join(words) for words in together] == ["東京都", "", "大阪府です", "\0"]
    assert any((row == alone[1]).all() for row in seen[0].reshape(-1, 8))
    with pytest.raises(ValueError, match="begin and inside"):
        step.answers(["a"], ("b", "i"), begins)


def test_a_chain_with_labels_goes_through_its_note() -> None:
    chain = InputChain(steps=(HashedWords(clusters=5),), labels=("NOUN", "VERB"))
    assert input_chain_of(chain.notes()) == chain
    assert chain.job == "tag"
    assert InputChain(steps=(HashedCharacters(),)).job is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"labels": 3}, "no list"),
        ({"labels": ["a", "a"]}, "all different"),
        ({"labels": [1]}, "texts"),
        ({"steps": [{"kind": "hashed_words"}]}, "has no"),
    ],
)
def test_a_hostile_note_is_refused(change, told: str) -> None:
    import json

    chain = InputChain(steps=(HashedWords(),), labels=("A", "B"))
    content = json.loads(chain.notes()["input chain"]) | change
    with pytest.raises(ShoeError, match=told):
        input_chain_of({"input chain": json.dumps(content)})


@pytest.mark.parametrize(
    "fields",
    [
        {"buckets": (1, 2)},
        {"suffixes": (0, 1, 2, 3)},
        {"reach": 99},
        {"rules": 2},
        {"clusters": -1},
    ],
)
def test_other_fields_are_refused(fields) -> None:
    with pytest.raises(ValueError, match=r"must|ids"):
        HashedWords(**fields)


def test_scores_that_are_nan_have_no_highest() -> None:
    with pytest.raises(ShoeError, match="no label is the likeliest"):
        HashedWords().answers(["a"], ("x",), lambda ids: np.full((*ids.shape[:2], 1), np.nan))
