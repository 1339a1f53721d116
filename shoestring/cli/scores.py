"""The commands for scores: scoring a file, and showing the ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoestring.cli.ending import BEGINS_AGAIN, if_interrupted
from shoestring.cli.files import AsJson, File
from shoestring.cli.source import Inputs, SameOption, task_of

if TYPE_CHECKING:
    from shoestring.core import Row


def score(
    file: File,
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FUNCTION",
            help="returns a task, (model, task), or with --inputs a model",
            show_default=False,
        ),
    ],
    inputs: Inputs = None,
    same: SameOption = None,
    ledger: Annotated[Path, typer.Option(help="where the score is recorded")] = Path(
        "shoestring.ledger"
    ),
    as_json: AsJson = False,
) -> None:
    """Score a file on a task's test data, and record the score in the ledger."""
    from shoestring.artifact import read_model
    from shoestring.core import Ledger
    from shoestring.core.prove import proof

    read_model(file)  # report a damaged file before the function trains anything
    if_interrupted(lambda: f"no score was recorded; {BEGINS_AGAIN}")
    result = proof(file, task_of(source, inputs, same), ledger=Ledger(ledger))
    if as_json:
        line = {"path": str(file), "score": result.score, "bytes": file.stat().st_size}
        print(json.dumps(line | ({"scores": dict(result.scores)} if result.scores else {})))
        return
    print(f"{result.score:.4f}")
    for name, value in result.scores.items():
        print(f"{name}: {value:.4f}")


_SELDOM = ("labels", "person_seconds", "training_operations", "communicated_bytes")
"""Costs that have a column in the table of a ledger only where some row has an amount above 0."""


def ledger(
    path: Annotated[Path, typer.Argument(help="a ledger")] = Path("shoestring.ledger"),
    recover: Annotated[
        bool,
        typer.Option(
            "--recover", help="write what can be read of a damaged ledger into PATH.recovered"
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the rows of a ledger: steps, scores and costs; --json: a line of JSON for each row.

    With --recover it writes the rows of a damaged ledger that can be read into a new file beside
    it, and leaves the old one as it is.
    """
    from shoestring.core import Ledger

    if not path.exists():
        raise FileNotFoundError(f"there is no ledger at {path}: compress and score write one")
    if recover:
        _recover(path, as_json)
        return
    if as_json:
        for line in Ledger(path).json_lines():
            print(line)
        return
    _show(Ledger(path).rows())


def _recover(path: Path, as_json: bool) -> None:
    """Recover a ledger, and print what came of it."""
    from shoestring.core.salvage import salvage

    found = salvage(path)
    if as_json:
        target = None if found.path is None else str(found.path)
        print(json.dumps({"path": target, "rows": found.rows, "lost": list(found.lost)}))
    elif found.path is None:
        print(
            f"{path} is not damaged: all of its {found.rows} rows can be read; nothing is written"
        )
    else:
        lost = (
            f"{len(found.lost)} are lost ({_ranges(found.lost)})" if found.lost else "none is lost"
        )
        print(f"{found.path}: {found.rows} rows, and {lost}; {path} is as it was")
        print(f"to go on with it: mv {path} {path}.damaged && mv {found.path} {path}")


def _ranges(numbers: tuple[int, ...]) -> str:
    """Numbers as text: 3, 7-9."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)


def _show(rows: list[Row]) -> None:
    """Print rows of a ledger as a table."""
    from rich.console import Console
    from rich.table import Table

    from shoestring.core.technique import gist

    others = [one for one in _SELDOM if any(getattr(row.cost_after, one) for row in rows)]
    table = Table(
        "#",
        "step",
        "score before",
        "after",
        "bytes",
        "seconds",
        *(one.replace("_", " ") for one in others),
        "seed",
    )
    for row in rows:
        what = f"prove {row.file} {row.note}" if row.kind == "prove" else gist(row.technique)
        if row.kind not in ("apply", "prove"):
            what = f"{row.kind}: {what}"
        values = (row.score_before, row.score_after)
        named = (row.scores_before, row.scores_after)
        scores = [
            "\n".join(
                [
                    "" if v is None else f"{v:.4f}",
                    *(f"{name} {one:.4f}" for name, one in by_name.items()),
                ]
            )
            for v, by_name in zip(values, named, strict=True)
        ]
        size, seconds = row.cost_after.bytes, row.cost_after.seconds
        table.add_row(
            str(row.id),
            what,
            *scores,
            "" if size is None else f"{size:,}",
            "" if seconds is None else f"{seconds:.1f}",
            *(
                "" if (amount := getattr(row.cost_after, one)) is None else f"{amount:.5g}"
                for one in others
            ),
            "" if row.seed is None else str(row.seed),
        )
    Console().print(table)
