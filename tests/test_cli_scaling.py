"""`shoestring forecast --scale`, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

MINE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import torch
from torch import nn
from made_networks import rings
from shoestring.kit import Supervised

def points():
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2)), rings()

def tiny():
    x, y = rings().train
    few = Supervised(train=(x[:37], y[:37]), validation=(x, y))
    return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2)), few
"""
CSV = "images,score,seed\n" + "".join(
    f"{size},{1 - 0.005 - 1.9 * size**-0.5 + 0.002 * seed},{seed}\n"
    for size in (100, 180, 320, 560, 1000)
    for seed in (0, 1)
)


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "points.csv").write_text(CSV)
    return tmp_path


def test_points_of_a_file_are_carried_on(shoestring, mine):
    status, out, _ = shoestring(
        "forecast", "--scale", "--points", "points.csv", "--score", 0.957, "--price", 0.1,
        "--affords", 1000,
    )  # fmt: skip
    assert status == 0
    assert out.startswith("10 small runs, 100 to 1,000 images: scores of 0.805 to 0.9369\n")
    for words in ("10,000 images:", "with any number:", "a score of 0.957 takes about 2", "years"):
        assert words in out


def test_json_has_the_same(shoestring, mine):
    status, out, _ = shoestring("forecast", "--scale", "--points", "points.csv", "--json")
    found = json.loads(out)
    assert status == 0 and found["event"] == "scaling" and found["unit"] == "images"
    assert [one["size"] for one in found["forecasts"]] == [2000, 10_000, 100_000]
    assert all(one["low"] < one["middle"] < one["high"] for one in found["forecasts"])


def test_scores_that_do_not_rise_are_undecided(shoestring, mine):
    (mine / "flat.csv").write_text("size,score\n10,0.8\n100,0.7\n1000,0.6\n")
    status, out, _ = shoestring("forecast", "--scale", "--points", "flat.csv")
    assert status == 0 and "undecided: the scores do not rise with the size" in out


def test_a_model_is_trained_on_parts_of_its_data_and_once_only(shoestring, mine):
    words = ("forecast", "mine.py:points", "--scale", "--share", 1, "--steps", 60, "--minutes", 2)
    status, out, error = shoestring(*words)
    assert status == 0, error
    assert "15 of 15: " in out and " small runs, " in out
    assert (mine / "points.scaling.json").exists()
    status, again, _ = shoestring(*words)
    assert status == 0 and "of 15: " not in again
    assert again.splitlines() == [one for one in out.splitlines() if " of 15: " not in one]


def test_a_tiny_training_split_is_said(shoestring, mine):
    status, _, error = shoestring("forecast", "mine.py:tiny", "--scale")
    assert status == 1 and "the training split has 37 examples" in error


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--score", "0.9"), "--score is for a forecast with --scale"),
        (("--points", "points.csv"), "--points is for a forecast with --scale"),
        (("--scale", "--points", "points.csv", "--price", "1"), "give it as --score"),
        (("--scale", "--points", "points.csv", "--steps", "9"), "--steps is for a model to train"),
        (("--scale", "--points", "points.csv", "--budget", "size<=9KB"), "--budget is for"),
        (("mine.py:points", "--scale", "--points", "points.csv"), "not both"),
        (("mine.py:points", "--scale", "--chance", "0.5"), "--chance is for --points"),
        (("--scale", "--points", "none.csv"), "none.csv: no such file"),
        (("--scale", "--points", "points.csv", "--score", "1"), "below the best"),
        (
            ("--scale", "--points", "points.csv", "--score", "0.9", "--affords", "0"),
            "give a size above 0",
        ),
        (("--scale", "--points", "points.csv", "--best", "0.9"), "above the best there can be"),
    ],
)
def test_options_that_do_not_go_together_are_named(shoestring, mine, words, said):
    status, _, error = shoestring("forecast", *words)
    assert status == 1 and said in error


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "its first line must be size,score"),
        ("a,b\n1,2\n", "its first line must be size,score"),
        ("size,score\n1,x\n", "row 2: '1,x' is not 2 numbers"),
        ("size,score\n1,0.5,3\n", "row 2: '1,0.5,3' is not 2 numbers"),
        ("size,score\n1,nan\n2,0.5\n", "the score at size 1 is nan"),
        ("size,score\n0,0.5\n2,0.5\n", "a score at size 0"),
        ("size,score\n5,0.5\n", "several sizes, and there is one"),
        ("size,score\n", "several sizes, and there are none"),
        ("size,score,seed\n5,0.5,nan\n9,0.6,0\n", "give an integer"),
    ],
)
def test_a_bad_file_of_points_is_named(shoestring, mine, content, said):
    (mine / "bad.csv").write_text(content)
    status, _, error = shoestring("forecast", "--scale", "--points", "bad.csv")
    assert status == 1 and said in error
