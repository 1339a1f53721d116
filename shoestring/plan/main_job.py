"""The main job: compress, prove both files on test data, time them interleaved, and report."""

from __future__ import annotations

import hashlib
import math
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import torch
from torch import nn

from shoestring.artifact import Bill, bill, by_entry, read_model
from shoestring.artifact.format.names import names_beside
from shoestring.artifact.format.protobuf import onnx_bytes
from shoestring.artifact.format.saving import check_place
from shoestring.core import Budget, Gauge, Ledger, Task, batches, check_task, evaluating, unwrapped
from shoestring.core.prove import proof
from shoestring.kit.clock import duration
from shoestring.meters import Latency, Ratio, alternate, ratio
from shoestring.plan.blocking import blocking
from shoestring.plan.command import command_line
from shoestring.plan.compress import also_logged, searching
from shoestring.plan.folder import check_not_searched
from shoestring.plan.kept import Timed, note_timed
from shoestring.plan.outcome import Outcome
from shoestring.plan.weighing import NOT_REACHED

TIME_SLACK = 1.1
"""Times the limit on time beyond which the report says that it was not kept."""

ON_A_MICROCONTROLLER = {
    "flash_bytes": "bytes of flash",
    "ram_bytes": "bytes of RAM",
    "instructions": "instructions a run",
}
"""The fields of a Cost for a microcontroller, in the words of the report."""


@dataclass(frozen=True)
class Report:
    """What the main job came to, before and after.

    `outcome`: of the search.
    `onnx_bytes_before`: the bytes of the model that came in, as fp32 ONNX.
    `score_before`, `score_after`: of the two files on the test split.
    `milliseconds_before`, `milliseconds_after`: medians of a run, both files timed interleaved.
    `speed`: the milliseconds after, divided by those before.
    `bill`: what each byte of the file is for.
    `seconds`: of the whole command.
    """

    outcome: Outcome
    onnx_bytes_before: int
    score_before: float
    score_after: float
    milliseconds_before: float
    milliseconds_after: float
    speed: Ratio
    bill: Bill
    seconds: float
    scores_before: Mapping[str, float] = field(default_factory=dict)
    scores_after: Mapping[str, float] = field(default_factory=dict)
    """Scores by name, of the two files on the test split."""

    @property
    def met(self) -> bool:
        """Whether the budget was kept, by validation data."""
        return self.outcome.met

    @property
    def bytes_after(self) -> int:
        """The size of the file."""
        return self.outcome.trial.cost.bytes or 0

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON object."""
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
            "replaced": outcome.replaced,
            "labels": None if outcome.bought is None else outcome.bought.as_json(),
            "learnt": None if outcome.learnt is None else outcome.learnt.as_json(),
            "seconds": self.seconds,
        }

    def as_text(self) -> str:
        """The report as text."""
        outcome, trial = self.outcome, self.outcome.trial
        before, after = outcome.bytes_before, self.bytes_after
        lines = [
            "",
            f"{'':24}{'before':>12}{'after':>12}",
            f"{'bytes':24}{before:>12,}{after:>12,}   {before / after:.1f} times smaller",
            f"{'  as fp32 ONNX':24}{self.onnx_bytes_before:>12,}",
            f"{'score (test)':24}{self.score_before:>12.4f}{self.score_after:>12.4f}   "
            f"{self._words(self.score_after - self.score_before, '+')}",
            f"{'score (validation)':24}{outcome.score_before:>12.4f}"
            f"{trial.score or 0.0:>12.4f}{self._error()}",
            *self._by_name(),
            f"{'milliseconds a run':24}{self.milliseconds_before:>12.3f}"
            f"{self.milliseconds_after:>12.3f}   {self.speed.in_report}",
            *self._on_the_microcontroller(),
            f"{'by':24}{trial.technique}",
            *([f"{'taught':24}{outcome.taught}"] if outcome.taught else []),
            *filter(None, [outcome.replaced]),
            *(f"{'labels':24}{one}" for one in (outcome.bought, outcome.learnt) if one is not None),
            "",
            "what else could be had (`shoestring frontier` prints it again, `--pick NUMBER` writes "
            "a point's file)",
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
            f"the file: {outcome.file} ({duration(self.seconds)} in all)",
            f"`{command_line()} report {shlex.quote(str(outcome.file))}` shows all of this as a "
            "page",
        ]
        return "\n".join(lines)

    def _on_the_microcontroller(self) -> list[str]:
        """The lines of flash, RAM and instructions, where a budget limits them."""
        before, after = self.outcome.trials[0].cost.measured(), self.outcome.trial.cost.measured()
        return [
            f"{what:24}{before[name]:>12,.0f}{after[name]:>12,.0f}   "
            f"{before[name] / after[name]:.1f} times fewer"
            for name, what in ON_A_MICROCONTROLLER.items()
            if name in before and after.get(name)
        ]

    def _by_name(self) -> list[str]:
        """Two lines for each score by name: of the test split and of the validation split."""
        splits = {
            "test": (self.scores_before, self.scores_after),
            "validation": (self.outcome.scores_before, self.outcome.trial.scores),
        }
        return [
            f"{f'{name} ({split})':24}{before.get(name, math.nan):>12.4f}"
            f"{after.get(name, math.nan):>12.4f}"
            for name in self.outcome.scores_before
            for split, (before, after) in splits.items()
        ]

    def _error(self) -> str:
        """The standard error of the loss; "" where it is unknown, or no example changed."""
        error = self.outcome.trial.error
        return f"   ± {error:.4f}" if error else ""

    def _verdict(self) -> list[str]:
        """Lines about the limits that are broken or undecided, and what else a reader must know."""
        outcome, lines = self.outcome, list[str]()
        for name, (value, limit) in outcome.verdict.undecided.items():
            lines.append(
                f"{name} cannot be decided on this machine: {value:.4g} was measured, {limit:.4g} "
                "is the limit, and the noise is larger than the difference; a quieter machine "
                "would tell"
            )
        if not outcome.met:
            lines.append("The budget was not kept: this is the nearest point that was reached.")
            lines += [
                f"  {sentence}"
                for sentence in blocking(
                    outcome.limits, outcome.trial, outcome.trials, outcome.score_before
                )
            ]
        if outcome.examples is not None:
            lines.append(
                f"Validation scores are of a sample of {outcome.examples:,} examples: for the "
                "first search in this folder, scoring all would have taken too much of the time."
            )
        limit = outcome.budget.time
        waited = 0.0 if outcome.bought is None else outcome.bought.waited
        if limit is not None and self.seconds - waited > TIME_SLACK * limit:
            lines.append(
                f"The whole command took {duration(self.seconds)}, and time<={duration(limit)} was "
                "asked for: that limit was not kept."
            )
        if outcome.interrupted:
            lines.append(
                "Interrupted: the file below is whole and the best so far; the same command goes "
                "on from here."
            )
        return lines

    def _words(self, difference: float, sign: str = "") -> str:
        """A difference of scores: in points where scores are between 0 and 1, else as it is."""
        scores = self.score_before, self.score_after, self.outcome.score_before
        if all(0 <= score <= 1 for score in scores):
            return f"{100 * difference:{sign}.2f} points"
        return f"{difference:{sign}.4g}"


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
    loading: float = math.inf,
    share: tuple[int, int] = (0, 1),
    command: Sequence[str] = (),
    asked: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda text: None,
    tell: Callable[[dict[str, Any]], None] = lambda event: None,
) -> Report:
    """Compress a model into a file at `path`, and report on it.

    `build`: returns the model and its task.
    `loading`: how many seconds of building the model count as minutes, at most.
    `latency`: the meter by which the report times both files. None for the one among `meters`, else
        for ONNX Runtime on one thread.
    `command`: the words of the command that searches, which its folder keeps.
    `asked`: whether somebody asked for the end, besides KeyboardInterrupt, which may be lost.

    The other arguments, and what is raised, are those of `compress`. A task without a test split
    raises ValueError.
    """
    started = monotonic() if began is None else began
    announce = also_logged(say)
    _check_outputs(path, ledger, announce)
    model, task = _checked(build)
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
        began=max(started, monotonic() - loading),
        share=share,
        command=command,
        asked=asked,
        say=say,
        tell=tell,
        **settings,
    ) as outcome:
        announce("  timing both files, and proving them on test data")
        timed = (meter for meter in meters or () if isinstance(meter, Latency))
        latency = latency or next(timed, Latency())
        return _report(outcome, task, latency, settings, f"compressed to {budget}", started)


def _check_outputs(path: Path, ledger: Ledger | None, announce: Callable[[str], None]) -> None:
    """Raise now, not after the search, where the file or the ledger cannot be written.

    Also where another command is searching for the same file, before the model is loaded.
    """
    check_place(path)
    check_not_searched(path)
    if ledger is not None:
        ledger.check()
    if path.exists():
        announce(
            f"  {path} is there, and is replaced by what this command finds; `shoestring frontier` "
            "lists what was found before"
        )


def _checked(build: Callable[[], tuple[nn.Module, Task]]) -> tuple[nn.Module, Task]:
    """The model and the task; raises ValueError for a task without a test split."""
    model, task = build()
    model = unwrapped(model)
    check_task(task)
    if not task.has_test:
        raise ValueError(
            "the task has no test split, on which what is found is proved: give it one "
            "(test=), or call shoestring.compress, which reads none"
        )
    return model, task


def _report(
    outcome: Outcome,
    task: Task,
    latency: Latency,
    settings: dict[str, Any],
    note: str,
    began: float,
) -> Report:
    """Time both files, prove them on the test split, and report."""
    timings = alternate(
        [outcome.reference, outcome.file],
        task.sealed(),
        threads=latency.threads,
        batch=latency.batch,
        runtime=latency.runtime,
        clock=latency.clock,
    )
    graphs = by_entry(read_model(outcome.reference)).values()
    data = outcome.file.read_bytes()
    quartiles = [(one.low, one.median, one.high) for one in timings]
    digest = hashlib.sha256(data).hexdigest()
    speed = ratio(timings[1], timings[0])
    timed = Timed(
        sha256=digest,
        before=quartiles[0],
        after=quartiles[1],
        ratio=(speed.low, speed.median, speed.high),
    )
    note_timed(outcome.folder, timed)
    before = proof(outcome.reference, task, note="uncompressed", **settings)
    after = proof(outcome.file, task, note=note, **settings)
    seconds = monotonic() - began
    note_timed(outcome.folder, replace(timed, seconds=seconds))
    return Report(
        outcome=outcome,
        onnx_bytes_before=sum(len(onnx_bytes(entry.graph, entry.tensors)) for entry in graphs),
        score_before=before.score,
        score_after=after.score,
        scores_before=before.scores,
        scores_after=after.scores,
        milliseconds_before=timings[0].median,
        milliseconds_after=timings[1].median,
        speed=speed,
        bill=bill(data, names_beside(outcome.file, data)),
        seconds=seconds,
    )


def _settle_threads(model: nn.Module, task: Task) -> None:
    """Set torch to one thread where more threads are hardly faster.

    On small networks threads mostly wait, above all on a busy machine. Nothing is changed where
    `OMP_NUM_THREADS` is set.
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
