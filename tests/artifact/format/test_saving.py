"""Where files are written.

Whole or not at all, through links, and never in place of something that is no file.
"""

import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from shoestring.artifact import read, save
from shoestring.artifact.checkpoints import checkpoint, streaming
from shoestring.artifact.format.saving import clear_leftovers, replacing, save_first
from shoestring.artifact.locks import is_held, take

posix = pytest.mark.skipif(
    os.name != "posix", reason="links, pipes and devices as POSIX systems have them"
)


@posix
def test_what_a_link_leads_to_is_written(tmp_path):
    (tmp_path / "far").mkdir()
    target, link, other = (
        tmp_path / "far" / "model.shoe",
        tmp_path / "link.shoe",
        tmp_path / "other.shoe",
    )
    link.symlink_to("far/model.shoe")  # to a file that is not there yet
    other.symlink_to(link)
    for data in (b"one", b"two"):
        save(other, data)
        assert target.read_bytes() == data and link.is_symlink() and other.is_symlink()
    assert os.listdir(tmp_path / "far") == ["model.shoe"]
    link.unlink()
    link.symlink_to("nowhere/model.shoe")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        save(link, b"three")


@posix
def test_a_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "model.shoe"
    save(path, b"old")
    path.chmod(0o640)
    save(path, b"new")
    assert path.read_bytes() == b"new" and stat.S_IMODE(path.stat().st_mode) == 0o640


@posix
def test_what_is_no_file_is_left_alone(tmp_path):
    pipe, place = tmp_path / "pipe", tmp_path / "socket"
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        for path, words in (
            (pipe, "a pipe"),
            (place, "a socket"),
            (Path("/dev/full"), "a device"),
            (Path("/dev/null"), "a device"),
        ):
            with pytest.raises(
                FileExistsError, match=rf"{path} is {words}, and would be replaced by a file"
            ):
                save(path, b"x")
            with pytest.raises(
                OSError, match=rf"{path} is {words}: write what comes from it into a file"
            ):
                read(path)
    assert stat.S_ISFIFO(pipe.stat().st_mode) and stat.S_ISCHR(os.stat("/dev/full").st_mode)


@posix
def test_a_disk_without_room_leaves_the_old_file(tmp_path):
    import resource

    path = tmp_path / "model.shoe"
    save(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match=r"cannot write .*model\.shoe: .*has room"):
            save(path, bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["model.shoe"]


LEFT = """
import os, sys, time
from shoestring.artifact.format.saving import replacing, save_first
with replacing(sys.argv[1]) as file:
    file.write(b"half of it")
    print(os.listdir(os.path.dirname(sys.argv[1])), flush=True)
    time.sleep(600)
"""


@posix
def test_what_a_killed_write_leaves_is_cleared_by_the_next_and_nothing_else(tmp_path):
    path = tmp_path / "model.shoe"
    save(path, b"old")
    mine = tmp_path / ".shoe-notes"  # of five letters: none of ours
    mine.touch()
    writers = []
    for _ in range(2):
        writers.append(
            subprocess.Popen([sys.executable, "-c", LEFT, path], stdout=subprocess.PIPE, text=True)
        )
        assert ".shoe-" in writers[-1].stdout.readline()
    killed, living = writers
    names = set(os.listdir(tmp_path)) - {"model.shoe", ".shoe-notes"}
    assert len(names) == 2 and path.read_bytes() == b"old"
    killed.kill()
    killed.communicate()
    save(path, b"new")
    left = set(os.listdir(tmp_path)) - {"model.shoe", ".shoe-notes"}
    assert len(left) == 1 and left < names, "the file of the one that lives stays"
    living.kill()
    living.communicate()
    save(tmp_path / "another.shoe", b"new")
    assert sorted(os.listdir(tmp_path)) == [".shoe-notes", "another.shoe", "model.shoe"]
    assert path.read_bytes() == b"new"


def test_of_two_that_write_a_file_first_the_first_does(tmp_path):
    path, other = tmp_path / "sample.json", tmp_path / "other"
    other.write_bytes(b"")
    assert save_first(path, b"one") and not save_first(path, b"two")
    assert path.read_bytes() == b"one" and path.stat().st_mode == other.stat().st_mode
    assert sorted(os.listdir(tmp_path)) == ["other", "sample.json"]


@posix
@pytest.mark.parametrize("seconds", [0.05, 3600])
def test_a_file_is_kept_that_another_process_asks_about_while_it_begins(
    tmp_path, monkeypatch, seconds
):
    """Without its lock, the next command would delete it while it is written."""
    path, plain, asking = tmp_path / "model.shoe", tempfile.mkstemp, []

    def asked(**given):
        fd, name = plain(**given)
        if not asking:
            asking.append(os.open(name, os.O_RDWR))
            assert take(asking[0], shared=True)
            if seconds < 1:
                threading.Timer(seconds, os.close, asking).start()
        return fd, name

    monkeypatch.setattr(tempfile, "mkstemp", asked)
    with replacing(path) as file:
        clear_leftovers(tmp_path)
        assert len(os.listdir(tmp_path)) == 1
        file.write(b"new")
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["model.shoe"]
    if seconds > 1:
        os.close(asking[0])


@posix
def test_what_is_left_is_locked_until_it_is_deleted_so_that_nobody_begins_with_it(
    tmp_path, monkeypatch
):
    left, plain, held = tmp_path / ".shoe-partial-abcdefgh", os.unlink, []
    left.touch()

    def deleted(path, **more):
        held.append(is_held(Path(path)))
        plain(path, **more)

    monkeypatch.setattr(os, "unlink", deleted)
    clear_leftovers(tmp_path)
    assert held == [True] and not left.exists()


@posix
def test_where_a_disk_has_no_links_the_first_file_keeps_its_lock_until_it_has_its_name(
    tmp_path, monkeypatch
):
    path, plain = tmp_path / "sample.json", os.replace

    def none(*_, **__):
        raise OSError(1, "Operation not permitted")

    def slow(source, target):
        clear_leftovers(tmp_path)
        plain(source, target)

    monkeypatch.setattr(os, "link", none)
    monkeypatch.setattr(os, "replace", slow)
    assert [save_first(path, one) for one in (b"one", b"two")] == [True, False]
    assert path.read_bytes() == b"one" and os.listdir(tmp_path) == ["sample.json"]


def test_an_error_while_a_file_is_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "model.shoe"
    save(path, b"old")
    with pytest.raises(KeyError), replacing(path) as file:
        file.write(b"half of it")
        raise KeyError("what went wrong")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["model.shoe"]


def test_of_two_packs_onto_one_name_the_later_one_says_so(tmp_path, monkeypatch):
    source, out = tmp_path / "one.safetensors", tmp_path / "model.shoe"
    save_file({"weight": np.arange(40, dtype=np.float32)}, source)
    found = checkpoint.from_safetensors(source)
    index = streaming._write_index

    def slow(*given, **more):
        save(out, b"of the other command")
        return index(*given, **more)

    monkeypatch.setattr(streaming, "_write_index", slow)
    with pytest.raises(
        FileExistsError, match=r"another command wrote .*model\.shoe meanwhile, and it stays"
    ):
        streaming.pack_checkpoint(found, source, out)
    assert out.read_bytes() == b"of the other command"
    monkeypatch.undo()
    assert (
        streaming.pack_checkpoint(found, source, out).bytes_after == out.stat().st_size
    )  # one that was there before is replaced
