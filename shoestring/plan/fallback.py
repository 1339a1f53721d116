"""Automatic fallback: the fewest layers that must stay as they were to keep a limit on the drop."""

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
    layer_names,
    layers_tried,
    limited,
    ready,
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
    """Find the fewest layers to keep as they were so that `action` loses at most `drop`.

    Layers are ordered by what each loses alone, and a bisection finds how many of the worst must be
    kept. Then layers are changed again, in runs and at last one by one, until no kept layer can be.
    With a Latency among `meters`, a layer is also kept where its change makes the file slower.

    `action`: a technique with the fields `only` and `keep`.
    `drop`: how much of the validation score may be lost, 0 or more.
    `meters`: of each file; without a Latency nothing is timed.
    `must`, `must_not`: patterns of layers that must be changed, and that must not.
    `groups`: layers that stay or change together.
    `table`: of `sensitivity`; layers that it lacks are tried here, where trials allow.
    `examples`: how many validation examples to score on, 2 or more; None for all.
    `most`: how many changed models are made at most, 1 or more.
    `seed`: of the action and of the sample.
    `folder`: where trials are remembered, so that an interrupted call goes on; None for nowhere.

    Warns where the drop is finer than two standard errors of the loss. Raises TypeError for an
    action without these fields; ValueError for a pattern that fits no layer, for layers in both
    lists and for settings out of range; StudyError for a study that cannot be used; ExportError.
    """
    if not drop >= 0:
        raise ValueError(f"the drop is {drop}: how much of the score may be lost is 0 or more")
    check_action(action, "fallback")
    model = unwrapped(model)
    units = layers_tried(model, task, action, groups, "fallback")
    wanted, barred = _asked_for(units, must, must_not)
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


def _asked_for(
    units: Sequence[Layers], must: Patterns, must_not: Patterns
) -> tuple[set[str], set[str]]:
    """Names of the layers that must be changed, and of those that must not; none may be both."""
    names = [name for layers in units for name in layers]
    wanted = set(fitting(names, must, "fallback: must="))
    barred = set(fitting(names, must_not, "fallback: must_not="))
    for layers in units:
        if wanted.intersection(layers) and barred.intersection(layers):
            raise ValueError(
                f"fallback: {layer_names(layers)} must be changed and must not: take it off one of "
                "the lists"
            )
    return wanted, barred


@dataclass
class _Search:
    """The search for the fewest layers to keep.

    `kept`: layers that must not be changed, and why.
    `must`: layers that must be changed.
    `units`: all layers, or groups that stay or change together.
    """

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
    """The fewest kept layers that keep the drop, so far."""
    slower: dict[Layers, RelativeLatency] = field(default_factory=dict)
    """Layers kept for speed: the latency of the file with them changed, relative to without."""
    foreign: set[str] = field(default_factory=set)
    """Names of layers on which the action turned out not to act."""

    def run(self) -> FallbackResult:
        """Search until the end, or until no trial is left."""
        fixed = {*self.kept, *self.must}
        self.free = [layers for layers in self.units if layers not in fixed]
        with progress("falling back", self.trials.most) as advance:
            self.advance = advance
            try:
                if not self._suffices([]):
                    self._for_the_score()
                if self.best is not None and self.trials.latency is not None:
                    self._for_the_time()
            except SpentError:
                self.complete = False
        return self._result()

    def _technique(self, keep: Sequence[Layers], action: Any = None) -> Any:
        """The action with these layers kept, and those that must not be touched.

        Names are in the order of the model.
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
        """The trial in which these layers are kept.

        A name on which the action turns out not to act is left out, now and later.
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
                        f"{', '.join(sorted(self.foreign))}; let it say by a method layers(model, "
                        "task) which layers it acts on"
                    ) from None

    def _trial(self, technique: Any, note: str) -> Comparison:
        """The trial of a technique; progress shows `note` where a model was made."""
        made = self.trials.made
        trial = self.trials(technique)
        if self.trials.made > made:
            self.advance(note if trial.lost is None else f"{note}, {trial.lost:+.4f} lost")
        return trial

    def _suffices(self, keep: Sequence[Layers]) -> bool:
        """Whether keeping these layers keeps the drop; the fewest that do are remembered."""
        enough = self._keeping(keep).within(self.drop)
        if enough and (self.best is None or len(keep) < len(self.best)):
            self.best = list(keep)
        return enough

    def _for_the_score(self) -> None:
        """Find the fewest layers to keep for the score."""
        if not self._suffices(self.free):
            return
        order = self._worst_first()
        low, high = 0, len(order)
        while high - low > 1:  # keeping the worst `low` is too few, keeping the worst `high` is not
            middle = (low + high) // 2
            low, high = (low, middle) if self._suffices(order[:middle]) else (middle, high)
        self._give_back(order[:high])

    def _worst_first(self) -> list[Layers]:
        """The layers that may stay or change, the one that loses most alone first.

        A layer that fails counts as the worst, one that is not known as the median.
        """
        effects = () if self.table is None else self.table.effects
        lost_by = {e.layers: e.score_lost for e in effects if e.action == repr(self.action)}
        known = {layers: lost_by[layers] for layers in self.free if layers in lost_by}
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
        """A trial for each of these layers, changed alone.

        Empty where that would make more than `most` trials in all.
        """
        if self.trials.made + len(layers) > most:
            return {}
        alone: dict[Layers, Comparison] = {}
        for unit in layers:
            try:
                alone[unit] = self._trial(limited(self.prepared, only=unit), f"{unit[0]} alone")
            except NoLayerError:
                alone[unit] = Comparison(lost=0.0, changed=False)
        return alone

    def _give_back(self, keep: list[Layers]) -> None:
        """Change kept layers again where the drop allows it.

        Runs of layers are tried, the least harmful first, and then shorter ones, until no single
        layer can be changed.
        """
        size = max(len(keep) // 4, 1) if len(keep) > 8 else 1
        while keep:
            given = False
            for start in reversed(range(0, len(keep), size)):
                fewer = keep[:start] + keep[start + size :]
                if len(fewer) < len(keep) and self._suffices(fewer):
                    keep, given = fewer, True
            if size == 1 and not given:
                return
            size = max(size // 2, 1)

    def _for_the_time(self) -> None:
        """Keep the layers whose change makes the file slower.

        Those that are slower alone are looked at one by one, those for which the noise leaves that
        open by bisection.
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
            unit for unit in suspects if (timed := alone.get(unit)) is not None and timed.slower
        ]:
            self._refuse_what_is_slower([layers])
            suspects.remove(layers)
        self._refuse_what_is_slower(suspects)

    def _refuse_what_is_slower(self, layers: list[Layers]) -> None:
        """Keep each of these layers whose change slows the file, besides those chosen so far.

        Nothing is looked into where changing all of them together makes the file faster.
        """
        if not layers:
            return
        keep = [*self.chosen, *layers]
        latency = None
        if self._keeping(keep).within(self.drop):
            latency = self.trials.compare(self._technique(self.chosen), self._technique(keep))
        if latency is not None and latency.faster:
            return
        if len(layers) > 1:
            half = len(layers) // 2
            self._refuse_what_is_slower(layers[:half])
            self._refuse_what_is_slower(layers[half:])
        elif latency is not None and latency.slower:
            self.chosen = keep
            self.slower[layers[0]] = latency

    def _result(self) -> FallbackResult:
        """The fewest kept layers so far; warns where the drop is too fine for the data."""
        met = self.best is not None
        keep = self.free if self.best is None else [*self.best, *self.slower]
        trial = self.trials.known(self._technique(keep)) or Comparison(
            note="no trial was left to make it"
        )
        left = {*self.kept, *keep}
        units = [layers for layers in self.units if not self.foreign.issuperset(layers)]
        if trial.error is not None and self.drop < 2 * trial.error:
            warnings.warn(
                f"the drop of {self.drop:g} is finer than two standard errors of what is lost "
                f"({2 * trial.error:.2g}): with this little validation data it is partly luck",
                stacklevel=4,
            )
        return FallbackResult(
            technique=self._technique(keep, self.action),
            met=met,
            complete=self.complete,
            kept=tuple(
                Kept(layers=layers, reason=self._reason(layers))
                for layers in units
                if layers in left
            ),
            changed=tuple(layers for layers in units if layers not in left),
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
        """Why these layers are kept."""
        if layers in self.kept:
            return self.kept[layers]
        if (latency := self.slower.get(layers)) is not None:
            return f"changed, it makes the file {latency} times as slow"
        if self.best is None:
            return "nothing that was tried keeps the drop"
        trial = self.trials.known(self._technique([unit for unit in self.best if unit != layers]))
        if trial is None:
            return "it is among the worst alone; whether it could be changed too was not tried"
        if trial.lost is None:
            return f"changed too, it fails: {trial.note}"
        return f"changed too, {trial.lost:+.4f} is lost"
