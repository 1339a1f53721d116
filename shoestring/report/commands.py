"""Commands for a terminal, with paths that are quoted where they must be."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from shoestring.report.document import Command, Point

PROGRAM = "shoestring"


def command(words: str, *arguments: str | Path) -> Command:
    """A command of the program, and in words what it does."""
    return Command(words=words, command=shlex.join([PROGRAM, *map(str, arguments)]))


def of_file(file: Path) -> tuple[Command, ...]:
    """Commands that look into a file and run it."""
    return (
        command("what each byte of it is for", "inspect", file),
        command("run it on arrays of your own, one for each input", "run", file, "inputs.npz"),
        command("as plain ONNX, for any runtime", "export", file, file.with_suffix(".onnx")),
    )


def of_search(
    file: Path, folder: Path, source: tuple[str, ...], named: Mapping[str, Point]
) -> tuple[Command, ...]:
    """Commands that search again, and that write other points.

    `source`: the words of the command that searched; () where it is not known.
    `named`: the points by their names.
    """
    again = [command("search again, from what is known already", *source)] if source else []
    where = file if folder.name == f"{file.name}.study" else folder
    picks = [
        command(f"write the point called {name}", "frontier", where, "--pick", str(point.number))
        for name, point in named.items()
        if point.number is not None
    ]
    return (*again, command("list the frontier, to pick a point", "frontier", where), *picks)
