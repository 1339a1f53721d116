"""Ledgers that are damaged: each says so and what to do, and what can be read is recovered."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib import import_module
from pathlib import Path

import pytest
from tiers import repetitions

from shoestring.core import Cost, Ledger, Row
from shoestring.core.ledger import VERSION
from shoestring.core.salvage import salvage
from shoestring.core.sqlite_pages import records

COUNT = 40
TIMES = repetitions(15, 500)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of many pages, with rows that take several of them."""
    path = tmp_path_factory.mktemp("whole") / "a.ledger"
    for number in range(COUNT):
        Ledger(path).append(
            Row(
                kind="apply",
                technique=f"T({number})",
                seed=number,
                score_after=number / 8,
                cost_after=Cost(bytes=number, seconds=float(number)),
                note="long " * (number * 40),
                task="digits",
                model="f" * 64,
                parent=number or None,
                scores_after={"recall": 0.5},
            )
        )
    return path


@pytest.fixture
def path(tmp_path: Path, whole: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path / "a.ledger"))


def damage(data: bytearray, how: str, chance: random.Random) -> bytearray:
    if how == "bytes":
        for _ in range(chance.choice([1, 10, 100, 1000])):
            data[chance.randrange(len(data))] = chance.randrange(256)
    elif how == "block":
        start, count = chance.randrange(len(data)), chance.choice([100, 4096, 20_000])
        data[start : start + count] = chance.randbytes(len(data[start : start + count]))
    elif how == "beginning":
        count = chance.choice([16, 100, 4096])
        data[:count] = bytes(count)
    else:
        del data[chance.randrange(1, len(data)) :]
    return data


@pytest.mark.parametrize("how", ["bytes", "block", "beginning", "cut"])
def test_damage_is_told_with_a_remedy_and_what_is_left_is_recovered(path: Path, how: str):
    chance, intact = random.Random(how), path.read_bytes()
    rows = {row.id: row for row in Ledger(path).rows()}
    recovered = 0
    for _ in range(TIMES):
        data = bytes(damage(bytearray(intact), how, chance))
        path.write_bytes(data)
        try:
            Ledger(path).rows()  # an altered letter in a note is a note too
        except (ValueError, OSError) as error:
            assert str(path) in str(error) and any(
                word in str(error) for word in ("--recover", "name another", "newer Shoestring")
            ), error
            assert path.read_bytes() == data
        else:
            assert how in ("bytes", "block"), "nothing else falls between what is read"
        try:
            found = salvage(path)
        except ValueError as error:
            assert str(path) in str(error) and "put a copy back" in str(error)
            continue
        assert path.read_bytes() == data, "the old one stays"
        if found.path is not None:
            again = Ledger(found.path).rows()
            assert len(again) == found.rows
            # A row that was altered has what its bytes say now, its number too.
            assert how in ("bytes", "block") or {row.id for row in again} <= rows.keys()
            assert not {row.id for row in again} & set(found.lost)
            if how in ("cut", "beginning"):
                assert all(row == rows[row.id] for row in again)
            assert Ledger(found.path).append(Row(kind="apply", technique="new")) > 1
            found.path.unlink()
        recovered += found.rows
    share = {"bytes": 0.5, "block": 0.8, "beginning": 0.9, "cut": 0.25}
    assert recovered >= share[how] * COUNT * TIMES


def test_a_ledger_without_its_last_page_gives_the_rows_before_it(path: Path):
    path.write_bytes(path.read_bytes()[:-4096])
    with pytest.raises(ValueError, match=r"is damaged .*--recover` writes what can be read"):
        Ledger(path).append(Row(kind="apply", technique="x"))
    found = salvage(path)
    assert found.path == path.with_name("a.ledger.recovered") and found.lost == (COUNT,)
    assert [row.id for row in Ledger(found.path).rows()] == list(range(1, COUNT))
    assert salvage(path).path == path.with_name("a.ledger.recovered-2"), "the first one stays"


def test_of_two_at_once_each_writes_a_file_of_its_own(path: Path, monkeypatch):
    path.write_bytes(path.read_bytes()[:-4096])
    module, found = import_module("shoestring.core.salvage"), []
    plain = module.database_of

    def meanwhile(rows):
        monkeypatch.undo()
        found.append(salvage(path).path)
        found[0].write_bytes(b"theirs")
        return plain(rows)

    monkeypatch.setattr(module, "database_of", meanwhile)
    mine = salvage(path).path
    assert (found[0].name, mine.name) == ("a.ledger.recovered", "a.ledger.recovered-2")
    assert found[0].read_bytes() == b"theirs" and len(Ledger(mine).rows()) == COUNT - 1


def test_a_number_that_no_row_can_have_makes_no_others_lost(path: Path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("drop trigger no_update")
        connection.execute("update ledger set id = 50000000 where id = 7")
    data = bytearray(path.read_bytes())
    data[:16] = bytes(16)
    path.write_bytes(data)
    found = salvage(path)
    assert found.rows == COUNT - 1 and 7 in found.lost and max(found.lost) <= len(data)


class Counted(bytes):
    """Bytes that count how many of them are read, and refuse when that is far too many."""

    read = 0

    def __getitem__(self, at):
        found = super().__getitem__(at)
        self.read += len(found) if isinstance(at, slice) else 1
        assert self.read < 20 * len(self), "the work is not proportional to the file"
        return found


def leaf(size: int, pointers: list[int], body: dict[int, bytes]) -> bytes:
    """A page of cells: where they are said to begin, and bytes by their place."""
    page = bytearray(size)
    page[:8] = b"\x0d\0\0" + len(pointers).to_bytes(2, "big") + bytes(3)
    for index, pointer in enumerate(pointers):
        page[8 + 2 * index : 10 + 2 * index] = pointer.to_bytes(2, "big")
    for place, some in body.items():
        page[place : place + len(some)] = some
    return bytes(page[:size])


def hostile(how: str) -> bytes:
    """A file of 1 MiB, or a quarter, whose pages claim the same bytes again and again."""
    mebibyte = 1 << 20
    if how == "headers":  # each cell is a record of nothing but NULL, in the next one's bytes
        size, cell = 1 << 16, b"\x87\x68\x01\x87\x68"  # 1000 bytes, of which all are the header
        pointers = [2 * size // 3 + index for index in range(0, size // 3 - 2000, 6)]
        page = leaf(size, pointers, dict.fromkeys(pointers, cell))
        return page * (mebibyte // 4 // size)
    size = 4096
    length, count = b"\xbd\x84\x00", mebibyte // size  # 1,000,000 bytes or little less
    local = 489 + (0b111101_0000100_0000000 - 489) % (size - 4)
    local = local if local <= size - 35 else 489
    pointers = [2100 + 4 * index for index in range(100)]
    cells = (length + b"\x01") * 100
    pages = list[bytes]()
    for number in range(1, count + 1):
        if number % 2:
            to = 2 if how == "loop" else number % 20 + 1 + number % 2
            body = {2100: cells, 2104 + local: to.to_bytes(4, "big") * 110}
            pages.append(leaf(size, pointers * 10, body))
        else:
            after = 2 if how == "loop" else (number + 2) % count or count
            pages.append(after.to_bytes(4, "big") + bytes(size - 4))
    return b"".join(pages)


@pytest.mark.parametrize("how", ["loop", "chain", "headers"])
def test_the_work_is_proportional_to_the_file_whatever_is_in_it(tmp_path: Path, how: str):
    data, path = hostile(how), tmp_path / "hostile.ledger"
    records(Counted(data))
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"no row of a ledger can be read in .*hostile\.ledger"):
        salvage(path)


def test_a_ledger_that_is_not_damaged_needs_no_recovery(path: Path):
    found = salvage(path)
    assert (found.path, found.rows, found.lost) == (None, COUNT, ())
    assert [one.name for one in path.parent.iterdir()] == ["a.ledger"]


def test_a_row_that_no_row_can_be_is_named_and_the_others_recovered(path: Path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("drop trigger no_update")
        connection.execute("update ledger set cost_after = '{\"bytes' where id = 7")
    with pytest.raises(ValueError, match=r"its row 7 cannot be read.*writes the other rows"):
        Ledger(path).rows()
    found = salvage(path)
    assert (found.rows, found.lost) == (COUNT - 1, (7,))


def test_an_old_ledger_is_recovered_too(tmp_path: Path):
    from tests.core.test_ledger import OLD, OLD_ROW

    path = tmp_path / "old.ledger"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(OLD + OLD_ROW)
    data = bytearray(path.read_bytes())
    data[:16] = bytes(16)
    path.write_bytes(data)
    (row,) = Ledger(salvage(path).path or "").rows()
    assert (row.technique, row.score_after, row.run, row.note) == ("Old()", 0.8, None, "kept")


def test_a_ledger_of_a_newer_schema_is_left_to_the_newer_shoestring(path: Path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"pragma user_version = {VERSION + 1}")
    with pytest.raises(ValueError, match=rf"{path.name} has schema version 3.*install the newer"):
        salvage(path)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("create table notes (text)", r"is not a ledger: it is a database of another program"),
        ("create table ledger (id integer, amount real)", r"of another schema, without \['cost_"),
    ],
)
def test_a_database_of_another_program_is_left_alone(tmp_path: Path, sql: str, said: str):
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql)
    before = path.read_bytes()
    for attempt in (
        Ledger(path).rows,
        Ledger(path).check,
        lambda: Ledger(path).append(Row(kind="apply", technique="x")),
    ):
        with pytest.raises(ValueError, match=rf"theirs\.db .*{said}.*name another path"):
            attempt()
    with pytest.raises(ValueError, match=r"no row of a ledger can be read in .*theirs\.db"):
        salvage(path)
    assert path.read_bytes() == before


def test_what_is_in_the_way_is_told(tmp_path: Path):
    with pytest.raises(IsADirectoryError, match="is a folder: name a file in it"):
        Ledger(tmp_path).rows()
    with pytest.raises(OSError, match=r"there is no folder .*nowhere; make it, or name another"):
        Ledger(tmp_path / "nowhere" / "a.ledger").check()
    Ledger(tmp_path / "new.ledger").check()
    assert list(tmp_path.iterdir()) == [], "checking writes nothing"


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root may write everything")
def test_a_ledger_that_may_not_be_written_says_so(path: Path):
    path.chmod(0o444)
    assert len(Ledger(path).rows()) == COUNT
    for attempt in (Ledger(path).check, lambda: Ledger(path).append(Row(kind="x", technique="x"))):
        with pytest.raises(OSError, match=r"a\.ledger to write: it is read-only; allow it"):
            attempt()


def test_a_disk_mounted_to_be_read_says_so(tmp_path: Path, path: Path):
    if sys.platform != "linux" or os.getuid() or shutil.which("mount") is None:
        pytest.skip("mounting needs root: another test takes the permission away")
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        there = Path(shutil.copy(path, folder / "a.ledger"))
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        assert len(Ledger(there).rows()) == COUNT
        for attempt in (
            Ledger(there).check,
            lambda: Ledger(there).append(Row(kind="apply", technique="x")),
        ):
            with pytest.raises(
                OSError, match=r"a\.ledger to write: .*; allow it .*or name another"
            ):
                attempt()
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


HALF = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("pragma cache_size = 1")  # it writes before the commit
connection.execute("begin immediate")
for _ in range(50):
    connection.execute("insert into ledger select null, time, kind, 'half', seed, score_before, "
        "score_after, cost_before, cost_after, file, sha256, machine, versions, note, run, parent, "
        "task, model, scores_before, scores_after from ledger where id = 30")
os._exit(9)
"""


def test_what_a_killed_process_wrote_halfway_is_taken_back(path: Path):
    rows, before = Ledger(path).rows(), path.read_bytes()
    subprocess.run([sys.executable, "-c", HALF, path], check=False)
    journal = path.with_name("a.ledger-journal")
    assert journal.exists() and path.read_bytes() != before
    halfway = path.read_bytes()
    found = salvage(path)
    assert (found.path, found.rows) == (None, COUNT) and path.read_bytes() == halfway
    assert Ledger(path).rows() == rows and path.read_bytes() == before


# -- rows that an earlier process wrote already


def test_a_run_that_goes_on_writes_no_row_twice(tmp_path: Path):
    path = tmp_path / "a.ledger"
    first, second = (
        Row(kind="apply", technique=f"T({n})", score_after=0.5, run="before", seed=0)
        for n in (1, 2)
    )
    stopped = Row(kind="interrupted", technique="T(2)", run="before", seed=0)
    for row in (first, first, stopped):  # one technique twice in a chain
        Ledger(path).append(row)
    again = Ledger(path, once=True)
    now = [Row(**{**vars(row), "run": "now", "time": 9.0}) for row in (first, first, second)]
    assert [again.append(row) for row in (*now, now[0])] == [1, 2, 4, 5]
    assert again.append(Row(**{**vars(stopped), "run": "now"})) == 6
    worse = Row(**{**vars(first), "run": "now", "score_after": 0.4})
    assert again.append(worse) == 7, "another result is another row"
    third = Ledger(path, once=True)
    later = [Row(**{**vars(row), "run": "later"}) for row in (first, first, second)]
    assert [third.append(row) for row in later] == [1, 2, 4]
    assert [row.run for row in Ledger(path).rows()] == ["before"] * 3 + ["now"] * 4
