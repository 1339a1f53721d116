"""Reading: the format is found by what is in a file or a folder."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from shoestring.label.example import Box, Collection
from shoestring.label.formats.arrow import Arrow, is_arrow
from shoestring.label.formats.coco import Coco
from shoestring.label.formats.conllu import Conllu
from shoestring.label.formats.content import is_picture, json_of, text_of
from shoestring.label.formats.format import Format, FormatError
from shoestring.label.formats.json_lines import JsonLines
from shoestring.label.formats.label_studio import LabelStudio, kind_of_data
from shoestring.label.formats.picture_folder import PictureFolder
from shoestring.label.formats.table import Table
from shoestring.label.formats.voc import Voc, voc_root

_PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK": "zip",
    b"PAR1": "Parquet",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
}
_CONLLU_FIELDS = 10


def read(source: str | Path, **options: Any) -> Collection:
    """The examples of a file or a folder, in whichever format it is.

        read("reviews.csv")
        read("reviews.csv", text="body", label="stars")
        read("export.json", result="boxes")

    `source`: a folder of pictures, a table, JSON lines, Label Studio's or COCO's JSON, Pascal VOC,
        CoNLL-U, or a data set of Hugging Face. The notes of the collection say what was left out
        or assumed.
    `options`: the fields of the format: `text`, `label` and `columns` of tables, `text` and `label`
        of JSON lines, `result` and `data` of Label Studio, `images` of COCO.

    Raises FormatError for content of no known format, or that is wrong; TypeError for an option
    that its format does not have; OSError where it cannot be read.
    """
    source = Path(source)
    kind = format_of(source)
    known = [one.name for one in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise TypeError(
            f"{source} is in the format {kind.__name__}, which has no option {unknown[0]!r}: "
            f"{f'it has {known}' if known else 'it has none'}"
        )
    return kind(**options).read(source)


def write(collection: Collection, path: str | Path, form: Format | None = None) -> tuple[str, ...]:
    """Write a collection, completely or not at all.

        write(collection, "tasks.json")                  # for Label Studio
        write(collection, "boxes.json", Coco())

    `form`: the format; None: Table for .csv and .tsv, JsonLines for .jsonl, LabelStudio for .json,
        Conllu for .conllu, and, for a name without an ending, a new folder: Voc for boxes, else
        PictureFolder.

    Returns a sentence for each thing that the format cannot keep and that was there.
    Raises ValueError for what has no place in the format at all, and OSError.
    """
    path = Path(path)
    if form is None:
        folder: Format = Voc() if collection.kind is Box else PictureFolder()
        by_ending: dict[str, Format] = {
            ".csv": Table(),
            ".tsv": Table(),
            ".tab": Table(),
            ".jsonl": JsonLines(),
            ".json": LabelStudio(),
            ".conllu": Conllu(),
            "": folder,
        }
        if path.suffix.lower() not in by_ending:
            raise ValueError(
                f"no format is known by the ending of {path.name!r}: end it in .csv, .jsonl, .json "
                "or .conllu, or name the format, as in Coco()"
            )
        form = by_ending[path.suffix.lower()]
    return form.write(collection, path)


def format_of(source: Path) -> type[Format]:
    """The format of a file or a folder, by its content.

    Raises FileNotFoundError where nothing is there, and FormatError for content of no known format.
    """
    if not source.exists():
        raise FileNotFoundError(f"there is no {source}: name a file or a folder that exists")
    if source.is_dir():
        if is_arrow(source):
            return Arrow
        return PictureFolder if voc_root(source) is None else Voc
    if is_picture(source.name):
        raise FormatError(f"{source} is one picture: give the folder that it is in")
    with source.open("rb") as file:
        start = file.read(16)
    for magic, name in _PACKED.items():
        if start.startswith(magic):
            raise FormatError(f"{source} is packed ({name}): unpack it first")
    text = text_of(source)
    if not text.strip():
        raise FormatError(f"{source} is empty")
    first = text.lstrip()[0]
    if first in "[{":
        return _json_format(source, text)
    if first == "<":
        raise FormatError(f"{source} is markup: of Pascal VOC, give the folder of the XML files")
    return Conllu if _is_conllu(text) else Table


def _json_format(source: Path, text: str) -> type[Format]:
    if source.suffix.lower() in (".csv", ".tsv"):
        return Table
    lines = [line for line in text.split("\n") if line.strip()]
    if text.lstrip()[0] == "{" and lines[0].rstrip().endswith("}") and len(lines) > 1:
        return JsonLines
    if source.suffix.lower() in (".jsonl", ".ndjson"):
        return JsonLines
    content = json_of(text, str(source))
    if isinstance(content, dict):
        if "images" in content and "annotations" in content:
            return Coco
        if len(lines) == 1 and any(isinstance(content.get(key), str) for key in ("text", "image")):
            return JsonLines
        raise FormatError(
            f"{source} is one JSON object with the keys {list(content)[:8]}: neither COCO's "
            "(images, annotations, categories) nor a list of tasks or records"
        )
    if content and kind_of_data(content[0]):
        return LabelStudio
    return JsonLines


def _is_conllu(text: str) -> bool:
    """Whether the first line that is no comment is the first word of a sentence."""
    for line in text.split("\n"):
        if line.strip() and line[0] != "#":
            cells = line.rstrip("\r").split("\t")
            return len(cells) == _CONLLU_FIELDS and cells[0].split("-")[0] in ("1", "0.1")
    return False
