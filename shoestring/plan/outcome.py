"""What a search came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from shoestring.core import Budget
from shoestring.kit import Trial
from shoestring.plan.frontier import Frontier
from shoestring.plan.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What `compress` found.

    `trial`: what is delivered, and `verdict`, what the budget says of it. `budget` is as it was
        given, `limits` the same with shares of what came in turned into numbers.
    `frontier`: all that no other file beats.
    `score_before`: of validation data.
    `scores_before`: those that the task has by name (those of the file are `trial.scores`).
    `bytes_before`: 4 for each number of the model.
    `reference`: the model as it came in, as a file.
    `file`: where the delivered file is.
    `skipped`: what techniques said, in all trials, that they left alone or did not reach; of the
        delivered one it is in `trial.note`, line by line.
    `examples`: how many of the validation split all scores are of; None for all of them.
    `taught`: which output a changed model was taught as what kind, in words; "" where nothing was
        trained.
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
    _model: Callable[[], nn.Module] = field(repr=False, default=lambda: nn.Identity())
    _kept: Any = field(repr=False, default=None)
    """What holds a temporary folder until nobody has the outcome any more."""

    @property
    def met(self) -> bool:
        """Whether no limit is broken.

        Those that cannot be told apart here are in `verdict.undecided`.
        """
        return self.verdict.fits

    def model(self) -> nn.Module:
        """The delivered model as a module, to go on with.

        Raises ValueError where only the file holds it (as after another run).
        """
        return self._model()
