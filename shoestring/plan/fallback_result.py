"""The result of a search for the fewest layers that must stay as they were."""

from __future__ import annotations

from dataclasses import dataclass

from shoestring.core import Technique
from shoestring.plan.layers_tried import Layers, layer_names
from shoestring.plan.relative_latency import RelativeLatency


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Layers that stay as they were, and the reason."""

    layers: Layers
    reason: str


@dataclass(frozen=True, kw_only=True)
class FallbackResult:
    """The fewest layers that must stay as they were, and the technique that keeps them.

    `apply(result.technique, model, task, seed=result.seed)` makes the model again.

    `technique`: the action with the layers of `kept` left alone.
    `met`: whether it loses at most `drop`. Where not, nothing that was allowed does, and this is
        the nearest.
    `complete`: whether the search came to its end; where not, fewer layers might do.
    `kept`: the layers that stay, with reasons.
    `changed`: the layers that the technique may change.
    `drop`: how much of the validation score may be lost.
    `score_before`, `score`: of validation data; `score` is None where the technique failed.
    `lost`: the difference of these scores, and `error`, its standard error; None where unknown.
    `bytes_before`, `bytes`: of the files.
    `milliseconds_before`: of a run of the model as it was; None where nothing was timed.
    `relative_latency`: of the file, to that of the model as it was; None where it was not timed.
    `trials`: how many changed models were made.
    `seed`: of the trials.
    `note`: what the technique left alone, or why it failed.
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
        """The result as text, with a line for each layer that stays."""
        lost = "unknown" if self.lost is None else f"{self.lost:+.4f}"
        error = "" if self.error is None else f" ± {self.error:.4f}"
        lines = [
            f"{len(self.kept)} of {len(self.kept) + len(self.changed)} layers or groups stay as "
            "they were"
            + ("" if self.complete else "; the search was cut short, and fewer might do"),
            *(f"  {layer_names(kept.layers)}: {kept.reason}" for kept in self.kept),
            f"score: {self.score_before:.4f} before, "
            f"{'unknown' if self.score is None else f'{self.score:.4f}'} after; lost "
            f"{lost}{error}, and {self.drop:g} may be",
        ]
        if self.bytes is not None:
            lines.append(f"bytes: {self.bytes_before:,} before, {self.bytes:,} after")
        if self.relative_latency is not None:
            lines.append(f"time: {self.relative_latency} times that of before")
        if not self.met:
            lines.append("the drop asked for is not kept, whatever stays: this is the nearest")
        lines += [self.note] if self.note else []
        return "\n".join([*lines, repr(self.technique)])
