"""The commands for recipes: listing them and running one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from shoestring.cli.ending import GOES_ON, if_interrupted


def recipes(as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False) -> None:
    """List the recipes, which are published results from end to end, with their minutes."""
    from shoestring.recipes.listing import recipes as listed

    if as_json:
        print(json.dumps([one.as_dict() for one in listed().values()]))
        return
    width = max(map(len, listed()))
    print(f"{'':{width}}  minutes  --quick")
    for one in listed().values():
        print(f"{one.name:{width}}  {one.minutes:7g}  {one.quick_minutes:7g}  {one.line}")
    print("\nrun one: shoestring recipe NAME; what each comes to: docs/exchange-rates.md")


def recipe(
    name: Annotated[
        str,
        typer.Argument(help="which recipe: `shoestring recipes` lists them", show_default=False),
    ],
    quick: Annotated[
        bool, typer.Option("--quick", help="smaller, in about a minute: shows the effect")
    ] = False,
    seed: Annotated[int, typer.Option(help="for everything random", min=0)] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="where files, rows and result.json go \\[default: NAME, here, or NAME-quick]",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> None:
    """Run a recipe end to end: its files, rows and result.json are left in a folder.

    The same seed gives the same numbers. After an interruption the same command goes on, where the
    recipe can.
    """
    from shoestring.recipes.listing import recipe as record_of

    record = record_of(name)
    folder = output or Path(f"{name}-quick" if quick else name)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file: name a folder with --output")
    if_interrupted(lambda: f"{folder} has no result of this run yet; {GOES_ON}")
    minutes = record.quick_minutes if quick else record.minutes
    if not as_json:
        print(f"{name}: {record.line}; about {minutes:g} min on one core", flush=True)
    from shoestring.recipes.running import run_recipe

    say = (lambda text: None) if as_json else (lambda text: print(text, flush=True))
    result = run_recipe(record, folder, quick=quick, seed=seed, say=say)
    if as_json:
        print(json.dumps(result))
        return
    if quick:
        print("these are figures of a quick run: smaller than the real one")
    counts = f"{len(result['rows'])} rows, {len(result['files'])} files, {result['seconds']:.0f} s"
    print(f"{folder / 'result.json'}: {counts}")
