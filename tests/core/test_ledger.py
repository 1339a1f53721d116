"""Rows go in, in any number of processes, and never out."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from processes import CONTEXT

from shoestring.core import Cost, Ledger, Row
from shoestring.core.ledger import VERSION

ROW = Row(
    kind="apply",
    technique="Magnitude(density=0.1)",
    seed=3,
    score_before=0.9,
    score_after=0.89,
    note="said 'so'",
    cost_before=Cost(bytes=100),
    cost_after=Cost(
        bytes=10,
        seconds=1.5,
        labels=0,
        training_operations=10**16,
        person_seconds=0.5,
        communicated_bytes=3,
    ),
)


def write_rows(path: str, who: int, count: int) -> None:
    for turn in range(count):
        Ledger(path).append(Row(kind="apply", technique=f"worker {who}", seed=turn))


def test_rows_come_back_as_they_were(tmp_path: Path):
    ledger = Ledger(tmp_path / "a.sqlite")
    assert ledger.rows() == [] and not (tmp_path / "a.sqlite").exists()
    assert [ledger.append(ROW), ledger.append(Row(kind="failed", technique="x"))] == [1, 2]
    first, second = Ledger(str(tmp_path / "a.sqlite")).rows()
    assert first == Row(**{**vars(ROW), "id": 1})
    assert (second.kind, second.id, second.seed, second.score_before, second.cost_after) == (
        "failed",
        2,
        None,
        None,
        Cost(),
    )
    assert (
        first.versions["python"]
        and first.versions["numpy"]
        and "cores" in first.machine
        and first.time > 1e9
    )


def test_lines_of_json(tmp_path: Path):
    ledger = Ledger(tmp_path / "a.sqlite")
    assert list(ledger.json_lines()) == []
    ledger.append(ROW)
    ledger.append(ROW)
    first, second = map(json.loads, ledger.json_lines())
    assert (first["id"], second["id"]) == (1, 2)
    assert first["cost_before"] == {"bytes": 100} and first["cost_after"] == {
        "bytes": 10,
        "seconds": 1.5,
        "labels": 0,
        "training_operations": 10**16,
        "person_seconds": 0.5,
        "communicated_bytes": 3,
    }
    assert (
        first["technique"] == "Magnitude(density=0.1)"
        and first["note"] == "said 'so'"
        and first["file"] is None
    )
    assert first["versions"] == ROW.versions and all(
        "\n" not in line for line in ledger.json_lines()
    )


@pytest.mark.parametrize(
    "attempt",
    [
        "update ledger set score_after = 1.0",
        "delete from ledger where id = 1",
        "delete from ledger",
        "insert or replace into ledger select 1, time, kind, 'forged', seed, score_before, "
        "score_after, cost_before, cost_after, file, sha256, machine, versions, note, run, parent, "
        "task, model, scores_before, scores_after from ledger",
    ],
)
def test_the_database_itself_is_append_only(tmp_path: Path, attempt: str):
    ledger = Ledger(tmp_path / "a.sqlite")
    ledger.append(ROW)
    before = ledger.rows()
    with (
        closing(sqlite3.connect(ledger.path)) as connection,
        connection,
        pytest.raises(sqlite3.Error, match="append-only"),
    ):
        connection.execute(attempt)
    assert ledger.rows() == before and ledger.append(ROW) == 2


OLD = """
create table if not exists ledger (
    id integer primary key autoincrement, time real not null, kind text not null,
    technique text not null, seed integer, score_before real, score_after real,
    cost_before text not null, cost_after text not null, file text, sha256 text,
    machine text not null, versions text not null, note text not null default '');
create trigger if not exists no_update before update on ledger
begin select raise(abort, 'the ledger is append-only'); end;
create trigger if not exists no_delete before delete on ledger
begin select raise(abort, 'the ledger is append-only'); end;
create trigger if not exists no_replace before insert on ledger
when exists (select 1 from ledger where id = new.id)
begin select raise(abort, 'the ledger is append-only'); end;
"""
OLD_ROW = """
insert into ledger (time, kind, technique, seed, score_before, score_after, cost_before, cost_after,
    file, sha256, machine, versions, note)
values (5.0, 'apply', 'Old()', 3, 0.9, 0.8, '{}', '{"bytes": 7}', null, null, 'a machine',
    '{"python": "3.11"}', 'kept');
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A ledger as it was made before there were versions."""
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(OLD + OLD_ROW)
    return path


def test_an_old_ledger_is_read_as_it_is(old: Path):
    before = old.read_bytes()
    (row,) = Ledger(old).rows()
    assert (row.id, row.time, row.technique, row.score_after, row.cost_after) == (
        1,
        5.0,
        "Old()",
        0.8,
        Cost(bytes=7),
    )
    assert (row.run, row.parent, row.task, row.model) == (
        None,
        None,
        None,
        None,
    ) and row.note == "kept"
    assert row.scores_before == row.scores_after == {}
    assert old.read_bytes() == before
    assert json.loads(next(Ledger(old).json_lines()))["run"] is None


def test_an_old_ledger_is_appended_to(old: Path):
    ledger = Ledger(old)
    first = ledger.rows()
    assert (
        ledger.append(
            Row(
                kind="apply", technique="New()", run="ab12", parent=1, task="digits", model="f" * 64
            )
        )
        == 2
    )
    rows = ledger.rows()
    assert rows[:1] == first
    assert (rows[1].run, rows[1].parent, rows[1].task, rows[1].model) == (
        "ab12",
        1,
        "digits",
        "f" * 64,
    )
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("pragma user_version").fetchone() == (VERSION,)
        connection.executescript(OLD + OLD_ROW)  # an older Shoestring goes on writing
        with pytest.raises(sqlite3.Error, match="append-only"):
            connection.execute("delete from ledger")
    assert [row.run for row in ledger.rows()] == [None, "ab12", None] and ledger.append(ROW) == 4


def test_a_change_of_schema_that_was_cut_short_is_begun_again(old: Path):
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("alter table ledger add column run text")
    assert (
        Ledger(old).rows()[0].run is None
        and Ledger(old).append(ROW) == 2
        and Ledger(old).rows()[1].run == ROW.run
    )


def test_many_processes_renew_an_old_ledger_at_a_time(old: Path):
    workers = [CONTEXT.Process(target=write_rows, args=(str(old), who, 5)) for who in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(900)
    assert [worker.exitcode for worker in workers] == [0] * 3
    rows = Ledger(old).rows()
    assert [row.id for row in rows] == list(range(1, 17)) and len(
        {row.run for row in rows[1:]}
    ) == 3


def test_a_ledger_of_a_newer_schema_is_left_alone(tmp_path: Path):
    path = tmp_path / "new.sqlite"
    Ledger(path).append(ROW)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"pragma user_version = {VERSION + 1}")
    before = path.read_bytes()
    for attempt in (lambda: Ledger(path).append(ROW), lambda: Ledger(path).rows()):
        with pytest.raises(
            ValueError,
            match=rf"schema version {VERSION + 1}, and this Shoestring knows {VERSION} and older",
        ):
            attempt()
    assert path.read_bytes() == before


def test_a_run_is_of_a_process(tmp_path: Path):
    first, second = (Row(kind="apply", technique="x") for _ in range(2))
    assert (
        first.run == second.run
        and first.run is not None
        and len(first.run) == 8
        and int(first.run, 16) >= 0
    )
    assert Row(kind="apply", technique="x", run="mine").run == "mine"


def test_many_processes_write_at_a_time(tmp_path: Path):
    path = str(tmp_path / "a.sqlite")
    workers = [CONTEXT.Process(target=write_rows, args=(path, who, 20)) for who in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(900)
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
    with pytest.raises(IsADirectoryError, match="is a folder: name a file in it"):
        Ledger(tmp_path).append(ROW)


def test_scores_by_name_are_kept(tmp_path: Path, old: Path):
    row = Row(
        kind="apply",
        technique="x",
        scores_before={"recall": 0.9},
        scores_after={"recall": 0.8, "F1": 0.5},
    )
    for path, count in ((tmp_path / "a.sqlite", 1), (old, 2)):
        assert Ledger(path).append(row) == count
        found = Ledger(path).rows()[-1]
        assert found.scores_before == {"recall": 0.9} and found.scores_after == {
            "recall": 0.8,
            "F1": 0.5,
        }
        assert json.loads(list(Ledger(path).json_lines())[-1])["scores_after"] == {
            "recall": 0.8,
            "F1": 0.5,
        }
        assert Ledger(path).append(ROW) == count + 1 and Ledger(path).rows()[-1].scores_after == {}


def test_a_ledger_of_the_first_version_is_read_and_appended_to(old: Path):
    with closing(sqlite3.connect(old)) as connection, connection:
        for column in ("run text", "parent integer", "task text", "model text"):
            connection.execute(f"alter table ledger add column {column}")
        connection.execute("pragma user_version = 1")
    assert Ledger(old).rows()[0].scores_after == {} and Ledger(old).append(ROW) == 2
    assert Ledger(old).rows()[1] == Row(**{**vars(ROW), "id": 2})
