"""The two tiers: what runs by default, under --all, and when it is asked for by name."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SETTINGS = """
[pytest]
addopts = --strict-markers
pythonpath = .
markers =
    slow: as in the project
    by_default(*patterns): as in the project
"""
TESTS = """
import pytest
from tiers import repetitions

def test_fast():
    assert repetitions(2, 9) == %(count)d

@pytest.mark.slow
def test_slow():
    pass

@pytest.mark.by_default("small", "lar*")
@pytest.mark.parametrize("size", ["small", "middle", "large"])
def test_cases(size):
    pass
"""


@pytest.fixture
def passed(tmp_path: Path):
    """Runs the tests above with some arguments; the names of those that passed."""
    for name in ("conftest.py", "tiers.py"):
        shutil.copy(HERE / name, tmp_path)
    (tmp_path / "pytest.ini").write_text(SETTINGS)

    def run(*arguments: str, count: int = 2, status: int = 0) -> set[str]:
        (tmp_path / "test_all.py").write_text(TESTS % {"count": count})
        command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
        return set(re.findall(r"::test_(\S+) PASSED", done.stdout))

    return run


def test_by_default_slow_tests_and_cases_are_left_out(passed):
    assert passed() == {"fast", "cases[small]", "cases[large]"}


def test_all_runs_everything_and_every_repetition(passed):
    assert passed("--all", count=9) == {
        "fast",
        "slow",
        "cases[small]",
        "cases[middle]",
        "cases[large]",
    }


def test_what_is_asked_for_runs(passed):
    assert passed("test_all.py::test_slow", "test_all.py::test_cases[middle]") == {
        "slow",
        "cases[middle]",
    }
    assert passed("-m", "slow") == {"slow", "cases[middle]"}


def test_a_mark_that_keeps_no_case_is_an_error(passed, tmp_path: Path):
    (tmp_path / "test_wrong.py").write_text(
        TESTS.replace('"small", "lar*"', '"smal"') % {"count": 2}
    )
    assert passed(status=4) == set()
