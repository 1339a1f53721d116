"""The main job, whole: compress, prove both files on test data, time them in alternation, and say
what it came to.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import torch
from torch import nn

from shoestring.artifact import Line, bill, by_entry, read_model
from shoestring.artifact.format.names import names_beside
from shoestring.artifact.format.protobuf import onnx
from shoestring.artifact.format.saving import check_place
from shoestring.core import Budget, Gauge, Ledger, Task, batches, check_task, evaluating, unwrapped
from shoestring.core.prove import proof
from shoestring.meters import Latency, Ratio, Timing, alternate, ratio
from shoestring.plan.blocking import blocking
from shoestring.plan.clock import told
from shoestring.plan.compress import also_logged, searching
from shoestring.plan.outcome import Outcome
from shoestring.plan.weighing import NOT_REACHED

TIME_SLACK = 1.1
"""Times the limit on time that a command may take before the report says that it was passed."""


@dataclass(frozen=True)
class Report:
    """Before and after.

    Scores are of the test split, by the files; milliseconds of one run, both files alternating.
    """

    outcome: Outcome
    onnx_bytes_before: int
    score_before: float
    score_after: float
    milliseconds_before: float
    milliseconds_after: float
    speed: Ratio
    bill: tuple[Line, ...]
    seconds: float
    scores_before: Mapping[str, float] = field(default_factory=dict)
    scores_after: Mapping[str, float] = field(default_factory=dict)
    """Scores that the task has by name, of the test split."""

    @property
    def met(self) -> bool:
        """Whether the budget was kept, going by validation data."""
        return self.outcome.met

    @property
    def bytes_after(self) -> int:
        """The size of the file."""
        return self.outcome.trial.cost.bytes or 0

    def as_json(self) -> dict[str, Any]:
        """One object of plain values."""
        outcome, trial = self.outcome, self.outcome.trial
        return {
            "event": "done",
            "met": self.met,
            "nearest": not self.met,
            "undecided": sorted(outcome.verdict.undecided),
            "broken": {
                name: {"measured": value, "limit": limit}
                for name, (value, limit) in outcome.verdict.broken.items()
            },
            "budget": str(outcome.budget),
            "limits": str(outcome.limits),
            "bytes_before": outcome.bytes_before,
            "onnx_bytes_before": self.onnx_bytes_before,
            "bytes_after": self.bytes_after,
            "ratio": outcome.bytes_before / self.bytes_after,
            "score_before": self.score_before,
            "score_after": self.score_after,
            "validation_before": outcome.score_before,
            "validation_after": trial.score,
            "scores_before": dict(self.scores_before),
            "scores_after": dict(self.scores_after),
            "validation_scores_before": dict(outcome.scores_before),
            "validation_scores_after": trial.scores,
            "milliseconds_before": self.milliseconds_before,
            "milliseconds_after": self.milliseconds_after,
            "time_ratio": {
                "median": self.speed.median,
                "low": self.speed.low,
                "high": self.speed.high,
            },
            "time_too_noisy": self.speed.is_too_noisy,
            "path": str(outcome.file),
            "technique": trial.technique,
            "frontier": outcome.frontier.as_json(),
            "skipped": list(outcome.skipped),
            "notes": trial.note.splitlines(),
            "interrupted": outcome.interrupted,
            "validation_examples": outcome.examples,
            "taught": outcome.taught,
            "seconds": self.seconds,
        }

    def as_text(self) -> str:
        """What a person wants to see."""
        outcome, trial = self.outcome, self.outcome.trial
        before, after = outcome.bytes_before, self.bytes_after
        lines = [
            "",
            f"{'':24}{'before':>12}{'after':>12}",
            f"{'bytes':24}{before:>12,}{after:>12,}   {before / after:.1f} times smaller",
            f"{'  as fp32 ONNX':24}{self.onnx_bytes_before:>12,}",
            f"{'score (test)':24}{self.score_before:>12.4f}{self.score_after:>12.4f}"
            f"   {self._words(self.score_after - self.score_before, '+')}",
            f"{'score (validation)':24}{outcome.score_before:>12.4f}{trial.score or 0.0:>12.4f}{self._error()}",
            *self._by_name(),
            f"{'milliseconds a run':24}{self.milliseconds_before:>12.3f}{self.milliseconds_after:>12.3f}"
            "   ratio "
            f"{'too noisy to tell' if self.speed.is_too_noisy else f'{self.speed.median:.2f}'} "
            f"({self.speed.low:.2f} to {self.speed.high:.2f})",
            f"{'by':24}{trial.technique}",
            *([f"{'taught':24}{outcome.taught}"] if outcome.taught else []),
            "",
            "what else could be had (`shoestring frontier` prints it again, `--pick NUMBER` "
            "writes a point's file)",
            str(outcome.frontier),
            "",
            "where the bytes went",
            *(f"{line.bytes:>12,}  {line.name:<24} {line.about}" for line in self.bill),
            f"{after:>12,}  in all",
            "",
            *(
                text if text.startswith(NOT_REACHED) else f"left alone: {text}"
                for text in trial.note.splitlines()
            ),
            *self._verdict(),
            f"the file: {outcome.file} ({told(self.seconds)} in all)",
        ]
        return "\n".join(lines)

    def _by_name(self) -> list[str]:
        """Two lines for each score that the task has by name."""
        splits = {
            "test": (self.scores_before, self.scores_after),
            "validation": (self.outcome.scores_before, self.outcome.trial.scores),
        }
        return [
            f"{f'{name} ({split})':24}{before.get(name, math.nan):>12.4f}{after.get(name, math.nan):>12.4f}"
            for name in self.outcome.scores_before
            for split, (before, after) in splits.items()
        ]

    def _error(self) -> str:
        error = self.outcome.trial.error
        return (
            f"   ± {error:.4f}" if error else ""
        )  # where no example changed there is nothing to say

    def _verdict(self) -> list[str]:
        """Which limits are broken or cannot be told, and what would do."""
        outcome, lines = self.outcome, list[str]()
        for name, (value, limit) in outcome.verdict.undecided.items():
            lines.append(
                f"{name} cannot be decided on this machine: {value:.4g} was measured, {limit:.4g} "
                "is the limit, and the noise is larger than "
                "the difference; a quieter machine would tell"
            )
        if not outcome.met:
            lines.append("The budget was not kept: this is the nearest point that was reached.")
            lines += [
                f"  {one}"
                for one in blocking(
                    outcome.limits, outcome.trial, outcome.trials, outcome.score_before
                )
            ]
        if outcome.examples is not None:
            lines.append(
                f"Validation scores are of a sample of {outcome.examples:,} examples: for the "
                "first search in this folder, scoring all "
                "would have taken too much of the time."
            )
        limit = outcome.budget.time
        if limit is not None and self.seconds > TIME_SLACK * limit:
            lines.append(
                f"The whole command took {told(self.seconds)}, and time<={told(limit)} was asked "
                "for: that limit was not kept."
            )
        if outcome.interrupted:
            lines.append(
                "Interrupted: the file below is whole and the best so far; the same command goes "
                "on from here."
            )
        return lines

    def _words(self, difference: float, sign: str = "") -> str:
        """A difference of scores: in points where scores are between 0 and 1, else as it is."""
        shares = all(
            0 <= s <= 1 for s in (self.score_before, self.score_after, self.outcome.score_before)
        )
        return f"{100 * difference:{sign}.2f} points" if shares else f"{difference:{sign}.4g}"


def main_job(
    build: Callable[[], tuple[nn.Module, Task]],
    budget: Budget,
    path: Path,
    *,
    minutes: float | None = None,
    meters: Sequence[Gauge] | None = None,
    ledger: Ledger | None = None,
    seed: int = 0,
    smallest: bool = False,
    storage: str | None = None,
    latency: Latency | None = None,
    began: float | None = None,
    share: tuple[int, int] = (0, 1),
    asked: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda text: None,
    tell: Callable[[dict[str, Any]], None] = lambda event: None,
) -> Report:
    """Compress the model that `build` returns, with its task, into a file at `path`, and report on
    it; see `compress`.

    `asked`: whether somebody asked for the end, who is heard where a KeyboardInterrupt is lost.
    `latency`: by what the report times both files; None for the one among `meters`, else for ONNX
        Runtime on one thread.
    """
    began = monotonic() if began is None else began
    announce = also_logged(say)
    check_place(path)
    if ledger is not None:
        ledger.rows()  # raises now, not after the training, where there can be none
    if path.exists():
        announce(
            f"  {path} is there, and is replaced by what this command finds; `shoestring "
            "frontier` lists what was found before"
        )
    model, task = build()
    model = unwrapped(model)
    check_task(task)
    if not task.has_test:
        raise ValueError(
            "the task has no test split, on which what is found is proved: give it one (of "
            "from_loaders, "
            "test=), or call shoestring.plan.compress, which reads none"
        )
    _settle_threads(model, task)
    announce(f"compressing {type(model).__name__}{f' to {budget}' if str(budget) else ''}")
    settings: dict[str, Any] = {"ledger": ledger, "seed": seed}
    with searching(
        model,
        task,
        budget,
        path,
        minutes=minutes,
        meters=meters,
        smallest=smallest,
        storage=storage,
        began=began,
        share=share,
        asked=asked,
        say=say,
        tell=tell,
        **settings,
    ) as outcome:
        announce("  timing both files, and proving them on test data")
        latency = latency or next(
            (meter for meter in meters or () if isinstance(meter, Latency)), Latency()
        )
        timings = alternate(
            [outcome.reference, path],
            task.sealed(),
            threads=latency.threads,
            batch=latency.batch,
            runtime=latency.runtime,
        )
        return _report(outcome, task, timings, settings, f"compressed to {budget}", began)


def _report(
    outcome: Outcome,
    task: Task,
    timings: Sequence[Timing],
    settings: dict[str, Any],
    note: str,
    began: float,
) -> Report:
    """Both files proved, and all that is to be said."""
    graphs = by_entry(read_model(outcome.reference)).values()
    data = outcome.file.read_bytes()
    before = proof(outcome.reference, task, note="uncompressed", **settings)
    after = proof(outcome.file, task, note=note, **settings)
    return Report(
        outcome=outcome,
        onnx_bytes_before=sum(len(onnx(one.graph, one.tensors)) for one in graphs),
        score_before=before.score,
        score_after=after.score,
        scores_before=before.scores,
        scores_after=after.scores,
        milliseconds_before=timings[0].median,
        milliseconds_after=timings[1].median,
        speed=ratio(timings[1], timings[0]),
        bill=tuple(bill(data, names_beside(outcome.file, data))),
        seconds=monotonic() - began,
    )


def _settle_threads(model: nn.Module, task: Task) -> None:
    """Put torch on one thread where more are hardly faster.

    On small networks they mostly wait, most of all on a busy machine.
    `OMP_NUM_THREADS` settles it beforehand.
    """
    many = torch.get_num_threads()
    batch = next(iter(batches(task, "validation", model)), None)
    if many == 1 or batch is None or "OMP_NUM_THREADS" in os.environ:
        return
    seconds: dict[int, float] = {}
    with evaluating(model), torch.no_grad():
        for threads in (many, 1):
            torch.set_num_threads(threads)
            for _ in range(3):
                began = perf_counter()
                task.loss(model, batch)
                seconds[threads] = min(seconds.get(threads, math.inf), perf_counter() - began)
    torch.set_num_threads(many if seconds[many] < 0.7 * seconds[1] else 1)
