"""Which column of a table is the text, the picture, the class or the split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from shoestring.label.formats.content import is_picture, split_of
from shoestring.label.formats.format import FormatError

TEXTS = (
    "text",
    "sentence",
    "review",
    "content",
    "body",
    "document",
    "comment",
    "tweet",
    "message",
    "question",
    "utterance",
    "abstract",
)
LABELS = (
    "label",
    "class",
    "category",
    "target",
    "sentiment",
    "label_text",
    "label_name",
    "intent",
    "topic",
    "polarity",
    "y",
)
_PICTURES = ("picture", "image", "img", "file_name", "filename", "file", "path", "image_path")
_SPLITS = ("split", "fold", "subset")
_MOST_CLASSES = 50
_SEEN = 2_000
"""How many lines are looked at to find out what a column holds."""


@final
@dataclass(frozen=True, kw_only=True)
class Columns:
    """The names of the columns; "" where a table has none.

    `name`: of the examples, which only tables have that this package wrote.
    `notes`: how they were found, where nobody named them.
    """

    text: str = ""
    picture: str = ""
    label: str = ""
    split: str = ""
    name: str = ""
    notes: tuple[str, ...] = ()

    @property
    def special(self) -> frozenset[str]:
        """The columns that are no further fields of an example."""
        return frozenset({self.text, self.picture, self.label, self.split, self.name} - {""})


def columns_of(
    source: Path, header: Sequence[str], table: Sequence[Mapping[str, str]], text: str, label: str
) -> Columns:
    """What the columns of a table are.

    `text`, `label`: the columns that the caller named; "" where they are to be found.
    Raises FormatError where the table has no such column.
    """
    for option, name in (("text", text), ("label", label)):
        if name and name not in header:
            raise FormatError(
                f"{option}={name!r} is no column of {source}: its columns are {_listed(header)}"
            )
    notes: list[str] = []
    some = table[:_SEEN]
    split = _split(header, some)
    taken = {split, "example" if "example" in header else ""}
    free = [name for name in header if name not in taken]
    picture = "" if text else _picture(free, some)
    free = [name for name in free if name != picture]
    chosen_text = text
    if not text and not picture:
        others = [name for name in free if name != label]
        chosen_text = _named(others, TEXTS) or _longest(others, some)
    free = [name for name in free if name != chosen_text]
    chosen_label = label or _named(free, LABELS)
    is_row = not chosen_text and not picture
    if not chosen_label:
        chosen_label = _few(free[-1:] if is_row else free, some)
    if not text and chosen_text:
        notes.append(f"The text is the column {chosen_text!r}; name another with text=.")
    if picture:
        notes.append(f"The pictures are those that the column {picture!r} names.")
    if is_row:
        notes.append("No column has texts or pictures: each line is a row; name one with text=.")
    if chosen_label and not label:
        notes.append(f"The class is in the column {chosen_label!r}; name another with label=.")
    if not chosen_label:
        notes.append("No column looks like a class, so there are no labels; name one with label=.")
    return Columns(
        text=chosen_text,
        picture=picture,
        label=chosen_label,
        split=split,
        name="example" if "example" in header else "",
        notes=tuple(notes),
    )


def _listed(header: Sequence[str]) -> str:
    return ", ".join(map(repr, header[:20])) + (", …" if len(header) > 20 else "")


def _named(header: Sequence[str], known: Sequence[str]) -> str:
    """The column that has the first of the known names that there is; "" for none."""
    lower = {name.lower(): name for name in reversed(header)}
    return next((lower[name] for name in known if name in lower), "")


def _split(header: Sequence[str], some: Sequence[Mapping[str, str]]) -> str:
    name = _named(header, _SPLITS)
    return name if name and any(split_of(row[name]) for row in some) else ""


def _picture(header: Sequence[str], some: Sequence[Mapping[str, str]]) -> str:
    """The column of paths of pictures, by its name and its values."""
    lower = {name.lower(): name for name in header}
    for known in _PICTURES:
        if known in lower and some and all(is_picture(row[lower[known]]) for row in some):
            return lower[known]
    return ""


def _longest(header: Sequence[str], some: Sequence[Mapping[str, str]]) -> str:
    """The column with the most words, where they are three or more in the mean and differ."""
    best, most = "", 3.0
    for name in header:
        values = [row[name] for row in some]
        words = sum(len(value.split()) for value in values) / max(1, len(values))
        if words >= most and len(set(values)) > len(values) / 2:
            best, most = name, words
    return best


def _few(header: Sequence[str], some: Sequence[Mapping[str, str]]) -> str:
    """The column with the fewest different values, where each is there twice in the mean."""
    best, fewest = "", _MOST_CLASSES + 1
    for name in header:
        distinct = {row[name] for row in some} - {""}
        if 2 <= len(distinct) < fewest and 2 * len(distinct) <= len(some):
            best, fewest = name, len(distinct)
    return best
