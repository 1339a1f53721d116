"""The folder that builds, which `export --project` writes, and the cases that it records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoestring.cli.ending import writing
from shoestring.cli.files import arrays_of
from shoestring.cli.source import task_of

if TYPE_CHECKING:
    import numpy as np

    from shoestring.artifact.format.file import Content
    from shoestring.artifact.plain_c.export import CFile
    from shoestring.artifact.plain_c.recording import Recorded

Project = Annotated[
    Path | None,
    typer.Option(
        help="C: a folder that builds, with a test and a Makefile, to write it to",
        show_default=False,
    ),
]
Inputs = Annotated[
    Path | None,
    typer.Option(
        help="C: an .npz file of which the project records ten cases \\[default: random]",
        show_default=False,
    ),
]
Raw = Annotated[
    Path | None,
    typer.Option(
        help="C: a file of raw inputs, as `run --raw` takes them, of which the project records "
        "three for its input chain \\[default: noise]",
        show_default=False,
    ),
]
TaskName = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="MODULE:FUNCTION",
        help="C: the project records ten validation examples of this task, with their labels",
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Cases:
    """Which cases a project records: arrays of a file, raw inputs of a file, examples of a task."""

    inputs: Path | None
    raw: Path | None
    task: str | None

    def check(self, project: Path | None, *, chain: bool) -> None:
        """Raise ValueError where cases are given that nothing would record."""
        for option, given in (("--inputs", self.inputs), ("--task", self.task)):
            if given is not None and project is None:
                raise ValueError(
                    f"{option}: cases are recorded in a project; give --project FOLDER too"
                )
        if self.inputs is not None and self.task is not None:
            raise ValueError("--inputs and --task both say what is recorded: give one of them")
        if self.raw is not None and (project is None or not chain):
            raise ValueError(
                "--raw: is for the input chain of a project; give --project FOLDER too, and no "
                "--no-input-chain"
            )

    def arrays(self, content: Content) -> tuple[dict[str, np.ndarray] | None, tuple[int, ...]]:
        """(an array for each input by name or None for random ones, the first ten labels)."""
        if self.inputs is not None:
            return arrays_of(self.inputs), ()
        if self.task is None:
            return None, ()
        import numpy as np

        from shoestring.artifact.plain_c.recording import CASES
        from shoestring.kit import Supervised

        task = task_of(self.task)
        if not isinstance(task, Supervised):
            raise ValueError(
                f"{self.task} gives a {type(task).__name__}, and no Supervised, whose validation "
                "examples could be recorded: give --inputs FILE.npz"
            )
        given, labels = task.validation
        arrays = given if isinstance(given, tuple | list) else (given,)
        names = [port.name for port in content.graph.inputs]
        if len(arrays) != len(names):
            raise ValueError(
                f"{self.task} has {len(arrays)} inputs and the file {len(names)}: is it of this "
                "file?"
            )
        numbers = np.asarray(labels)
        known = numbers.ndim == 1 and numbers.dtype.kind in "iu"
        return (
            {name: np.asarray(array)[:CASES] for name, array in zip(names, arrays, strict=True)},
            tuple(int(one) for one in numbers[:CASES]) if known else (),
        )


def write_project(content: Content, made: CFile, folder: Path, given: Cases) -> Recorded:
    """Write a folder that builds; returns the inputs in it."""
    from shoestring.artifact import save
    from shoestring.artifact.plain_c.project import project
    from shoestring.artifact.plain_c.recording import recorded
    from shoestring.artifact.plain_c.recording_raw import with_raw
    from shoestring.cli.raw_inputs import raw_of

    arrays, labels = given.arrays(content)
    cases = recorded(content, made, arrays)
    if made.emitted.chain is not None:
        raw = None if given.raw is None else raw_of(made.emitted.chain.chain, given.raw)
        cases = with_raw(content, made, cases, raw)
    elif given.raw is not None:
        raise ValueError("--raw: this file has no input chain")
    about = f"{cases.about} {comparison(made, cases)}"
    cases = replace(cases, about=about, labels=labels)
    texts = project(made, cases)
    paths = {name: folder / name for name in texts}
    _check_folder(folder, paths)
    writing(*paths.values())
    for name, text in texts.items():
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        save(paths[name], text.encode())
    count = len(cases.inputs) + len(cases.raw)
    print(f"{folder}: {len(texts)} files; make && ./test there compares {count} cases")
    print(cases.about)
    return cases


def _check_folder(folder: Path, paths: Mapping[str, Path]) -> None:
    """Raises FileExistsError where a folder has files of somebody else's, which would be lost."""
    mark = paths["library.properties"]  # the first that is written
    if mark.exists() and "Written by shoestring" in mark.read_text(errors="replace"):
        return
    if taken := [name for name, path in paths.items() if path.exists()]:
        raise FileExistsError(
            f"{folder} has {', '.join(taken[:3])}, which shoestring did not write: give another "
            "folder, which need not exist"
        )


def comparison(made: CFile, cases: Recorded) -> str:
    """What a comparison of the C with ONNX Runtime found, on recorded inputs."""
    from shoestring.artifact.plain_c.board.targets import ToolError
    from shoestring.artifact.plain_c.comparing import compared

    try:
        return compared(made, cases).said()
    except ToolError as error:
        return f"Not compared with ONNX Runtime: {' '.join(str(error).split(chr(10))[:2])}"
