"""A data set that Hugging Face `datasets` wrote with `save_to_disk`: Arrow files and JSON."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from shoestring.label.example import Annotation, Choice, Collection, Example
from shoestring.label.formats.columns import columns_of
from shoestring.label.formats.content import (
    all_different,
    class_names,
    inside,
    json_of,
    last_said,
    not_kept,
    of_kind,
    split_of,
    text_of,
    told,
)
from shoestring.label.formats.format import Format, FormatError
from shoestring.label.formats.new_folder import new_folder
from shoestring.label.formats.records import scalar


@final
@dataclass(frozen=True, kw_only=True)
class Arrow(Format):
    """A folder of `datasets.Dataset.save_to_disk`, or of a `DatasetDict`.

    Texts and rows are read and written; columns of pictures and sounds are not: save the pictures
    as files. Both need pyarrow, which `datasets` brings.

    `text`, `label`: the names of the columns; "" to find them as in a table.
    """

    text: str = ""
    label: str = ""

    def read(self, source: Path) -> Collection:
        splits = _splits(source)
        counts: Counter[str] = Counter()
        rows: list[dict[str, str]] = []
        places: list[tuple[str, str]] = []  # name and split of each row
        classes: tuple[str, ...] = ()
        for split, folder in splits:
            info = json_of(text_of(folder / "dataset_info.json"), str(folder / "dataset_info.json"))
            names = _class_labels(info)
            for at, row in enumerate(_rows(folder, counts), 1):
                rows.append({key: _word(value, names.get(key)) for key, value in row.items()})
                places.append((f"{split}/{at}" if split else str(at), split_of(split)))
            classes = max((classes, *names.values()), key=len)
        if not rows:
            raise FormatError(f"{source} has no rows")
        if any(list(row) != list(rows[0]) for row in rows):
            raise FormatError(f"the splits of {source} have different columns: read one by one")
        header = list(rows[0])
        found = columns_of(source, header, rows, self.text, self.label)
        special = {found.text, found.label, found.name}
        examples = []
        if found.name:  # which only folders have that were written here
            all_different([row[found.name] for row in rows], source, "the example")
        for row, (place, split) in zip(rows, places, strict=True):
            name = row[found.name] if found.name else place
            label = row[found.label] if found.label else ""
            said = (Annotation(labels=(Choice(name=label),)),) if label else ()
            examples.append(
                Example(
                    name=name,
                    text=row[found.text] if found.text else None,
                    fields={key: value for key, value in row.items() if key not in special},
                    annotations=said,
                    split=split,
                )
            )
        seen = {said.labels[0].name for one in examples for said in one.annotations}
        ordered = classes if seen <= set(classes) else class_names(seen)
        return Collection(
            examples=tuple(examples),
            kind=Choice,
            names=ordered,
            notes=(*found.notes, *told(counts)),
        )

    def write(self, collection: Collection, path: Path) -> tuple[str, ...]:
        """Write a new folder that `datasets.load_from_disk` reads.

        Its columns are `example` (the name), `text`, the fields as texts, and `label`, a
        ClassLabel, with -1 where there is none. Examples of a split are in a folder of that name;
        where some have a split, those that have none are in `rest`.
        Raises ValueError for pictures, for labels that are no classes, and for a field that is
        named like a column; ModuleNotFoundError without pyarrow.
        """
        _check_written(collection)
        pyarrow = _pyarrow(f"{path} is a folder of Arrow files")
        counts = not_kept(collection)
        splits = list(dict.fromkeys(one.split for one in collection.examples))
        has_splits = splits != [""]
        with new_folder(path) as folder:
            for split in splits:
                own = [one for one in collection.examples if one.split == split]
                part = folder / (split or "rest") if has_splits else folder
                part.mkdir(exist_ok=True)
                _write_part(pyarrow, part, own, collection)
            if has_splits:
                named = {"splits": [split or "rest" for split in splits]}
                (folder / "dataset_dict.json").write_text(json.dumps(named), encoding="utf-8")
        return told(counts)


_FILE = "data-00000-of-00001.arrow"
_COLUMNS = ("example", "text", "label")


def _check_written(collection: Collection) -> None:
    """Raise ValueError for a collection that a folder of Arrow files has no place for."""
    if collection.kind is not Choice:
        raise ValueError(
            f"a data set keeps a class for each example, no {collection.kind.__name__}: write "
            'JsonLines(), and load it with datasets.load_dataset("json", data_files=…)'
        )
    if not collection.examples:
        raise ValueError("a collection without examples is no data set: add some")
    for example in collection.examples:
        if example.picture is not None:
            raise ValueError(
                f"the example {example.name!r} is a picture: write PictureFolder(), and load it "
                'with datasets.load_dataset("imagefolder", data_dir=…)'
            )
        if len(of_kind(last_said(example), Choice)) > 1:
            raise ValueError(
                f"the example {example.name!r} has several classes, and a row has one: write "
                "JsonLines()"
            )
        if clash := sorted(set(_COLUMNS) & set(example.fields)):
            raise ValueError(f"a field is named {clash[0]!r}, like a column: rename it")


def _write_part(
    pyarrow: Any, folder: Path, examples: Sequence[Example], collection: Collection
) -> None:
    """The Arrow file of a split and its two JSON files, as datasets 5.2 writes them."""
    all_of = collection.examples
    fields = list(dict.fromkeys(key for one in all_of for key in one.fields))
    said = [of_kind(last_said(one), Choice) for one in all_of]
    names = list(dict.fromkeys((*collection.names, *(one[0].name for one in said if one))))
    number = {name: place for place, name in enumerate(names)}
    columns: dict[str, Any] = {"example": [one.name for one in examples]}
    if any(one.text is not None for one in all_of):
        columns["text"] = [one.text for one in examples]
    columns |= {key: [one.fields.get(key) for one in examples] for key in fields}
    features: dict[str, Any] = {key: {"dtype": "string", "_type": "Value"} for key in columns}
    types = [pyarrow.field(key, pyarrow.string()) for key in columns]
    if names:
        labels = [of_kind(last_said(one), Choice) for one in examples]
        columns["label"] = [number[one[0].name] if one else -1 for one in labels]
        features["label"] = {"names": names, "_type": "ClassLabel"}
        types.append(pyarrow.field("label", pyarrow.int64()))
    told_to_datasets = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pyarrow.table(columns, schema=pyarrow.schema(types, metadata=told_to_datasets))
    with (
        pyarrow.OSFile(str(folder / _FILE), "wb") as file,
        pyarrow.ipc.new_stream(file, table.schema) as stream,
    ):
        stream.write_table(table)
    digest = hashlib.sha256((folder / _FILE).read_bytes()).hexdigest()[:16]
    info = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
    state = {
        "_data_files": [{"filename": _FILE}],
        "_fingerprint": digest,
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    for name, content in (("dataset_info.json", info), ("state.json", state)):
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")


def is_arrow(source: Path) -> bool:
    """Whether a folder was written by `save_to_disk`."""
    return (source / "dataset_dict.json").is_file() or (
        (source / "dataset_info.json").is_file() and (source / "state.json").is_file()
    )


def _splits(source: Path) -> list[tuple[str, Path]]:
    """(name, folder) of each split; one without a name where there are none."""
    listing = source / "dataset_dict.json"
    if not listing.is_file():
        return [("", source)]
    content = json_of(text_of(listing), str(listing))
    names = content.get("splits") if isinstance(content, dict) else None
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise FormatError(f"{listing} has no list of splits")
    return [(name, inside(source, name, str(listing))) for name in names]


def _class_labels(info: Any) -> dict[str, tuple[str, ...]]:
    """The names of the classes of each column of ClassLabel."""
    features = info.get("features") if isinstance(info, dict) else None
    return {
        key: tuple(map(str, one["names"]))
        for key, one in (features or {}).items()
        if isinstance(one, dict) and one.get("_type") == "ClassLabel" and one.get("names")
    }


def _rows(folder: Path, counts: Counter[str]) -> Iterator[Mapping[str, Any]]:
    """The rows of the Arrow files that a state names."""
    pyarrow = _pyarrow(f"{folder} holds Arrow files")
    state = json_of(text_of(folder / "state.json"), str(folder / "state.json"))
    try:
        files = [str(one["filename"]) for one in state["_data_files"]]
    except (KeyError, TypeError):
        raise FormatError(
            f"{folder / 'state.json'} names no _data_files, as datasets 2 and later write"
        ) from None
    if state.get("_indices_files") or state.get("_indices_data_files"):
        raise FormatError(f"{folder} has indices beside its rows: call flatten_indices() and save")
    for file in files:
        path = inside(folder, file, str(folder / "state.json"))
        try:
            with pyarrow.memory_map(str(path)) as mapped:
                table = pyarrow.ipc.open_stream(mapped).read_all()
        except pyarrow.ArrowInvalid as error:
            raise FormatError(f"{path} is no Arrow stream: {error}") from None
        kept = []
        for field in table.schema:
            if pyarrow.types.is_nested(field.type) or pyarrow.types.is_binary(field.type):
                counts[f"Columns of pictures or lists ({field.name}), left out"] += 1
            else:
                kept.append(field.name)
        yield from table.select(kept).to_pylist()


def _pyarrow(what: str) -> Any:
    """The package. Raises ModuleNotFoundError, which says what needs it."""
    try:
        import pyarrow  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{what}, which need pyarrow: pip install pyarrow (datasets brings it); or exchange "
            "the data as JSON lines, with Dataset.to_json and JsonLines()",
            name="pyarrow",
        ) from error
    return pyarrow


def _word(value: Any, names: Sequence[str] | None) -> str:
    """A value as a text; of a class its name, and of -1, which `datasets` has for none, ""."""
    if names is not None and isinstance(value, int):
        return names[value] if 0 <= value < len(names) else ""
    return scalar(value)
