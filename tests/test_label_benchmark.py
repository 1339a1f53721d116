"""The benchmark of bought labels can make every row that is committed of it."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from active_learning import FEWER, SEEDS, ways
from active_learning_sets import SETS
from rows import results


def test_every_committed_row_can_be_made_again():
    found = {(row["subject"], row["seed"]) for row in results("active_learning")}
    made = {
        (f"{name}, {way}", seed)
        for name in SETS
        for seed in range(SEEDS)
        for way in ways(name, seed)
    }
    assert found and found == made


@pytest.mark.parametrize("way", FEWER)
def test_what_is_tried_with_fewer_seeds_names_sets_that_there_are(way: str):
    assert set(FEWER[way][1]) <= set(SETS)
