"""The recipe of the model of bytes with little training, and its lines coded without loss."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shoestring.artifact import load
from shoestring.recipes.byte_language import BYTE_MODEL, bits_per_byte, byte_model

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import byte_coding
import byte_keys

FILE = Path(__file__).parents[2] / "benchmarks" / "results" / "files" / "complete.shoe"
LINES = ["How many?", "", "我想知道。", "zq\x00é", "x" * 200, "the same", "the same"]


@pytest.mark.slow
def test_a_model_learns_and_comes_out_small(tmp_path: Path) -> None:
    words = ("one", "two", "three", "four", "five", "six", "seven", "eight")
    lines = [f"the {word} is a number" for word in words]
    given = {"train": lines * 40, "validation": lines}
    settings = replace(
        BYTE_MODEL, states=35, pieces=((64, 4),), least_steps=120, batch_size=8, passes=1
    )
    made = byte_model(given, tmp_path / "m.shoe", size=12_000, settings=settings)
    assert made.validation < 2 and made.trained < 2
    assert (tmp_path / "m.shoe").stat().st_size == made.bytes < made.before / 2
    assert bits_per_byte(tmp_path / "m.shoe", lines) == pytest.approx(made.validation, rel=1e-6)


def test_a_size_without_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a file of 2,000 bytes is too small"):
        byte_model({"train": ["a"], "validation": ["a"]}, tmp_path / "m.shoe", size=2000)


def test_lines_come_back_as_they_were_coded() -> None:
    loaded = load(FILE, threads=1)
    lines = [line.encode() for line in LINES]
    code = byte_coding.coded(loaded, lines)
    assert byte_coding.decoded(loaded, code) == lines
    assert byte_coding.decoded(loaded, byte_coding.coded(loaded, [])) == []


def test_the_code_is_as_long_as_the_bits_that_the_score_tells() -> None:
    lines = ["How are you?", "What is your name?", "I don't know.", "我不知道。"] * 8
    bits = bits_per_byte(FILE, lines) * len(byte_coding.joined(lines))
    code = byte_coding.coded(load(FILE, threads=1), [line.encode() for line in lines])
    assert bits / 8 - 1 <= len(code) <= bits / 8 * 1.01 + 12


def test_compressors_take_less_after_text_that_is_alike() -> None:
    text = b"a sentence that is there twice, with numbers 12345\n"
    for coder in (byte_coding.xz, byte_coding.zstd):
        assert coder(text, text) < coder(b"", text) / 2
    lines = [str(n) * 20 for n in range(200)]
    fitting = byte_coding.that_fits(lines, 300, byte_coding.xz, 0)
    assert 250 < byte_coding.xz(b"", fitting) <= 300


def test_lines_alone_do_not_learn_from_each_other() -> None:
    lines = ["a sentence with numbers 12345"] * 32
    before = byte_coding.joined([f"line {number} of the text" for number in range(40)])
    one = byte_coding.alone(byte_coding.zstd, before, lines[:16])
    assert byte_coding.alone(byte_coding.zstd, before, lines) == 2 * one
    stream = byte_coding.zstd(before, byte_coding.joined(lines))
    assert one / 16 < 32 < stream < one / 4


def test_a_line_alone_stands_after_all_of_the_text() -> None:
    """By hand: a coder that takes 7 bytes for a frame, and one for each byte of the line."""
    seen = set()

    def coder(before: bytes, text: bytes) -> int:
        seen.add(before)
        return 7 + len(text)

    before = byte_coding.joined([str(number) for number in range(100)])
    assert byte_coding.alone(coder, before, ["abc"] * 20) == 80
    assert len(seen) == 16
    assert {tuple(sorted(one.split(b"\n"))) for one in seen} == {tuple(sorted(before.split(b"\n")))}
    assert byte_coding.alone(coder, b"", ["abc"]) == 4


def test_typing_by_hand() -> None:
    """Of "the cat" a reader types "t", takes "he ", types "c" and takes "at"."""

    def complete(text: str) -> list[str]:
        return {"t": ["hen", "he "], "the c": ["at"]}.get(text, [])

    assert byte_keys.saved(["the cat"], complete, 1) == (2 / 7, 1 - 6 / 7)
    assert byte_keys.saved(["the cat"], complete, 3) == (5 / 7, 1 - 4 / 7)


def test_the_prefix_tree_has_the_most_frequent_phrases() -> None:
    lines = ["the cat sat", "the cat ran", "the dog", "我想走", "我想吃"] * 3
    tree = byte_keys.Phrases(lines, 2000)
    assert tree("th")[0] in ("e", "e cat") and tree("the c")[0].startswith("at")
    assert tree("see the ")[0] == "cat"[:3] or tree("see the ")[0].startswith("cat")
    assert tree("我")[0] == "想" and tree("zzz") == tree("")
    assert byte_keys.Phrases(lines, 90).bytes <= 90
    assert np.isfinite(tree.bytes)
