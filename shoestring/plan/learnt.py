"""What a search made of the examples without labels that came with its task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What was learnt from examples without labels before a search, by validation data.

    `pool`: how many there are; `known`: how many examples have a label.
    `score_came_in`: of the model that came in.
    `scores`: of each technique that was tried, by its short name.
    `by`: the technique whose model is compressed, as a repr; "" for the model that came in.
    `error`: the standard error of the gain; None where the task tells none.
    `labelled`: whether the search trains on the answers of that model for the pool.
    `unfit`: why the other techniques do not learn from this task, by name.
    `untried`: those for which there was no time, by name.
    `digest`: of the labels that the search trains on.
    """

    pool: int
    known: int
    score_came_in: float
    scores: Mapping[str, float] = field(default_factory=dict)
    by: str = ""
    score: float | None = None
    error: float | None = None
    labelled: bool = False
    unfit: Mapping[str, str] = field(default_factory=dict)
    untried: tuple[str, ...] = ()
    digest: str = ""

    @property
    def gain(self) -> float:
        """What the best technique brought to the score, 0 where the model that came in is kept."""
        return 0.0 if self.score is None else self.score - self.score_came_in

    def __str__(self) -> str:
        told = f"{self.pool:,} examples without a label, and {self.known:,} with one: "
        if not self.scores and not self.untried:
            why = "; ".join(f"{name}: {said}" for name, said in self.unfit.items())
            return f"{told}no technique learns from both in this task ({why})"
        if self.score is None:
            tried = f" ({', '.join(self.scores)})" if self.scores else ""
            told += f"no technique that learns from both{tried} was better than what came in"
        else:
            in_points = all(0 <= one <= 1 for one in (self.score, self.score_came_in))
            times, unit = (100, " points") if in_points else (1, "")
            within = "" if self.error is None else f" ± {2 * times * self.error:.2f}"
            others = [
                f"{name} {score:.4f}"
                for name, score in self.scores.items()
                if not self.by.startswith(f"{name}(")
            ]
            told += (
                f"validation score {self.score:.4f} by {self.by.partition('(')[0]}, and "
                f"{self.score_came_in:.4f} as the model came in: {times * self.gain:+.2f}{within}"
                f"{unit}"
            )
            told += f" ({', '.join(others)})" if others else ""
        if self.untried:
            told += f"; no time for {', '.join(self.untried)} (--minutes)"
        if self.labelled:
            told += "; trained on its answers for the examples without a label too"
        return told

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "gain": self.gain}
