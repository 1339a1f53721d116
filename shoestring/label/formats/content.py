"""What all formats share: decoding, JSON, paths of pictures, the names of splits and classes."""

from __future__ import annotations

import codecs
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from shoestring.label.example import Annotation, Collection, Example, Label
from shoestring.label.formats.format import FormatError

MOST_BYTES = 2 << 30
"""The largest file that is read: it is read into memory, several times its size."""
PICTURES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""The endings of files that are taken for pictures."""
SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""What sources call the splits, and what they are called here."""
UNLABELLED = frozenset({"unlabelled", "unlabeled"})
"""The names of folders that are no classes."""


def text_of(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark; no mark is left in it.

    Raises FormatError for another encoding, with the line; for a file that is no text; and for one
    of more than `MOST_BYTES`.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise FormatError(
            f"{path} has {size:,} bytes, and at most {MOST_BYTES:,} are read into memory: split it "
            "into several files"
        )
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return content.decode("utf-16")
        except UnicodeDecodeError as error:
            raise FormatError(
                f"{path} begins like UTF-16, and byte {error.start:,} does not go on so: convert "
                "it to UTF-8"
            ) from None
    if b"\0" in content[: 1 << 20]:
        raise FormatError(
            f"{path} is no text: it has a zero byte at {content.index(0):,}. Give a text in UTF-8 "
            "(iconv -t utf-8), or the folder that it is in"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise FormatError(
            f"line {line:,} of {path} is not UTF-8 (byte {content[error.start]:#04x}): where it is "
            f"Western European, convert it with iconv -f windows-1252 -t utf-8 '{path.name}'"
        ) from None


def encoded(text: str, like: Path) -> bytes:
    """A text in the encoding of a file that `text_of` read, with its byte order mark."""
    with like.open("rb") as file:
        begin = file.read(3)
    for mark, name in (
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF8, "utf-8"),
    ):
        if begin.startswith(mark):
            return mark + text.encode(name)
    return text.encode()


def json_of(text: str, where: str) -> Any:
    """What a text in JSON means; raises FormatError, which says the line.

    `where`: the file, or the file and the line, for the error.
    """
    try:
        found = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise FormatError(
            f"{where} is no JSON: {error.msg} in line {error.lineno:,}, column {error.colno:,}"
        ) from None
    except RecursionError:
        raise FormatError(f"{where} is nested too deeply to be labels") from None
    except ValueError as error:
        raise FormatError(
            f"{where} holds {error}: write a number, or null where there is none"
        ) from None
    if "\\ud" in text.lower() and not is_utf8(json.dumps(found, ensure_ascii=False)):
        raise FormatError(
            f"{where} holds half a character (a lone surrogate such as \\ud83d), which no file in "
            "UTF-8 can: write the whole character"
        )
    return found


def is_utf8(text: str) -> bool:
    """Whether a text can be written in UTF-8: half a character (a lone surrogate) cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_number(word: str) -> Any:
    raise ValueError(f"{word}, which is no number in JSON")


def _finite(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise ValueError(f"{word}, which is too large for a number")
    return number


def number(value: Any, what: str, where: str) -> float:
    """A number that is finite; raises FormatError for anything else.

    `what`: the name of the number, for the error; `where`: the file and the entry.
    """
    try:
        found = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise FormatError(f"{where}: {what} is {value!r}: give a finite number")
    return found


def inside(folder: Path, name: str, where: str) -> Path:
    """The path of a file that a source names, relative to its folder.

    Raises FormatError for a path that leads out of the folder: a file of labels may not name any
    file of this machine.
    """
    path = folder / name.replace("\\", "/")
    try:
        leads_out = not path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a loop of links, a zero byte
        leads_out = True
    if leads_out:
        raise FormatError(
            f"{where} names {name!r}, which is not in {folder}: put the picture there, and write "
            "its path relative to it"
        )
    return path


def split_of(word: str) -> str:
    """The split that a word means: "train", "validation" or "test"; "" for no split."""
    return SPLITS.get(word.strip().lower(), "")


def is_picture(name: str) -> bool:
    """Whether the ending of a name is that of a picture."""
    return PurePosixPath(name.replace("\\", "/")).suffix.lower() in PICTURES


def class_names(names: Iterable[str]) -> tuple[str, ...]:
    """The different names in order: 2 before 10, and numbers before words."""

    def key(name: str) -> list[tuple[int, int, str]]:
        parts = re.findall(r"\d+|\D+", name)
        return [
            (0, int(part), part) if part.isascii() and part.isdecimal() else (1, 0, part)
            for part in parts
        ]

    return tuple(sorted(set(names), key=key))


def names_in(examples: Iterable[Example]) -> tuple[str, ...]:
    """The classes of all annotations and predictions, in order."""
    return class_names(
        label.name
        for example in examples
        for said in (*example.annotations, *example.predictions)
        for label in said.labels
    )


def told(counts: Counter[str]) -> tuple[str, ...]:
    """A sentence for each thing that was counted: "Boxes without area, left out: 3."."""
    return tuple(f"{what}: {count:,}." for what, count in counts.items() if count)


def all_different(names: Sequence[str], source: Path, what: str) -> None:
    """Raise FormatError where a name is there twice; `what`: of the thing, such as a picture."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise FormatError(
            f"{source} has {what} {twice[0]!r} {names.count(twice[0])} times"
            f"{f' (and {len(twice) - 1:,} others more than once)' if twice[1:] else ''}: keep one "
            "entry for each"
        )


def last_said(example: Example) -> Annotation | None:
    """The last annotation that was not skipped; None where there is none."""
    said = [one for one in example.annotations if not one.skipped]
    return said[-1] if said else None


def of_kind(annotation: Annotation | None, kind: type[Label]) -> tuple[Label, ...]:
    """The labels of one kind."""
    return tuple(one for one in annotation.labels if isinstance(one, kind)) if annotation else ()


def not_kept(collection: Collection) -> Counter[str]:
    """What a format with one label an example, and no more, cannot keep of a collection."""
    lost: Counter[str] = Counter()
    for example in collection.examples:
        said = [one for one in example.annotations if not one.skipped]
        lost["Examples with several answers, of which the file has the last alone"] += len(said) > 1
        lost["Answers that skip an example, which the file has not"] += len(
            example.annotations
        ) - len(said)
        lost["Examples with predictions, which the file has not"] += bool(example.predictions)
        lost["Examples of which not all is marked, which the file does not say"] += any(
            not one.complete for one in said[-1:]
        )
    return lost
