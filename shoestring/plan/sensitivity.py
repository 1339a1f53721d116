"""Sensitivity: what each layer costs and saves when an action changes it alone."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from shoestring.artifact import html, save
from shoestring.artifact.format.names import TABLE
from shoestring.core import Meter, Task, Technique, unwrapped
from shoestring.core.cost import Cost
from shoestring.kit import Patterns, progress
from shoestring.kit.weights.layers import NoLayerError
from shoestring.meters import Latency
from shoestring.plan.layers_tried import (
    Layers,
    check_action,
    layer_names,
    layers_tried,
    limited,
    ready,
    size_of,
)
from shoestring.plan.trials import Comparison, SpentError, Trials

TIMED = (Latency(),)
"""The meters where nobody names others."""
EXAMPLES = 1000
"""Validation examples where nobody gives a number."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one action does to the model when it changes these layers alone.

    None stands for what nobody measured. A negative saving is a cost.

    `layers`: their names, most often one.
    `action`: its repr.
    `score_lost`: how far the validation score is below that of the model as it was.
    `score_error`: the standard error of that; None where the task has no merits.
    `bytes_saved`: of the file.
    `milliseconds_saved`: of a run.
    `milliseconds_low`, `milliseconds_high`: the interval that holds it.
    `saved`: by the readings of other meters.
    `note`: what the technique skipped, or why nothing is known: the layer was not tried, or the
        technique failed.
    """

    layers: Layers
    action: str
    score_lost: float | None = None
    score_error: float | None = None
    bytes_saved: int | None = None
    milliseconds_saved: float | None = None
    milliseconds_low: float | None = None
    milliseconds_high: float | None = None
    saved: Cost = Cost()
    note: str = ""

    @property
    def layer(self) -> str:
        """The names of the layers, for people."""
        return layer_names(self.layers)

    @property
    def measurable(self) -> bool:
        """Whether the milliseconds saved are beyond noise: zero is not in their interval."""
        low, high = self.milliseconds_low, self.milliseconds_high
        return low is not None and high is not None and (low > 0 or high < 0)


@dataclass(frozen=True, kw_only=True)
class Table:
    """An Effect for each layer and action, and what the model was without any.

    `effects`: in the order of the model's layers.
    `score`: of the model as it was, on validation data.
    `bytes`: of its file.
    `milliseconds`: of a run of it; None where nothing was timed.
    `examples`: how many validation examples scores are of; None where the task does not tell.
    `sha256`: the digest of the file of the model as it was.
    """

    effects: tuple[Effect, ...]
    score: float
    bytes: int
    milliseconds: float | None
    examples: int | None
    sha256: str = ""

    def worst_first(self) -> list[Effect]:
        """Effects with a score, the most lost first; of equal ones that with fewest bytes saved."""
        known = [effect for effect in self.effects if effect.score_lost is not None]
        return sorted(
            known, key=lambda effect: (-(effect.score_lost or 0.0), effect.bytes_saved or 0)
        )

    def fastest_first(self) -> list[Effect]:
        """Effects that were timed, the most milliseconds saved first."""
        known = [effect for effect in self.effects if effect.milliseconds_saved is not None]
        return sorted(known, key=lambda effect: -(effect.milliseconds_saved or 0.0))

    def __str__(self) -> str:
        """The table as text: the most score lost first, unknown effects last."""
        parts, others = list[str](), self._others()
        for action in dict.fromkeys(effect.action for effect in self.effects):
            rows = [effect for effect in self._rows() if effect.action == action]
            head = _heads(others)
            lines = [head, *(_words(effect, others) for effect in rows)]
            widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
            parts.append("\n".join([action, *(_aligned(line, widths) for line in lines)]))
        return "\n\n".join([*parts, self._as_it_is()])

    def _rows(self) -> list[Effect]:
        """All effects: the most score lost first, unknown ones last."""
        return [*self.worst_first(), *(e for e in self.effects if e.score_lost is None)]

    def _others(self) -> list[str]:
        """The fields of what was measured besides bytes and milliseconds."""
        names = (name for effect in self.effects for name in effect.saved.measured())
        return list(dict.fromkeys(names))

    def _as_it_is(self) -> str:
        """The model as it was, as a sentence."""
        timed = "" if self.milliseconds is None else f", {self.milliseconds:.3f} ms a run"
        on = (
            "validation data" if self.examples is None else f"{self.examples:,} validation examples"
        )
        return f"The model as it is: score {self.score:.4f} on {on}, {self.bytes:,} bytes{timed}."

    def _repr_html_(self) -> str:
        """The table for a notebook, with a bar for the score that each effect lost."""
        others = self._others()
        rows = self._rows()
        lengths = html.shares([effect.score_lost for effect in rows])
        cells: list[list[str | html.Bar]] = []
        for effect, length in zip(rows, lengths, strict=True):
            layer, lost, *rest = _words(effect, others)
            cells.append([layer, effect.action, html.Bar(text=lost, share=length), *rest])
        head = ("layer", "action", *_heads(others)[1:])
        return html.table(head, cells, self._as_it_is(), (0, 1, len(head) - 1))

    def to_json(self) -> str:
        """The table as a JSON object."""
        return json.dumps(asdict(self), indent=1)

    def to_csv(self) -> str:
        """The table as CSV: a heading, and a line for each effect."""
        text = io.StringIO()
        rows = [_flat(effect) for effect in self.effects]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()


def sensitivity(
    model: nn.Module,
    task: Task,
    actions: Technique | Sequence[Technique],
    *,
    meters: Sequence[Meter] = TIMED,
    groups: Sequence[Patterns] = (),
    examples: int | None = EXAMPLES,
    most: int = 200,
    seed: int = 0,
    folder: str | Path | None = None,
) -> Table:
    """Measure what each layer costs and saves when each action changes it alone.

    Each changed model is written to a file, and the file is measured. Where an action fails on a
    layer, the note of that effect says so.

    `actions`: techniques with the fields `only` and `keep`. One that trains would change more than
        the layer: give it 0 steps.
    `meters`: of each file. With a Latency each file is timed against that of the model as it was,
        interleaved.
    `groups`: patterns of layers that are changed together.
    `examples`: how many validation examples to score on, 2 or more; None for all.
    `most`: how many changed models are made at most, the largest layers first.
    `seed`: of the actions and of the sample.
    `folder`: where trials are remembered, so that a call that was interrupted, or asks for more,
        goes on. Calls of several processes with one folder share the work. The table is written
        there too, for the report of a search in the same folder. None for nowhere.

    Raises TypeError for an action without these fields; ValueError for a pattern that fits no
    layer, and for a model or settings that cannot be used; StudyError for a folder whose study
    cannot be used; ExportError.
    """
    actions = [actions] if isinstance(actions, Technique) else list(actions)
    if not actions:
        raise ValueError(
            "sensitivity needs an action: give it a technique, such as WeightSharing(levels=16, "
            "steps=0)"
        )
    model = unwrapped(model)
    for action in actions:
        check_action(action, "sensitivity")
    asked = [(one, layers_tried(model, task, one, groups, "sensitivity")) for one in actions]
    trials = Trials(model, task, meters, examples=examples, most=most, seed=seed, folder=folder)
    try:
        effects = effects_alone(trials, asked)
    finally:
        trials.close()
    table = Table(
        effects=effects,
        score=trials.base,
        bytes=trials.original.bytes or 0,
        examples=trials.examples,
        milliseconds=trials.milliseconds,
        sha256=trials.sha256,
    )
    if folder is not None:
        save(Path(folder) / TABLE, table.to_json().encode())
    return table


def effects_alone(
    trials: Trials, asked: Sequence[tuple[Any, Sequence[Layers]]]
) -> tuple[Effect, ...]:
    """The effects of actions on layers, in the order asked.

    Where no trial was left, the note of the effect says so.
    """
    actions = [ready(action, trials.model, trials.task) for action, _ in asked]
    pairs = [(index, layers) for index, (_, units) in enumerate(asked) for layers in units]
    effects: dict[tuple[int, Layers], Effect] = {}
    order = sorted(pairs, key=lambda pair: -size_of(trials.model, pair[1]))
    with progress("trying layers", len(pairs)) as advance:
        # Trials that another process is making are waited for at the end.
        for attempt in (trials.attempt, trials):
            for index, layers in order:
                if (index, layers) in effects:
                    continue
                try:
                    trial = attempt(limited(actions[index], only=layers))
                except SpentError:
                    trial = Comparison(
                        note=f"not tried: {trials.most} trials were allowed, and made"
                    )
                except NoLayerError:
                    trial = Comparison(
                        changed=False, note=f"{type(actions[index]).__name__} does not act on it"
                    )
                if trial is not None:
                    effects[index, layers] = effect_of(trial, trials, layers, repr(asked[index][0]))
                    advance(layers[0])
    return tuple(effects[pair] for pair in pairs)


def effect_of(trial: Comparison, trials: Trials, layers: Layers, action: str) -> Effect:
    """A trial as an effect."""
    if not trial.changed:
        return Effect(
            layers=layers,
            action=action,
            note="; ".join(["nothing to do", *([trial.note] if trial.note else [])]),
        )
    timed, before, after = trial.relative_latency, trials.original.measured(), trial.cost.measured()
    spared: dict[str, Any] = {
        name: value - after[name] for name, value in before.items() if name in after
    }
    saved = spared.pop("bytes", None)
    spared.pop("milliseconds", None)
    return Effect(
        layers=layers,
        action=action,
        score_lost=trial.lost,
        score_error=trial.error,
        bytes_saved=saved,
        milliseconds_saved=None if timed is None else timed.milliseconds * (1 - timed.ratio),
        milliseconds_low=None if timed is None else timed.milliseconds * (1 - timed.high),
        milliseconds_high=None if timed is None else timed.milliseconds * (1 - timed.low),
        saved=Cost(**spared),
        note=trial.note,
    )


def _heads(others: Sequence[str]) -> list[str]:
    """The headings of the columns; `others` are fields of a Cost."""
    saved = [f"{name} saved" for name in ("bytes", "milliseconds", *others)]
    return ["layer", "score lost", *saved, ""]


def _words(effect: Effect, others: Sequence[str]) -> list[str]:
    """The cells of an effect; `others` are fields of a Cost."""
    lost = "" if effect.score_lost is None else f"{effect.score_lost:+.4f}"
    error = "" if effect.score_error is None else f" ± {effect.score_error:.4f}"
    spared = "" if effect.bytes_saved is None else f"{effect.bytes_saved:,}"
    time = ""
    if effect.milliseconds_saved is not None:
        time = (
            f"{effect.milliseconds_saved:+.4f} ({effect.milliseconds_low:+.4f} to "
            f"{effect.milliseconds_high:+.4f})"
        )
    if time and not effect.measurable:
        time = "not measurable"
    more = effect.saved.measured()
    return [
        effect.layer,
        lost + error,
        spared,
        time,
        *(f"{more[name]:,}" if name in more else "" for name in others),
        effect.note,
    ]


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    """A line of cells: names and notes to the left, numbers to the right."""
    last = len(line) - 1
    cells = [
        cell.ljust(width) if at in (0, last) else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return ("  " + "  ".join(cells)).rstrip()


def _flat(effect: Effect) -> dict[str, Any]:
    """An effect as a flat dictionary of numbers and texts."""
    rest = {
        name: value for name, value in asdict(effect).items() if name not in ("layers", "saved")
    }
    return {
        "layer": effect.layer,
        **rest,
        "measurable": effect.measurable,
        **{f"{name}_saved": v for name, v in asdict(effect.saved).items() if v is not None},
    }
