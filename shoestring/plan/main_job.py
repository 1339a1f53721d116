"""The main job, whole: compress, prove both files on test data, time them in alternation, and say what it came to."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from shoestring.artifact import Line, bill, read
from shoestring.artifact.protobuf import onnx
from shoestring.core import Budget, Ledger, Task, check_task, evaluating, prove
from shoestring.kit import members
from shoestring.meters import Ratio, alternate, default_meters, ratio
from shoestring.plan.compress import Outcome, check_place, clean, compress
from shoestring.plan.frontier import undominated


@dataclass(frozen=True)
class Report:
    """Before and after. Scores are of the test split, by the files; milliseconds of one run on one thread, alternating."""

    outcome: Outcome
    onnx_bytes_before: int
    score_before: float
    score_after: float
    milliseconds_before: float
    milliseconds_after: float
    speed: Ratio
    bill: tuple[Line, ...]

    @property
    def met(self) -> bool:
        """Whether the budget was kept, going by validation data."""
        return self.outcome.met

    @property
    def bytes_after(self) -> int:
        """The size of the file."""
        return self.outcome.point.cost.bytes or 0

    def as_json(self) -> dict[str, Any]:
        """One object of plain values."""
        point = self.outcome.point
        return {
            "met": self.met,
            "nearest": not self.met,
            "budget": str(self.outcome.budget),
            "bytes_before": self.outcome.bytes_before,
            "onnx_bytes_before": self.onnx_bytes_before,
            "bytes_after": self.bytes_after,
            "ratio": self.outcome.bytes_before / self.bytes_after,
            "score_before": self.score_before,
            "score_after": self.score_after,
            "validation_before": self.outcome.score_before,
            "validation_after": point.score,
            "milliseconds_before": self.milliseconds_before,
            "milliseconds_after": self.milliseconds_after,
            "path": str(self.outcome.path),
            "technique": point.technique,
            "frontier": [{"bytes": p.cost.bytes, "validation": p.score} for p in undominated(self.outcome.points)],
        }

    def as_text(self) -> str:
        """What a person wants to see."""
        before, after = self.outcome.bytes_before, self.bytes_after
        lines = [
            "",
            f"{'':24}{'before':>12}{'after':>12}",
            f"{'bytes':24}{before:>12,}{after:>12,}   {before / after:.1f} times smaller",
            f"{'  as fp32 ONNX':24}{self.onnx_bytes_before:>12,}",
            f"{'score (test)':24}{self.score_before:>12.4f}{self.score_after:>12.4f}"
            f"   {self._words(self.score_after - self.score_before, '+')}",
            f"{'score (validation)':24}{self.outcome.score_before:>12.4f}{self.outcome.point.score:>12.4f}",
            f"{'milliseconds a run':24}{self.milliseconds_before:>12.3f}{self.milliseconds_after:>12.3f}"
            f"   ratio {self.speed.median:.2f} ({self.speed.low:.2f} to {self.speed.high:.2f})",
            "",
            *self._rates(),
            "",
            "where the bytes went",
            *(f"{line.bytes:>12,}  {line.name:<24} {line.about}" for line in self.bill),
            f"{after:>12,}  in all",
            "",
        ]
        if not self.met:
            point = self.outcome.point
            over = self.outcome.budget.exceeded(point.cost, point.drop, point.score)
            missed = "; ".join(
                f"{name} is {'unmeasured' if value is None else f'{value:g}'} and {limit:g} was asked for"
                for name, (value, limit) in over.items()
            )
            lines.append(
                f"The budget was not kept: {missed}. This is the nearest point that was reached; more steps of training may help."
            )
        lines.append(f"the file: {self.outcome.path}")
        return "\n".join(lines)

    def _rates(self) -> list[str]:
        """The exchange rate: what the saved bytes cost in points, and what the next would."""
        point = self.outcome.point
        saved = self.outcome.bytes_before - self.bytes_after
        price = f"{self._words(point.drop)}, {self._words(point.drop / max(saved, 1) * 1e6)} a megabyte"
        lines = [f"exchange rate (validation): {saved:,} bytes saved for {price if point.drop > 0 else 'no loss'}"]
        smaller = [p for p in undominated(self.outcome.points) if (p.cost.bytes or 0) < self.bytes_after]
        if smaller:
            following = smaller[-1]
            fewer = self.bytes_after - (following.cost.bytes or 0)
            lines.append(f"the next {fewer:,} bytes would cost {self._words(point.score - following.score)} more")
        return lines

    def _words(self, difference: float, sign: str = "") -> str:
        """A difference of scores: in points where scores are between 0 and 1, else as it is."""
        shares = all(0 <= s <= 1 for s in (self.score_before, self.score_after, self.outcome.score_before))
        return f"{100 * difference:{sign}.2f} points" if shares else f"{difference:{sign}.4g}"


def main_job(
    build: Callable[[], tuple[nn.Module, Task]],
    budget: Budget,
    path: Path,
    *,
    ledger: Ledger | None = None,
    seed: int = 0,
    steps: int | None = None,
    smallest: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Compress the model that `build` returns, with its task, into a file at `path`, and report on it; see `compress`."""
    check_place(path)
    if ledger is not None:
        ledger.rows()  # raises now, not after the training, where there can be none
    model, task = build()
    check_task(task)
    _settle_threads(model, task)
    say(f"compressing {type(model).__name__} to {budget}")
    meters = default_meters(budget)
    outcome = compress(
        model, task, budget, path, meters=meters, ledger=ledger, seed=seed, steps=steps, smallest=smallest, say=say
    )
    say("timing both files, and proving them on test data")
    content = read(outcome.reference)
    timings = alternate([outcome.reference, path], task.sealed(), threads=1)
    before = prove(outcome.reference, task, ledger=ledger, seed=seed, note="uncompressed")
    after = prove(path, task, ledger=ledger, seed=seed, note=f"compressed to {budget}")
    report = Report(
        outcome=outcome,
        onnx_bytes_before=len(onnx(content.graph, content.tensors)),
        score_before=before,
        score_after=after,
        milliseconds_before=timings[0].median,
        milliseconds_after=timings[1].median,
        speed=ratio(timings[1], timings[0]),
        bill=tuple(bill(path.read_bytes(), [member.name for member in members(model)])),
    )
    clean(outcome)
    return report


def _settle_threads(model: nn.Module, task: Task) -> None:
    """Put torch on one thread where more are hardly faster: on small networks they mostly wait, most of all on a busy machine.

    `OMP_NUM_THREADS` settles it beforehand.
    """
    many = torch.get_num_threads()
    batch = next(iter(task.batches("validation")), None)
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
