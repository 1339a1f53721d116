"""Disks that are full: at every place where a write can fail, the old file stays whole and a
sentence names the path and what to do.

A limit on the size of files (which needs no root) lets each operation fail at one write after
another. A small disk, where one may be mounted, is full at the other moments: where files are
created, and where several of them share the room.
"""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from tiers import repetitions

from shoestring import cli
from shoestring.artifact import Content, save
from shoestring.artifact.format import file
from shoestring.artifact.format.graph import Graph, Node, Port
from shoestring.artifact.format.tensors import tensor
from shoestring.core import Ledger, Row
from shoestring.kit import Study, Training, Trial, resuming, train
from shoestring.tasks import digits

resource = pytest.importorskip("resource", reason="limits of POSIX systems")
PLACES = repetitions(10, 60)
"""At how many sizes of its files an operation is stopped."""
OLD = b"SHOE: the old file"
ROOM = ("room", "No space", "too large", "disk I/O", "disk is full")


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """A context in which no file can grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def shoestring(tmp_path, monkeypatch, capsys):
    """Calls the program; returns its exit status and what it said of an error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["shoestring", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return int(stop.value.code or 0), capsys.readouterr().err

    return call


def places(size: int) -> list[int]:
    """Sizes from 0 to that of the largest file, the last of which is enough."""
    return sorted({0, 1, size - 1, *range(0, size, max(size // PLACES, 1))})


def prepare(folder: Path) -> None:
    """Files to pack, unpack and export."""
    values = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    save_file({"a": values}, folder / "net.safetensors")
    torch.save({"a": torch.from_numpy(values)}, folder / "net.pt")
    graph = Graph(
        opset=20,
        inputs=(Port("x", 1, ("N", 40)),),
        weights=1,
        constants=(),
        nodes=(Node("MatMul", (0, 1), 1),),
        outputs=(Port("y", 1),),
        results=(2,),
        arguments=((0,), {}),
        structure=0,
    )
    save(folder / "model.shoe", file.pack(Content(graph, [tensor(values, 0)])))
    np.savez(folder / "in.npz", x=values.T)


COMMANDS = {
    "pack": ("pack", "net.safetensors", "new.shoe"),
    "pack_torch": ("pack", "net.pt", "new.shoe"),
    "unpack": ("unpack", "packed.shoe", "new.safetensors"),
    "unpack_torch": ("unpack", "packed.shoe", "new.pt"),
    "export": ("export", "model.shoe", "new.onnx"),
    "run": ("run", "model.shoe", "in.npz", "--out", "new.npz"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_runs_out_of_room_leaves_the_old_file(tmp_path, shoestring, name):
    prepare(tmp_path)
    assert shoestring("pack", "net.safetensors", "packed.shoe")[0] == 0
    command = COMMANDS[name]
    target = tmp_path / next(word for word in command if word.startswith("new."))
    assert shoestring(*command)[0] == 0
    whole = target.read_bytes()
    there = sorted(path.name for path in tmp_path.iterdir())
    for size in places(len(whole)):
        target.write_bytes(OLD)
        with no_file_above(size):
            status, said = shoestring(*command)
        assert status == 1, f"{size} bytes are enough for {len(whole)}"
        assert said.startswith("error: ") and said.count("\n") == 1, said
        assert target.name in said and any(word in said for word in ROOM), said
        assert target.read_bytes() == OLD
        assert sorted(path.name for path in tmp_path.iterdir()) == there
    assert shoestring(*command)[0] == 0 and target.read_bytes() == whole


def test_a_ledger_without_room_keeps_its_rows(tmp_path):
    path = tmp_path / "a.ledger"
    row = Row(kind="apply", technique="x", note="long " * 3000)
    for _ in range(3):
        Ledger(path).append(row)
    rows, size = Ledger(path).rows(), path.stat().st_size
    whole, failed = path.read_bytes(), 0
    for limit in places(size + 40_000):
        path.write_bytes(whole)
        written = 1
        with no_file_above(limit):
            try:
                Ledger(path).append(row)
            except OSError as error:
                failed, written = failed + 1, 0
                assert error.errno == errno.ENOSPC and str(path) in str(error)
                assert "make room" in str(error)
        found = Ledger(path).rows()
        assert found[:3] == rows and len(found) == 3 + written, limit
    assert 2 < failed < len(places(size + 40_000))
    with no_file_above(0), pytest.raises(OSError, match=r"new\.ledger .*make room"):
        Ledger(tmp_path / "new.ledger").append(row)
    assert Ledger(tmp_path / "new.ledger").rows() == []
    assert Ledger(tmp_path / "new.ledger").append(row) == 1


def test_a_study_without_room_keeps_its_trials(tmp_path):
    def add(number: int) -> Trial:
        with Study(tmp_path, "model") as study:
            claim = study.claim(f"T({number})")
            assert claim is not None
            with claim:
                return claim.finish(
                    Trial(technique=f"T({number})", score=0.5, note="long " * 3000),
                    bytes([number]) * 9000,
                )

    known, failed = [add(0)], 0
    for number, limit in enumerate(places(150_000), 1):
        with no_file_above(limit):
            try:
                known.append(add(number))
            except OSError as error:
                failed += 1
                assert error.errno in (errno.ENOSPC, errno.EFBIG)
                assert "room" in str(error) and str(tmp_path) in str(error)
        with Study(tmp_path, "model") as study:
            assert study.trials() == known
            assert all(study.read(one)[:1] == bytes([int(one.technique[2:-1])]) for one in known)
    assert failed > 2 and len(known) > 1
    known.append(add(100))
    assert not list(tmp_path.glob(".shoe-*"))


def test_a_training_without_room_for_its_snapshot_says_so_and_goes_on(tmp_path):
    task = digits()

    def trained() -> torch.nn.Module:
        torch.manual_seed(0)
        with resuming(tmp_path):
            return train(
                torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)), task, Training(5)
            )

    expected = trained()
    (snapshot,) = tmp_path.iterdir()
    size = snapshot.stat().st_size
    for limit in places(size)[::3]:
        snapshot.unlink(missing_ok=True)
        with no_file_above(limit), pytest.raises(OSError, match=r"training-.*\.pt: .*has room"):
            trained()
        assert list(tmp_path.iterdir()) == []
    for one, other in zip(trained().parameters(), expected.parameters(), strict=True):
        assert torch.equal(one, other)


# -- a small disk


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs Linux: limits on files are tested elsewhere")
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here: limits on files are tested elsewhere")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def filled(disk: Path, left: int) -> Iterator[None]:
    """A context in which so many bytes are left on a disk, to a page."""
    filler = disk / "filler"
    free = shutil.disk_usage(disk).free
    filler.write_bytes(bytes(max(free - left, 0)))
    try:
        yield
    finally:
        filler.unlink()


@pytest.mark.parametrize("name", ["pack", "unpack", "export", "run"])
def test_on_a_small_disk_too(tmp_path, shoestring, monkeypatch, name):
    with small_disk(tmp_path / "disk", 500_000) as disk:
        prepare(disk)
        monkeypatch.chdir(disk)
        assert shoestring("pack", "net.safetensors", "packed.shoe")[0] == 0
        command, target = COMMANDS[name], disk / COMMANDS[name][-1].replace("in.npz", "new.npz")
        assert shoestring(*command)[0] == 0
        whole, there = target.read_bytes(), sorted(path.name for path in disk.iterdir())
        failed = 0
        for left in range(0, len(whole) + 8192, 4096):
            target.write_bytes(OLD)
            with filled(disk, left):
                status, said = shoestring(*command)
            assert status in (0, 1)
            failed += status
            if status:
                assert said.startswith("error: ") and said.count("\n") == 1, said
                assert target.name in said and any(word in said for word in ROOM), said
            assert target.read_bytes() == (OLD if status else whole)
            assert sorted(path.name for path in disk.iterdir()) == there
        assert failed > 0


def test_a_ledger_and_a_study_on_a_small_disk(tmp_path):
    with small_disk(tmp_path / "disk", 500_000) as disk:
        rows, trials, failed = 0, 0, 0

        def attempt(what: Callable[[], Any]) -> int:
            nonlocal failed
            try:
                what()
            except OSError as error:
                failed += 1
                assert "room" in str(error) and str(disk) in str(error), error
                return 0
            return 1

        ledger = Ledger(disk / "a.ledger")
        for left in range(0, 80_000, 4096):
            with filled(disk, left):
                rows += attempt(
                    lambda: ledger.append(Row(kind="apply", technique="x", note="n" * 9000))
                )

                def add(name: str = f"T({left})") -> None:
                    with Study(disk, "model") as study:
                        claim = study.claim(name)
                        assert claim is not None
                        with claim:
                            claim.finish(Trial(technique=name, score=0.5), bytes(9000))

                trials += attempt(add)
            assert len(ledger.rows()) == rows
            with Study(disk, "model") as study:
                assert len(study.trials()) == trials
        assert failed > 3 and rows and trials


SOURCE = """
from torch import nn
from shoestring.core import seeded
from shoestring.kit import Training, train
from shoestring.tasks import digits

def small():
    task = digits()
    with seeded(0):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
        return train(model, task.sealed(), Training(200)), task
"""


@pytest.mark.slow
def test_a_search_on_a_small_disk_keeps_what_it_had_and_goes_on(tmp_path, shoestring, monkeypatch):
    import tempfile

    budget = ("--budget", "size<=1KB, drop<=20%, time<=20s")
    with small_disk(tmp_path / "disk", 3_000_000) as disk:
        (disk / "mine.py").write_text(SOURCE)
        (disk / "tmp").mkdir()
        monkeypatch.chdir(disk)
        monkeypatch.setenv("TMPDIR", str(disk / "tmp"))
        monkeypatch.setattr(tempfile, "tempdir", None)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        target, failed = disk / "small.shoe", 0
        for left in [*range(0, 32_000, 4096), *range(32_000, 200_000, 24_000)]:
            before = target.read_bytes() if target.exists() else None
            monkeypatch.setattr(cli.search, "BEGAN", monotonic())
            with filled(disk, left):
                status, said = shoestring("compress", "mine.py:small", *budget)
            failed += status == 1
            assert status in (0, 1, 3), said
            if status == 1:
                last = said.splitlines()[-1]
                assert last.startswith("error: ") and "Traceback" not in said, said
                assert any(word in last for word in ROOM) and ("small" in last or "/" in last), said
            now = target.read_bytes() if target.exists() else None
            assert now is None or now == before or file.unpack_any(now, 1 << 30)
            assert not list((disk / "tmp").glob("shoestring-*")), "nothing is left behind"
            assert not list(disk.rglob(".shoe-*"))
        assert failed > 2
        monkeypatch.setattr(cli.search, "BEGAN", monotonic())
        status, said = shoestring("compress", "mine.py:small", *budget)
        assert status in (0, 3) and target.exists(), said
