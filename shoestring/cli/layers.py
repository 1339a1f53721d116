"""The command that measures the sensitivity of each layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shoestring.cli.ending import BEGINS_AGAIN, GOES_ON, if_interrupted
from shoestring.cli.source import Inputs, SameOption, model_and_task


def sensitivity(
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FUNCTION", help="returns (trained model, task)", show_default=False
        ),
    ],
    bits: Annotated[
        list[int] | None,
        typer.Option(
            help="of the weights, 2 to 8; may be given several times; left out: 8 and 4",
            min=2,
            max=8,
            show_default=False,
        ),
    ] = None,
    inputs: Inputs = None,
    same: SameOption = None,
    folder: Annotated[
        Path | None,
        typer.Option(help="remembers trials, to go on after an interruption", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="print CSV")] = False,
) -> None:
    """Which layer hurts: the score lost, and the bytes and milliseconds saved, by integers in it.

    One layer at a time has integers.
    """
    if as_json and as_csv:
        raise ValueError("JSON or CSV: leave out --json or --csv")
    from shoestring.plan import sensitivity as measure
    from shoestring.quantize import PostTraining

    state = (
        "nothing was kept, and with --folder NAME the trials would be"
        if folder is None
        else f"the trials that were made are in {folder}"
    )
    if_interrupted(lambda: f"{state}; {BEGINS_AGAIN if folder is None else GOES_ON}")
    actions = [PostTraining(bits=width) for width in dict.fromkeys(bits or (8, 4))]
    table = measure(*model_and_task(source, inputs, same), actions, folder=folder)
    print(
        table.to_json() if as_json else table.to_csv() if as_csv else table,
        end="" if as_csv else "\n",
    )
