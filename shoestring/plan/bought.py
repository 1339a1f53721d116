"""What the labels that a search bought have brought."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Bought:
    """The labels that a search bought, and what they brought on validation data.

    `labels`: how many the search uses of those it bought; `fresh` of them were bought in this run.
    `known`: how many labels came with the task.
    `by`: what chose them, in words.
    `score_came_in`: of the model that came in.
    `score_before`: after the same training, on the labels that came with the task; None without.
    `score_after`: after that training on all labels. None where none was bought.
    `kept`: whether the model that came in scores higher and is the one that is compressed.
    `waited`: seconds that the answers took, which do not count as time of the search.
    `digest`: of the labels.
    """

    labels: int
    fresh: int = 0
    known: int = 0
    by: str = ""
    score_came_in: float | None = None
    score_before: float | None = None
    score_after: float | None = None
    kept: bool = False
    waited: float = 0.0
    digest: str = ""

    @property
    def gain(self) -> float | None:
        """What the labels brought to the score, against what was there before.

        That is the better of the model that came in and the same training without them. None where
        nothing was bought.
        """
        if self.score_after is None or self.score_came_in is None:
            return None
        before = [self.score_came_in, *([] if self.score_before is None else [self.score_before])]
        return self.score_after - max(before)

    def __str__(self) -> str:
        if self.score_after is None or self.score_came_in is None or self.gain is None:
            return "no label was bought"
        without = ""
        if self.score_before is not None:
            without = f"; {self.score_before:.4f} with the {self.known:,} that came with the task"
        scores = (self.score_came_in, self.score_before or 0.0, self.score_after)
        in_points = all(0 <= one <= 1 for one in scores)
        gain, unit = (100 * self.gain, " points") if in_points else (self.gain, "")
        rate = f"{gain / self.labels:+.3g}{unit} a label"
        told = (
            f"{self.labels:,} labels bought, {self.by}: validation score {self.score_after:.4f}, "
            f"and {self.score_came_in:.4f} as the model came in{without}: {gain:+.2f}{unit}, {rate}"
        )
        if self.kept:
            told += "; the model that came in is compressed, since it scores higher"
        return told

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        gain = self.gain
        rate = None if gain is None else gain / self.labels
        return {**asdict(self), "gain": gain, "gain_a_label": rate}
