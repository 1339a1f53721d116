"""The outcome of a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from shoestring.artifact import html
from shoestring.core import RESOURCES, Budget, Resource
from shoestring.kit import Trial
from shoestring.plan.bought import Bought
from shoestring.plan.frontier import Frontier
from shoestring.plan.learnt import Learnt
from shoestring.plan.replacements import loading_of
from shoestring.plan.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a search came to: the file that was delivered, and what else was found.

    `trial`: the one that is delivered.
    `verdict`: what the budget says of it.
    `budget`: as it was given.
    `limits`: the budget with percentages of what came in turned into numbers.
    `frontier`: the files that no other file beats.
    `trials`: all that were measured and have a file.
    `score_before`: the validation score of the model that came in.
    `scores_before`: its scores by name (those of the file are `trial.scores`).
    `bytes_before`: 4 for each number of the model that came in.
    `file`: the path of the delivered file.
    `reference`: the path of the model that came in, as a file.
    `folder`: of what the search measured.
    `seconds`: that the search took.
    `skipped`: what techniques left alone or did not reach, of all trials. For the delivered one it
        is in `trial.note`, line by line.
    `interrupted`: whether somebody ended the search.
    `examples`: how many validation examples scores are of; None for all of them.
    `taught`: which kind of output was distilled from the model that came in, in words; "" where
        nothing was trained.
    `bought`: the labels that the search bought, what they brought and what one is worth; None where
        the budget does not limit them.
    `learnt`: what was learnt from examples without labels; None where the task has too few.
    """

    trial: Trial
    verdict: Verdict
    budget: Budget
    limits: Budget
    frontier: Frontier
    trials: tuple[Trial, ...]
    score_before: float
    scores_before: Mapping[str, float] = field(default_factory=dict)
    bytes_before: int
    file: Path
    reference: Path
    folder: Path
    seconds: float
    skipped: tuple[str, ...] = ()
    interrupted: bool = False
    examples: int | None = None
    taught: str = ""
    bought: Bought | None = None
    learnt: Learnt | None = None
    _model: Callable[[], nn.Module] = field(repr=False, default=lambda: nn.Identity())
    _temporary: Any = field(repr=False, default=None)
    """Keeps a temporary folder as long as the outcome exists."""

    @property
    def replaced(self) -> str:
        """How the file is loaded where a new network took the model's place; "" where none did."""
        return loading_of(self.trial.technique, self.file)

    @property
    def met(self) -> bool:
        """Whether no limit is broken; limits that noise leaves open are in `verdict.undecided`."""
        return self.verdict.fits

    def __str__(self) -> str:
        """What went in and what came out, and the frontier, as text."""
        rows = [["", "before", "after", ""], *self._rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        table = [
            f"{name:<{widths[0]}}  {before:>{widths[1]}}  {after:>{widths[2]}}  {more}".rstrip()
            for name, before, after, more in rows
        ]
        by = [f"by {self.trial.technique}", *self._notes()]
        return "\n".join(
            [self._headline(), *table, *by, "", "what else could be had", str(self.frontier)]
        )

    def _notes(self) -> list[str]:
        """Labels bought, what was learnt, what was left alone, and how a new network is loaded."""
        return [
            *(str(one) for one in (self.bought, self.learnt) if one is not None),
            *self.trial.note.splitlines(),
            *filter(None, [self.replaced]),
        ]

    def _headline(self) -> str:
        words = "keeps" if self.met else "does not keep"
        return f"{self.file.name} {words} {self.budget}." if str(self.budget) else self.file.name

    def _rows(self) -> list[list[str]]:
        """Of each thing that was measured its name, before, after, and what changed."""
        return [self._sizes(), self._scores(), *self._named_scores(), *self._others()]

    def _repr_html_(self) -> str:
        """What went in and what came out, and the frontier, for a notebook."""
        return "".join(
            [
                html.table(("", "before", "after", ""), self._rows(), self._headline()),
                html.paragraph(f"by {self.trial.technique}"),
                *(html.paragraph(text) for text in self._notes()),
                html.paragraph("What else could be had:"),
                self.frontier._repr_html_(),
                html.paragraph(
                    "shoestring.report.write_report(outcome) writes all of this as a page."
                ),
            ]
        )

    def _sizes(self) -> list[str]:
        after = self.trial.cost.bytes or 0
        ratio = f"{self.bytes_before / after:.1f} times smaller" if after else ""
        return ["bytes", f"{self.bytes_before:,}", f"{after:,}", ratio]

    def _scores(self) -> list[str]:
        score = self.trial.score
        error = f"± {self.trial.error:.4f}" if self.trial.error else ""
        after = "" if score is None else f"{score:.4f}"
        return ["score (validation)", f"{self.score_before:.4f}", after, error]

    def _named_scores(self) -> list[list[str]]:
        """A row for each score by name."""
        scores = self.trial.scores
        return [
            [f"{name} (validation)", f"{before:.4f}", f"{scores[name]:.4f}", ""]
            for name, before in self.scores_before.items()
            if name in scores
        ]

    def _others(self) -> list[list[str]]:
        """A row for each resource that was measured besides bytes; what came in has no such row."""
        measured = self.trial.cost.measured()
        return [
            [resource.about, "", f"{measured[resource.field]:.4g}", _interval(self.trial, resource)]
            for resource in RESOURCES
            if not resource.getting and resource.field in measured and resource.field != "bytes"
        ]

    def model(self) -> nn.Module:
        """The delivered model as a module.

        Raises ValueError where only its file is known, as after another run, and its structure was
        changed.
        """
        return self._model()


def _interval(trial: Trial, resource: Resource) -> str:
    """The interval of a noisy measurement; "" where there is none."""
    interval = trial.noise.get(resource.field)
    return "" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}"
