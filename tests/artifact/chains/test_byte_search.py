"""Completions: found by hand, beside a search that tries everything, and with odd inputs."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from made_bytes import Knows

from shoestring.artifact import BytePrefix, InputChain, ShoeError
from shoestring.artifact.chains.byte_search import completions
from shoestring.artifact.chains.input_chain import input_chain_of


def found(text: str, lines: tuple[str, ...], top: int = 3) -> list[tuple[str, float]]:
    answers = BytePrefix().answers([text], (), Knows(lines, 1e-6), top=top)  # type: ignore[arg-type]
    return [(one.text, round(one.probability, 2)) for one in answers[0]]


def test_completions_by_hand() -> None:
    """Of three lines that begin so, two go on with one word and one with another."""
    lines = ("the cat", "the cat", "the dog", "you")
    assert found("the ", lines, 2) == [("cat", 0.67), ("dog", 0.33)]
    assert found("the", lines, 2) == [(" cat", 0.67), (" dog", 0.33)]
    assert found("th", lines, 1) == [("e cat", 0.67)]  # the next word is almost sure
    assert found("", lines, 2) == [("the cat", 0.5), ("you", 0.25)]


def test_a_word_that_is_not_almost_sure_is_left_out() -> None:
    assert found("a ", ("a big cat", "a big dog", "a big pig"), 1) == [("big", 1.0)]


def test_a_character_of_chinese_is_a_word_and_sure_ones_come_along() -> None:
    assert found("你", ("你好吗", "你好吗", "你们"), 2) == [("好吗", 0.67), ("们", 0.33)]


def test_completions_never_go_over_the_end_of_a_line() -> None:
    for text in ("the cat", "你好吗", ""):
        for one in completions(BytePrefix().of_text(text), Knows(), top=5, beams=12, longest=48):
            assert "\n" not in one.text and one.text == one.text.rstrip("\0")


@pytest.mark.parametrize("text", ["", "t", "the", "the ", "你", "a 1", "é", "zz", "."])
def test_they_are_those_of_a_search_that_tries_everything(text: str) -> None:
    """With more beams than there are beginnings, and a table that has the first words of all."""
    step = Knows(rest=1e-7)
    prefix = BytePrefix().of_text(text)
    ours = completions(prefix, step, top=4, beams=200, longest=8)
    every = sorted((likely for _, likely in _all(prefix, step)), reverse=True)
    assert len(ours) == 4
    for rank, one in enumerate(ours):
        if rank < len(every):  # a completion that has grown has half of its word's or more
            fits = [p for words, p in _all(prefix, step) if one.text.startswith(words)]
            assert any(p / 2 - 1e-6 <= one.probability <= p + 1e-6 for p in fits), one
            assert max(fits) >= every[min(3, len(every) - 1)] - 1e-6


def _all(prefix: bytes, step: Knows) -> list[tuple[str, float]]:
    """Every first word that the lines have after a prefix, with its probability, by their text."""
    result = []
    text = prefix[1:].decode()
    for line in {line[1:-1].decode() for line in step.lines}:
        if not line.startswith(text) or line == text:
            continue
        rest = line[len(text) :]
        if not text or text[-1] == " ":
            rest_without = rest
        else:
            rest_without = rest.removeprefix(" ")
        words = rest[: len(rest) - len(rest_without)]
        inside = "abcdefghijklmnopqrstuvwxyz0123456789éà"
        for at, letter in enumerate(rest_without):
            if at and letter not in inside:
                break
            words += letter
            if letter not in inside:
                break
        whole = prefix + words.encode()
        likely = 1.0
        for before, after in pairwise(range(len(prefix), len(whole) + 1)):
            likely *= step.probabilities(whole[:before])[whole[before:after][0]]
        if words[-1] in inside:
            breaks = [b for b in range(256) if not (chr(b) in inside[:36] or 0xC3 <= b < 0xE2)]
            likely *= step.probabilities(whole)[[b for b in breaks if b == 10 or b > 31]].sum()
        result.append((words, likely))
    return list(dict(result).items())


def test_the_same_text_gives_the_same_completions_in_any_company() -> None:
    step = BytePrefix()
    texts = ["the", "", "你", "123 456", "the"]
    together = step.answers(texts, (), Knows())  # type: ignore[arg-type]
    assert together[0] == together[-1]
    assert together == [step.answers([text], (), Knows())[0] for text in texts]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("", b"\n"),
        ("abc", b"\nabc"),
        ("old line\nnew", b"\nnew"),
        ("a\x00\x1b\tb\x7f", b"\na   b "),
        ("\ud800x", b"\n\xef\xbf\xbdx"),
        ("x" * 1_000_000, b"\n" + b"x" * 256),
        ("好" * 200, b"\n" + "好".encode() * 85),
    ],
)
def test_the_bytes_of_a_text(text: str, bytes_: bytes) -> None:
    assert BytePrefix().of_text(text) == bytes_


def test_every_byte_that_could_follow_makes_valid_text() -> None:
    """A step whose probabilities are drawn: nothing but whole characters comes out."""
    drawn = np.random.default_rng(0)

    def step(ids: np.ndarray, states: object) -> tuple[np.ndarray, np.ndarray]:
        scores = drawn.normal(0, 3, (len(ids), 256))
        scores -= np.log(np.exp(scores).sum(1, keepdims=True))
        return scores.astype(np.float32), np.zeros((len(ids), 1), np.float32)

    for _ in range(50):
        answers = completions(b"\nab", step, top=5, beams=12, longest=20)
        assert [one.probability for one in answers] == sorted(
            (one.probability for one in answers), reverse=True
        )
        for one in answers:
            assert 0 < len(one.text.encode()) <= 20
            assert all(unicodedata.category(c) != "Cc" for c in one.text)
            assert "\ufffd" not in one.text and 0 <= one.probability <= 1


@pytest.mark.parametrize("fields", [{"most": 0}, {"longest": 2000}, {"beams": "3"}])
def test_fields_out_of_range_are_refused(fields: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(fields))} is "):
        BytePrefix(**fields)


def test_more_completions_than_beams_are_refused() -> None:
    with pytest.raises(ValueError, match="top is 13: it must be an integer, 1 to 12"):
        found("", (), 13)


def test_the_note_of_a_file_has_the_step() -> None:
    chain = InputChain(steps=(BytePrefix(beams=4),))
    assert input_chain_of(chain.notes()) == chain and chain.job == "complete"


@pytest.mark.parametrize("score", [np.nan, np.inf, 1000.0])
def test_a_network_that_gives_no_log_probabilities_is_refused(score: float) -> None:
    def step(ids: np.ndarray, _: object) -> tuple[np.ndarray, np.ndarray]:
        return np.full((len(ids), 256), score, np.float32), np.zeros((len(ids), 1), np.float32)

    with pytest.raises(ShoeError, match="no log-probabilities"):
        completions(b"\na", step, top=3, beams=4, longest=8)
