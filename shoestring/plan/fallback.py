"""Automatic fallback: the fewest layers that must stay as they were, for the score and for the
milliseconds.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from shoestring.core import Meter, Task, Technique, unwrapped
from shoestring.kit import Patterns, progress
from shoestring.kit.weights.layers import NoLayerError, fitting
from shoestring.plan.fallback_result import FallbackResult, Kept
from shoestring.plan.layers_tried import (
    Layers,
    check_action,
    exactly,
    layers_tried,
    limited,
    ready,
    told,
)
from shoestring.plan.relative_latency import RelativeLatency
from shoestring.plan.sensitivity import Table
from shoestring.plan.trials import Comparison, SpentError, Trials


def fallback(
    model: nn.Module,
    task: Task,
    action: Technique,
    *,
    drop: float,
    meters: Sequence[Meter] = (),
    must: Patterns = (),
    must_not: Patterns = (),
    groups: Sequence[Patterns] = (),
    table: Table | None = None,
    examples: int | None = None,
    most: int = 100,
    seed: int = 0,
    folder: str | Path | None = None,
) -> FallbackResult:
    """The fewest layers that must stay as they were for `action` to lose at most `drop` of the
    validation score.

    Layers are ordered by what each loses alone (as `table` says, else tried here where trials
    allow). The fewest of the worst that must be kept are found by bisection; then layers are given
    back, in halves and in the end one by one, until no layer that is kept could be changed too.
    With a Latency among `meters`, a layer then stays also where the file without its change is
    faster, beyond what the timing could mistake.
    `must`, `must_not`: patterns of layers that must be changed and that must not.
    `groups`: layers that stay or change as one.
    `examples`: how many of the validation split to score on, None for all. At most `most` changed
        models are made; `folder` is where trials are remembered, so that a call that was
        interrupted goes on. Both are those of `sensitivity`. Warns where the drop is finer than two
        standard errors of what is lost. Raises TypeError for an action without `only` and `keep`,
        ValueError for names of no layer, for layers that must and must not, and for settings out of
        range, StudyError for a folder whose study is none or is damaged; ExportError.
    """
    if not drop >= 0:
        raise ValueError(f"the drop is {drop}: how much of the score may be lost is 0 or more")
    check_action(action, "fallback")
    model = unwrapped(model)
    units = layers_tried(model, task, action, groups, "fallback")
    names = [name for layers in units for name in layers]
    wanted, barred = (
        set(fitting(names, must, "fallback: must=")),
        set(fitting(names, must_not, "fallback: must_not=")),
    )
    for layers in units:
        if wanted.intersection(layers) and barred.intersection(layers):
            raise ValueError(
                f"fallback: {told(layers)} must be changed and must not: take it off one of the "
                "lists"
            )
    trials = Trials(model, task, meters, examples=examples, most=most, seed=seed, folder=folder)
    try:
        search = _Search(
            trials=trials,
            action=action,
            prepared=ready(action, model, trials.task),
            drop=drop,
            kept={
                layers: "it must not be touched" for layers in units if barred.intersection(layers)
            },
            must=[layers for layers in units if wanted.intersection(layers)],
            units=units,
            table=table,
        )
        return search.run()
    finally:
        trials.close()


@dataclass
class _Search:
    trials: Trials
    action: Technique
    prepared: Any
    drop: float
    kept: dict[Layers, str]
    must: list[Layers]
    units: list[Layers]
    table: Table | None
    complete: bool = True
    best: list[Layers] | None = None
    """The fewest kept layers that were seen to do, for the score."""
    slower: dict[Layers, RelativeLatency] = field(default_factory=dict)
    """What is kept besides, for the time: the file with it changed beside the file without."""
    foreign: set[str] = field(default_factory=set)
    """Names that turned out to be of no layer that the action acts on."""

    def run(self) -> FallbackResult:
        """The search, as far as the trials reach."""
        self.free = [one for one in self.units if one not in self.kept and one not in self.must]
        with progress("falling back", self.trials.most) as advance:
            self.advance = advance
            try:
                if not self._does([]):
                    self._for_the_score()
                if self.best is not None and self.trials.latency is not None:
                    self._for_the_time()
            except SpentError:
                self.complete = False
        return self._found()

    def _technique(self, keep: Sequence[Layers], action: Any = None) -> Any:
        """The action with these layers left alone, besides those that must not be touched.

        Named in the model's order.
        """
        left = {*self.kept, *keep}
        names = [
            name
            for layers in self.units
            if layers in left
            for name in layers
            if name not in self.foreign
        ]
        return limited(action or self.prepared, keep=names)

    def _keeping(self, keep: Sequence[Layers]) -> Comparison:
        """What comes of keeping these.

        A name that the action turns out to have no use for is left out, then and later.
        """
        while True:
            try:
                return self._trial(self._technique(keep), f"{len(keep)} kept")
            except NoLayerError as error:
                ours = {
                    name
                    for layers in self.units
                    for name in layers
                    if exactly(name) == error.pattern
                } - self.foreign
                if not ours:
                    raise
                self.foreign |= ours
                self.free = [layers for layers in self.free if not self.foreign.issuperset(layers)]
                if not any(name not in self.foreign for layers in self.units for name in layers):
                    raise ValueError(
                        f"fallback: {type(self.action).__name__} acts on none of "
                        f"{', '.join(sorted(self.foreign))}; let it "
                        "say by a method layers(model, task) which layers it acts on"
                    ) from None

    def _trial(self, technique: Any, note: str) -> Comparison:
        made = self.trials.made
        trial = self.trials(technique)
        if self.trials.made > made:
            self.advance(note if trial.lost is None else f"{note}, {trial.lost:+.4f} lost")
        return trial

    def _does(self, keep: Sequence[Layers]) -> bool:
        """Whether keeping these is enough; the fewest that are enough are remembered."""
        enough = self._keeping(keep).within(self.drop)
        if enough and (self.best is None or len(keep) < len(self.best)):
            self.best = list(keep)
        return enough

    # For the score
    # --------------------------------------------------------------------------------------------------------

    def _for_the_score(self) -> None:
        if not self._does(self.free):
            return
        order = self._worst_first()
        low, high = 0, len(order)
        while high - low > 1:  # keeping the worst `low` does not do, keeping the worst `high` does
            middle = (low + high) // 2
            low, high = (low, middle) if self._does(order[:middle]) else (middle, high)
        self._give_back(order[:high])

    def _worst_first(self) -> list[Layers]:
        """The layers that may stay or change, by what each loses alone.

        What fails first, what is not known in the middle.
        """
        told = (
            {}
            if self.table is None
            else {one.layers: one for one in self.table.effects if one.action == repr(self.action)}
        )
        known = {layers: told[layers].score_lost for layers in self.free if layers in told}
        if untried := [layers for layers in self.free if layers not in known]:
            known |= {
                layers: trial.lost
                for layers, trial in self._alone(untried, self.trials.most // 2).items()
            }
        losses = sorted(lost for lost in known.values() if lost is not None)
        usual = losses[len(losses) // 2] if losses else 0.0

        def loss(layers: Layers) -> float:
            lost = known.get(layers, usual)
            return math.inf if lost is None else lost

        return sorted(self.free, key=loss, reverse=True)

    def _alone(self, layers: Sequence[Layers], most: int) -> dict[Layers, Comparison]:
        """Trials of these layers changed alone.

        None where they would make more than `most` trials in all.
        """
        if self.trials.made + len(layers) > most:
            return {}
        found: dict[Layers, Comparison] = {}
        for one in layers:
            try:
                found[one] = self._trial(limited(self.prepared, only=one), f"{one[0]} alone")
            except NoLayerError:
                found[one] = Comparison(lost=0.0, changed=False)
        return found

    def _give_back(self, keep: list[Layers]) -> None:
        """Change again what need not stay.

        Runs of layers, the least harmful first, ever shorter, until no single one can.
        """
        size = max(len(keep) // 4, 1) if len(keep) > 8 else 1
        while keep:
            given = False
            for start in reversed(range(0, len(keep), size)):
                fewer = keep[:start] + keep[start + size :]
                if len(fewer) < len(keep) and self._does(fewer):
                    keep, given = fewer, True
            if size == 1 and not given:
                return
            size = max(size // 2, 1)

    # For the time
    # ---------------------------------------------------------------------------------------------------------

    def _for_the_time(self) -> None:
        """Keep what makes the file slower.

        Those that do so alone one by one, those that cannot be told alone by bisection.
        """
        assert self.best is not None
        self.chosen = list(self.best)
        changed = [layers for layers in self.free if layers not in self.best]
        alone = {
            layers: trial.relative_latency
            for layers, trial in self._alone(changed, self.trials.most).items()
        }
        suspects = [
            layers for layers in changed if (timed := alone.get(layers)) is None or not timed.faster
        ]
        suspects.sort(
            key=lambda layers: -(timed.ratio if (timed := alone.get(layers)) is not None else 1.0)
        )
        for layers in [
            one for one in suspects if (timed := alone.get(one)) is not None and timed.slower
        ]:
            self._refuse_what_is_slower([layers])
            suspects.remove(layers)
        self._refuse_what_is_slower(suspects)

    def _refuse_what_is_slower(self, layers: list[Layers]) -> None:
        """Of these layers, beside what was chosen so far, keep each that slows the file.

        Not looked into where all pay.
        """
        if not layers:
            return
        keep = [*self.chosen, *layers]
        if not self._keeping(keep).within(self.drop):
            beside = None
        else:
            beside = self.trials.compare(self._technique(self.chosen), self._technique(keep))
        if beside is not None and beside.faster:
            return
        if len(layers) > 1:
            half = len(layers) // 2
            self._refuse_what_is_slower(layers[:half])
            self._refuse_what_is_slower(layers[half:])
        elif beside is not None and beside.slower:
            self.chosen = keep
            self.slower[layers[0]] = beside

    # The end
    # ---------------------------------------------------------------------------------------------------------------

    def _found(self) -> FallbackResult:
        met = self.best is not None
        keep = self.free if self.best is None else [*self.best, *self.slower]
        technique = self._technique(keep)
        trial = self.trials.known(technique) or Comparison(note="no trial was left to make it")
        left = {*self.kept, *keep}
        units = [one for one in self.units if not self.foreign.issuperset(one)]
        if trial.error is not None and self.drop < 2 * trial.error:
            warnings.warn(
                f"the drop of {self.drop:g} is finer than two standard errors of what is lost "
                f"({2 * trial.error:.2g}): with "
                "this little validation data it is partly luck",
                stacklevel=4,
            )
        return FallbackResult(
            technique=self._technique(keep, self.action),
            met=met,
            complete=self.complete,
            kept=tuple(Kept(layers=one, reason=self._reason(one)) for one in units if one in left),
            changed=tuple(one for one in units if one not in left),
            drop=self.drop,
            score_before=self.trials.base,
            score=None if trial.lost is None else self.trials.base - trial.lost,
            lost=trial.lost,
            error=trial.error,
            bytes_before=self.trials.original.bytes or 0,
            bytes=trial.cost.bytes,
            milliseconds_before=self.trials.milliseconds,
            relative_latency=trial.relative_latency,
            trials=self.trials.made,
            seed=self.trials.seed,
            note=trial.note,
        )

    def _reason(self, layers: Layers) -> str:
        """Why these layers stay."""
        if layers in self.kept:
            return self.kept[layers]
        if (beside := self.slower.get(layers)) is not None:
            return f"changed, it makes the file {beside} times as slow"
        if self.best is None:
            return "nothing that was tried keeps the drop"
        trial = self.trials.known(self._technique([one for one in self.best if one != layers]))
        if trial is None:
            return "it is among the worst alone; whether it could be changed too was not tried"
        if trial.lost is None:
            return f"changed too, it fails: {trial.note}"
        return f"changed too, {trial.lost:+.4f} is lost"
