"""Examples as tasks that Label Studio imports, and the configuration of a project for them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from shoestring.label.example import Annotation, Box, Choice, Collection, Example, Label, Span
from shoestring.label.formats.picture_size import picture_size
from shoestring.label.formats.table import relative

CONTROL = "label"
"""The name of the control in what is written."""


def labelling_config(collection: Collection, several: bool) -> str:
    """The XML of a project that shows these examples and asks for these labels.

    `several`: whether an example may have several classes.
    """
    is_text = not any(one.picture is not None for one in collection.examples)
    shown = '<Text name="text" value="$text"/>'
    shown = shown if is_text else '<Image name="image" value="$image"/>'
    to_name = "text" if is_text else "image"
    tags = {Choice: ("Choices", "Choice"), Span: ("Labels", "Label"), Box: _BOXES}
    control, item = tags[collection.kind]
    several_too = ' choice="multiple"' if several else ""
    choice = several_too if collection.kind is Choice else ""
    lines = "".join(f"    <{item} value={quoteattr(name)}/>\n" for name in collection.names)
    return (
        f"<View>\n  {shown}\n"
        f'  <{control} name="{CONTROL}" toName="{to_name}"{choice}>\n{lines}  </{control}>\n'
        "</View>\n"
    )


_BOXES = ("RectangleLabels", "Label")


def task_of(
    example: Example, kind: type[Label], path: Path, counts: Counter[str]
) -> dict[str, Any]:
    """An example as a task; what has no place in it is counted.

    `path`: of the file in which it will stand. Raises ValueError for a row, which Label Studio
    does not show.
    """
    data: dict[str, Any] = {}
    if example.picture is not None:
        named = quote(relative(example.picture, path.parent))
        data["image"] = f"/data/local-files/?d={named}"
    elif example.text is not None:
        data["text"] = example.text
    else:
        raise ValueError(
            f"the example {example.name!r} has neither a text nor a picture to show: write Table()"
        )
    data["example"] = example.name
    if example.split:
        data["split"] = example.split
    if example.priority is not None:
        data["priority"] = example.priority
    if clash := sorted(set(data) & set(example.fields)):
        raise ValueError(
            f"a field of {example.name!r} is named {clash[0]!r}, like a key of a task: rename it"
        )
    data |= example.fields
    said_all = (*example.annotations, *example.predictions)
    sizes = (0, 0)
    if example.picture is not None and any(
        isinstance(label, Box) for said in said_all for label in said.labels
    ):
        sizes = picture_size(example.picture)
    where = "image" if example.picture is not None else "text"
    counts["Annotations that are not complete, which is not written"] += sum(
        not one.complete for one in example.annotations
    )
    counts["Names of annotators, which are not written: they have accounts in Label Studio"] += sum(
        bool(one.by) for one in example.annotations
    )
    task: dict[str, Any] = {"data": data}
    if example.annotations:
        task["annotations"] = [
            _annotation(one, kind, where, example.text, sizes) for one in example.annotations
        ]
    if example.predictions:
        task["predictions"] = [
            _prediction(one, kind, where, example, sizes) for one in example.predictions
        ]
    return task


def _annotation(
    said: Annotation, kind: type[Label], where: str, text: str | None, sizes: tuple[int, int]
) -> dict[str, Any]:
    task: dict[str, Any] = {
        "result": _results(said, kind, where, text, sizes),
        "was_cancelled": said.skipped,
    }
    if said.seconds is not None:
        task["lead_time"] = said.seconds
    if said.at is not None:
        task["created_at"] = datetime.fromtimestamp(said.at, UTC).isoformat()
    return task


def _prediction(
    said: Annotation, kind: type[Label], where: str, example: Example, sizes: tuple[int, int]
) -> dict[str, Any]:
    results = _results(said, kind, where, example.text, sizes)
    task: dict[str, Any] = {"result": results, "model_version": said.by or "shoestring"}
    score = said.score if example.priority is None else example.priority
    if score is not None:
        task["score"] = score
    return task


def _results(
    said: Annotation, kind: type[Label], where: str, text: str | None, sizes: tuple[int, int]
) -> list[dict[str, Any]]:
    """The results of an annotation; all classes of a choice are in one."""
    made = {"from_name": CONTROL, "to_name": where}
    score = {} if said.score is None else {"score": said.score}
    chosen = [one.name for one in said.labels if isinstance(one, Choice)]
    if kind is Choice:
        value = {"choices": chosen}
        return [{"id": "r1", **made, "type": "choices", "value": value, **score}] if chosen else []
    results: list[dict[str, Any]] = []
    for at, label in enumerate(said.labels, 1):
        if isinstance(label, Span):
            part = (text or "")[label.start : label.end]
            value = {"start": label.start, "end": label.end, "text": part, "labels": [label.name]}
            results.append({"id": f"r{at}", **made, "type": "labels", "value": value, **score})
        elif isinstance(label, Box):
            wide, high = sizes
            value = {
                "x": 100 * label.left / wide,
                "y": 100 * label.top / high,
                "width": 100 * label.width / wide,
                "height": 100 * label.height / high,
                "rotation": 0,
                "rectanglelabels": [label.name],
            }
            results.append(
                {
                    "id": f"r{at}",
                    **made,
                    "type": "rectanglelabels",
                    "original_width": wide,
                    "original_height": high,
                    "image_rotation": 0,
                    "value": value,
                    **score,
                }
            )
    return results
