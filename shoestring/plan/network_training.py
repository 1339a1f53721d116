"""The network that a search found is trained longer, or for the first time fully."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

from torch import nn

from shoestring.artifact import ShoeError, save
from shoestring.core import Task, score, seeded
from shoestring.kit import listening, load_into, train, write
from shoestring.kit.clock import Clock, TimeUpError
from shoestring.search import Candidate, Found

LONGER = 3.0
"""For how many times the steps of a full training what was found is trained, at most."""


def trained(
    chosen: Candidate,
    found: Found,
    task: Task,
    clock: Clock,
    until: float,
    seed: int,
    folder: Path,
) -> tuple[nn.Module, tuple[float, float] | None]:
    """The network, trained for longer where that helps.

    `until`: minutes after the begin of the command.
    `seed`: of the first weights and of the batches.
    `folder`: where what was trained longer is kept, so that a later command begins with it.

    Returns the network, and its validation score before and after; None where it was not trained
    longer. Raises what `trained_first` raises.
    """
    sealed = task.sealed()
    seconds = 60 * until - clock.gone
    begun = [one for one in found.trials if one.fidelity == 1 and one.cost.seconds]
    took = max((one.cost.seconds or 0.0 for one in begun), default=0.0)
    if chosen.share < 1:
        return trained_first(chosen, found, task, clock, seconds, seed), None
    times = min(seconds / took, LONGER) if took else 0.0
    kept, before, done = _kept(chosen, folder)
    if times < 1.2 * done or found.interrupted:
        return kept, None
    try:
        with listening(clock), seeded(seed):
            other = chosen.untrained()
            training = found.training_of(other, sealed).scaled(times)
            train(other, sealed, training, what="training what was found longer")
    except (TimeUpError, KeyboardInterrupt):  # what was found is delivered as it is
        return kept, None
    after = score(sealed, other)
    if after > before:
        _keep(chosen, folder, other, sealed, after, times)
    return (other if after > before else kept), (before, after)


def _kept(chosen: Candidate, folder: Path) -> tuple[nn.Module, float, float]:
    """The best of a network so far, its validation score, and for how many trainings it was."""
    before = -math.inf if chosen.score is None else chosen.score
    note, file = _places(chosen, folder)
    try:
        told = json.loads(note.read_text())
        return load_into(file, chosen.untrained()), told["score"], told["times"]
    except (FileNotFoundError, ShoeError, ValueError, KeyError):
        return chosen.network(), before, 1.0


def _keep(
    chosen: Candidate, folder: Path, network: nn.Module, task: Task, value: float, times: float
) -> None:
    """Keep a network that was trained longer; the note comes last, and says that it is whole."""
    note, file = _places(chosen, folder)
    note.unlink(missing_ok=True)
    write(network, task, file)
    save(note, json.dumps({"score": value, "times": times}).encode())


def _places(chosen: Candidate, folder: Path) -> tuple[Path, Path]:
    """The note and the file of what was trained longer than this network's own file."""
    digest = hashlib.sha256(chosen.file or b"").hexdigest()[:16]
    return folder / f"longer-{digest}.json", folder / f"longer-{digest}.shoe"


def trained_first(
    chosen: Candidate, found: Found, task: Task, clock: Clock, seconds: float, seed: int
) -> nn.Module:
    """A network that the search had no time to train fully, trained as long as there is time now.

    Raises ValueError where there is no time for that either.
    """
    took = (chosen.cost.seconds or 0.0) / chosen.share
    share = min(max(seconds / took, chosen.share), 1.0) if took else 1.0
    clock.heed()
    clock.say(f"  no network was trained fully: the best is trained now, for {share:.0%}")
    try:
        with listening(clock), seeded(seed):
            network = chosen.untrained()
            training = found.training_of(network, task.sealed()).scaled(share)
            return train(network, task.sealed(), training, what="training what was found")
    except TimeUpError as error:
        raise ValueError(
            f"{clock.seconds / 60:.3g} minutes are too few: {error}. What the search measured is "
            "kept: the same command goes on from there"
        ) from None
