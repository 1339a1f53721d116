"""The points that a search reached, and which of them to deliver."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from shoestring.artifact import save
from shoestring.core import Budget, Cost


@dataclass(frozen=True)
class Point:
    """A model that was reached: its file, what it costs, its validation score and how far that is below the start."""

    file: str
    cost: Cost
    score: float
    drop: float
    technique: str

    def fits(self, budget: Budget) -> bool:
        """Whether it keeps every limit."""
        return not budget.exceeded(self.cost, self.drop, self.score)

    def excess(self, budget: Budget) -> float:
        """How far it is over the limit that it is furthest over, as a share of that limit; 0 where it keeps them all."""
        over = budget.exceeded(self.cost, self.drop, self.score)
        # A drop of a tenth of a point is the unit where the limit is no drop at all.
        return max(
            (float("inf") if value is None else abs(value - limit) / max(abs(limit), 1e-3) for value, limit in over.values()),
            default=0.0,
        )


def best(points: Sequence[Point], budget: Budget) -> Point:
    """What to deliver: of the points that fit, the highest score, or the smallest file where size has no limit;
    where none fits, the nearest."""
    fitting = [p for p in points if p.fits(budget)]
    if not fitting:
        return min(points, key=lambda p: (p.excess(budget), p.cost.bytes or 0))
    if budget.size is None:
        return min(fitting, key=lambda p: (p.cost.bytes or 0, -p.score))
    return max(fitting, key=lambda p: (p.score, -(p.cost.bytes or 0)))


def undominated(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in both size and score, smallest first."""
    found: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost.bytes or 0, -p.score)):
        if not found or point.score > found[-1].score:
            found.append(point)
    return found


@dataclass
class Journal:
    """A search's points in a folder, so that a search that was killed goes on where it stopped.

    `identity` names the model, the task's name and the settings: a folder of another search is not gone on with.
    """

    folder: Path
    identity: str
    points: list[Point] = field(default_factory=list)
    stages: list[dict] = field(default_factory=list)
    foreign: bool = False
    """Whether the folder held another search."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            kept = json.loads(self._path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return
        self.foreign = kept["identity"] != self.identity
        if self.foreign:  # its files would be overwritten one by one, under a journal that still speaks of the old ones
            self.remove()
            self.folder.mkdir()
        else:
            self.points = [Point(**{**p, "cost": Cost(**p["cost"])}) for p in kept["points"]]
            self.stages = kept["stages"]

    @property
    def _path(self) -> Path:
        return self.folder / "journal.json"

    def add(self, point: Point, stage: dict) -> None:
        """Write down a point and the stage that made it; whole or not at all."""
        self.points.append(point)
        self.stages.append(stage)
        kept = {"identity": self.identity, "points": [asdict(p) for p in self.points], "stages": self.stages}
        save(self._path, json.dumps(kept, indent=1).encode())

    def remove(self) -> None:
        """Delete the folder and what the search left in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
