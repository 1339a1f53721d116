"""Applying what an audit proposed to a new copy of the data; the data stays as it is."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from shoestring.label import Annotation, Choice, Collection, Example
from shoestring.label.collect.answer import digest, is_visible
from shoestring.label.formats import FormatError, Table, format_of, read
from shoestring.label.formats.content import text_of
from shoestring.label.formats.lines import long_cells
from shoestring.label.formats.table import NO_LABEL
from shoestring.recipes.own_data import chosen

_WANTED = ("name", "label", "new_label", "action")


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What became of the rows of a proposal.

    `relabelled`: from the name of an example to its new label.
    `removed`: the names of examples that the copy does not have.
    `left`: a sentence for each row that was not applied.
    `notes`: classes that the source does not have, and what the format of the copy cannot keep, a
        sentence each.
    """

    relabelled: dict[str, str]
    removed: tuple[str, ...]
    left: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = f"{len(self.relabelled):,} relabelled, {len(self.removed):,} removed"
        return f"{said}, {len(self.left):,} rows not applied"


def apply_changes(
    source: str | Path, changes: Path, path: Path, *, text: str = "", label: str = ""
) -> Applied:
    """Write a copy of the data with the rows of a proposal applied.

    Of a table, the copy has the same columns and lines, but for the labels that change and the
    lines that go, in its encoding and with its ends of lines; of other formats it is written by
    `Format.write`. A row is applied where its example is there with the label, and the text or the
    values, that the row says. A row to settle is applied where you wrote a `new_label`.

    `source`: as `read` takes it; `changes`: what `shoestring audit --fix` wrote.
    `path`: of the copy, where nothing is yet.
    `text`, `label`: the names of the columns; "" to find them.
    Raises FileExistsError where something is at `path`, FormatError for changes of another form,
    and ValueError where no row can be applied, no example would be left, or `path` is inside of the
    source; nothing is written then.
    """
    source = Path(source)
    if source.is_dir() and path.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"{path} is inside of {source}, which would change: name a place outside")
    if path.exists() or path.is_symlink():
        what = "is the data" if path.exists() and path.samefile(source) else "is there already"
        raise FileExistsError(f"{path} {what}: give a new name, it never overwrites")
    named = {key: value for key, value in (("text", text), ("label", label)) if value}
    collection = read(source, **named)
    if collection.kind is not Choice:
        raise ValueError(
            f"{source} has labels of kind {collection.kind.__name__}: a proposal of an audit is of "
            "classes"
        )
    applied = _decided(collection, _rows(changes))
    if not applied.relabelled and not applied.removed:
        raise ValueError(
            f"no row of {changes} was applied, and nothing was written: "
            + ("; ".join(applied.left[:3]) or "it has none")
        )
    form = format_of(source)
    applied = replace(applied, notes=_unknown(collection, applied))
    if form is Table:
        Table(text=text, label=label).copy(source, path, applied.relabelled, set(applied.removed))
        return applied
    changed = _changed(collection, applied)
    if not changed.examples:
        raise ValueError(f"no example of {source} would be left: keep one, at least")
    return replace(applied, notes=(*applied.notes, *form().write(changed, path)))


def _rows(changes: Path) -> list[dict[str, str]]:
    try:
        reader = csv.DictReader(io.StringIO(text_of(changes), newline=""), strict=True)
        with long_cells():
            rows = list(reader)
    except csv.Error as error:
        raise FormatError(f"{changes} is no table ({error})") from None
    lacks = [one for one in _WANTED if one not in (reader.fieldnames or ())]
    if lacks:
        raise FormatError(
            f"{changes} has no column {lacks[0]!r}: give what `shoestring audit --fix` wrote, with "
            f"{', '.join(_WANTED)}"
        )
    for at, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise FormatError(f"line {at:,} of {changes} has another number of cells")
    return rows


def _decided(collection: Collection, rows: Iterable[dict[str, str]]) -> Applied:
    """Which rows are applied."""
    examples = {one.name: one for one in collection.examples}
    relabelled: dict[str, str] = {}
    removed: list[str] = []
    left: list[str] = []
    for row in rows:
        name, new, action = row["name"], row["new_label"].strip(), row["action"].strip()
        why = _misfit(examples.get(name), row)
        if why is None and (name in relabelled or name in removed):
            why = "a row before it changes the same example"
        if why is not None:
            left.append(f"{name!r}: {why}")
        elif action == "remove":
            removed.append(name)
        elif action in ("relabel", "settle") and (new or action == "relabel"):
            if (why := _unfit(new, row["label"])) is None:
                relabelled[name] = new
            else:
                left.append(f"{name!r}: {why}")
        elif action == "settle":
            other = row.get("other", "")
            left.append(f"{name!r}: it contradicts {other!r}; write its new_label, or remove it")
        else:
            left.append(f"{name!r}: its row has the action {action!r}")
    return Applied(relabelled=relabelled, removed=tuple(removed), left=tuple(left))


def _unfit(new: str, old: str) -> str | None:
    """Why a label cannot be given; None where it can."""
    if not new:
        return "its row has no new_label"
    if new == old:
        return f"its new_label is {new!r}, which it has"
    if new.lower() in NO_LABEL:
        return f"its new_label is {new!r}, which is read as no label"
    if not is_visible(new):
        return f"its new_label is {new!a}: a class is one line that shows"
    return None


def _unknown(collection: Collection, applied: Applied) -> tuple[str, ...]:
    """A sentence for each class that only the new labels have."""
    given = Counter(applied.relabelled.values())
    return tuple(
        f"{name!r} is no class of the source, and now the label of "
        f"{'1 example' if count == 1 else f'{count:,} examples'}: look whether it is mistyped"
        for name, count in sorted(given.items())
        if name not in collection.names
    )


def _misfit(example: Example | None, row: dict[str, str]) -> str | None:
    """Why a row does not fit the data; None where it does."""
    if example is None:
        return "the data has no such example"
    own = chosen(example, [])
    if own != row["label"]:
        return f"its label is {own!r}, and the row says {row['label']!r}"
    if row.get("text") and example.text is not None and example.text != row["text"]:
        return "it has another text than the row says"
    if row.get("digest") and row["digest"] != digest(example):
        return "it has other values than when it was audited: audit the data as it is now"
    return None


def _changed(collection: Collection, applied: Applied) -> Collection:
    removed = set(applied.removed)
    examples = [
        replace(one, annotations=_said(applied.relabelled[one.name]))
        if one.name in applied.relabelled
        else one
        for one in collection.examples
        if one.name not in removed
    ]
    new = sorted(set(applied.relabelled.values()) - set(collection.names))
    return replace(collection, examples=tuple(examples), names=(*collection.names, *new))


def _said(name: str) -> tuple[Annotation, ...]:
    return (Annotation(labels=(Choice(name=name),), by="audit"),)
