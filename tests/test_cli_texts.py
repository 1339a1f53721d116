"""The commands that answer to texts: arguments, files, pipes and bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from features_back import features_back

from shoestring.artifact import HashedWords, InputChain, load
from shoestring.artifact.format.file import pack

TAGS = tuple(f"T{number}" for number in range(10))


def made(path: Path, labels: tuple[str, ...] = TAGS) -> Path:
    """A tagger whose scores are its ids: the last, which are the largest, always win."""
    chain = InputChain(steps=(HashedWords(rules=1),), labels=labels)
    path.write_bytes(pack(features_back(chain, ("N", "T", 10), 7)))
    return path


def called(*arguments, given: bytes = b"") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "shoestring", *map(str, arguments)],
        input=given,
        capture_output=True,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_the_file_answers_to_texts(tmp_path: Path) -> None:
    loaded = load(made(tmp_path / "t.shoe"))
    assert loaded(["A dog.", ""]) == [[("A", "T9"), ("dog", "T9"), (".", "T9")], []]
    assert loaded("dog") == [("dog", "T9")]
    assert loaded.answers(["A dog."], spaces=True) == [[("A", "T9"), ("dog.", "T9")]]
    assert len(loaded(["x" * 1_000_000])[0]) == 1
    assert loaded.from_raw(["A dog."]).shape == (1, 3, 10)


def test_arguments_files_and_pipes_give_a_line_for_a_line(tmp_path: Path) -> None:
    file = made(tmp_path / "t.shoe")
    assert called("tag", file, "A dog.", "é") == (0, "A_T9 dog_T9 ._T9\né_T9\n", "")
    given = b"A dog.\r\n\n\x1b[2J \x00 x\n" + b"bad \xff\n" + b"x" * 1_000_000 + b"\nlast"
    code, out, err = called("tag", file, given=given)
    lines = out.split("\n")
    assert code == 0 and len(lines) == 7 and lines[0] == "A_T9 dog_T9 ._T9" and lines[1] == ""
    assert lines[3] == "bad_T9 \ufffd_T9" and lines[5] == "last_T9" and lines[6] == ""
    assert "line 4 of standard input is not UTF-8" in err
    (tmp_path / "in.txt").write_bytes(b"a\nb\n")
    code, out, _ = called("tag", file, "--input", tmp_path / "in.txt", "--json")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"text": text, "words": [text], "tags": ["T9"]} for text in "ab"
    ]


def test_json_has_the_characters_themselves(tmp_path: Path) -> None:
    file = made(tmp_path / "t.shoe")
    text = "é 東\u2028\x9b\x00"
    _, out, _ = called("tag", file, "--json", given=text.encode())
    assert "é 東\u2028\x9b\\u0000" in out  # JSON wants an escape for the last alone
    assert json.loads(out)["text"] == text
    done = subprocess.run(
        [sys.executable, "-m", "shoestring", "tag", file, "é", "--json"],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert b"\\u00e9" in done.stdout and json.loads(done.stdout)["text"] == "é"


def test_a_pipe_that_its_reader_closes_ends_quietly(tmp_path: Path) -> None:
    file = made(tmp_path / "t.shoe")
    (tmp_path / "in.txt").write_bytes(b"a dog\n" * 200_000)
    command = [sys.executable, "-m", "shoestring", "tag", file, "--input", tmp_path / "in.txt"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stderr is not None
        assert running.stdout.readline() == b"a_T9 dog_T9\n"
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("segment", "t.shoe", "a"), "shoestring tag t.shoe"),
        (("tag", "t.shoe", "a", "--input", "x"), "give one of them"),
        (("tag", "none.shoe", "a"), "o such file"),
        (("tag", "t.shoe", "--input", "none.txt"), "o such file"),
        (("tag", "plain.shoe", "a"), "no answers to texts"),
        (("tag", "few.shoe", "a"), "2 labels for 10 scores"),
        (("tag", "text.txt", "a"), "text.txt: this is not a .shoe file"),
        (("tag", "t.shoe", "--input", "."), "--input . is a folder"),
    ],
)
def test_what_cannot_be_answered_is_said(tmp_path, monkeypatch, arguments, told: str) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "t.shoe")
    made(tmp_path / "plain.shoe", ())
    made(tmp_path / "few.shoe", ("A", "B"))
    (tmp_path / "text.txt").write_text("a")
    from typer.testing import CliRunner

    from shoestring.cli import app

    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 1
    assert told in str(result.exception)


def test_a_byte_order_mark_is_no_word(tmp_path: Path) -> None:
    file = made(tmp_path / "t.shoe")
    given = b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n"
    assert called("tag", file, given=given) == (0, "a_T9\n\ufeff_T9 b_T9\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="it closes standard input as POSIX shells do")
def test_a_closed_standard_input_is_said(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shoestring", "tag", made(tmp_path / "t.shoe")]
    closed = {"preexec_fn": lambda: os.close(0)}
    done = subprocess.run(command, capture_output=True, check=False, **closed)
    assert done.returncode == 1 and b"standard input is closed" in done.stderr


def test_learning_does_not_replace_what_it_reads(tmp_path: Path, monkeypatch) -> None:
    from typer.testing import CliRunner

    from shoestring.cli import app

    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / "x.tsv", tmp_path / "y.tsv"):
        path.write_text("a dog\tT\n\n" * 100)
    for more in (["x.tsv", "x.tsv"], ["x.tsv", "y.tsv", "--test", "y.tsv"]):
        result = CliRunner().invoke(app, ["learn", "identify", *more])
        assert result.exit_code == 1 and "would be replaced" in str(result.exception)
    assert (tmp_path / "x.tsv").read_text().startswith("a dog\tT")
