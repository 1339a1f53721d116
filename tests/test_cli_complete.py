"""`shoestring complete` and `learn complete`: arguments, files, pipes and bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shoestring.artifact import load

FILE = Path(__file__).parents[1] / "benchmarks" / "results" / "files" / "complete.shoe"


def called(*arguments: object, given: bytes = b"") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "shoestring", "complete", str(FILE), *map(str, arguments)],
        input=given,
        capture_output=True,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_a_line_gives_a_line_whatever_stands_in_it() -> None:
    """Words, digits, nothing, control characters, what is no UTF-8, and a megabyte."""
    given = (
        b"What is the n\n\n12345\r\n\x00\x1b[2J\x07\nbad \xff\xe4\xbd\n\xe6\x88\x91\xe6\x83\xb3\n"
    )
    code, out, err = called("--top", 4, given=given + b"x" * 1_000_000 + b"\nlast")
    lines = out.split("\n")
    assert code == 0 and len(lines) == 9 and lines[-1] == ""
    assert all(0 < len(line.split("\t")) <= 4 for line in lines[:-1])
    assert all(c.isprintable() or c == "\t" for line in lines for c in line)
    assert "line 5 of standard input is not UTF-8" in err


def test_completions_are_whole_words_with_probabilities(shoestring) -> None:
    """In JSON, and the same in Python."""
    texts = ["I don't kn", "How ma", "他是一", ""]
    code, out, err = shoestring("complete", FILE, "--json", "--top", 5, *texts)
    assert code == 0 and err == ""
    answers = [json.loads(line) for line in out.splitlines()]
    assert [one["text"] for one in answers] == texts
    assert answers[0]["completions"][0]["completion"].startswith("ow")
    assert answers[1]["completions"][0]["completion"].startswith("ny")
    found = load(FILE, threads=1)(texts)
    assert load(FILE, threads=1)("How ma") == found[1]
    for answer, ours in zip(answers, found, strict=True):
        chances = [one["probability"] for one in answer["completions"]]
        assert chances == sorted(chances, reverse=True) and sum(chances) <= 1 + 1e-6
        told = [one["completion"] for one in answer["completions"]]
        assert told[:3] == [one.text for one in ours]


def test_a_reader_that_closes_the_pipe_ends_it_quietly(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"How many\n" * 30_000)
    command = [sys.executable, "-m", "shoestring", "complete", FILE, "--input", tmp_path / "in.txt"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stderr is not None
        assert running.stdout.readline().count(b"\t") == 2
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 0


def _heed() -> None:
    """Heed SIGINT, which shells have what they run in the background ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_is_one_sentence() -> None:
    command = [sys.executable, "-m", "shoestring", "complete", FILE]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, preexec_fn=_heed) as running:
        assert running.stdin is not None and running.stdout is not None
        running.stdin.write(b"How\n")
        running.stdin.flush()
        assert running.stdout.readline()
        os.kill(running.pid, signal.SIGINT)
        ended = time.monotonic() + 30
        while running.poll() is None and time.monotonic() < ended:
            time.sleep(0.05)
        assert running.returncode == 130
        assert running.stderr is not None and b"Traceback" not in running.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tag", FILE, "a"), "shoestring complete"),
        (("complete", FILE, "a", "--top", "99"), "top is 99: it must be an integer, 1 to 12"),
        (("complete", FILE.with_name("en_tag.shoe"), "a"), "shoestring tag"),
        (("complete", FILE.with_name("lenet5_rate_5e-05.shoe"), "a"), "no answers to texts"),
    ],
)
def test_what_cannot_be_completed_is_said(shoestring, arguments, told: str) -> None:
    code, _, err = shoestring(*arguments)
    assert code == 1 and told in err


def test_a_text_that_is_too_short_is_refused(shoestring, tmp_path: Path) -> None:
    (tmp_path / "few.txt").write_text("one\ntwo\n")
    code, _, err = shoestring("learn", "complete", "few.txt", "mine.shoe")
    assert code == 1 and "2 different lines, and 16 are needed" in err


@pytest.mark.slow
def test_a_text_of_the_readers_own_is_learned(shoestring, tmp_path: Path, monkeypatch) -> None:
    """Sixteen lines a hundred times: the file then knows them by heart."""
    from dataclasses import replace

    from shoestring.recipes import byte_language

    small = replace(
        byte_language.BYTE_MODEL, states=67, pieces=((256, 8),), least_steps=300, batch_size=8
    )
    monkeypatch.setattr(byte_language, "BYTE_MODEL", small)
    names = (
        "amber birch cedar daisy elder fern grass hazel iris juniper kelp lily moss nettle oak pine"
    )
    lines = [f"the {name} is green\n" for name in names.split()]
    (tmp_path / "mine.txt").write_text("".join(lines) * 60)
    code, out, err = shoestring(
        "learn", "complete", "mine.txt", "mine.shoe", "--size", "40KB", "--passes", "1"
    )
    assert code == 0, err
    assert "bits per byte on validation" in out
    assert load(tmp_path / "mine.shoe")("the bir")[0].text.startswith("ch")
