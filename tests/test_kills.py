"""Commands that write a file, killed at random moments.

The target is absent, the old file or a whole new one, and the next run leaves nothing of the killed
one. Half of the kills come while the file is being written. `compress` is killed in
tests/plan/test_kills.py.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tiers import repetitions

KILLS = int(os.environ.get("SHOESTRING_KILLS", "0")) or repetitions(2, 100)
OLD = b"SHOE: the old file"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")


def begin(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "shoestring.cli", *arguments],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def kill(process: subprocess.Popen[str], seconds: float, begun: Callable[[], bool] | None) -> bool:
    """Kill a process after some seconds, counted from when something has begun.

    Returns whether it ran until then.
    """
    while begun is not None and process.poll() is None and not begun():
        time.sleep(0.001)
    ends = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < ends:
        time.sleep(0.001)
    ran = process.poll() is None
    process.kill()
    process.communicate()
    return ran


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).normal(size=(600, 500)).astype(np.float16)
    save_file({"a": values, "b": values[:50].astype(np.float32)}, tmp_path / "net.safetensors")
    (tmp_path / "tmp").mkdir()
    return tmp_path


@pytest.mark.by_default("pack")
@pytest.mark.parametrize("command", ["pack", "unpack"])
def test_a_killed_command_leaves_the_old_file_or_a_whole_new_one(folder: Path, command: str):
    finish(begin(folder, "pack", "net.safetensors", "net.shoe"))
    source, name = {
        "pack": ("net.safetensors", "new.shoe"),
        "unpack": ("net.shoe", "new.safetensors"),
    }[command]
    began, target = time.monotonic(), folder / name
    finish(begin(folder, command, source, name))
    seconds, whole, all_files = time.monotonic() - began, target.read_bytes(), files(folder)
    chance, seen, ran, left = random.Random(command), Counter[str](), 0, 0
    for number in range(KILLS):
        target.unlink(missing_ok=True)
        if number % 4 < 2:
            target.write_bytes(OLD)
        before, late = files(folder), number % 2 == 1

        def writing(before: set[str] = before) -> bool:
            return bool(files(folder) - before)

        process = begin(folder, command, source, name)
        wait = chance.uniform(0, 0.01 if late else 1.1 * seconds)
        ran += kill(process, wait, writing if late else None)
        found = target.read_bytes() if target.exists() else None
        assert found in (whole, OLD if number % 4 < 2 else None), f"half a file: {found!r:.60}"
        seen["new" if found == whole else "not new"] += 1
        left += bool(files(folder) - before - {name})
    assert ran and seen["not new"], "some were killed before they had ended"
    finish(begin(folder, command, source, name))
    assert target.read_bytes() == whole and files(folder) == all_files
    print(f"{command}: {KILLS} kills, {ran} while it ran; {dict(seen)}; {left} left something")
