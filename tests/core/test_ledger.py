"""Rows go in, in any number of processes, and never out."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from shoestring.core import Cost, Ledger, Row

ROW = Row(
    kind="apply", technique="Magnitude(density=0.1)", seed=3, score_before=0.9, score_after=0.89, note="said 'so'",
    cost_before=Cost(bytes=100), cost_after=Cost(bytes=10, seconds=1.5, labels=0),
)  # fmt: skip


def write_rows(path: str, who: int, count: int) -> None:
    for turn in range(count):
        Ledger(path).append(Row(kind="apply", technique=f"worker {who}", seed=turn))


def test_rows_come_back_as_they_were(tmp_path: Path):
    ledger = Ledger(tmp_path / "a.sqlite")
    assert ledger.rows() == [] and not (tmp_path / "a.sqlite").exists()
    assert [ledger.append(ROW), ledger.append(Row(kind="failed", technique="x"))] == [1, 2]
    first, second = Ledger(str(tmp_path / "a.sqlite")).rows()
    assert first == Row(**{**vars(ROW), "id": 1})
    assert (second.kind, second.id, second.seed, second.score_before, second.cost_after) == ("failed", 2, None, None, Cost())
    assert first.versions["python"] and first.versions["numpy"] and "cores" in first.machine and first.time > 1e9


def test_lines_of_json(tmp_path: Path):
    ledger = Ledger(tmp_path / "a.sqlite")
    assert list(ledger.json_lines()) == []
    ledger.append(ROW)
    ledger.append(ROW)
    first, second = map(json.loads, ledger.json_lines())
    assert (first["id"], second["id"]) == (1, 2)
    assert first["cost_before"] == {"bytes": 100} and first["cost_after"] == {"bytes": 10, "seconds": 1.5, "labels": 0}
    assert first["technique"] == "Magnitude(density=0.1)" and first["note"] == "said 'so'" and first["file"] is None
    assert first["versions"] == ROW.versions and all("\n" not in line for line in ledger.json_lines())


@pytest.mark.parametrize(
    "attempt",
    [
        "update ledger set score_after = 1.0",
        "delete from ledger where id = 1",
        "delete from ledger",
        "insert or replace into ledger select 1, time, kind, 'forged', seed, score_before, score_after, cost_before, cost_after, "
        "file, sha256, machine, versions, note from ledger",
    ],
)
def test_the_database_itself_is_append_only(tmp_path: Path, attempt: str):
    ledger = Ledger(tmp_path / "a.sqlite")
    ledger.append(ROW)
    before = ledger.rows()
    with closing(sqlite3.connect(ledger.path)) as connection, connection, pytest.raises(sqlite3.Error, match="append-only"):
        connection.execute(attempt)
    assert ledger.rows() == before and ledger.append(ROW) == 2


def test_many_processes_write_at_a_time(tmp_path: Path):
    path = str(tmp_path / "a.sqlite")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=write_rows, args=(path, who, 20)) for who in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * 4
    rows = Ledger(path).rows()
    assert [row.id for row in rows] == list(range(1, 81))
    for who in range(4):
        assert [row.seed for row in rows if row.technique == f"worker {who}"] == list(range(20))


def test_a_file_of_another_kind_is_left_alone(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("not a ledger, and somebody's only copy\n" * 40)
    for attempt in (lambda: Ledger(path).append(ROW), lambda: Ledger(path).rows()):
        with pytest.raises(ValueError, match=r"notes\.txt is not a ledger: .*name another path"):
            attempt()
    assert path.read_text() == "not a ledger, and somebody's only copy\n" * 40


def test_a_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(OSError, match=r"cannot open the ledger .*: there is no folder .*nowhere"):
        Ledger(tmp_path / "nowhere" / "a.sqlite").append(ROW)
    with pytest.raises(OSError, match="cannot open the ledger"):
        Ledger(tmp_path).append(ROW)
