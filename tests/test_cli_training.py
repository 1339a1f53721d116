"""`shoestring train`, as a user types it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shoestring.artifact import load
from shoestring.cli.training import ExchangeName, LateName, _times, _Wanted
from shoestring.core import Ledger
from shoestring.parallel import Sharded

MINE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from torch import nn
from made_networks import rings

def points():
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2)), rings()
"""


def command(folder: Path, *words: str) -> list[str]:
    (folder / "mine.py").write_text(MINE)
    return [sys.executable, "-m", "shoestring", "train", "mine.py:points", *words]


def trained(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *words), cwd=folder, capture_output=True, text=True, timeout=300
    )


def test_two_workers_write_a_file_that_answers(tmp_path: Path):
    ran = trained(tmp_path, "--workers", "2", "--steps", "200", "--exchange", "8bit", "--json")
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout.splitlines()[-1])
    assert "Synchronous(count=2" in report["training"] and "EightBits" in report["training"]
    assert report["score_after"] > report["score_before"]
    assert report["cost"]["communicated_bytes"] > 0
    assert report["cost"]["bytes"] == (tmp_path / "points.shoe").stat().st_size
    load(tmp_path / "points.shoe")
    assert not (tmp_path / "points.shoe.unfinished").exists()
    kinds = [row.kind for row in Ledger(tmp_path / "shoestring.ledger").rows()]
    assert kinds[0] == "apply"


def test_one_process_and_two_that_wait_report_the_same_kind_of_thing(tmp_path: Path):
    ran = trained(tmp_path, "--steps", "50", "--out", "one.shoe")
    assert ran.returncode == 0, ran.stderr
    assert "50 steps in" in ran.stdout and "between workers" not in ran.stdout
    assert "for fewer" in ran.stdout and (tmp_path / "one.shoe").exists()


@pytest.mark.slow
def test_ctrl_c_ends_the_workers_too(tmp_path: Path):
    words = "--workers", "2", "--steps", "1000000"
    with subprocess.Popen(
        command(tmp_path, *words),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as running:
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
        until = time.monotonic() + 60
        while len(workers := children.read_text().split()) < 2 and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(0.5)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: all of them
        told = running.communicate(timeout=60)[0]
    assert running.returncode == 130, told
    assert "the same command goes on from there" in told and "Traceback" not in told
    assert workers and not any(Path(f"/proc/{one}").exists() for one in workers)
    assert not (tmp_path / "points.shoe").exists()


@pytest.mark.slow
def test_another_program_joins_with_the_key_and_not_without(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as one:
        address = f"127.0.0.1:{one.getsockname()[1]}"
    env = {**os.environ, "SHOESTRING_KEY": "a key that both know"}
    first = command(tmp_path, "--asynchronous", "--listen", address, "--steps", "1000000")
    join = command(tmp_path, "--join", address)
    assert "needs the key" in trained(tmp_path, "--join", address).stderr
    with subprocess.Popen(
        first, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stdout is not None
        lines = [running.stdout.readline() for _ in range(2)]
        assert "--join THIS_MACHINE" in lines[1]
        until = time.monotonic() + 60
        while time.monotonic() < until:  # the training may not listen yet
            other = subprocess.Popen(
                join,
                cwd=tmp_path,
                env=env,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            assert other.stdout is not None
            if "a worker of the training" in other.stdout.readline():
                break
            other.communicate(timeout=60)
        time.sleep(0.5)
        running.kill()
        told = other.communicate(timeout=60)[0]
    assert other.returncode == 1 and "is gone after" in told
    assert int(told.split("is gone after ")[1].split()[0].replace(",", "")) > 0


def wanted(**changes) -> _Wanted:
    given = {"count": 1, "asynchronous": False, "late": None, "backups": 0, "straggler": None}
    return _Wanted(**{**given, "exchange": ExchangeName.SINGLE, **changes})


@pytest.mark.parametrize(
    ("changes", "address", "words"),
    [
        ({"late": LateName.STALENESS}, None, "--late staleness"),
        ({}, "0.0.0.0:29400", "add --asynchronous"),
        ({"count": 2, "backups": 2}, None, "fewer than the 2 workers"),
        ({"count": 3, "backups": 1, "asynchronous": True}, None, "nobody waits"),
        ({"straggler": "3x"}, None, "two --workers or more"),
        ({"count": 2, "straggler": "slow"}, None, "as 3x"),
        ({"sharded": True}, None, "torchrun"),
        ({"exchange": ExchangeName.TOP_K}, None, "one process sends nothing"),
    ],
)
def test_options_that_do_not_go_together(changes, address, words: str):
    with pytest.raises(ValueError, match=words):
        wanted(**changes).check(address, None)


@pytest.mark.parametrize(
    ("changes", "address"), [({"count": 2}, None), ({"asynchronous": True}, "0.0.0.0:29400")]
)
def test_a_worker_does_not_say_how_the_training_goes(changes, address):
    wanted(exchange=ExchangeName.EIGHT_BITS).check(None, "127.0.0.1:29400")
    with pytest.raises(ValueError, match="said where it listens"):
        wanted(**changes).check(address, "127.0.0.1:29400")


def test_programs_of_torchrun_are_the_workers(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    wanted().check(None, None)
    wanted(sharded=True).check(None, None)
    assert wanted(sharded=True).workers(1, None) == Sharded()
    with pytest.raises(ValueError, match="without --exchange"):
        wanted(sharded=True, exchange=ExchangeName.TOP_K).check(None, None)
    with pytest.raises(ValueError, match="torchrun has started several programs"):
        wanted(count=2).check(None, None)


@pytest.mark.parametrize(("text", "times"), [("3x", 3.0), ("1.5", 1.5), (" 2x ", 2.0)])
def test_how_many_times_as_long(text: str, times: float):
    assert _times(text) == times
