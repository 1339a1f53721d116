"""A network that orders words, trained and coded to a size, and the command that trains one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shoestring import cli
from shoestring.artifact import BracketedWords, load
from shoestring.recipes.preordering import PreorderSettings, preorder_scores, preorderer
from shoestring.tasks import Reordered

SMALL = PreorderSettings(
    step=BracketedWords(buckets=(64,) * 10, units=8, reach=1),
    vector=16,
    hidden=16,
    passes=60,
    coding_passes=30,
    least_steps=1,
    learning_rate=1e-2,
)


def made(count: int, seed: int) -> list[Reordered]:
    """An animal, an act and an animal, whose act goes last; where it is `is`, all stays."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        act = str(draw.choice(["sees", "bites", "is"]))
        words = (str(draw.choice(["dog", "cat"])), act, str(draw.choice(["cow", "fox"])))
        found.append(Reordered(words=words, order=(0, 1, 2) if act == "is" else (0, 2, 1)))
    return found


@pytest.mark.slow
def test_a_network_that_orders_words(tmp_path: Path) -> None:
    data = {"train": made(400, 0), "validation": made(40, 1)}
    path = tmp_path / "p.shoe"
    result = preorderer(data, path, size=9000, settings=SMALL)
    assert result.bytes == path.stat().st_size <= 9000 < result.before
    assert result.validation == result.trained == 1.0
    assert preorder_scores(path, made(40, 2))["exact"] == 1.0
    assert load(path)("dog bites fox") == [("dog", 0), ("fox", 2), ("bites", 1)]
    assert load(path).answers(["cat is cow", ""]) == [[("cat", 0), ("is", 1), ("cow", 2)], []]


def test_a_size_that_is_too_small_is_refused(tmp_path: Path) -> None:
    data = {"train": made(4, 0), "validation": made(4, 1)}
    with pytest.raises(ValueError, match="too small"):
        preorderer(data, tmp_path / "p.shoe", size=100, settings=replace(SMALL, passes=1))


def test_the_commands_learn_from_trees_and_order_words(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    small = replace(SMALL, coding_passes=1)
    monkeypatch.setattr("shoestring.recipes.preordering.PreorderSettings", lambda: small)
    lines = [
        f"1\t{a}\t_\tN\t_\t_\t2\tnsubj\t_\t_\n2\t{v}\t_\tV\t_\t_\t0\troot\t_\t_\n"
        f"3\t{b}\t_\tN\t_\t_\t2\tobj\t_\t_\n\n"
        for a, v, b in (one.words for one in made(60, 0))
    ]
    Path("x.conllu").write_text("".join(lines))
    arguments = ["learn", "preorder", "x.conllu", "x.shoe", "--passes", "1", "--test", "x.conllu"]
    said = run(monkeypatch, capsys, arguments)
    assert "pairs of words in the right order on validation" in said.out
    assert "Kendall's tau" in said.out
    told = run(monkeypatch, capsys, ["preorder", "x.shoe", "dog sees fox", ""])
    first, last = told.out.split("\n")[:2]
    assert sorted(first.split()) == ["dog", "fox", "sees"] and last == ""
    told = run(monkeypatch, capsys, ["preorder", "x.shoe", "a, b.", "--spaces", "--json"])
    assert '"words": ["' in told.out and '"a,"' in told.out
    assert run(monkeypatch, capsys, ["tag", "x.shoe", "a"], code=1).err.count("preorder x.shoe")


def test_a_table_without_heads_is_refused(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.tsv").write_text("a\tN\nb\tV\n\nc\tN\n\n")
    assert "no heads" in run(monkeypatch, capsys, ["learn", "preorder", "x.tsv", "y.shoe"], 1).err


def run(monkeypatch, capsys, arguments: list[str], code: int = 0):
    monkeypatch.setattr("sys.argv", ["shoestring", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr()
    assert int(stop.value.code or 0) == code, said.err
    return said
