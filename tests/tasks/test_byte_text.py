"""Lines of bytes: rows, scores by hand, splits that do not leak, and a reader's own text."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from shoestring.core import score, seeded
from shoestring.tasks import ByteText, DataError, byte_text, lines_of, typed_lines
from shoestring.tasks.byte_text import line_rows
from shoestring.tasks.ewt import FILES as ENGLISH
from shoestring.tasks.fetch import present
from shoestring.tasks.typed_lines import LANGUAGES, split_of

module = importlib.import_module("shoestring.tasks.typed_lines")


class Even(nn.Module):
    """Every byte is as likely as every other."""

    def forward(self, ids, state=None):
        if state is None:
            return torch.zeros(*ids[:, 1:].shape, 256)
        return torch.full((len(ids), 256), -np.log(256)), state


def task(**settings) -> ByteText:
    lines = tuple(f"line {number} of some".encode() for number in range(40))
    given = {"train": lines, "validation": lines[:5], "test": lines[:1]} | settings
    return ByteText(**{"window": 16, "batch_size": 4, **given})


def test_a_row_begins_where_a_line_does_and_every_line_is_read() -> None:
    with seeded(0):
        batches = list(task().batches("train"))
    assert all(len(batch) <= 4 and batch.shape[1] == 17 for batch in batches)
    rows = torch.cat(batches)
    assert (rows[:, 0] == 10).all() and (rows >= 0).all()
    begun = [bytes(row[1:8].tolist()) for row in rows]
    assert all(one.startswith(b"line ") for one in begun) and len(set(begun)) > 10


def test_each_pass_has_another_order() -> None:
    with seeded(0):
        first, second = (torch.cat(list(task().batches("train"))) for _ in range(2))
    assert not torch.equal(first[:9], second[:9])


def test_a_text_shorter_than_a_window_is_one_row() -> None:
    (batch,) = task(train=(b"ab",)).batches("train")
    assert batch.tolist() == [[10, 97, 98, 10, *[-1] * 13]]
    assert float(task().loss(Even(), batch)) == pytest.approx(np.log(256))


def test_bits_per_byte_by_hand() -> None:
    """With every byte as likely as any, 8 bits; every byte and the line end count once."""
    assert score(task(), Even()) == pytest.approx(-8)
    lines = (b"abc", "é".encode())
    assert len(task(validation=lines).merits(Even(), "validation")) == 4 + 3


def test_rows_of_lines_have_line_ends_around_them() -> None:
    (rows,) = line_rows([b"abc", b""])
    assert rows.tolist() == [[10, 10, -1, -1, -1], [10, 97, 98, 99, 10]]


def test_long_lines_are_cut_between_characters() -> None:
    long = ("好" * 1000).encode()
    parts = task(validation=(long,)).validation
    assert b"".join(parts) == long and max(map(len, parts)) <= 1024
    assert [part.decode() for part in parts]


def test_a_sample_is_some_lines() -> None:
    some = task().sampled(2, 0)
    assert len(some.merits(Even(), "validation")) == 2 * (len(b"line 0 of some") + 1)
    assert task().sampled(99, 0).validation == task().validation


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"validation": ()}, "validation split has no line"),
        ({"test": (b"a\nb",)}, "has a line end in it"),
        ({"window": 4}, "the window is 4"),
    ],
)
def test_bad_input_is_refused(settings, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        task(**settings)
    with pytest.raises(ValueError, match="no split 'dev'"):
        list(task().batches("dev"))


def test_a_readers_own_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes("".join(f"line {n % 40}\r\n\n" for n in range(80)).encode() + b"bad \xff\n")
    lines = lines_of(path)
    assert lines["validation"] == ["line 0", "line 16", "line 32"]
    assert len(lines["train"]) == 81 - 2 * 3 and lines["train"][-1] == "bad \ufffd"
    assert not set(lines["validation"]) & set(lines["train"])
    made = byte_text(lines)
    assert made.test == made.validation
    path.write_text("few\n")
    with pytest.raises(DataError, match="1 different lines, and 16 are needed"):
        lines_of(path)


def test_nothing_of_the_built_in_text_leaks() -> None:
    """No line is in two splits; read where the files are, and not fetched."""
    pairs = [*module._QUESTIONS.values(), *module.WIKITEXT, *ENGLISH.values()]
    if present(module._PAIRS) is None or not all(any(map(present, pair)) for pair in pairs):
        pytest.skip("a file of tasks.typed_lines is not here: calling it fetches them")
    lines = typed_lines()
    for language in LANGUAGES:
        parts = [set(lines[split][language]) for split in ("train", "validation", "test")]
        assert all(len(part) > 1000 for part in parts)
        assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    joined = "\n".join(lines["train"]["en"])
    assert "<unk>" not in joined and " @-@ " not in joined


def test_translations_stay_together(tmp_path: Path, monkeypatch) -> None:
    """Sentences that share a translation are in one split, over several steps too."""
    rows = [f"Hello {n}.\tHola {n}.\tof nobody" for n in range(60)]
    rows += [f"Chain {n}.\tLink {n // 2}.\tof nobody" for n in range(60)]
    rows += [f"Chain {n}.\tLink {(n + 1) // 2}.\tof nobody" for n in range(59)]
    path = tmp_path / "cmn.txt"
    path.write_text("\n".join(rows), encoding="utf-8")
    monkeypatch.setattr(module, "fetch", lambda source: path)
    found = {split: {one: [] for one in LANGUAGES} for split in ("train", "validation", "test")}
    module._add_pairs(found)
    where = {
        line: split for split, parts in found.items() for part in parts.values() for line in part
    }
    assert len({where[f"Chain {n}."] for n in range(60)}) == 1
    assert all(where[f"Hello {n}."] == where[f"Hola {n}."] for n in range(60))
    assert {where[f"Hello {n}."] for n in range(60)} == {"train", "validation", "test"}
    path.write_text("no tab\n")
    with pytest.raises(DataError, match="lines without a tab"):
        module._add_pairs(found)


def test_sentences_of_wikipedia_are_written_as_people_write() -> None:
    found = {split: {"en": []} for split in ("train", "validation", "test")}
    text = (
        " = A title = \n\n It 's 1 @,@ 000 ( one ) well @-@ known thing . A <unk> is left out .\n"
    )
    module._add_articles(found, text)
    lines = module._fresh(found[split_of("= A title =")]["en"], set())
    assert lines == ["It's 1,000 (one) well-known thing."]


def test_a_line_that_is_in_two_splits_counts_once() -> None:
    seen: set[str] = set()
    assert module._fresh(["a  b", "x", "c d"], seen) == ["a b", "c d"]
    assert module._fresh(["c d", "e f", "e f"], seen) == ["e f"]
