"""Two commands at once on one search, or two recipes in one folder; and commands on a ledger that
is damaged.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from made_recipe import made_of
from processes import CONTEXT
from tiers import repetitions

from shoestring.core import Ledger, Row
from shoestring.core.apply import apply
from shoestring.core.task import seeded
from shoestring.core.technique import Technique, chain
from shoestring.recipes import running
from shoestring.recipes.running import Run, run_recipe
from tests.core.games import Nim, network

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
HOLDS = """
import sys, time
from pathlib import Path
from shoestring.kit.study import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that has the lock of a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, folder], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


@posix
def test_the_second_command_says_who_has_it_before_it_loads_anything(tmp_path, shoestring):
    (tmp_path / "mine.py").write_text("def small():\n    raise KeyError('it was called')\n")
    (tmp_path / "small.shoe.study").mkdir()
    (tmp_path / "digits_lenet").mkdir()
    searching, running_ = (holder(tmp_path / name) for name in ("small.shoe.study", "digits_lenet"))
    for process, arguments, remedy in (
        (searching, ("compress", "mine.py:small"), "or write to another file (--out)"),
        (running_, ("recipe", "digits_lenet"), "or name another folder with --output"),
    ):
        status, _, err = shoestring(*arguments)
        assert status == 1 and err.count("\n") == 1, err
        for part in (f"error: process {process.pid} on ", "python", "since 20", "works in", remedy):
            assert part in err, err
    (tmp_path / "small.shoe").mkdir()
    assert "is a folder" in shoestring("compress", "mine.py:small")[2]
    for process in (searching, running_):
        process.kill()
        process.communicate()
    (tmp_path / "small.shoe").rmdir()
    assert "it was called" in shoestring("compress", "mine.py:small")[2], "a dead holder holds none"
    assert not (tmp_path / "small.shoe").exists()


def test_a_file_in_place_of_a_search_s_folder_is_told(tmp_path, shoestring):
    (tmp_path / "small.shoe.study").touch()
    status, _, err = shoestring("compress", "--out", "small.shoe")
    assert status == 1 and "small.shoe.study is a file" in err and "another file (--out)" in err


# -- recipes


def test_of_two_recipes_in_one_folder_the_second_leaves_the_first_alone(tmp_path):
    def second(run: Run) -> None:
        raise AssertionError("it does not begin")

    def first(run: Run) -> None:
        run.row("net", "size", 3, "bytes")
        with pytest.raises(ValueError, match=rf"process {os.getpid()} on .* works in .*--output"):
            run_recipe(made_of(second), tmp_path, seed=5)  # of another seed, it would begin anew
        run.row("net", "time", 3, "ms")

    assert len(run_recipe(made_of(first), tmp_path)["rows"]) == 2
    assert sorted(one.name for one in tmp_path.iterdir()) == ["result.json", "rows.jsonl"]


# -- a stage of a chain, interrupted


@dataclass(frozen=True, kw_only=True)
class Quick(Technique):
    def __call__(self, model, task):
        return model


@dataclass(frozen=True, kw_only=True)
class Slow(Technique):
    def __call__(self, model, task):
        Path("begun").touch()
        while Path("slow").exists():
            time.sleep(0.01)
        return model


def in_a_recipe(folder: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # `nohup … &` has it ignored
    os.chdir(folder)

    def run(one: Run) -> None:
        with seeded(one.seed):
            steps = chain(Quick(), Slow(), Quick())
            apply(steps, network(), Nim(), ledger=one.ledger, seed=one.seed)

    run_recipe(made_of(run), folder / "out")


@posix
@pytest.mark.by_default("SIGINT")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["SIGINT", "SIGKILL"])
def test_a_stage_that_is_interrupted_is_marked_and_the_others_are_written_once(tmp_path, number):
    (tmp_path / "slow").touch()
    times = repetitions(1, 2)
    for _ in range(times):
        process = CONTEXT.Process(target=in_a_recipe, args=(tmp_path,))
        process.start()
        while not (tmp_path / "begun").exists():
            assert process.is_alive()
            time.sleep(0.01)
        assert process.pid is not None
        os.kill(process.pid, number)
        process.join(600)
        assert process.exitcode not in (0, None)
        (tmp_path / "begun").unlink()
    (tmp_path / "slow").unlink()
    process = CONTEXT.Process(target=in_a_recipe, args=(tmp_path,))
    process.start()
    process.join(600)
    assert process.exitcode == 0
    rows = Ledger(tmp_path / "out" / running.LEDGER).rows()
    stopped = times * ["interrupted Slow()"] if number == signal.SIGINT else []
    assert [f"{row.kind} {row.technique}" for row in rows] == [
        "apply Quick()",
        *stopped,
        "apply Slow()",
        "apply Quick()",
    ]
    assert [row.parent for row in rows][-2:] == [1, rows[-2].id], "the chain goes on from row 1"


# -- ledgers


@pytest.fixture
def damaged(tmp_path) -> Path:
    path = tmp_path / "shoestring.ledger"
    for number in range(60):
        Ledger(path).append(Row(kind="apply", technique=f"T({number})", note="long " * 300))
    path.write_bytes(path.read_bytes()[:-20_000])
    return path


def test_a_damaged_ledger_says_so_in_each_command_and_is_recovered(tmp_path, shoestring, damaged):
    before = damaged.read_bytes()
    for arguments in (
        ("ledger",),
        ("ledger", "--json"),
        ("compress", "mine.py:small"),
    ):
        status, _, err = shoestring(*arguments)
        assert status == 1 and err.startswith("error: the ledger shoestring.ledger is damaged (")
        assert "`shoestring ledger shoestring.ledger --recover`" in err and err.count("\n") == 1
    status, out, _ = shoestring("ledger", "--recover")
    assert status == 0 and damaged.read_bytes() == before
    assert "shoestring.ledger.recovered: " in out and "shoestring.ledger is as it was" in out
    assert "are lost (" in out
    kept = Ledger(tmp_path / "shoestring.ledger.recovered").rows()
    assert len(kept) > 30 and f" {len(kept)} rows" in out
    status, out, _ = shoestring("ledger", "shoestring.ledger.recovered", "--recover")
    assert status == 0 and "is not damaged" in out
    found = json.loads(shoestring("ledger", "--recover", "--json")[1])
    assert found["path"] == "shoestring.ledger.recovered-2" and found["rows"] == len(kept)
    assert len(found["lost"]) == 60 - len(kept)


def test_ranges_of_numbers():
    from shoestring.cli.scores import _ranges

    assert _ranges((3, 7, 8, 9, 11)) == "3, 7-9, 11" and _ranges(()) == ""


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.mkdir(), "is a folder: name a file in it"),
        (lambda path: path.write_text("notes\n" * 200), "is not a ledger"),
        (lambda path: os.mkfifo(path), "is a pipe"),
    ],
    ids=["folder", "text", "pipe"],
)
@posix
def test_what_is_no_ledger_is_told_before_a_search(tmp_path, shoestring, make, said):
    make(tmp_path / "mine.ledger")
    for arguments in (
        ("ledger", "mine.ledger"),
        ("ledger", "mine.ledger", "--recover"),
        ("compress", "mine.py:small", "--ledger", "mine.ledger"),
    ):
        status, _, err = shoestring(*arguments)
        assert status == 1 and "mine.ledger" in err and err.count("\n") == 1, err
        assert said in err or "no row of a ledger can be read" in err, err


def test_a_step_that_failed_or_was_interrupted_is_marked(shoestring, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for kind in ("apply", "failed", "interrupted"):
        Ledger("shoestring.ledger").append(Row(kind=kind, technique="T()"))
    out = shoestring("ledger")[1]
    assert "failed: T" in out and "interrupted: T" in out and out.count(" T ") == 3
