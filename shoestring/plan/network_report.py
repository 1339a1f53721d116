"""What a search for a network came to, as text and as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoestring.plan.main_job import Report
from shoestring.search import Candidate, Found


@dataclass(frozen=True)
class Point:
    """A file in the comparison.

    `name`: what it is, in words.
    `score`: on validation data.
    `milliseconds`: the median of a run; all files are timed in alternation.
    `bytes`: of the file.
    """

    name: str
    score: float
    milliseconds: float
    bytes: int


@dataclass(frozen=True, kw_only=True)
class NetworkReport:
    """What a search for a network came to.

    `found`: what was searched.
    `chosen`: the network that was delivered.
    `points`: files timed in alternation: the reader's own, those of the search, the delivered one.
    `compressed`: how the delivered file was made of the network, and what it scores on test data.
    `code`: the path of the network's code.
    `longer`: the validation score before and after it was trained longer; None where it was not.
    `workers`: how many processes searched.
    """

    found: Found
    chosen: Candidate
    points: tuple[Point, ...]
    compressed: Report
    code: Path
    longer: tuple[float, float] | None
    seconds: float
    workers: int = 1

    @property
    def met(self) -> bool:
        """Whether the delivered file keeps the budget."""
        return self.compressed.met

    def as_text(self) -> str:
        """The report as text."""
        return "\n".join(
            [
                "",
                str(self.found),
                "",
                "all files, timed in alternation; none beats those with a mark in score, "
                "milliseconds and bytes",
                *self._table(),
                *(self._beside_own() or ()),
                *self._trained_longer(),
                *self._measured_beside_others(),
                self.compressed.as_text(),
                f"the code of the network: {self.code} (plain Python; needs torch only)",
            ]
        )

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON object."""
        return {
            **self.compressed.as_json(),
            "found": self.found.as_json(),
            "chosen": list(self.chosen.picks),
            "code": str(self.code),
            "points": [vars(one) for one in self.points],
            "longer": self.longer,
            "seconds": self.seconds,
        }

    def _table(self) -> list[str]:
        lines = [f"{'score':>8}{'ms':>9}{'bytes':>12}"]
        for one in sorted(self.points, key=lambda point: point.milliseconds):
            mark = " " if any(beats(other, one) for other in self.points) else "*"
            lines.append(
                f"{one.score:>8.4f}{one.milliseconds:>9.3f}{one.bytes:>12,} {mark} {one.name}"
            )
        return lines

    def _beside_own(self) -> list[str]:
        """A sentence that compares the delivered file with the reader's own model."""
        own = next((one for one in self.points if one.name.startswith("yours")), None)
        if own is None:
            return []
        ours = self.points[-1]
        points = 100 * (ours.score - own.score)
        return [
            f"beside yours: {points:+.2f} points of the score, "
            f"{ours.milliseconds / own.milliseconds:.2f} of its milliseconds, "
            f"{own.bytes / ours.bytes:.1f} times fewer bytes"
        ]

    def _trained_longer(self) -> list[str]:
        if self.longer is None:
            return []
        before, after = self.longer
        kept = "kept" if after > before else "no better, and left"
        return [f"trained longer: {before:.4f} to {after:.4f} on validation data, {kept}"]

    def _measured_beside_others(self) -> list[str]:
        """What is to be known of milliseconds that were measured while others were at work."""
        if self.workers == 1 or self.found.limits.latency is None:
            return []
        return [
            f"The networks' own milliseconds were measured while {self.workers} processes searched,"
            " and may be too many; those of the files above were measured when these had ended."
        ]


def beats(one: Point, other: Point) -> bool:
    """Whether a point is at least as good in everything, and better in something."""
    mine = (one.milliseconds, one.bytes, -one.score)
    its = (other.milliseconds, other.bytes, -other.score)
    return mine != its and all(a <= b for a, b in zip(mine, its, strict=True))
