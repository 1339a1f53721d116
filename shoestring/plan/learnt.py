"""What a search made of the examples without labels that came with its task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

ALONE = "LabelsAlone"
"""The technique that looks at labels alone: what the others have to beat."""


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What was learnt from examples without labels before a search, by validation data.

    `pool`: how many there are; `known`: how many examples have a label.
    `score_came_in`: of the model that came in.
    `scores`: of what each technique returned, by its name; the highest of several trainings.
    `refused`: the techniques whose guard returned a network of labels alone, by name.
    `by`: the technique whose model is compressed, as a repr; "" for the model that came in.
    `score`: of that model; None where it is the one that came in.
    `error`: the standard error of the gain; None where the task tells none.
    `labelled`: whether the search trains on the answers of that model for the pool.
    `unfit`: why other techniques do not learn from this task, by name.
    `given_up`: those that took much longer than expected, and `untried` those for which there was
        no time, by name; `unseen` those at which nobody looked.
    `digest`: of the labels that the search trains on.
    """

    pool: int
    known: int
    score_came_in: float
    scores: Mapping[str, float] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    by: str = ""
    score: float | None = None
    error: float | None = None
    labelled: bool = False
    unfit: Mapping[str, str] = field(default_factory=dict)
    given_up: tuple[str, ...] = ()
    untried: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    digest: str = ""

    @property
    def name(self) -> str:
        """The name of the technique whose model is compressed; "" for none."""
        return self.by.partition("(")[0]

    @property
    def from_pool(self) -> bool:
        """Whether the model that is compressed learnt from examples without a label."""
        return bool(self.by) and self.name != ALONE and self.name not in self.refused

    @property
    def reference(self) -> float:
        """The score that the gain is counted from: of labels alone, or of what came in."""
        return max(self.score_came_in, self.scores.get(ALONE, self.score_came_in))

    @property
    def gain(self) -> float:
        """What the examples without a label brought to the score; 0 where they did not help."""
        return self.score - self.reference if self.from_pool and self.score is not None else 0.0

    def __str__(self) -> str:
        told = f"{self.pool:,} examples without a label, and {self.known:,} with one: "
        tried = ", ".join(f"{name} {score:.4f}" for name, score in self.scores.items())
        if not self.scores:
            why = "; ".join(f"{name}: {said}" for name, said in self.unfit.items())
            none = (
                "there was no time to learn from them" if self._late else "nothing learns from them"
            )
            told += f"{none}, and they are left alone" + (f" ({why})" if why else "")
        elif self.score is None:
            told += f"nothing that was tried is better than what came in, {self.score_came_in:.4f}"
            told += f" ({tried})"
        elif not self.from_pool:
            how = "" if self.name == ALONE else ", inputs changed weakly"
            told += (
                f"they did not help. Validation score {self.score:.4f} by labels alone{how}, and "
                f"{self.score_came_in:.4f} as the model came in ({tried})"
            )
        else:
            in_points = all(0 <= one <= 1 for one in (self.score, self.score_came_in))
            times, unit = (100, " points") if in_points else (1, "")
            within = (
                ""
                if self.error is None
                else f" ± {2 * times * self.error:.2f}, two standard errors of that comparison"
            )
            told += (
                f"validation score {self.score:.4f} by {self.name}, the best of {len(self.scores)} "
                f"({tried}), and {self.score_came_in:.4f} as the model came in. Against the better "
                f"of that and labels alone: {times * self.gain:+.2f}{unit}{within}"
            )
        for names, what in (
            (self.refused, "refused by its own guard: labels alone did better"),
            (self.given_up, "given up, as it took too long"),
            (self._late, "no time for it (--minutes)"),
        ):
            told += f"; {', '.join(names)}: {what}" if names else ""
        if self.labelled:
            told += "; the search trains on the model's answers for them too"
        return told

    @property
    def _late(self) -> tuple[str, ...]:
        return (*self.untried, *self.unseen)

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "gain": self.gain, "from_pool": self.from_pool}
