"""The document of a report: all that its page shows, as plain values.

A number is finite or None, where None means that nobody measured it. `to_json` writes the document
as strict JSON that may stand inside a page.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from typing import Any, Literal

from shoestring import __version__
from shoestring.artifact.html import clipped

SCHEMA = 1
LONGEST = 4000
"""Characters of a text of others, such as a note or a technique, before it is cut."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A resource or a score that points are compared by.

    `field`: its key in the costs or scores of a point.
    `unit`: of its values; "%" for a score that is a share of 1, which is shown in percent.
    `better`: which direction is better, "lower" or "higher".
    `log`: whether its values are best seen on a logarithmic scale.
    `least`: of a score: points with less are no points of a frontier where there are others.
    """

    field: str
    name: str
    unit: str
    words: str
    better: Literal["lower", "higher"]
    log: bool
    least: float | None = None


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit of a budget, in numbers, on the field of an axis.

    `measured`: what the delivered file has of it; None where that is not known.
    `kept`: whether the delivered file keeps it; None where noise leaves it open, or where nothing
        was delivered.
    """

    field: str
    at_most: float | None
    at_least: float | None
    words: str
    measured: float | None = None
    kept: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A budget: its text, its limits, and whether the delivered file keeps all of them.

    `met` is None where noise leaves that open, or where nothing was delivered.
    """

    text: str
    limits: tuple[Limit, ...]
    met: bool | None


State = Literal["ok", "failed", "nan"]
"""Of a point: it has a score, its chain failed, or its score is no number."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A file that was measured.

    `label`: the short form of the chain; `steps`: the techniques of the chain, one by one.
    `technique`: what it was made by, where there are no steps.
    `costs`, `scores`: what was measured, by the fields of axes; `intervals`: (low, high) of what is
        noisy.
    `error`: the standard error of the difference of its score from the model that came in; in a
        search for networks, of its score.
    `fits`: whether it keeps the budget on validation data; None where noise leaves that open, or
        without a budget.
    `number`: by which `shoestring frontier --pick` knows it; None for points off the frontier.
    `test`: its score on test data, where a ledger has it; the newest of so many `tests`.
    `sha256`: the digest of its file, of points that can be picked or were delivered.
    """

    id: str
    label: str
    technique: str = ""
    steps: tuple[str, ...] = ()
    state: State = "ok"
    costs: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    error: float | None = None
    fits: bool | None = None
    number: int | None = None
    test: float | None = None
    tests: int = 0
    minutes: float | None = None
    seed: int | None = None
    fidelity: float | None = None
    sha256: str | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class BillRow:
    """Bytes of the file that one section spends on one tensor; "" for what is of no tensor."""

    tensor: str
    section: str
    bytes: int
    words: str


@dataclass(frozen=True, kw_only=True)
class Bill:
    """The bill of the delivered file; its rows add up to `total`, the bytes of the file."""

    total: int
    rows: tuple[BillRow, ...]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A tensor of the delivered file.

    `numbers`: how many it holds; `bits`: of the file, for each of them.
    `zeros`: the share of them that are 0; None where the type does not tell.
    """

    tensor: str
    numbers: int
    bits: float
    zeros: float | None
    bytes: int
    kind: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one action did to the model when it changed one layer alone."""

    layer: str
    action: str
    score_lost: float | None
    score_error: float | None
    bytes_saved: float | None
    milliseconds_saved: float | None
    note: str


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """A table of sensitivity: a cell for each layer and action that was tried."""

    layers: tuple[str, ...]
    actions: tuple[str, ...]
    cells: tuple[Cell, ...]
    words: str


@dataclass(frozen=True, kw_only=True)
class LedgerRow:
    """A row of a ledger; see `core.Row`.

    `technique`: the whole chain; "" where a point of the document has the same steps.
    """

    id: int
    time: float
    kind: str
    technique: str
    gist: str
    task: str | None
    seed: int | None
    score_before: float | None
    score_after: float | None
    cost_before: Mapping[str, float]
    cost_after: Mapping[str, float]
    file: str | None
    run: str | None
    note: str
    machine: str


@dataclass(frozen=True, kw_only=True)
class Rate:
    """An exchange rate: what is given and got from one point of the frontier to the next.

    `start`, `end`: their ids, called "from" and "to" in JSON.
    `clear`: whether both differences are larger than their noise; where one is not, there is no
        rate, and `words` say so.
    """

    start: str
    end: str
    words: str
    given: float
    got: float
    given_unit: str
    got_unit: str
    clear: bool = True


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command, and in words what it does; `id` is that of the point whose file it writes."""

    words: str
    command: str
    id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Speed:
    """The time of a run of the delivered file, divided by that of the model that came in.

    Both were timed in alternation. `median`, `low`, `high`: the quartiles of the ratios of pairs.
    `words`: the same as `compress` prints it.
    `clear`: whether the interval leaves out 1, so that one of the two is faster.
    """

    median: float
    low: float
    high: float
    words: str
    clear: bool


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a search for networks had come to when a training ended.

    `minutes`: of training by then, of all processes together.
    `score`: of the network that ended, after `share` of a full training; `id` is that of its point.
    `best`: the highest score so far of networks that keep the limits; None before there is one.
    """

    id: str
    minutes: float
    score: float
    share: float
    best: float | None


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What only a search for networks has.

    `curve`: its trainings, as they ended; `words` says what time bought.
    `code`: of the chosen network; `file` is the name of the file that has it.
    `compared`: the ids of the points among which the frontier is: networks that were trained
        fully, the reader's own model and the delivered file, which stands for the chosen network.
    """

    curve: tuple[Spent, ...]
    words: str
    code: str
    file: str
    compared: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Document:
    """All that a page shows; the fields are those of the page's own description.

    `kind`: what it is of: a study, a ledger, a lone file, or a search for networks.
    `made`: when, as an ISO time. `version`: of shoestring.
    `live`: whether the page asks for it again and again; `working`: whether a search goes on.
    `notes`: sentences that a reader must see.
    `before`: the model that came in; `after`: what was delivered, which is among the points.
    `frontier`: the ids of the points that no other beats on the first of the axes.
    `named`: ids by "free", "balanced" and "tiny".
    `speed`: how fast the delivered file runs; None where nobody timed both files.
    `search_seconds`: that the whole search took; None where that is not known.
    `versions`: of the packages that made the delivered file, or the newest point.
    `networks`: None where no network was searched for.
    """

    kind: Literal["study", "ledger", "file", "networks"]
    title: str
    made: str = field(default_factory=lambda: now())
    version: str = __version__
    live: bool = False
    working: bool = False
    notes: tuple[str, ...] = ()
    resources: tuple[Axis, ...] = ()
    scores: tuple[Axis, ...] = ()
    before: Point | None = None
    after: Point | None = None
    points: tuple[Point, ...] = ()
    frontier: tuple[str, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)
    budget: Budget | None = None
    speed: Speed | None = None
    search_seconds: float | None = None
    bill: Bill | None = None
    layers: tuple[Layer, ...] = ()
    sensitivity: Sensitivity | None = None
    ledger: tuple[LedgerRow, ...] = ()
    rates: tuple[Rate, ...] = ()
    commands: tuple[Command, ...] = ()
    machine: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    networks: Networks | None = None

    def as_dict(self) -> dict[str, Any]:
        """The document as plain values; numbers that are not finite are None, or left out."""
        return {"schema": SCHEMA, **_plain(self)}

    def to_json(self) -> str:
        """The document as strict JSON in ASCII, without "<", so that a page may hold it."""
        text = json.dumps(self.as_dict(), allow_nan=False, separators=(",", ":"))
        return text.replace("<", "\\u003c")


_RENAMED = {"start": "from", "end": "to"}
"""Fields whose name in JSON is a keyword of Python."""


def _plain(value: Any) -> Any:
    """A value of the document as JSON values."""
    if is_dataclass(value):
        return {_RENAMED.get(f.name, f.name): _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        pairs = {clipped(str(name), 200): _plain(one) for name, one in value.items()}
        return {name: one for name, one in pairs.items() if one is not None}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, str):
        return clipped(value, LONGEST)
    if isinstance(value, bool):
        return value
    return finite(value)


def now() -> str:
    """The time in ISO's form, with the time zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def finite(value: Any) -> float | None:
    """A number as it is; None for what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an integer beyond all floating-point numbers
        return None


def rounded(value: float, digits: int = 6) -> float:
    """A measured number without digits that nobody measured; integers stay as they are."""
    return value if isinstance(value, int) else float(f"{value:.{digits}g}")
