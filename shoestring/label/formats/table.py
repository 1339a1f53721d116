"""Tables: CSV and TSV, with a text, a picture or a row of numbers in each line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import final

from shoestring.artifact import save
from shoestring.label.example import Annotation, Choice, Collection, Example
from shoestring.label.formats.columns import Columns, columns_of
from shoestring.label.formats.content import (
    all_different,
    class_names,
    encoded,
    inside,
    last_said,
    not_kept,
    of_kind,
    split_of,
    text_of,
    told,
)
from shoestring.label.formats.format import Format, FormatError
from shoestring.label.formats.lines import as_line, lines_of, separator_of, with_cell

NO_LABEL = frozenset({"", "nan"})
"""What stands for no label, in small letters."""


@final
@dataclass(frozen=True, kw_only=True)
class Table(Format):
    """A table of texts (or of paths of pictures, or rows of numbers) and their classes.

    The columns are found by their names (text, label, …) or, where no name is known, by what is in
    them: the longest words are the text, and few different values are the class. The notes say
    which were taken.

    `text`, `label`: the names of the columns to take; "" to find them.
    `columns`: the names of all columns of a file whose first line has none; () where it has.
    `separator`: one character; "" to find it.

    A file whose name ends in .txt and that has no tab is read as one text a line.
    """

    text: str = ""
    label: str = ""
    columns: tuple[str, ...] = ()
    separator: str = ""

    def read(self, source: Path) -> Collection:
        content = text_of(source)
        notes: list[str] = []
        if source.suffix.lower() == ".txt" and not self.separator and "\t" not in content:
            rows = [(at, [one]) for at, one in enumerate(content.splitlines(), 1) if one.strip()]
            header: Sequence[str] = ["text"]
        else:
            header, rows = self._header(source, _lines(source, content, self.separator), notes)
        where = [number for number, _ in rows]
        table = [dict(zip(header, cells, strict=True)) for _, cells in rows]
        found = columns_of(source, header, table, self.text, self.label)
        notes += found.notes
        counts: Counter[str] = Counter()
        names = _names(source, table, found, counts)
        examples = [
            _example(source, number, row, name, found, counts)
            for number, row, name in zip(where, table, names, strict=True)
        ]
        labels = [one.labels[0].name for example in examples for one in example.annotations]
        return Collection(
            examples=tuple(examples),
            kind=Choice,
            names=class_names(labels),
            notes=(*notes, *told(counts)),
        )

    def copy(self, source: Path, path: Path, labels: Mapping[str, str], without: Set[str]) -> None:
        """Write a copy of a table in which some labels are others; all else is as it is there.

        So are the ends of lines, quotes, empty lines and the encoding.

        `labels`: from the name of an example to its new label.
        `without`: the names of examples whose lines are left out.
        Raises ValueError for a file without a column of labels, for a copy without a line, and for
        one that could not name its pictures.
        """
        content = text_of(source)
        separator = self.separator or separator_of(content)
        lines = lines_of(source, content, separator)
        filled = [(one.number, one.cells) for one in lines if not one.is_empty]
        header, rows = self._header(source, filled, [])
        table = [dict(zip(header, cells, strict=True)) for _, cells in rows]
        found = columns_of(source, header, table, self.text, self.label)
        if not found.label:
            raise ValueError(f"{source} has no column of labels to change: name it with label=")
        if found.picture and path.parent.resolve() != source.parent.resolve():
            raise ValueError(
                f"{source} names pictures by their paths from its folder, and {path} is in another "
                f"folder: write the copy to {source.parent}, beside the pictures"
            )
        names = _names(source, table, found, Counter())
        if not set(names) - without:
            raise ValueError(f"no line of {source} would be left: keep one, at least")
        place, left = list(header).index(found.label), iter(names)
        examples, kept = {number for number, _ in rows}, list[str]()
        for line in lines:
            if line.number not in examples:  # the names of the columns, or empty
                kept.append(line.written)
            elif (name := next(left)) in labels:
                kept.append(with_cell(line, place, labels[name], separator))
            elif name not in without:
                kept.append(line.written)
        save(path, encoded("".join(kept), source))

    def _header(
        self, source: Path, lines: list[tuple[int, list[str]]], notes: list[str]
    ) -> tuple[Sequence[str], list[tuple[int, list[str]]]]:
        """The names of the columns, and the lines below them."""
        if not lines:
            raise FormatError(f"{source} is empty: give a table with a line for each example")
        width = len(self.columns or lines[0][1])
        for number, cells in lines:
            if len(cells) != width:
                raise FormatError(
                    f"line {number:,} of {source} has {len(cells)} cells, and "
                    f"{'columns= names' if self.columns else 'the first line has'} {width}: a "
                    "separator in a cell needs quotes around the cell, or name the separator"
                )
        if self.columns:
            return self.columns, lines
        header = [cell.strip() for cell in lines[0][1]]
        below = [cells for _, cells in lines[1:]]
        if _is_data(header, below):
            header = [f"column {place}" for place in range(1, width + 1)]
            notes.append(
                "The first line was taken for an example, since its values are like those below "
                "it; name the columns with columns= where that is wrong."
            )
            return header, lines
        for place, name in enumerate(header):
            header[place] = name or f"column {place + 1}"
        all_different(header, source, "the column")
        if not below:
            raise FormatError(f"{source} has the names of columns, and no line below them")
        return header, lines[1:]

    def write(self, collection: Collection, path: Path) -> tuple[str, ...]:
        """Write a line for each example; tabs separate where the name ends in .tsv."""
        if collection.kind is not Choice:
            raise ValueError(
                f"a table keeps a class for each example, no {collection.kind.__name__}: write "
                "JsonLines() or LabelStudio()"
            )
        counts = not_kept(collection)
        fields = list(dict.fromkeys(key for one in collection.examples for key in one.fields))
        taken = {"example", "text", "picture", "label", "split"}
        if clash := sorted(taken & set(fields)):
            raise ValueError(
                f"a field is named {clash[0]!r}, like a column of the table: rename it"
            )
        has = {
            "text": any(one.text is not None for one in collection.examples),
            "picture": any(one.picture is not None for one in collection.examples),
            "split": any(one.split for one in collection.examples),
        }
        kept = [name for name in ("text", "picture") if has[name]]
        header = ["example", *kept, *fields, "label", *(["split"] if has["split"] else [])]
        separator = "\t" if path.suffix.lower() in (".tsv", ".tab") else self.separator or ","
        lines = [as_line(header, separator)]
        for example in collection.examples:
            row = _line(example, path, header)
            lines.append(as_line([row.get(name, "") for name in header], separator))
        save(path, "".join(lines).encode())
        return told(counts)


def _lines(source: Path, text: str, separator: str) -> list[tuple[int, list[str]]]:
    """(number of its last line in the file, cells) of each row that is not empty."""
    lines = lines_of(source, text, separator or separator_of(text))
    return [(one.number, one.cells) for one in lines if not one.is_empty]


def _is_data(header: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether the first line has values, and no names of columns.

    So it is where a cell is a number in a column of numbers, or is there again in a column of few
    values, or is there twice in the line.
    """
    if "" in header and len(header) > 1 and header.count("") == 1 and header[0] == "":
        return False  # the index that pandas writes
    for place, name in enumerate(header):
        values = [cells[place] for cells in below]
        distinct = set(values)
        if _is_number(name) and values and all(map(_is_number, values)):
            return True
        if name in distinct and len(distinct) <= max(2, len(values) // 4):
            return True
    return False


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _names(
    source: Path, table: Sequence[Mapping[str, str]], found: Columns, counts: Counter[str]
) -> list[str]:
    """The names of the examples: what this package wrote, the paths of pictures, or 1, 2, …"""
    if found.name:
        names = [row[found.name] for row in table]
        all_different(names, source, f"the {found.name}")
        return names
    if found.picture:
        names = [row[found.picture] for row in table]
        if len(set(names)) == len(names):
            return names
        counts["Pictures that several lines name, so that examples are named by their number"] += (
            len(names) - len(set(names))
        )
    return [str(number) for number in range(1, len(table) + 1)]


def _example(
    source: Path,
    number: int,
    row: Mapping[str, str],
    name: str,
    found: Columns,
    counts: Counter[str],
) -> Example:
    label = row[found.label].strip() if found.label else ""
    said: tuple[Annotation, ...] = ()
    if label.lower() not in NO_LABEL:
        said = (Annotation(labels=(Choice(name=label),)),)
    elif label:
        counts["Labels that are NaN, taken for none"] += 1
    picture = None
    if found.picture:
        picture = inside(source.parent, row[found.picture], f"line {number:,} of {source}")
    split = split_of(row[found.split]) if found.split else ""
    counts["Splits that are none of train, validation and test, ignored"] += bool(
        found.split and row[found.split].strip() and not split
    )
    others = {key: value for key, value in row.items() if key not in found.special}
    return Example(
        name=name,
        text=row[found.text] if found.text else None,
        picture=picture,
        fields=others,
        annotations=said,
        split=split,
    )


def _line(example: Example, path: Path, header: Sequence[str]) -> dict[str, str]:
    labels = of_kind(last_said(example), Choice)
    if len(labels) > 1:
        raise ValueError(
            f"the example {example.name!r} has {len(labels)} classes, and a line of a table has "
            "one: write JsonLines()"
        )
    row = {key: value for key, value in example.fields.items() if key in header}
    row |= {"example": example.name, "label": labels[0].name if labels else ""}
    if example.text is not None:
        row["text"] = example.text
    if example.picture is not None:
        row["picture"] = relative(example.picture, path.parent)
    if "split" in header:
        row["split"] = example.split
    return row


def relative(picture: Path, folder: Path) -> str:
    """The path of a picture relative to the folder of a file that names it.

    Raises ValueError for a picture that is not in that folder: it could not be read again.
    """
    try:
        return picture.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        raise ValueError(
            f"the picture {picture} is not in {folder}: write the file beside the pictures, so "
            "that it can name them by relative paths"
        ) from None
