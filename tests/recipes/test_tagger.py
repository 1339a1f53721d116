"""A tagger and a segmenter, trained and coded to a size, on made-up sentences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shoestring import cli
from shoestring.artifact import HashedCharacters, HashedWords, load
from shoestring.cli.learning import _trained_for
from shoestring.recipes.text_teachers import Teachers
from shoestring.recipes.text_tools import (
    PLAIN_TAGGER,
    SEGMENTER,
    segment_score,
    segmenter,
    tagger,
)
from shoestring.tasks import Sentence

ANIMALS, ACTS = ("dog", "cat", "cow", "Bob", "fox"), ("sees", "bites", "hears")


def made(count: int, seed: int) -> list[Sentence]:
    draw = np.random.default_rng(seed)
    sentences = []
    for _ in range(count):
        words = (draw.choice(ANIMALS), draw.choice(ACTS), draw.choice(ANIMALS))
        words = tuple(map(str, words))
        sentences.append(Sentence(words=words, tags=("N", "V", "N"), surface=words))
    return sentences


@pytest.mark.slow
def test_a_tagger_and_a_segmenter_of_a_size(tmp_path: Path) -> None:
    data = {"train": made(150, 0), "validation": made(30, 1), "test": made(30, 2)}
    step = HashedWords(buckets=(64,) * 10, clusters=64)
    small = {"vector": 8, "hidden": 8, "passes": 40, "coding_passes": 20, "learning_rate": 1e-2}
    clusters = {word: (number % 2, number % 3) for number, word in enumerate((*ANIMALS, *ACTS))}
    settings = replace(PLAIN_TAGGER, step=step, **small)
    result = tagger(data, tmp_path / "t.shoe", size=6000, settings=settings, clusters=clusters)
    assert result.validation == result.trained == 1.0
    assert result.bytes == (tmp_path / "t.shoe").stat().st_size <= 6000 < result.before
    assert load(tmp_path / "t.shoe")("cow bites Bob") == [
        ("cow", "N"),
        ("bites", "V"),
        ("Bob", "N"),
    ]
    letters = replace(SEGMENTER, step=HashedCharacters(buckets=(256,) * 8), **small)
    result = segmenter(data, tmp_path / "s.shoe", size=16_000, settings=letters)
    assert result.bytes <= 16_000
    assert segment_score(tmp_path / "s.shoe", data, "test") == result.validation == 1.0
    assert load(tmp_path / "s.shoe")("cowbitesBob") == ["cow", "bites", "Bob"]
    with pytest.raises(ValueError, match="too small"):
        tagger(data, tmp_path / "x.shoe", size=100, settings=settings, clusters=clusters)


@pytest.mark.slow
def test_teachers_label_what_has_no_labels(tmp_path: Path) -> None:
    data = {"train": made(60, 0), "validation": made(30, 1), "test": made(30, 2)}
    step = HashedWords(buckets=(64,) * 10)
    teachers = Teachers(
        count=2, vector=8, hidden=8, dropout=0.0, passes=40, learning_rate=1e-2, own=0.2
    )
    small = {"vector": 8, "hidden": 8, "passes": 20, "coding_passes": 10, "learning_rate": 1e-2}
    settings = replace(PLAIN_TAGGER, step=step, teachers=teachers, **small)
    more = [one.words for one in made(100, 3)]
    arguments = {"size": 6000, "settings": settings, "unlabelled": more}
    result = tagger(data, tmp_path / "a.shoe", **arguments, folder=tmp_path / "kept")
    assert result.taught == result.trained == result.validation == 1.0
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").rglob("*")}
    assert tagger(data, tmp_path / "b.shoe", **arguments, folder=tmp_path / "kept") == result
    assert {path: path.stat().st_mtime_ns for path in kept} == kept  # nothing was asked again
    with pytest.raises(ValueError, match="needs settings with teachers"):
        tagger(data, tmp_path / "c.shoe", size=6000, unlabelled=more)


@pytest.mark.parametrize(("passes", "steps"), [(None, 480), (7, 7)])
def test_few_sentences_are_read_often_enough(passes, steps, tmp_path: Path, monkeypatch) -> None:
    class Asked(Exception):
        pass

    def asked(model, task, training, what):
        raise Asked(training.steps)

    monkeypatch.setattr("shoestring.recipes.text_tools.train", asked)
    data, settings = (
        {"train": made(9, 0), "validation": made(3, 1)},
        _trained_for(SEGMENTER, passes),
    )
    with pytest.raises(Asked, match=f"^{steps}$"):  # all sentences are in one step
        segmenter(data, tmp_path / "x.shoe", size=20_000, settings=settings)


def test_the_command_learns_from_a_table(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    table = "\n".join(
        "".join(f"{word}\t{tag}\n" for word, tag in zip(one.words, one.tags, strict=True))
        for one in made(60, 0)
    )
    Path("x.tsv").write_text(table)
    arguments = ["learn", "tag", "x.tsv", "x.shoe", "--passes", "1", "--test", "x.tsv"]
    monkeypatch.setattr("sys.argv", ["shoestring", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr()
    assert not stop.value.code, said.err
    assert "every tenth sentence of x.tsv, 7; equal ones together" in said.out
    assert "words right on x.tsv" in said.out
    assert [word for word, _ in load("x.shoe")("dog, cat")] == ["dog", ",", "cat"]
