"""Locks on files: one holder at a time, free when it ends, and safe to delete."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shoestring.artifact import locks
from shoestring.artifact.locks import FileLock, is_held, left_behind, rewriting


def test_a_lock_has_one_holder_at_a_time(tmp_path: Path):
    path = tmp_path / "a.lock"
    assert is_held(path) is None
    lock = FileLock(path, "mine")
    assert is_held(path) is True and path.read_text() == "mine"
    with pytest.raises(BlockingIOError, match=r"a\.lock is locked by another process"):
        FileLock(path)
    lock.release()
    lock.release()
    assert is_held(path) is False and path.exists()
    again = FileLock(path, "x")
    again.delete()
    assert not path.exists() and FileLock(path).path.read_text() == ""


@pytest.mark.skipif(os.name != "posix", reason="Windows has no shared locks")
def test_who_only_asks_for_the_holder_keeps_nobody_from_the_lock(tmp_path: Path):
    path = tmp_path / "a.lock"
    asking = os.open(path, os.O_RDWR | os.O_CREAT)
    assert locks.take(asking, shared=True)
    threading.Timer(0.05, os.close, [asking]).start()
    lock = FileLock(path, "mine")
    assert is_held(path) is True
    lock.delete()


def test_what_nobody_holds_is_held_while_it_is_deleted(tmp_path: Path):
    path = tmp_path / "a.lock"
    with left_behind(path) as is_left:
        assert is_left is None and not path.exists()
    lock = FileLock(path)
    with left_behind(path) as is_left:
        assert is_left is False
    lock.release()
    with left_behind(path) as is_left:
        assert is_left is True and is_held(path) is True
    assert is_held(path) is False


def test_a_lock_whose_file_is_deleted_meanwhile_is_taken_on_the_new_file(tmp_path, monkeypatch):
    """Two may not hold a lock on one path: one on a file that was deleted, and one on the next."""
    path, first, plain = tmp_path / "a.lock", [], locks.take

    def slow(fd: int, shared: bool) -> bool:
        if not first:  # the holder deletes the file after we opened it
            first.append(fd)
            path.unlink()
        return plain(fd, shared)

    monkeypatch.setattr(locks, "take", slow)
    lock = FileLock(path, "second")
    monkeypatch.undo()
    assert path.read_text() == "second" and is_held(path) is True
    lock.delete()


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    def none(fd: int, shared: bool) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "take", none)
    with pytest.raises(OSError, match=r"a\.lock cannot be locked .*has no locks.*another disk"):
        FileLock(tmp_path / "a.lock")
    (tmp_path / "a.lock").touch()
    assert is_held(tmp_path / "a.lock") is None


@pytest.mark.skipif(os.name != "posix", reason="needs fork")
def test_a_lock_is_not_the_child_s(tmp_path: Path):
    lock = FileLock(tmp_path / "a.lock")
    (begun, begins), (ended, ends) = os.pipe(), os.pipe()
    if (child := os.fork()) == 0:
        os.close(ends)
        os.write(begins, b"x")
        os.read(ended, 1)  # lives on until the parent closes the pipe
        os._exit(0)
    os.read(begun, 1)
    lock.release()
    assert is_held(lock.path) is False
    os.close(ends)
    os.waitpid(child, 0)


@pytest.mark.skipif(os.name != "posix", reason="Windows rewrites without the lock")
def test_rewriting_at_once_loses_no_change(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("")

    def add(number: int) -> None:
        with rewriting(path):
            text = path.read_text()
            new = tmp_path / f"{number}.new"
            new.write_text(f"{text}{number}\n")
            new.replace(path)  # as a file is saved: another file in its place

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    assert sorted(map(int, path.read_text().split())) == list(range(40))


@pytest.mark.skipif(os.name != "posix", reason="Windows rewrites without the lock")
def test_a_file_that_another_keeps_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(locks, "_REWRITES", 1)
    path = tmp_path / "a.txt"
    path.write_text("")
    with (
        rewriting(path),
        pytest.raises(BlockingIOError, match=r"a\.txt is being rewritten by another process"),
        rewriting(path),
    ):
        pass
    with pytest.raises(FileNotFoundError), rewriting(tmp_path / "absent"):
        pass
