"""The parts of the benchmark of scores of untrained networks."""

from __future__ import annotations

import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from zero_cost import of_first


def test_a_score_that_tells_nothing_apart_chooses_at_random() -> None:
    assert of_first([1.0, 3.0, 2.0], [50.0, 40.0, 60.0]) == 40.0
    assert of_first([-math.inf] * 3, [50.0, 40.0, 60.0]) == 50.0
