"""Temporary folders: gone at the end, and gone after a kill too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from shoestring.artifact import scratch
from shoestring.artifact.locks import FileLock, is_held
from shoestring.artifact.scratch import Scratch, scratch_folder

HOLDS = """
import time
from shoestring.artifact.scratch import Scratch
one = Scratch()
(one.path / "large").write_bytes(bytes(1000))
print(one.path, flush=True)
time.sleep(600)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_a_temporary_folder_is_deleted_at_the_end(place: Path):
    with pytest.raises(KeyError), scratch_folder() as folder:
        assert folder.parent == place
        (folder / "a").touch()
        raise KeyError("what went wrong")
    assert list(place.iterdir()) == []


def test_the_folder_of_a_killed_process_is_deleted_by_the_next(place: Path):
    (place / "shoestring-mine").mkdir()
    processes = [
        subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    killed, living = (Path(one.stdout.readline().strip()) for one in processes)
    processes[0].kill()
    processes[0].communicate()
    assert killed.exists()
    scratch._clear.cache_clear()
    mine = Scratch()
    assert not killed.exists() and living.exists() and mine.path.exists()
    processes[1].kill()
    processes[1].communicate()
    scratch._clear.cache_clear()
    Scratch().close()
    mine.close()
    mine.close()
    assert [one.name for one in place.iterdir()] == ["shoestring-mine"]


def test_a_folder_is_locked_until_it_is_deleted_so_that_nobody_begins_with_it(place, monkeypatch):
    left, plain, held = place / f"shoestring-{'0' * 16}", shutil.rmtree, []
    left.mkdir()
    lock = left.with_name(f"{left.name}.lock")
    lock.touch()

    def deleted(path, **more):
        if path == left:
            held.append(is_held(lock))
        plain(path, **more)

    monkeypatch.setattr(shutil, "rmtree", deleted)
    scratch._clear.cache_clear()
    Scratch().close()
    assert held == [True] and list(place.iterdir()) == []


def test_a_folder_without_its_lock_is_not_begun(place, monkeypatch):
    first, names = [], iter(["0" * 16, "1" * 16])
    monkeypatch.setattr(scratch.secrets, "token_hex", lambda _: next(names))
    first.append(FileLock(place / f"shoestring-{'0' * 16}.lock"))
    one = Scratch()
    assert one.path == place / f"shoestring-{'1' * 16}"
    one.close()
    first[0].delete()
    assert list(place.iterdir()) == []


def test_where_no_folder_can_be_made_it_says_so(place: Path, monkeypatch):
    monkeypatch.setattr(os, "mkdir", full)
    with pytest.raises(OSError, match=r"no temporary folder can be made \(No space.*TMPDIR"):
        Scratch()
    monkeypatch.undo()


def full(*_, **__):
    raise OSError(28, "No space left on device")
