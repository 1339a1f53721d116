"""A data set that Hugging Face `datasets` wrote with `save_to_disk`: Arrow files and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from shoestring.label.example import Annotation, Choice, Collection, Example
from shoestring.label.formats.columns import columns_of
from shoestring.label.formats.content import class_names, inside, json_of, split_of, text_of, told
from shoestring.label.formats.format import Format, FormatError
from shoestring.label.formats.records import scalar


@final
@dataclass(frozen=True, kw_only=True)
class Arrow(Format):
    """A folder of `datasets.Dataset.save_to_disk`, or of a `DatasetDict`; it is read, not written.

    Texts and rows are read; columns of pictures and sounds are not: save the pictures as files.

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
        special = {found.text, found.label}
        examples = []
        for row, (name, split) in zip(rows, places, strict=True):
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
        raise ValueError(
            f"{path}: data sets of Hugging Face are read, not written: write JsonLines() and load "
            'it with datasets.load_dataset("json", data_files=…)'
        )


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
    try:
        import pyarrow  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{folder} holds Arrow files, which need pyarrow: pip install pyarrow (datasets brings "
            "it); or write the data as JSON lines with Dataset.to_json",
            name="pyarrow",
        ) from error
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


def _word(value: Any, names: Sequence[str] | None) -> str:
    """A value as a text; of a class its name, and of -1, which `datasets` has for none, ""."""
    if names is not None and isinstance(value, int):
        return names[value] if 0 <= value < len(names) else ""
    return scalar(value)
