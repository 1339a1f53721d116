"""How long a full training of a network should be, where nobody says, and how long it takes."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, median
from time import monotonic

from shoestring.artifact.format.saving import save_first
from shoestring.core import Task, seeded
from shoestring.kit import Training, train
from shoestring.kit.clock import duration
from shoestring.kit.training.resume import data_digest
from shoestring.search.halving import Halving
from shoestring.search.limits import Feasible
from shoestring.search.space import Space

FULL, FEWEST_FULL = 12, 4
"""How many full trainings the time of a search is for, by default, and at least."""
FEWEST = 40
"""Steps of the shortest training, where there is time: scores after fewer tell little."""
MOST = 6000
"""Steps of a full training, at most."""
_NETWORKS, _TRIED = 3, 4
"""How many networks are timed, and for how many steps each."""
_NOTE = "length-{}.json"
_LONGER = 2.0
"""By how many times longer a training would be now for it to be said."""


class TooShortError(ValueError):
    """There is no time for a search.

    `why`: what takes how long.
    `seconds`: that the trainings of a short search would take; from `find`, with all before them.
    """

    def __init__(self, why: str, seconds: float, text: str = "") -> None:
        super().__init__(text or why)
        self.why, self.seconds = why, seconds


def steps_for(
    space: Space,
    task: Task,
    feasible: Feasible,
    folder: Path,
    seconds: float,
    halving: Halving,
    seed: int,
    say: Callable[[str], None] = lambda text: None,
) -> int:
    """The steps of a full training, of which `FULL` take about so many seconds.

    Where the shortest training would then have too few steps it is for fewer trainings. A few
    networks are timed for a few steps. The number is kept in the folder, since trials of
    trainings of different lengths cannot be compared: what was measured would be lost with
    another one. `say` is told where a training could be `_LONGER` times as long now.

    Raises TooShortError where there is no time for a step of each of the fewest trainings.
    """
    seen = task.name, data_digest(task), space, seed, halving
    key = hashlib.sha256(repr(seen).encode()).hexdigest()[:16]
    path = folder / _NOTE.format(key)
    fewest = FEWEST / halving.shares[0]

    def steps_in(seconds_a_step: float) -> int:
        most = seconds / seconds_a_step
        return min(round(max(most / FULL, min(fewest, most / FEWEST_FULL))), MOST)

    if not path.exists():
        draw, rates, began = random.Random(seed), list[float](), monotonic()
        while len(rates) < _NETWORKS and (not rates or monotonic() - began < seconds):
            rates.append(_seconds_a_step(space, task, feasible, draw, seed))
        rate = max(median(rates), 1e-6)
        if (steps := steps_in(rate)) < 1:
            enough = FEWEST_FULL * fewest * rate
            raise TooShortError(
                f"a step of training takes {rate:.2g} s, and {FEWEST_FULL} short trainings about "
                f"{duration(enough)}",
                enough,
            )
        folder.mkdir(parents=True, exist_ok=True)
        # Processes that share the folder begin together: all take the number of the first.
        save_first(path, json.dumps({"steps": steps, "seconds_a_step": rate}).encode())
    note = json.loads(path.read_text())
    steps, now = note["steps"], steps_in(note["seconds_a_step"])
    if now >= _LONGER * steps:
        say(
            f"  trainings have {steps:,} steps, as in the first search of this folder, although "
            f"there is time for {now:,} now: only so do scores compare. For longer ones search in "
            "another folder (another --out)"
        )
    return steps


def _seconds_a_step(
    space: Space, task: Task, feasible: Feasible, draw: random.Random, seed: int
) -> float:
    with seeded(seed):
        network = space.made(feasible.drawn(draw)).network()
        train(network, task, Training(1), what="timing a step")  # the first one is slower
        began = monotonic()
        train(network, task, Training(_TRIED), what="timing a step")
    return (monotonic() - began) / _TRIED


def at(place: float, known: Sequence[tuple[float, float]]) -> float:
    """The value at a place of the line through what is known, which does not fall.

    Small networks take about as long as each other, large ones in proportion to their operations.
    """
    places, values = zip(*known, strict=True)
    middle, mean = fmean(places), median(values)
    spread = sum((one - middle) ** 2 for one in places)
    slope = sum((x - middle) * (y - mean) for x, y in known) / spread if spread else 0.0
    slope = min(max(slope, 0.0), mean / middle)
    return mean + slope * (place - middle)
