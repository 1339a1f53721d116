"""Two translators that teach one another, and a reader's own parallel text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shoestring.core import scores
from shoestring.dual import BackTranslation, DualLearning
from shoestring.kit import AdamW, SkippedWarning, Training
from shoestring.recipes.both_ways import (
    Size,
    both_ways,
    dollars,
    half_paired,
    pool,
    short_sentences,
    taught_translators,
)
from shoestring.recipes.own_parallel_text import own_parallel_text
from shoestring.tasks.fetch import DataError

pytest.importorskip("tokenizers")
pytest.importorskip("sacrebleu")

TENS = ["ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy"]
ZEHNER = ["zehn", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig"]
UNITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
EINER = ["ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"]
ENGLISH = [f"{ten} {unit} red cats" for ten in TENS for unit in UNITS]
GERMAN = [f"{unit} und {ten} rote Katzen" for ten in ZEHNER for unit in EINER]
TINY = Size(width=16, layers=1, heads=2, hidden=16, dropout=0.0, fluency_width=8)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    one, other = tmp_path / "english.txt", tmp_path / "german.txt"
    one.write_text("\n".join(ENGLISH) + "\n", "utf-8")
    other.write_text("\n".join(GERMAN) + "\n", "utf-8")
    return one, other


def test_two_files_become_a_task(files: tuple[Path, Path]):
    own = own_parallel_text(*files, size=400)
    task = own.task
    assert (len(task.validation), len(task.test)) == (3, 3) and len(task.train) == 57
    assert sorted([*task.train, *task.validation, *task.test]) == sorted(
        zip(ENGLISH, GERMAN, strict=True)
    )
    assert task.name == "english to german" and own.notes == ()
    again = own_parallel_text(*files, size=400)
    assert again.task.validation == task.validation


def test_what_is_left_out_is_said(files: tuple[Path, Path], tmp_path: Path):
    one, other = files
    one.write_text("\n".join([*ENGLISH, "", "hello", ENGLISH[0]]), "utf-8")
    other.write_text("\n".join([*GERMAN, "leer", " ", GERMAN[0]]), "utf-8")
    task = own_parallel_text(*files, size=400).task
    alone = tmp_path / "more.txt"
    alone.write_text("\n".join([task.test[0][0], "forty dogs", "forty dogs", ""]), "utf-8")
    own = own_parallel_text(*files, sources=alone, size=400)
    assert own.sources == ("forty dogs",) and own.targets == ()
    assert own.notes[:2] == (
        "2 pairs with an empty line are left out",
        "1 pairs that were there before are left out",
    )
    assert "1 sentences of" in own.notes[2] and "are in held-out pairs" in own.notes[2]


def test_files_that_do_not_fit_are_refused(files: tuple[Path, Path]):
    one, other = files
    other.write_text("\n".join(GERMAN[1:]), "utf-8")
    with pytest.raises(DataError, match=r"english\.txt has 63 lines and .*german\.txt 62"):
        own_parallel_text(one, other)
    for path, lines in ((one, ENGLISH), (other, GERMAN)):
        path.write_text("\n".join(lines[:10]), "utf-8")
    with pytest.raises(DataError, match="10 different pairs, and 60 are needed"):
        own_parallel_text(one, other)
    with pytest.raises(OSError):
        own_parallel_text(one, other.with_name("none.txt"))


def test_translators_are_taught_and_their_sides_are_turned(files: tuple[Path, Path]):
    own = own_parallel_text(*files, size=400)
    said: list[str] = []
    model, task = taught_translators(
        own.task,
        ENGLISH,
        GERMAN,
        DualLearning(training=Training(2, AdamW(1e-3))),
        size=TINY,
        training=Training(4, AdamW(5e-3)),
        fluent=Training(3, AdamW(5e-3)),
        say=said.append,
    )
    assert said == ["the language models are trained", "the translators are trained on the pairs"]
    assert task.back.train[0] == own.task.train[0][::-1]  # type: ignore[attr-defined]
    assert set(scores(task, model)) == {"forward", "backward"}
    few = task.sampled(2, seed=0)
    assert len(few.ahead.translated(model.ahead.eval(), "validation")) == 2  # type: ignore[attr-defined]
    assert few.back.train == task.back.train  # type: ignore[attr-defined]
    source, target = next(iter(task.batches("train")))
    assert source.shape[0] == target.shape[0] and not (target == 1).any()
    rows = torch.cat([one.flatten() for one in task.sources])
    assert int((rows == 2).sum()) == len(ENGLISH)


def test_a_technique_that_needs_more_says_so(files: tuple[Path, Path]):
    own = own_parallel_text(*files, size=400)
    short = {"size": TINY, "training": Training(1)}
    with pytest.raises(ValueError, match="no sources without a pair"):
        taught_translators(own.task, (), GERMAN, BackTranslation(), **short, say=print)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="fluency counts and a side has no marginal"):
        taught_translators(own.task, ENGLISH, GERMAN, DualLearning(), **short, say=print)  # type: ignore[arg-type]


def test_sentences_without_a_translation_are_cut_and_counted(files: tuple[Path, Path]):
    task = own_parallel_text(*files, size=400, longest=40).task
    with pytest.warns(SkippedWarning, match=r"1 of 2 sentences .* have more than 40 pieces"):
        some = pool(task, ["one " * 60, "two"])
    assert max(len(one) for one in some.examples) == 40
    assert all(one[-1] == 2 for one in some.examples)


def test_the_others_of_a_few_pairs_hide_no_pair(files: tuple[Path, Path]):
    task = own_parallel_text(*files, size=400).task
    few, sources, targets = half_paired(task, 10)
    assert few.train == task.train[:10] and len(sources) + len(targets) == len(task.train) - 10
    pairs = dict(task.train)
    assert not {pairs[one] for one in sources} & set(targets)
    with pytest.raises(ValueError, match="0 pairs are to stay of 57"):
        half_paired(task, 0)
    short = short_sentences(replace(task, train=[*task.train, ("one two " * 6, "eins")]))
    assert short.train == task.train


def test_empty_sentences_are_no_part_of_a_pool_and_the_price_is_by_the_word(
    files: tuple[Path, Path],
):
    own = own_parallel_text(*files, size=400)
    assert len(both_ways(own.task, ["", " ", "one"]).sources) == 1  # type: ignore[arg-type]
    assert dollars(["a b c", "d"], dollars_per_word=0.1) == pytest.approx(0.4)
