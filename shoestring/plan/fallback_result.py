"""What a search for the fewest layers that must stay comes back with."""

from __future__ import annotations

from dataclasses import dataclass

from shoestring.core import Technique
from shoestring.plan.layers_tried import Layers, told
from shoestring.plan.relative_latency import RelativeLatency


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Layers that stay as they were, and why."""

    layers: Layers
    reason: str


@dataclass(frozen=True, kw_only=True)
class FallbackResult:
    """What `fallback` found: a technique that is the action with the layers of `kept` left alone.

    `changed`: the layers that it may change.
    `met`: whether it loses at most the drop asked for; where not, nothing that was allowed does,
        and this is the nearest.
    `complete`: whether the search came to its end: fewer might do where it did not. `score` and
        `lost` are of validation data, `error` the standard error of `lost`; `bytes` and
        `relative_latency` (beside the model as it was; None: not timed) are of the file.
    `trials`: how many changed models were made.
    `note`: what the technique said, or why nothing will do. `apply(found.technique, model, task,
        seed=found.seed)` makes the model again.
    """

    technique: Technique
    met: bool
    complete: bool
    kept: tuple[Kept, ...]
    changed: tuple[Layers, ...]
    drop: float
    score_before: float
    score: float | None
    lost: float | None
    error: float | None
    bytes_before: int
    bytes: int | None
    milliseconds_before: float | None
    relative_latency: RelativeLatency | None
    trials: int
    seed: int
    note: str = ""

    def __str__(self) -> str:
        """In words, a line for each layer that stays."""
        lost = "unknown" if self.lost is None else f"{self.lost:+.4f}"
        error = "" if self.error is None else f" ± {self.error:.4f}"
        lines = [
            (
                f"{len(self.kept)} of {len(self.kept) + len(self.changed)} layers or groups stay "
                "as "
                "they were"
            )
            + ("" if self.complete else "; the search was cut short, and fewer might do"),
            *(f"  {told(one.layers)}: {one.reason}" for one in self.kept),
            f"score: {self.score_before:.4f} before, "
            f"{'unknown' if self.score is None else f'{self.score:.4f}'} after; "
            f"lost {lost}{error}, and {self.drop:g} may be",
        ]
        if self.bytes is not None:
            lines.append(f"bytes: {self.bytes_before:,} before, {self.bytes:,} after")
        if self.relative_latency is not None:
            lines.append(f"time: {self.relative_latency} times that of before")
        if not self.met:
            lines.append("the drop asked for is not kept, whatever stays: this is the nearest")
        lines += [self.note] if self.note else []
        return "\n".join([*lines, repr(self.technique)])
