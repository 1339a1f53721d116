"""The commands that tell about layers: which one hurts, and why a network does not train."""

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


def diagnose(
    source: Annotated[
        str,
        typer.Argument(metavar="MODULE:FUNCTION", help="returns (model, task)", show_default=False),
    ],
    rate: Annotated[
        float, typer.Option(help="the learning rate of AdamW that you train with, above 0")
    ] = 1e-3,
    batches: Annotated[int, typer.Option(help="training batches that are looked at", min=1)] = 3,
    steps: Annotated[
        int, typer.Option(help="steps for each of three learning rates; 0 tries none", min=0)
    ] = 10,
    inputs: Inputs = None,
    same: SameOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="print CSV")] = False,
) -> None:
    """Why a network does not train: values and gradients layer by layer, and what to do.

    It looks at some training batches, and tries learning rates on a copy.
    """
    if as_json and as_csv:
        raise ValueError("JSON or CSV: leave out --json or --csv")
    from shoestring.kit import AdamW, Training
    from shoestring.plan import diagnose as look

    found = look(
        *model_and_task(source, inputs, same),
        training=Training(1, AdamW(rate)),
        looked_at=batches,
        rate_steps=steps,
    )
    print(
        found.to_json() if as_json else found.to_csv() if as_csv else found,
        end="" if as_csv else "\n",
    )
