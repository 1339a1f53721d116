"""`shoestring search`, as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

MINE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from made_networks import Dense, rings

def points():
    return rings(), Dense()

def task_alone():
    return rings()

def nothing():
    return 7
"""


def command(folder: Path, *words: str) -> list[str]:
    (folder / "mine.py").write_text(MINE)
    return [sys.executable, "-m", "shoestring", "search", *words]


def searched(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *words), cwd=folder, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    return folder, searched(
        folder, "mine.py:points", "--budget", "operations<=2K, size<=4KB", "--minutes", "0.5"
    )


def test_a_file_its_code_and_a_report_come_out(done):
    folder, ran = done
    assert ran.returncode == 0, ran.stderr
    assert (folder / "found.shoe").stat().st_size <= 4000
    for words in ("networks trained in", "all files, timed in alternation", "score (test)"):
        assert words in ran.stdout
    code = subprocess.run(
        [sys.executable, "-c", "import found; print(found.Network())"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert "Linear" in code.stdout, code.stderr
    assert "the page: found.html" in ran.stdout
    page = (folder / "found.html").read_text(encoding="utf-8")
    assert '"kind":"networks"' in page and "class Network(nn.Module)" in page


@pytest.mark.slow
def test_json_has_the_networks_and_the_files(done):
    folder, _ = done  # the same command goes on from there
    ran = searched(
        folder, "mine.py:points", "--budget", "operations<=2K, size<=4KB", "--minutes", "0.5",
        "--json",
    )  # fmt: skip
    *events, last = map(json.loads, ran.stdout.splitlines())
    assert {"searched", "forecast"} <= {one["event"] for one in events}
    assert last["event"] == "done" and last["page"] == "found.html"
    assert last["met"] and last["found"]["networks"] and last["points"][-1]["name"] == "delivered"


@pytest.mark.slow
def test_a_table_of_numbers_finds_its_space_and_ctrl_c_says_what_is_there(tmp_path):
    words = command(tmp_path, "mine.py:task_alone", "--minutes", "3")
    running = subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    began = monotonic()
    while not (tmp_path / "found.shoe.networks").is_dir() and monotonic() - began < 120:
        sleep(0.2)
    sleep(2)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 130, out + err
    assert "searching Tables, " in out
    assert "Traceback" not in err


@pytest.mark.slow
def test_sigterm_in_the_search_leaves_the_best_network_and_its_page(tmp_path):
    words = command(tmp_path, "mine.py:points", "--minutes", "5", "--json", "--report", "it.html")
    running = subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    event = json.loads(running.stdout.readline())
    assert event["event"] == "network" and event["score"] is not None and event["share"] < 1
    running.terminate()
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, out + err
    assert "found.shoe is whole" in err and "Traceback" not in err
    assert (tmp_path / "found.shoe").stat().st_size > 100
    assert '"kind":"networks"' in (tmp_path / "it.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_limit_that_no_file_keeps_and_no_estimate_measures_is_status_3(tmp_path):
    ran = searched(tmp_path, "mine.py:points", "--budget", "memory<=100KB", "--minutes", "1")
    assert ran.returncode == 3, ran.stdout + ran.stderr
    assert "none of" in ran.stdout and "memory" in ran.stdout
    assert "The budget was not kept: this is the nearest" in ran.stdout
    assert (tmp_path / "found.shoe").exists() and (tmp_path / "found.html").exists()


@pytest.mark.slow
def test_a_page_of_the_reader_is_not_replaced(tmp_path):
    (tmp_path / "found.html").write_text("precious")
    ran = searched(tmp_path, "mine.py:points")
    assert ran.returncode == 1 and "--report" in ran.stderr
    assert (tmp_path / "found.html").read_text() == "precious"


@pytest.mark.by_default("words0-*")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("mine.py:points", "--report", "."), "is a folder: name a file in it, or another file"),
        (("mine.py:points", "--budget", "latncy<=3ms"), "there is no limit called"),
        (("mine.py:nothing",), "returned int: it must return a task"),
        (("mine.py:points", "--budget", "operations<=2"), "none keeps operations<=2"),
        (("mine.py:points", "--budget", "size<=50%"), "no model to beat came in"),
    ],
)
def test_what_cannot_be_searched_for_is_one_sentence(tmp_path, words, told):
    ran = searched(tmp_path, *words)
    assert ran.returncode == 1 and told in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not os.path.exists(tmp_path / "found.shoe")
