"""The examples run, and say what they promise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiers import repetitions

from shoestring.tasks.fetch import present
from shoestring.tasks.fsdd import _HOME, _RECORDINGS
from shoestring.tasks.udhr import _SOURCE as _UDHR

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.by_default("04_without_labels")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_with_little_time(example, tmp_path):
    if example.stem == "05_spoken_digits" and not any(map(present, (_HOME, _RECORDINGS))):
        pytest.skip("FSDD is not here: set SHOESTRING_DATA to a folder that holds fsdd")
    if example.stem == "09_languages" and present(_UDHR) is None:
        pytest.skip("the UDHR is not here: set SHOESTRING_DATA to a folder that holds nltk")
    steps = repetitions(20, 100)
    little = (
        "0.5" if example.stem.startswith(("01", "18")) else str(steps)
    )  # minutes of a search; elsewhere steps of training
    done = subprocess.run(
        [sys.executable, example, little],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "test score of the file" in done.stdout


def test_there_are_examples():
    assert EXAMPLES
