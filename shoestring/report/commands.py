"""Commands for a terminal, with paths that are quoted where they must be."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from shoestring.report.document import Command, Point

PROGRAM = "shoestring"
_OF_SOURCE = ("--inputs", "--same")
"""The options of compress that say what the task is."""
_DEMO = "shoestring.tasks:digits"
"""The task where nobody names one."""


def command(words: str, *arguments: str | Path, point: str | None = None) -> Command:
    """A command of the program, and in words what it does.

    `point`: the id of the point whose file it writes.
    """
    return Command(words=words, command=shlex.join([PROGRAM, *map(_word, arguments)]), id=point)


def _word(argument: str | Path) -> str:
    """An argument as it is typed: a path that begins with "-" would be read as an option."""
    word = str(argument)
    return f"./{word}" if isinstance(argument, Path) and word.startswith("-") else word


def of_file(file: Path, entries: Sequence[str]) -> tuple[Command, ...]:
    """Commands that look into a file and use it.

    `entries`: the names of its graphs; () for a packed checkpoint.
    """
    inspect = command("what each byte of it is for", "inspect", file)
    if not entries:
        unpack = command("back as a checkpoint, bit for bit", "unpack", file)
        return (inspect, unpack)
    runs = [
        command(
            f"run {f'its entry {entry}' if entry else 'it'} on arrays of your own, one an input",
            *("run", file, "inputs.npz"),
            *(("--entry", entry) if entry else ()),
        )
        for entry in entries
    ]
    onnx = command("as plain ONNX, for any runtime", "export", file, file.with_suffix(".onnx"))
    return (inspect, *runs, onnx)


def of_scoring(file: Path, source: Sequence[str]) -> tuple[Command, ...]:
    """The command that scores a file on the test data of the task; () where that is not known.

    `source`: the words of the command that searched.
    """
    functions = [
        word for before, word in pairwise(source) if ":" in word and not before.startswith("-")
    ]
    if not functions and (not source or any(":" in word for word in source)):
        return ()
    given = [part for pair in pairwise(source) if pair[0] in _OF_SOURCE for part in pair]
    given += [word for word in source if word.partition("=")[0] in _OF_SOURCE and "=" in word]
    words = "its score on test data, which a ledger records"
    return (command(words, "score", file, functions[0] if functions else _DEMO, *given),)


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
