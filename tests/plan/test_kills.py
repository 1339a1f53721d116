"""The command, killed at any moment and begun again: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from shoestring.artifact import load
from shoestring.core import Ledger

KILLS = int(os.environ.get("SHOESTRING_KILLS", "3"))
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


def begin(folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "shoestring.cli",
            "compress",
            "mine.py:small",
            "--budget",
            "size<=300B, drop<=20%, time<=60s",
        ],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(folder: Path) -> list[tuple[str, int, float]]:
    study = folder / "small.shoe.study" / "study.sqlite"
    if not study.exists():
        return []
    with sqlite3.connect(study, timeout=900) as connection:
        tables = connection.execute(
            "select count(*) from sqlite_master where name = 'trials'"
        ).fetchone()[0]
        return (
            connection.execute("select technique, seed, fidelity from trials").fetchall()
            if tables
            else []
        )


def written(folder: Path) -> float:
    """When the file of the model that came in was written last; 0 where it was not."""
    return max(
        (one.stat().st_mtime for one in (folder / "small.shoe.study").glob("original-*.shoe")),
        default=0.0,
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_at_any_moment_nothing_is_lost_and_nothing_is_done_twice(tmp_path):
    (tmp_path / "mine.py").write_text(SOURCE)
    (tmp_path / "tmp").mkdir()
    path, chance, known, files = tmp_path / "small.shoe", random.Random(0), set(), 0
    for _ in range(KILLS):
        process = begin(tmp_path)
        waited, before = time.monotonic() + 900, written(tmp_path)
        # The moments that count are those after it has begun to measure.
        while process.poll() is None and time.monotonic() < waited and written(tmp_path) == before:
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if path.exists():
            load(path)
            files += 1
        now = finished(tmp_path)
        assert known <= set(now) and len(set(now)) == len(now)
        known = set(now)
    assert files and known, "it was killed after the first file too"
    process = begin(tmp_path)
    said, _ = process.communicate(timeout=600)
    assert process.returncode in (0, 3), said
    now = finished(tmp_path)
    assert known <= set(now) and len(set(now)) == len(now)
    assert f"{path.stat().st_size:,}  in all" in said and load(path)
    litter = (
        "tmp/shoestring-*",
        ".shoe-*",
        "*.study/.shoe-*",
        "*.study/*/*/.shoe-*",
        "*.study/*.lock",
    )
    assert [one for pattern in litter for one in tmp_path.glob(pattern)] == []
    workers = list((tmp_path / "small.shoe.study" / "workers").iterdir())
    rows = Ledger(tmp_path / "shoestring.ledger").rows()
    tried = Counter(row.technique for row in rows if row.kind in ("apply", "failed"))
    assert max(tried.values()) == 1 and set(tried) <= {name for name, _, _ in now}
    print(
        f"compress: {KILLS} kills, {files} with a file at the end, {len(known)} trials, "
        f"{sum(tried.values())} of them in the ledger; left: {len(workers)} locks"
    )
