"""Documents of reports that are made up: many points, none, hostile text. Their numbers are no
measurements; real ones come from a real search (tests/report/).
"""

from __future__ import annotations

import math
import random
from dataclasses import replace

from shoestring.report.document import (
    Axis,
    Bill,
    BillRow,
    Budget,
    Cell,
    Command,
    Document,
    Layer,
    LedgerRow,
    Limit,
    Point,
    Rate,
    Sensitivity,
)
from shoestring.report.points import sampled
from shoestring.report.rows import MOST_ROWS

SIZE = Axis(
    field="bytes", name="size", unit="B", words="bytes of the file", better="lower", log=True
)
LATENCY = Axis(
    field="milliseconds",
    name="latency",
    unit="ms",
    words="milliseconds a run",
    better="lower",
    log=True,
)
SCORE = Axis(
    field="score",
    name="score",
    unit="%",
    words="validation score",
    better="higher",
    log=False,
    least=0.4925,
)
RECALL = replace(SCORE, field="recall", name="recall", words="recall on validation data")
BEFORE_BYTES, BEFORE_SCORE = 212_008, 0.985
BUDGET = Budget(
    text="size<=10KB, drop<=2%",
    limits=(
        Limit(field="bytes", at_most=10_000.0, at_least=None, words="size<=10KB"),
        Limit(field="score", at_most=None, at_least=0.965, words="drop<=2%: at least 96.5 %"),
    ),
    met=True,
)


def before() -> Point:
    """The model that came in."""
    return Point(
        id="before",
        label="as it came in",
        technique="chain()",
        costs={"bytes": BEFORE_BYTES, "milliseconds": 0.08},
        scores={"score": BEFORE_SCORE, "recall": 0.97},
        test=0.98,
    )


def points(many: int) -> list[Point]:
    """Points along a law of size and score, with noise; some failed, some are not numbers."""
    generator = random.Random(many)
    made = []
    for at in range(many):
        size = int(10 ** generator.uniform(2.7, 5.2))
        lost = 1.1 / math.sqrt(size) + generator.expovariate(60)
        milliseconds = 0.02 + 4e-7 * size + generator.expovariate(80)
        state = "failed" if at % 97 == 5 else "nan" if at % 89 == 7 else "ok"
        made.append(
            Point(
                id=f"trial-{at}",
                label=f"Magnitude(density={size / 2e5:.3f}), WeightSharing(levels={2 + at % 30})",
                technique=f"chain(Magnitude(density={size / 2e5:.3f}), WeightSharing(levels={at}))",
                steps=(
                    f"Magnitude(density={size / 2e5:.3f})",
                    f"WeightSharing(levels={2 + at % 30})",
                ),
                state=state,
                costs={"bytes": size, "milliseconds": milliseconds} if state == "ok" else {},
                intervals={"milliseconds": (milliseconds * 0.95, milliseconds * 1.05)}
                if state == "ok"
                else {},
                scores={"score": max(0.1, BEFORE_SCORE - lost), "recall": max(0.1, 0.97 - lost)}
                if state == "ok"
                else {},
                error=0.003,
                fits=size <= 10_000 and lost <= 0.02 if state == "ok" else None,
                minutes=generator.uniform(0.1, 2),
                seed=at % 3,
                note="" if state == "ok" else "the loss became infinite",
            )
        )
    return made


def study(many: int = 60) -> Document:
    """A search of so many trials, with every part that a report has, and no more than users get."""
    made = points(many)
    good = [point for point in made if point.state == "ok"]
    front = frontier(good)
    delivered = max(
        (point for point in good if point.costs["bytes"] <= 10_000),
        key=lambda point: point.scores["score"],
    )
    delivered = replace(delivered, test=delivered.scores["score"] - 0.003)
    made[made.index(next(point for point in made if point.id == delivered.id))] = delivered
    layers = [f"layers.{at}.weight" for at in range(12)]
    named = {"free": front[-1].id, "tiny": front[len(front) // 2].id}
    shown, note = sampled(made, {delivered.id, *named.values(), *(point.id for point in front)})
    return Document(
        kind="study",
        title="made-up.shoe",
        notes=(note,) if note else (),
        resources=(SIZE, LATENCY),
        scores=(SCORE, RECALL),
        before=before(),
        after=delivered,
        points=shown,
        frontier=tuple(point.id for point in front),
        named=named,
        budget=replace(BUDGET, met=delivered.fits),
        bill=bill(layers, int(delivered.costs["bytes"])),
        layers=tuple(
            Layer(tensor=name, numbers=4096, bits=1 + at, zeros=0.5, bytes=512 * (1 + at), kind="i")
            for at, name in enumerate(layers)
        ),
        sensitivity=sensitivity(layers),
        ledger=tuple(ledger_row(at) for at in range(many)[-MOST_ROWS:]),
        rates=(
            Rate(
                start=front[0].id,
                end=front[-1].id,
                words="+4,774 B buy +14.00 points",
                given=4774,
                got=0.14,
                given_unit="B",
                got_unit="%",
            ),
        ),
        commands=(
            Command(words="list the frontier", command="shoestring frontier made-up.shoe"),
            *(
                Command(
                    words=f"write the file of point {number}",
                    command=f"shoestring frontier made-up.shoe --pick {number}",
                    id=point.id,
                )
                for number, point in enumerate(front, 1)
            ),
        ),
        machine="a machine that was made up",
        versions={"python": "3.11", "torch": "2.9"},
    )


def frontier(good: list[Point]) -> list[Point]:
    """Those that no other beats in size and score, smallest first; slow and plain."""
    return sorted(
        (
            one
            for one in good
            if not any(
                other.costs["bytes"] <= one.costs["bytes"]
                and other.scores["score"] >= one.scores["score"]
                and other is not one
                and (other.costs["bytes"], other.scores["score"])
                != (one.costs["bytes"], one.scores["score"])
                for other in good
            )
        ),
        key=lambda point: point.costs["bytes"],
    )


def bill(layers: list[str], total: int) -> Bill:
    """A bill whose rows add up to the total."""
    each = total // (2 * len(layers))
    rows = [
        BillRow(tensor=name, section=section, bytes=each, words="int8, grid")
        for name in layers
        for section in ("codes", "values")
    ]
    rest = total - each * len(rows)
    return Bill(
        total=total,
        rows=(*rows, BillRow(tensor="", section="graph", bytes=rest, words="10 nodes")),
    )


def sensitivity(layers: list[str]) -> Sensitivity:
    """A table of sensitivity in which a third was not measured."""
    actions = ["Magnitude(density=0.1)", "WeightSharing(levels=4)", "PostTraining(bits=4)"]
    return Sensitivity(
        layers=tuple(layers),
        actions=tuple(actions),
        cells=tuple(
            Cell(
                layer=layer,
                action=action,
                score_lost=0.001 * (row - 2) * (column + 1),
                score_error=0.001,
                bytes_saved=1000.0 * row,
                milliseconds_saved=None,
                note="",
            )
            for row, layer in enumerate(layers)
            for column, action in enumerate(actions)
            if (row + column) % 3
        ),
        words="What the score loses when one layer alone is changed.",
    )


def ledger_row(at: int) -> LedgerRow:
    """A row of a ledger."""
    return LedgerRow(
        id=at + 1,
        time=1.79e9 + 60 * at,
        kind="apply",
        technique=f"Magnitude(density={at / 100})",
        gist=f"Magnitude({at / 100})",
        task="made up",
        seed=at % 3,
        score_before=0.985,
        score_after=0.985 - at / 1e5,
        cost_before={"bytes": BEFORE_BYTES},
        cost_after={"bytes": BEFORE_BYTES - at},
        file=f"file-{at}.shoe",
        run="1",
        note="",
        machine="a machine that was made up",
    )


def empty(working: bool = False) -> Document:
    """A search that has measured nothing."""
    return Document(kind="study", title="nothing.shoe", working=working)


def of(*chosen: Point, **more: object) -> Document:
    """A search of these points and nothing else."""
    return replace(
        empty(), resources=(SIZE, LATENCY), scores=(SCORE,), points=tuple(chosen), **more
    )


def file_alone() -> Document:
    """A lone file: a bill and layers, and nothing to choose from."""
    whole = study()
    assert whole.after is not None
    alone = Point(id="file", label="alone.shoe", costs={"bytes": whole.after.costs["bytes"]})
    return Document(
        kind="file",
        title="alone.shoe",
        notes=("Only the file is known, not what it was made from.",),
        resources=(SIZE,),
        after=alone,
        points=(alone,),
        bill=whole.bill,
        layers=whole.layers,
    )


def ledger_alone(many: int = 40) -> Document:
    """A ledger without a file."""
    return Document(
        kind="ledger",
        title="lone.ledger",
        ledger=tuple(ledger_row(at) for at in range(many)),
    )


EVIL = "<script>window.struck = 1</script><img src=x onerror='window.struck = 1'>\"'&{b|}\n"


def hostile() -> Document:
    """A search whose every text wants to be markup, and some are a megabyte long."""
    whole = study(40)
    assert whole.after is not None and whole.bill is not None and whole.sensitivity is not None
    long = EVIL + "x" * 1_000_000

    def evil(point: Point, text: str) -> Point:
        return replace(point, label=text, technique=text, steps=(text, text), note=text)

    return replace(
        whole,
        title=EVIL,
        notes=(EVIL, long),
        resources=tuple(replace(axis, name=EVIL, words=EVIL) for axis in whole.resources),
        scores=tuple(replace(axis, name=EVIL, words=EVIL) for axis in whole.scores),
        before=evil(before(), EVIL),
        after=evil(whole.after, long),
        points=tuple(
            evil(point, long if at == 3 or point.id == whole.after.id else EVIL)
            for at, point in enumerate(whole.points)
        ),
        named={**whole.named, EVIL: whole.points[0].id, "constructor": whole.points[1].id},
        budget=replace(
            BUDGET, text=EVIL, limits=tuple(replace(o, words=EVIL) for o in BUDGET.limits)
        ),
        bill=replace(
            whole.bill,
            rows=tuple(
                replace(row, tensor=EVIL, section=EVIL, words=long) for row in whole.bill.rows[:3]
            ),
        ),
        layers=tuple(replace(layer, tensor=EVIL, kind=EVIL) for layer in whole.layers),
        sensitivity=Sensitivity(
            layers=(EVIL, long),
            actions=(EVIL,),
            cells=(replace(whole.sensitivity.cells[0], layer=EVIL, action=EVIL, note=EVIL),),
            words=EVIL,
        ),
        ledger=tuple(
            replace(row, gist=EVIL, note=long, file=EVIL, run=EVIL) for row in whole.ledger[:3]
        ),
        rates=tuple(replace(rate, words=EVIL) for rate in whole.rates),
        commands=(Command(words=EVIL, command=EVIL, id=whole.after.id),),
        machine=EVIL,
        versions={EVIL: EVIL},
    )
