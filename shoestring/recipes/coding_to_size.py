"""Code a trained network into a file that is no larger than asked, and again where it misses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

from shoestring.artifact import save as write_whole
from shoestring.core import Task
from shoestring.kit import Training, save
from shoestring.quantize import Rate, Toward

_TRIES = 4  # codings toward a size, until a file is no larger
_NEAR = 0.8  # the share of the size that a file which lost score should have


class TooLargeError(ValueError):
    """No try led to a file of the size; the message names the nearest."""


@dataclass(frozen=True, kw_only=True)
class Coded:
    """What coding came to.

    `bytes`: of the file.
    `before`: the score of the network as it came in, in a file that loses nothing.
    `after`: the score of the file.
    """

    bytes: int
    before: float
    after: float


def coded_to_size(
    model: nn.Module,
    task: Task,
    path: Path,
    *,
    size: int,
    around: int,
    lesson: Task,
    training: Training,
    score: Callable[[Path], float],
    lost: float,
) -> Coded:
    """Code a network into a file that is no larger than `size`, at `path`.

    Where the file is larger, or much smaller and lost score, the coding begins again, toward a goal
    that follows from the miss, up to three times. Of the files that fit, the one with the best
    score stays.

    `task`: which the file is made for, sealed.
    `size`: in bytes. `around`: about how many of them are not coded weights, below `size`.
    `lesson`: what the network learns from while it is coded.
    `training`: of one coding.
    `score`: of a file on validation data, higher is better: what the file's user cares for, such as
        words, which need not be what the network's task scores.
    `lost`: the loss of score that is good enough.
    Raises TooLargeError where no try led to a file of `size` bytes: it names the nearest, and
    nothing is written.
    """
    goal, sizes = float(size - around), []
    best: tuple[float, bytes] | None = None
    with TemporaryDirectory() as folder:
        tried = Path(folder) / "tried.shoe"
        save(model, task, tried)
        trained = score(tried)
        for _ in range(_TRIES):
            rated = Rate(price=Toward(goal), training=training)(model, lesson)
            save(rated, task, tried, smallest=True)
            sizes.append(tried.stat().st_size)
            # The bytes grow faster than the goal.
            change = ((size - around) / max(sizes[-1] - around, 1)) ** 0.7
            if sizes[-1] > size:
                goal *= max(0.3, 0.97 * change)
                continue
            found, before = score(tried), best
            if before is None or found > before[0]:
                best = found, tried.read_bytes()
            if before is not None or sizes[-1] > _NEAR * size or found > trained - lost:
                break
            goal *= min(3.0, change)
    if best is None:
        raise TooLargeError(
            f"the file was to have {size:,} bytes at most, and the nearest of {_TRIES} tries has "
            f"{min(sizes):,}: give that size, or more passes"
        )
    write_whole(path, best[1])
    return Coded(bytes=len(best[1]), before=trained, after=best[0])
