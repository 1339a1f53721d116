"""The command that trains a model, by one process or by several workers: train."""

from __future__ import annotations

import json
import os
import re
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from shoestring.cli.ending import GOES_ON, writing
from shoestring.cli.search import AsJson, LedgerPath, Quiet, Seed, printers
from shoestring.cli.source import model_and_task


class LateName(Enum):
    """What a late gradient is worth, as the command line writes it."""

    AS_IT_COMES = "as-it-comes"
    STALENESS = "staleness"
    COMPENSATED = "compensated"
    ADAPTIVE = "adaptive"


Source = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:FUNCTION",
        show_default=False,
        help="a function that returns (model, task), as MODULE:FUNCTION or path.py:FUNCTION; the "
        "model is trained from where it is",
    ),
]
Steps = Annotated[
    int, typer.Option(help="batches in all, each of which one worker takes", min=1, max=10**9)
]
Workers = Annotated[int, typer.Option(help="processes that make gradients", min=1, max=1024)]
Without = Annotated[
    bool, typer.Option("--asynchronous", help="workers do not wait for one another")
]
Late = Annotated[
    LateName | None,
    typer.Option(
        help="with --asynchronous, what a late gradient is worth \\[default: as-it-comes]",
        show_default=False,
    ),
]
Backups = Annotated[
    int,
    typer.Option(
        help="the last so many workers of each round are not waited for; without --asynchronous",
        min=0,
    ),
]
Straggler = Annotated[
    str | None,
    typer.Option(
        metavar="TIMES",
        show_default=False,
        help="one worker takes so many times as long, as 3x: to try what a slow machine does",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="the file to write \\[default: NAME.shoe, here]", show_default=False),
]


def train(
    source: Source,
    steps: Steps = 2000,
    workers: Workers = 1,
    asynchronous: Without = False,
    late: Late = None,
    backups: Backups = 0,
    straggler: Straggler = None,
    out: Out = None,
    seed: Seed = 0,
    ledger: LedgerPath = Path("shoestring.ledger"),
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a model, by this process or by several workers, and write its file.

    Nothing has to be tuned: the optimizer goes by the model, the rate rises and falls. Workers are
    processes on this machine, and one that fails is replaced. Programs on several machines train
    together where torchrun starts this command on each. Ctrl-C or a kill loses little: the same
    command goes on from the last snapshot. Exit status: 0 trained; 1 an error; 130 interrupted.
    """
    name = source.rsplit(":", 1)[-1]
    path = out or Path(f"{name}.shoe")
    together = int(os.environ.get("WORLD_SIZE", "1")) > 1
    _check(workers, asynchronous, late, backups, straggler, together=together)
    say, _ = printers(as_json, quiet or not _is_first(together))
    say(f"loading {source}")  # and torch, which takes seconds
    from shoestring.core import Ledger
    from shoestring.plan.trained import train_job

    chosen = _workers(workers, late, backups, straggler, asynchronous, together)
    folder = path.with_name(f"{path.name}.unfinished")
    writing(path, then=lambda: f"{folder} has the last snapshot, if any; {GOES_ON}")
    report = train_job(
        lambda: model_and_task(source),
        path,
        steps=steps,
        workers=chosen,
        seed=seed,
        ledger=Ledger(ledger) if _is_first(together) else None,
        say=say,
    )
    if _is_first(together):
        print(json.dumps(report.as_json()) if as_json else report.as_text(), flush=True)


def _is_first(together: bool) -> bool:
    """Whether this program, of those that train together, is the one that writes and prints."""
    return not together or os.environ.get("RANK", "0") == "0"


def _check(
    workers: int,
    asynchronous: bool,
    late: LateName | None,
    backups: int,
    straggler: str | None,
    *,
    together: bool,
) -> None:
    """Raise ValueError for options that do not go together; it imports no torch."""
    if together and (workers > 1 or asynchronous or backups or straggler):
        raise ValueError(
            "torchrun has started several programs, which are the workers: leave --workers, "
            "--asynchronous, --backups and --straggler out"
        )
    if late is not None and not asynchronous:
        raise ValueError(f"--late {late.value}: gradients are late with --asynchronous only")
    if asynchronous and backups:
        raise ValueError(
            f"--backups {backups}: workers that do not wait wait for nobody; leave it out"
        )
    if backups >= workers and backups:
        raise ValueError(f"--backups {backups}: give fewer than the {workers} workers")
    if straggler is not None:
        if workers < 2:
            raise ValueError(f"--straggler {straggler} is for two --workers or more")
        _times(straggler)


def _times(text: str) -> float:
    """What "3x" says; raises ValueError for anything else."""
    if (match := re.fullmatch(r"(\d+(?:\.\d+)?)x?", text.strip())) is None or float(match[1]) < 1:
        raise ValueError(f"--straggler {text}: write how many times as long, 1 or more, as 3x")
    return float(match[1])


def _workers(
    count: int,
    late: LateName | None,
    backups: int,
    straggler: str | None,
    asynchronous: bool,
    together: bool,
) -> Any:
    """The workers of a training; None for one process alone."""
    from shoestring.parallel import (
        AdaptivelyCompensated,
        AllReduced,
        AsItComes,
        Asynchronous,
        ByStaleness,
        DelayCompensated,
        LateGradients,
        Synchronous,
    )

    if together:
        return AllReduced()
    slower = () if straggler is None else (*(1.0,) * (count - 1), _times(straggler))
    worth: dict[LateName, LateGradients] = {
        LateName.AS_IT_COMES: AsItComes(),
        LateName.STALENESS: ByStaleness(),
        LateName.COMPENSATED: DelayCompensated(),
        LateName.ADAPTIVE: AdaptivelyCompensated(),
    }
    if asynchronous:
        return Asynchronous(count, worth[late or LateName.AS_IT_COMES], slower=slower)
    return Synchronous(count, backups, slower=slower) if count > 1 else None
