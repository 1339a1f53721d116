"""The command that looks for what is wrong with the reader's own data."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoestring.cli.ending import BEGINS_AGAIN, GOES_ON, if_interrupted
from shoestring.cli.source import call

if TYPE_CHECKING:
    from shoestring.label import Collection


Source = Annotated[
    str,
    typer.Argument(
        help="a folder of pictures with a folder for each class, a table (CSV, TSV) or JSON "
        "lines with a text and a label, or MODULE:FUNCTION that returns a task of images",
        show_default=False,
    ),
]
Text = Annotated[
    str | None,
    typer.Option(help="the column of the text, where it is not clear", show_default=False),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(help="the column of the label, where it is not clear", show_default=False),
]
Attribute = Annotated[
    str, typer.Option(help="a column whose groups are compared (bias)", show_default=False)
]
Minutes = Annotated[float, typer.Option(help="about how long it may take, above 0")]
Most = Annotated[
    int, typer.Option(help="examples that are looked at; more are drawn at random", min=20)
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="write all findings as CSV, to a new file; with --apply, the changed copy of the data",
        show_default=False,
    ),
]
Apply = Annotated[
    Path | None,
    typer.Option(
        "--apply",
        help="what --fix wrote and you looked at: it is applied to a new copy of the data, which "
        "--out names; nothing else is done",
        show_default=False,
    ),
]
Fix = Annotated[
    Path | None,
    typer.Option(
        help="write what to change as CSV, for you to look at; the data stays as it is, and so "
        "does a file that is there already",
        show_default=False,
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(help="remembers trainings, to go on after an interruption", show_default=False),
]


def audit(
    source: Source,
    text: Text = None,
    label: LabelColumn = None,
    attribute: Attribute = "",
    minutes: Minutes = 10.0,
    most: Most = 5_000,
    out: Out = None,
    fix: Fix = None,
    changes: Apply = None,
    folder: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Which labels are wrong, and what else: duplicates, contradictions, leaks, outliers, slices.

    Networks judge examples that they did not see. A first answer comes within seconds.
    """
    if changes is not None:
        _apply(source, changes, out, fix, {"text": text or "", "label": label or ""})
        return
    _check_new(source, out, fix)
    from shoestring.artifact import save
    from shoestring.recipes.audit_report import as_csv, as_first, as_text, numbering, proposal
    from shoestring.recipes.audit_report import as_json as in_json
    from shoestring.recipes.auditing import audits

    state = (
        "nothing was written; with --folder NAME the trainings would be kept"
        if folder is None
        else f"nothing was written; the trainings are in {folder}"
    )
    if_interrupted(lambda: f"{state}; {BEGINS_AGAIN if folder is None else GOES_ON}")
    with tempfile.TemporaryDirectory() as pictures:
        collection = _collection(source, text, label, Path(pictures))
        answers = audits(collection, attribute=attribute, minutes=minutes, most=most, folder=folder)
        first = next(answers)
        if not as_json and not first.is_last:
            said = as_first(first).replace("\n", "\n  ")
            print(
                f"First answer, after a short training:\n  {said}\nThe report follows.\n",
                flush=True,
            )
        found = next(answers, first)
    print(in_json(found) if as_json else as_text(found))
    if out is not None:
        save(out, as_csv(found).encode())
    if fix is not None:
        save(fix, proposal(found).encode())
    for path, what in ((out, "all findings"), (fix, "what to change, for you to look at")):
        if path is not None:
            print(f"{path}: {what}", file=sys.stderr)
    if (out is not None or fix is not None) and (said := numbering(found)):
        print(f"  {said}", file=sys.stderr)


def _apply(
    source: str, changes: Path, out: Path | None, fix: Path | None, columns: dict[str, str]
) -> None:
    """Apply a proposal to a copy, and say what became of its rows."""
    if out is None or fix is not None:
        raise ValueError(
            "--apply writes a changed copy of the data: name it with --out, and leave --fix out"
        )
    if not Path(source).exists():
        raise FileNotFoundError(
            f"there is no {source}: a proposal is applied to a folder of pictures, a table or "
            "JSON lines"
        )
    from shoestring.recipes.audit_changes import apply_changes
    from shoestring.recipes.audit_report import plain

    applied = apply_changes(source, changes, out, **columns)
    print(f"{out}: {applied}; {source} is as it was")
    for sentence in (*applied.left, *applied.notes):
        print(f"  {plain(sentence)}")


def _check_new(source: str, out: Path | None, fix: Path | None) -> None:
    """Raise FileExistsError where a file would be written over another, the data first of all."""
    for path, option in ((out, "--out"), (fix, "--fix")):
        if path is None or not (path.exists() or path.is_symlink()):
            continue
        what = "is the data" if _is_same(path, source) else "is there already"
        raise FileExistsError(f"{path} {what}: give {option} a new name, it never overwrites")
    if out is not None and fix is not None and out.resolve() == fix.resolve():
        raise ValueError(f"--out and --fix are both {out}: give two names")


def _is_same(path: Path, source: str) -> bool:
    return path.exists() and Path(source).exists() and path.samefile(source)


def _collection(source: str, text: str | None, label: str | None, pictures: Path) -> Collection:
    """What a source names; the pictures of a task are written to a folder."""
    named = {name: value for name, value in (("text", text), ("label", label)) if value}
    if Path(source).exists():
        from shoestring.label.formats import read

        return read(source, **named)
    if ":" not in source:
        raise FileNotFoundError(
            f"there is no {source}: give a folder of pictures, a table, JSON lines, or "
            "MODULE:FUNCTION"
        )
    if named:
        raise ValueError("--text and --label name columns of a table, and a function has none")
    from shoestring.kit import Supervised
    from shoestring.recipes.collected import collected

    made: Any = call(source)
    task = made[1] if isinstance(made, tuple) and len(made) == 2 else made
    if not isinstance(task, Supervised):
        raise ValueError(
            f"{source} returned {type(task).__name__}: an audit wants a Supervised task of images, "
            "a folder of pictures or a table"
        )
    return collected(task, pictures)
