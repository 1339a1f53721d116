"""The records that this package writes: all that an example holds, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shoestring.label.example import Annotation, Box, Choice, Example, Label, Span
from shoestring.label.formats.content import inside, number
from shoestring.label.formats.format import FormatError

KEY = "shoestring"
"""The key of a record under which is what other tools have no place for."""
_VERSION = 1


def record_of(example: Example, picture: str | None, last: Annotation | None) -> dict[str, Any]:
    """An example as Prodigy has it, and all of it under `KEY`.

    `picture`: its path as it is written.
    `last`: the annotation that other tools get to see.
    """
    record: dict[str, Any] = {}
    if example.text is not None:
        record["text"] = example.text
    if picture is not None:
        record["image"] = picture
    if example.fields:
        record["meta"] = dict(example.fields)
    if last is not None:
        marks = [_mark(one) for one in last.labels if not isinstance(one, Choice)]
        names = [one.name for one in last.labels if isinstance(one, Choice)]
        if marks or not names:
            record["spans"] = marks
        if names:
            record["label"] = names[0] if len(names) == 1 else names
        record["answer"] = "accept"
    if example.split:
        record["split"] = example.split
    own: dict[str, Any] = {"version": _VERSION, "name": example.name}
    if example.annotations:
        own["annotations"] = [_said(one) for one in example.annotations]
    if example.predictions:
        own["predictions"] = [_said(one) for one in example.predictions]
    if example.priority is not None:
        own["priority"] = example.priority
    record[KEY] = own
    return record


def example_of(record: Mapping[str, Any], folder: Path, where: str) -> Example:
    """The example of a record that this package wrote.

    `folder`: in which the pictures are. Raises FormatError for a record of another form, or of a
    newer version.
    """
    own = record.get(KEY)
    if not isinstance(own, dict) or not isinstance(own.get("name"), str):
        raise FormatError(
            f"{where} has no {KEY!r} with a name, as the first line has: do not mix such lines "
            "with others"
        )
    if own.get("version") != _VERSION:
        raise FormatError(
            f"{where} is of version {own.get('version')!r}, and this program reads version "
            f"{_VERSION}: use the program that wrote it, or a newer one"
        )
    text, named = record.get("text"), record.get("image")
    try:
        return Example(
            name=own["name"],
            text=None if text is None else str(text),
            picture=None if named is None else inside(folder, str(named), where),
            fields={str(key): str(value) for key, value in record.get("meta", {}).items()},
            annotations=tuple(_heard(one, where) for one in own.get("annotations", ())),
            predictions=tuple(_heard(one, where) for one in own.get("predictions", ())),
            split=str(record.get("split", "")),
            priority=_optional(own.get("priority"), "priority", where),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise FormatError(f"{where} is not as it was written: {error!r} is wrong in it") from None


def scalar(value: Any) -> str:
    """A value of JSON as a text: true, 3, the text itself; "" for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _mark(label: Label) -> dict[str, Any]:
    """A label as Prodigy has it."""
    if isinstance(label, Span):
        return {"start": label.start, "end": label.end, "label": label.name}
    if isinstance(label, Box):
        return {
            "x": label.left,
            "y": label.top,
            "width": label.width,
            "height": label.height,
            "type": "rect",
            "label": label.name,
        }
    return {"label": label.name}


def _said(said: Annotation) -> dict[str, Any]:
    """An annotation; what has its default is left out."""
    record: dict[str, Any] = {"labels": [_mark(one) for one in said.labels]}
    if said.by:
        record["by"] = said.by
    if not said.complete:
        record["complete"] = False
    if said.skipped:
        record["skipped"] = True
    for key in ("seconds", "at", "score"):
        if getattr(said, key) is not None:
            record[key] = getattr(said, key)
    return record


def _heard(record: Mapping[str, Any], where: str) -> Annotation:
    return Annotation(
        labels=tuple(_label(one, where) for one in record["labels"]),
        by=str(record.get("by", "")),
        complete=record.get("complete", True) is True,
        skipped=record.get("skipped", False) is True,
        seconds=_optional(record.get("seconds"), "seconds", where),
        at=_optional(record.get("at"), "at", where),
        score=_optional(record.get("score"), "score", where),
    )


def _label(mark: Mapping[str, Any], where: str) -> Label:
    name = str(mark["label"])
    try:
        if "start" in mark:
            return Span(start=int(mark["start"]), end=int(mark["end"]), name=name)
        if "x" in mark:
            left, top, width, height = (
                number(mark[key], key, where) for key in ("x", "y", "width", "height")
            )
            return Box(left=left, top=top, width=width, height=height, name=name)
    except FormatError:
        raise
    except ValueError as error:
        raise FormatError(f"{where}: {error}") from None
    return Choice(name=name)


def _optional(value: Any, what: str, where: str) -> float | None:
    return None if value is None else number(value, what, where)
