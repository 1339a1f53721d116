"""Commands for a terminal, with paths that are quoted where they must be."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from shoestring.report.document import Command, Point

PROGRAM = "shoestring"


def command(words: str, *arguments: str | Path, point: str | None = None) -> Command:
    """A command of the program, and in words what it does.

    `point`: the id of the point whose file it writes.
    """
    return Command(words=words, command=shlex.join([PROGRAM, *map(str, arguments)]), id=point)


def of_file(file: Path) -> tuple[Command, ...]:
    """Commands that look into a file and run it."""
    return (
        command("what each byte of it is for", "inspect", file),
        command("run it on arrays of your own, one for each input", "run", file, "inputs.npz"),
        command("as plain ONNX, for any runtime", "export", file, file.with_suffix(".onnx")),
    )


def of_search(
    file: Path,
    folder: Path,
    source: Sequence[str],
    points: Sequence[Point],
    named: Mapping[str, str],
) -> tuple[Command, ...]:
    """Commands that search again, and that write the file of a point of the frontier.

    `source`: the words of the command that searched; () where it is not known.
    `named`: ids of points by their names.
    """
    names = {point: f", called {name}" for name, point in named.items()}
    where = file if folder.name.startswith(file.name) else folder
    again = [command("search again, from what is known already", *source)] if source else []
    numbered = sorted((p for p in points if p.number is not None), key=lambda p: p.number or 0)
    return (
        *again,
        command("list the frontier, to pick a point", "frontier", where),
        *(
            command(
                f"write the file of point {point.number}{names.get(point.id, '')}",
                *("frontier", where, "--pick", str(point.number)),
                point=point.id,
            )
            for point in numbered
        ),
    )
