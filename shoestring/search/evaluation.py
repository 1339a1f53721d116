"""One network of a search: trained, scored, and as a file weighed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, process_time
from typing import Any

import torch
from torch import nn

from shoestring.artifact import load
from shoestring.artifact.scratch import scratch_folder
from shoestring.core import Cost, Gauge, Task, score, seeded
from shoestring.core.task import evaluating
from shoestring.kit import Training, Trial, export, pack, resuming, train
from shoestring.kit.clock import TimeUpError
from shoestring.search.default_training import suited
from shoestring.search.space import Picks, Space


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Makes the trials of networks.

    `training`: of a network that is trained fully; where `suits`, each has an optimizer of its own.
    `meters`: of files, beside their bytes.
    `folder`: where interrupted trainings are kept, told apart by `model`.
    `trained`: gets the trial and the network where there is a score and no file.
    """

    space: Space
    task: Task
    training: Training
    suits: bool
    meters: Sequence[Gauge]
    seed: int
    folder: Path
    model: str
    trained: Callable[[Trial, nn.Module], None] = lambda trial, network: None

    def __call__(self, trial: Trial, picks: Picks, share: float) -> tuple[Trial, bytes | None]:
        """The trial of a network; of one that is trained fully, with its file."""
        began, processor, data = monotonic(), process_time(), None
        try:
            with seeded(self.seed):
                network = self.space.made(picks).network()
                training = self.training.scaled(share)
                if self.suits:
                    training = suited(training, network, self.task)
                with resuming(self.unfinished(picks, share)):
                    train(network, self.task, training, what="training")
            cost = Cost(seconds=monotonic() - began, processor_seconds=process_time() - processor)
            trial = replace(trial, cost=cost)
            if share == 1:
                data = pack(network, export(network, self.task))
                trial = self._of_file(trial, data)
            else:
                with evaluating(network), torch.no_grad():
                    trial = self._scored(trial, network)
                self.trained(trial, network)
        except (TimeUpError, KeyboardInterrupt):
            raise
        except Exception as error:  # of one network: a failure is a result too
            if isinstance(error, OSError) and error.errno is not None:
                raise
            trial = replace(trial, score=None, note=f"{type(error).__name__}: {error}")
        return trial, data

    def unfinished(self, picks: Picks, share: float) -> Path:
        """The folder of a training that may be interrupted."""
        seen = self.model, picks, share
        return self.folder / "unfinished" / hashlib.sha256(repr(seen).encode()).hexdigest()[:16]

    def _of_file(self, trial: Trial, data: bytes) -> Trial:
        """The trial with the score and the cost of a file."""
        with scratch_folder() as folder:
            path = folder / "network.shoe"
            path.write_bytes(data)
            trial = self._scored(trial, load(path))
            cost = trial.cost | Cost(bytes=len(data))
            for meter in self.meters:
                cost |= meter(path, self.task)
        return replace(trial, cost=cost)

    def _scored(self, trial: Trial, predict: Any) -> Trial:
        """The trial with the score of a module, or of a file, and its standard error."""
        value = score(self.task, predict)
        if not math.isfinite(value):
            raise ValueError(f"the score is {value}")
        error = self.task.standard_error(predict, "validation")
        if error is not None:
            trial = replace(trial, noise={"score": (value - error, value + error)})
        return replace(trial, score=value)
