"""The main job: from a Budget to the best file that fits it, and the frontier found on the way."""

from __future__ import annotations

import hashlib
import math
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import nn

from shoestring.artifact import read, save
from shoestring.core import (
    Budget,
    BudgetError,
    Cost,
    Ledger,
    Meter,
    Share,
    Task,
    Technique,
    apply,
    chain,
    check_task,
    evaluating,
    score,
)
from shoestring.kit import Exported, check_finite, clone, compressible, export, pack, parameter_bytes, restore, write
from shoestring.plan import strengths
from shoestring.plan.frontier import Journal, Point, best
from shoestring.prune import Magnitude, PerLayer
from shoestring.quantize import Shared

FIRST_DENSITY, SHRINK = 0.2, 1.7  # where the ladder begins when size has no limit, and how much thinner each stage is
RUNGS = 3  # with a limit on size: stages at four times, twice and once that size
PATIENCE = 2  # stages over the limit on the drop, one after the other, that end the search
MOST_STAGES = 24


@dataclass(frozen=True)
class Outcome:
    """What `compress` found: the point that it delivers, whether that keeps the budget, every point, and the start."""

    point: Point
    met: bool
    budget: Budget
    points: tuple[Point, ...]
    score_before: float
    bytes_before: int
    reference: Path
    path: Path


def compress(
    model: nn.Module,
    task: Task,
    budget: Budget,
    path: str | Path,
    *,
    meters: Sequence[Meter] = (),
    ledger: Ledger | None = None,
    seed: int = 0,
    steps: int | None = None,
    smallest: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Shrink a trained model until it keeps the budget, and write its file at `path`.

    In stages, each smaller than the one before: the smallest weights are pruned and the rest trained on (taught by the
    uncompressed model); then every layer alone is thinned out further and given as few levels as validation data allows, and
    the levels are trained. It ends when the limit on size is reached, or a limit on the drop or the score has been passed twice running
    (then, where size has no limit, it goes back half way), or files get no smaller, or the time is up. Of the points that fit,
    the highest validation score is delivered (the smallest file where size has no limit); if none fits, the nearest, and
    `Outcome.met` is False.

    `meters` measure what the budget limits besides size. A limit such as `size<=10%` is of what came in: four bytes a parameter
    (as `Outcome.bytes_before` has it), and the uncompressed file as the meters read it. `steps` are the batches that each stage trains for; None takes ten
    passes, 1,000 at least and 4,000 at most. `smallest` is that of `kit.write`: fewer bytes, slower to load. The stages are kept in `path` + ".stages" until the end, and a search that was
    interrupted goes on from there; KeyboardInterrupt leaves the best file so far at `path`.
    Raises BudgetError or ValueError for a budget or model that cannot be worked with, ExportError, OSError.
    """
    search = _Search(model, task, budget, Path(path), tuple(meters), ledger, seed, steps, smallest, say)
    try:
        search.run()
    except KeyboardInterrupt:
        if search.journal.points:
            search.deliver()
        raise
    finally:
        if not search.journal.points:
            search.journal.remove()
    return search.deliver()


@dataclass
class _Search:
    model: nn.Module
    task: Task
    budget: Budget
    path: Path
    meters: tuple[Meter, ...]
    ledger: Ledger | None
    seed: int
    steps: int | None
    smallest: bool
    say: Callable[[str], None]
    began: float = field(default_factory=monotonic)

    def __post_init__(self) -> None:
        if self.budget.size is None and self.budget.drop is None and self.budget.score is None:
            raise ValueError(
                "the budget limits neither size nor drop, nor the score: give one of them, such as 'size<=40KB' or 'drop<=0.5%'"
            )
        if self.budget.labels is not None:
            raise ValueError("compress buys no labels: leave labels out of the budget")
        check_place(self.path)
        check_task(self.task)
        self.sealed = self.task.sealed()
        self.taught = self.sealed.taught_by(clone(self.model).eval())
        check_finite(self.model)
        self.exported: Exported = export(self.model, self.sealed)
        data = pack(self.model, self.exported, smallest=self.smallest)
        self.base = score(self.sealed, self.model)
        if not math.isfinite(self.base):
            raise ValueError(f"the validation score of the model is {self.base}: the task's score (or merit) must be a number")
        self.weights = [w.raw.numel() for w in compressible(self.model, "compress")]
        if not self.weights:
            raise ValueError("the model has no weight with two axes or more: there is nothing to compress")
        known = repr((self.seed, self.steps, self.smallest, self.task.name, self.base))
        identity = hashlib.sha256(data + known.encode()).hexdigest()
        self.folder = self.path.with_name(f"{self.path.name}.stages")
        self.journal = Journal(self.folder, identity)
        self.reference = self.folder / "reference.shoe"
        save(self.reference, data)
        self.budget = self._absolute()
        self.overhead = max(len(data) - 4 * sum(self.weights), 0)
        self._warn_if_too_fine()
        if self.steps is None:
            self.steps = min(max(10 * _length(self.sealed), 1000), 4000)
        if self.journal.points:
            self.began -= self.journal.points[-1].cost.seconds or 0
            self.say(f"going on after {len(self.journal.points)} stage(s) that an earlier run left in {self.folder}")
        if self.journal.foreign:
            self.say(
                f"{self.folder} is of another model, seed or steps: starting over. If your function trains the model, seed it, "
                "or load saved weights"
            )

    def _absolute(self) -> Budget:
        """The budget with its shares made limits. What came in is what the report calls before: four bytes a parameter, uncompressed."""
        if not self.budget.relative:
            return self.budget
        cost = Cost()
        for meter in self.meters:
            cost |= meter(self.reference, self.sealed)
        try:
            return self.budget.against(cost | Cost(bytes=parameter_bytes(self.model)))
        except BudgetError:
            if not self.journal.points:
                self.journal.remove()
            raise

    def _warn_if_too_fine(self) -> None:
        if self.budget.drop is None:
            return
        with evaluating(self.model), torch.no_grad():
            error = self.sealed.standard_error(self.model, "validation")
        if error is not None and self.budget.drop < 2 * error:
            warnings.warn(
                f"the limit drop<={self.budget.drop:g} is finer than two standard errors of the validation score "
                f"({2 * error:.2g}): with this little validation data it is partly luck",
                stacklevel=5,
            )

    # The ladder ---------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Stages until the budget is kept or out of reach."""
        while len(self.journal.points) < MOST_STAGES and (rung := self._next()) is not None:
            self._stage(*rung)

    def _next(self) -> tuple[float, int] | None:
        """(density, the stage to start from, -1 being the beginning), or None when the search is over."""
        points, stages, size = self.journal.points, self.journal.stages, self.budget.size
        assert not isinstance(size, Share), "made a number before the first stage"
        if not points:
            return (
                FIRST_DENSITY if size is None else max(self._density_for(size * 2 ** (RUNGS - 1)), self._density_for(size))
            ), -1
        if self.budget.time is not None and monotonic() - self.began > self.budget.time:
            return None
        last, failing = stages[-1], [not self._keeps_score(p) for p in points]
        lost = len(failing) >= PATIENCE and all(failing[-PATIENCE:])
        if size is not None:
            if any((p.cost.bytes or 0) <= size for p in points):
                return (
                    None if last["again"] or any(p.fits(self.budget) for p in points) else (last["density"], len(points) - 1)
                )
            if lost or (len(points) > 1 and (points[-1].cost.bytes or 0) > 0.97 * (points[-2].cost.bytes or 0)):
                return None
            nearer = max(size, (points[-1].cost.bytes or 0) / 2)
            return min(self._density_for(nearer), last["density"] * 0.97), len(points) - 1
        if last["half"]:
            return None
        if lost:
            kept = [i for i, fails in enumerate(failing) if not fails]
            if not kept:  # even the first was too much: gentler, from the beginning
                return math.sqrt(stages[0]["density"]), -1
            return math.sqrt(stages[kept[-1]]["density"] * stages[kept[-1] + 1]["density"]), kept[-1]
        return last["density"] / SHRINK, len(points) - 1

    def _keeps_score(self, point: Point) -> bool:
        return point.fits(Budget(drop=self.budget.drop, score=self.budget.score))

    def _density_for(self, size: float) -> float:
        """The density at which the file should be a little under `size` bytes, going by an estimate and by the last stage."""
        last = self.journal.stages[-1] if self.journal.stages else None
        scale = last["weight_bits"] / self._bits(last["density"]) if last else 1.0
        wanted = max(size * 0.97 - (last["overhead"] if last else self.overhead), 1) * 8 / scale
        low, high = 1e-6, 1.0
        for _ in range(60):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self._bits(middle) < wanted else (low, middle)
        return low

    def _bits(self, density: float) -> float:
        return sum(strengths.weight_bits(elements, density) for elements in self.weights)

    def _stage(self, density: float, start: int) -> None:
        """Prune and train, press each layer as far as validation allows, share levels and train them; write it all down."""
        stages, number = self.journal.stages, len(self.journal.stages)
        again = start >= 0 and density == stages[start]["density"]
        model = self.model if start < 0 else restore(self.folder / stages[start]["pruned"], self.model)
        assert self.steps is not None
        technique = Magnitude(density=density, steps=self.steps * (2 if again else 1))
        pruned = self._apply(technique, model, number)
        kept = self.folder / f"stage-{number:02}.pruned.shoe"
        write(pruned, self.sealed, kept, exported=self.exported)
        layers = PerLayer(strengths.densities(pruned, self.taught))
        pressing = Magnitude(criterion=layers, steps=max(self.steps // 2, 1), ramp=0.0, rounds=1)
        pressed = self._apply(pressing, pruned, number)
        sharing = Shared(overrides=strengths.levels(pressed, self.taught), vector_levels=16, steps=max(self.steps // 4, 1))
        shared = self._apply(sharing, pressed, number)
        file = self.folder / f"stage-{number:02}.shoe"
        size = write(shared, self.sealed, file, exported=self.exported, smallest=self.smallest)
        value = score(self.sealed, shared)
        cost = Cost(bytes=size, seconds=monotonic() - self.began)
        for meter in self.meters:
            cost |= meter(file, self.sealed)
        point = Point(str(file), cost, value, self.base - value, repr(chain(technique, pressing, sharing)))
        coded = sum(one.model_bits for one in read(file).packed if one.tensor.bits.ndim >= 2)
        self.journal.add(
            point,
            {
                "pruned": kept.name,
                "density": density,
                "weight_bits": coded,
                "overhead": size - coded / 8,
                "again": again,
                "half": start < number - 1,
            },
        )
        self.say(f"  stage {number + 1}: {size:>9,} bytes, validation score {value:.4f} ({0 - point.drop:+.4f})")

    def _apply(self, technique: Technique, model: nn.Module, number: int) -> nn.Module:
        def size(subject: Any, task: Task) -> Cost:
            return Cost(bytes=len(pack(subject, self.exported, smallest=self.smallest)))

        return apply(technique, model, self.taught, meters=(size,), ledger=self.ledger, seed=self.seed + number)

    # The end ------------------------------------------------------------------------------------------------------------

    def deliver(self) -> Outcome:
        """The best point's file at the path, and what was found."""
        points = self.journal.points
        if self.budget.size is None and not any(p.fits(self.budget) for p in points):
            # Where size has no limit, what came in keeps every limit that it kept before.
            size = self.reference.stat().st_size
            seconds = monotonic() - self.began
            points = [*points, Point(str(self.reference), Cost(bytes=size, seconds=seconds), self.base, 0.0, repr(chain()))]
        point = best(points, self.budget)
        save(self.path, Path(point.file).read_bytes())
        return Outcome(
            point=point,
            met=point.fits(self.budget),
            budget=self.budget,
            points=tuple(points),
            score_before=self.base,
            bytes_before=parameter_bytes(self.model),
            reference=self.reference,
            path=self.path,
        )


def check_place(path: Path) -> None:
    """Raises OSError where no file can be written at `path`."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}: make it, or name another path for the file")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")


def clean(outcome: Outcome) -> None:
    """Remove the stages of a search that is over; its file stays."""
    shutil.rmtree(outcome.reference.parent, ignore_errors=True)


def _length(task: Task) -> int:
    """How many batches one pass over the training split has, counted up to a thousand."""
    return sum(1 for _, _ in zip(range(1000), task.batches("train"), strict=False))
