"""Diagnosis: the signals of a network layer by layer, what is wrong with them, and what to do."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from shoestring.artifact import html

MOST_ROWS = 40
"""Rows that print() shows; of a deeper network it shows those with a note and every so many."""


@dataclass(frozen=True, kw_only=True)
class LayerHealth:
    """What goes through one call of a network on some training batches. None: not to be known.

    `layer`, `function`: the path of the module, and torch's function that it calls.
    `weights`: the names of its parameters.
    `output`: the root mean square of what it gives.
    `largest`: the largest absolute value that it gives.
    `gradient`: the norm of the loss's gradient at its output, the mean of the batches.
    `update`: how much of its weights a first step of the optimizer changes, as a share.
    `spread`: the share of its output that differs from example to example.
    `dead`, `units`: of a rectifier, the units that never gave more than 0, and all.
    `saturated`: the share of values at a function's bounds.
    `mean_off`, `variance_ratio`: of a batch norm, the batch's mean minus the running one, in
        running deviations, and the batch's variance over the running one.
    `note`: what is wrong with it, in words; "" for nothing.
    """

    layer: str
    function: str
    weights: tuple[str, ...] = ()
    output: float
    largest: float
    gradient: float | None = None
    update: float | None = None
    spread: float = 0.0
    dead: int | None = None
    units: int | None = None
    saturated: float | None = None
    mean_off: float | None = None
    variance_ratio: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class RateTried:
    """What some steps at a learning rate did to the loss of the batches that were looked at.

    `rate`: of the optimizer.
    `before`, `after`: the mean loss of the batches; `after` is NaN or infinite where it diverged.
    """

    rate: float
    before: float
    after: float


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that keeps a network from training.

    `name`: the field's name for it, such as "vanishing gradients".
    `says`: what was seen, with numbers.
    `do`: what to do about it.
    `layers`: where; empty for the whole.
    """

    name: str
    says: str
    do: str
    layers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}: {self.says}. {self.do}."


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Layer by layer what goes through a network in training, and what is wrong.

    `findings`: the gravest first; empty where nothing was found.
    `layers`: a row for each call that has weights or activates, in the order of running.
    `rates`: learning rates tried on a copy.
    `loss`: of the batches, with the model as it is.
    `batches`: how many were looked at.
    `unseen`: what could not be looked at, in sentences.
    """

    findings: tuple[Finding, ...]
    layers: tuple[LayerHealth, ...]
    rates: tuple[RateTried, ...]
    loss: float
    batches: int
    unseen: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __str__(self) -> str:
        """The findings, and the table as text."""
        head = list(_HEAD)
        shown, left_out = _shown(self.layers)
        lines = [head, *(_cells(row) for row in shown)]
        widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
        table = [_aligned(line, widths) for line in lines]
        return "\n".join([*self._sentences(), *([left_out] if left_out else []), "", *table])

    def _sentences(self) -> list[str]:
        """What is said above the table."""
        found = [str(one) for one in self.findings]
        if not found:
            found = ["Nothing was found that keeps this network from training."]
        tried = [_tried(one) for one in self.rates]
        told = [f"Learning rates tried on a copy: {'; '.join(tried)}."] if tried else []
        of = f"Loss {self.loss:.4g}, the mean of {self.batches} training batches."
        return [*found, of, *told, *(f"Not looked at: {one}." for one in self.unseen)]

    def _repr_html_(self) -> str:
        """The findings and the table for a notebook."""
        shown, left_out = _shown(self.layers)
        rows = [_cells(row) for row in shown]
        text = "".join(html.paragraph(line) for line in self._sentences())
        return text + html.table(_HEAD, rows, f"Layers. {left_out}".strip(), (0, 1, len(_HEAD) - 1))

    def to_json(self) -> str:
        """All of it as a JSON object; numbers that are none become null."""
        return json.dumps(_plain(asdict(self)), indent=1, allow_nan=False)

    def to_csv(self) -> str:
        """The rows as CSV: a heading, and a line for each call."""
        text = io.StringIO()
        names = [one.name for one in fields(LayerHealth)]
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        for row in self.layers:
            writer.writerow({**asdict(row), "weights": " ".join(row.weights)})
        return text.getvalue()


_HEAD = ("layer", "function", "output", "gradient", "update/weight", "dead", "saturated", "")


def _tried(one: RateTried) -> str:
    return f"{one.rate:g} takes it from {one.before:.4g} to {one.after:.4g}"


def _cells(row: LayerHealth) -> list[str]:
    dead = f"{row.dead} of {row.units}" if row.units else ""
    saturated = "" if row.saturated is None else f"{100 * row.saturated:.0f} %"
    numbers = [_number(one) for one in (row.output, row.gradient, row.update)]
    return [row.layer or "the model", row.function, *numbers, dead, saturated, row.note]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2e}"


def _shown(layers: Sequence[LayerHealth]) -> tuple[list[LayerHealth], str]:
    """(rows to print, which are left out in a sentence or ""): every Nth, and some with a note."""
    if len(layers) <= MOST_ROWS:
        return list(layers), ""
    noted = [at for at, row in enumerate(layers) if row.note]
    first = noted[: MOST_ROWS // 2]
    least = -(-len(layers) // (MOST_ROWS - 1 - len(first)))
    # Every second row of layers and activations by turns would show no activation.
    every = max(
        range(least, least + 3), key=lambda step: len({row.function for row in layers[::step]})
    )
    chosen = sorted({*first, *range(0, len(layers), every), len(layers) - 1})
    told = f"The table has every {_ordinal(every)} of {len(layers):,} rows and the last"
    if noted:
        of = "" if len(first) == len(noted) else f"first {len(first)} of the "
        told += f", and the {of}{len(noted)} with a note"
    told += ". All are in to_csv(), and the command prints them with --csv."
    return [layers[at] for at in chosen], told


def _ordinal(number: int) -> str:
    """Such as "21st"."""
    teens = 10 < number % 100 < 20
    return f"{number:,}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    """A line of cells: names and notes to the left, numbers to the right."""
    left = (0, 1, len(line) - 1)
    cells = [
        cell.ljust(width) if at in left else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return ("  " + "  ".join(cells)).rstrip()


def _plain(value: object) -> object:
    """A nest with None in place of NaN and infinity, which JSON has not."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        return None
    return value
