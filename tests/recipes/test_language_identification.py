"""An identifier, trained and coded to a size, on made-up languages, and the commands for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from features_back import features_back

from shoestring import cli
from shoestring.artifact import HashedText, InputChain, load
from shoestring.artifact.format.file import pack
from shoestring.cli import learning
from shoestring.recipes import language_identification
from shoestring.recipes.language_identification import (
    IdentifierSettings,
    identifier,
    label_score,
    language_score,
    short,
)
from shoestring.recipes.listing import recipe
from shoestring.recipes.running import run_recipe
from shoestring.tasks import LabelledTexts

SMALL = IdentifierSettings(
    step=HashedText(buckets=256),
    width=8,
    passes=2,
    coding_passes=2,
    least_steps=60,
)


def made(count: int, seed: int) -> LabelledTexts:
    """Three languages, each with letters of its own."""
    draw = np.random.default_rng(seed)
    letters = {"one": "abcde", "two": "fghij", "three": "клмно"}
    texts, labels = [], []
    for number in range(count):
        label = list(letters)[number % 3]
        words = ["".join(draw.choice(list(letters[label]), 4)) for _ in range(12)]
        texts.append(" ".join(words))
        labels.append(label)
    return LabelledTexts(texts=tuple(texts), labels=tuple(labels))


def called(monkeypatch, capsys, *arguments: str) -> tuple[object, str, str]:
    monkeypatch.setattr("sys.argv", ["shoestring", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr()
    return stop.value.code, said.out, said.err


@pytest.mark.slow
def test_an_identifier_of_a_size_and_its_command(tmp_path: Path, monkeypatch, capsys) -> None:
    data = {"train": made(120, 0), "validation": made(30, 1)}
    file = tmp_path / "l.shoe"
    uncoded = tmp_path / "uncoded.shoe"
    result = identifier(data, file, size=6000, settings=SMALL, uncoded=uncoded)
    assert label_score(uncoded, made(30, 1)) == result.trained
    assert uncoded.stat().st_size > result.bytes
    assert result.validation == 1.0
    assert result.bytes == file.stat().st_size <= 6000 < result.before
    assert label_score(file, made(30, 2)) == 1.0
    loaded = load(file)
    ((label, score),) = loaded("abcd dcba")
    assert label == "one" and 0.5 < score <= 1
    assert loaded("東京") == [("und", 1.0)]  # a script that training had not
    assert called(monkeypatch, capsys, "identify", str(file), "лоно", "42")[:2] == (
        0,
        "three\nund\n",
    )
    _, out, _ = called(monkeypatch, capsys, "identify", str(file), "fgh", "--json", "--top", "3")
    told = json.loads(out)
    assert told["label"] == "two"
    assert {one["label"] for one in told["scores"]} == {"one", "two"}  # "three" is Cyrillic
    assert sum(one["score"] for one in told["scores"]) == pytest.approx(1, abs=1e-5)
    among = ("identify", str(file), "--among", "one, three", "--top", "3")
    _, out, _ = called(monkeypatch, capsys, *among, "fgh", "fгh", "fghijк лм", "--json")
    told = [json.loads(line)["scores"] for line in out.splitlines()]
    assert told[0] == [{"label": "one", "score": 1.0}] == told[1]
    assert told[2] == [{"label": "one", "score": 1.0}]
    _, out, _ = called(monkeypatch, capsys, *among, "fк")  # half and half
    assert {out.split()[0], out.split()[2]} == {"one", "three"} and len(out.split()) == 4
    code, _, err = called(monkeypatch, capsys, "identify", str(file), "--among", "one,<b>", "x")
    assert code == 1 and "no label '<b>'" in err
    code, _, err = called(monkeypatch, capsys, "identify", str(file), "--among", " ,", "x")
    assert code == 1 and "names no label" in err
    code, _, err = called(monkeypatch, capsys, "tag", str(file), "x")
    assert code == 1 and "shoestring identify" in err
    with pytest.raises(ValueError, match="too small"):
        identifier(data, tmp_path / "x.shoe", size=100, settings=SMALL)


def test_a_language_is_three_letters_of_a_label(tmp_path: Path) -> None:
    step = HashedText(lengths=(2,), buckets=1)  # " a" and "a " have the id 1, so the first wins
    chain = InputChain(steps=(step,), labels=("deu_1901", "eng"))
    ids = tmp_path / "l.shoe"
    ids.write_bytes(pack(features_back(chain, ("N", "T"), 7)))
    texts = LabelledTexts(texts=("a", "b"), labels=("deu", "eng"))
    assert (language_score(ids, texts), label_score(ids, texts)) == (0.5, 0.0)


@pytest.mark.slow
def test_the_recipe_has_rows_of_the_file_before_and_after(tmp_path: Path, monkeypatch) -> None:
    """On made-up languages: the data of the recipe are large."""
    monkeypatch.setattr(language_identification, "declarations", lambda split: made(30, len(split)))
    monkeypatch.setattr(language_identification, "IDENTIFIER", replace(SMALL, least_steps=1))
    monkeypatch.setattr(language_identification, "IDENTIFIER_BYTES", 6000)
    result = run_recipe(recipe("identifier"), tmp_path, quick=True, seed=0, say=lambda _: None)
    told = {(row["subject"], row["metric"]) for row in result["rows"]}
    measured = {"size", "validation error", "test error"}
    assert told == {(one, metric) for one in ("uncoded", "udhr_100kb") for metric in measured}
    assert {one["path"] for one in result["files"]} == {"udhr_identify.shoe", "uncoded.shoe"}


def test_labels_are_listed(tmp_path: Path, monkeypatch, capsys) -> None:
    chain = InputChain(
        steps=(HashedText(lengths=(2,), buckets=1),), labels=("deu_1901", "eng", "é")
    )
    file = tmp_path / "l.shoe"
    file.write_bytes(pack(features_back(chain, ("N", "T"), 7)))
    listed = ("identify", str(file), "--labels")
    assert called(monkeypatch, capsys, *listed)[:2] == (0, "deu_1901\neng\né\n")
    _, out, _ = called(monkeypatch, capsys, *listed, "--json")
    assert json.loads(out) == ["deu_1901", "eng", "é"]
    code, _, err = called(monkeypatch, capsys, *listed, "text")
    assert code == 1 and "--labels lists labels" in err
    code, _, err = called(monkeypatch, capsys, "identify", str(file), "--among", "en,de", "x")
    assert code == 1 and "'de' is deu there" in err and "'en' is eng there" in err


def test_validation_is_on_excerpts_where_texts_are_long_enough() -> None:
    long = LabelledTexts(texts=("ab " * 60, "x y"), labels=("a", "b"))
    assert {len(text) for text in short(long, each=2).texts} == {20, 50, 100}
    brief = long.at([1])
    assert short(brief) == brief


def test_text_without_labels_is_refused(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.tsv").write_text("a b\tx\n")
    arguments = ("learn", "identify", "x.tsv", "x.shoe", "--text", "x.tsv")
    code, _, err = called(monkeypatch, capsys, *arguments)
    assert code == 1 and "for tag only" in err
    Path("x.tsv").write_text("a b\n")
    code, _, err = called(monkeypatch, capsys, *arguments[:4])
    assert code == 1 and "x.tsv, line 1" in err


def test_equal_lines_are_held_out_together(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    seen = {}

    def stop(texts, *_, **__):
        seen.update(texts)
        raise ValueError("far enough")

    monkeypatch.setattr(language_identification, "identifier", stop)
    Path("x.tsv").write_text("same\tx\n" * 11 + "".join(f"t{n}\ty\n" * 2 for n in range(12)))
    code, out, _ = called(monkeypatch, capsys, "learn", "identify", "x.tsv", "x.shoe")
    assert code == 1 and "every tenth line of each label of x.tsv, 4" in out
    assert set(seen["validation"].texts) == {"t1", "t11"}  # x keeps its only text
    assert not set(seen["train"].texts) & {"t1", "t11"} and len(seen["train"]) == 31
    Path("x.tsv").write_text("same\tx\n" * 11)
    code, _, err = called(monkeypatch, capsys, "learn", "identify", "x.tsv", "x.shoe")
    assert code == 1 and "no label with two different texts" in err


def test_snapshots_of_a_training_on_other_data_are_forgotten(tmp_path: Path) -> None:
    out, data, folder = tmp_path / "x.shoe", tmp_path / "x.tsv", tmp_path / "x.unfinished"
    data.write_text("a\tb\n")
    learning._forget_other_data(out, [data])
    (folder / "training-1.pt").write_bytes(b"")
    learning._forget_other_data(out, [data])
    assert (folder / "training-1.pt").exists()
    data.write_text("a\tc\n")
    learning._forget_other_data(out, [data])
    assert not (folder / "training-1.pt").exists()
    learning._forget_all(out)  # at the end of a training
    assert not folder.exists()


@pytest.mark.slow
def test_the_command_learns_from_lines(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    data = made(90, 0)
    lines = [f"{t}\t{k}\n" for t, k in zip(data.texts, data.labels, strict=True)]
    Path("x.tsv").write_text("".join(lines))
    code, out, err = called(
        monkeypatch, capsys, "learn", "identify", "x.tsv", "x.shoe", "--test", "x.tsv"
    )
    assert not code, err
    assert "every tenth line of each label of x.tsv, 9" in out
    assert "texts right on x.tsv: 100.00 %" in out
    assert load("x.shoe")("abcd")[0][0] == "one"


def test_an_option_for_other_jobs_is_refused(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.tsv").write_text("a\tb\n")
    for job in ("identify", "segment", "complete"):
        code, _, err = called(
            monkeypatch, capsys, "learn", job, "x.tsv", "x.shoe", "--no-running-text"
        )
        assert code == 1 and "--no-running-text is for tag and preorder only" in err
    assert not Path("x.unfinished").exists()
