"""What a person or a model said in Label Studio: its results as labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, final

from shoestring.label.example import Annotation, Box, Choice, Label, Span
from shoestring.label.formats.content import number
from shoestring.label.formats.format import FormatError
from shoestring.label.formats.records import scalar
from shoestring.label.formats.spans import made_box

KINDS: dict[str, type[Choice] | type[Span] | type[Box]] = {
    "choices": Choice,
    "labels": Span,
    "hypertextlabels": Span,
    "rectanglelabels": Box,
}
"""The types of results that are read, and what they are here."""


@final
@dataclass(frozen=True)
class Control:
    """A labelling control of a project.

    `name`: its `from_name`; `to_name`: the tag of what is labelled; `type`: one of `KINDS`.
    """

    name: str
    to_name: str
    type: str

    @property
    def kind(self) -> type[Choice] | type[Span] | type[Box]:
        """The kind of its labels."""
        return KINDS[self.type]

    @property
    def shows_picture(self) -> bool:
        """Whether it labels a picture: a rectangle does, and so does what is on an image tag."""
        return self.kind is Box or self.to_name.lower().startswith(("image", "img", "picture"))

    def has(self, said: Mapping[str, Any]) -> bool:
        """Whether an annotation or a prediction has something of it, or says that there is nothing.

        An annotation with nothing marked at all says so of every control but that of a choice,
        which must be made.
        """
        results = results_in(said)
        if not results:
            return self.kind is not Choice
        return any(one.get("from_name") == self.name for one in results)


def results_in(said: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The results of an annotation or a prediction that was checked."""
    return said.get("result") or []


def check_results(said: Mapping[str, Any], where: str) -> None:
    """Raise FormatError where the results are no list of objects."""
    results = said.get("result")
    if results is not None and not (
        isinstance(results, list) and all(isinstance(one, dict) for one in results)
    ):
        raise FormatError(
            f"{where}: a result is {str(results)[:60]!r}: a list of objects is wanted"
        )


def labels_of(
    said: Mapping[str, Any], text: str | None, control: Control, where: str, counts: Counter[str]
) -> tuple[Label, ...]:
    """The labels that a control gave, in their order."""
    labels: list[Label] = []
    for result in results_in(said):
        if result.get("from_name") != control.name or result.get("type") != control.type:
            continue
        value = result.get("value")
        if not isinstance(value, dict) or not isinstance(value.get(control.type), list):
            raise FormatError(f"{where}: a result of {control.name!r} has no {control.type!r}")
        names = [name for one in value[control.type] if (name := scalar(one)).strip()]
        if len(names) < len(value[control.type]):
            counts["Labels without a name (null), left out"] += len(value[control.type]) - len(
                names
            )
        if control.kind is Choice:
            labels += [Choice(name=name) for name in names]
        elif control.kind is Span:
            ends = _ends(value, text or "", where, counts)
            if ends is not None:
                labels += [Span(start=ends[0], end=ends[1], name=name) for name in names]
        else:
            corners = _corners(result, value, where, counts)
            made = [made_box(*corners, name, counts) for name in names if corners is not None]
            labels += [one for one in made if one is not None]
    return tuple(labels)


def _ends(
    value: Mapping[str, Any], text: str, where: str, counts: Counter[str]
) -> tuple[int, int] | None:
    """The first character of a span and the one behind it; None, counted, where it fits nowhere.

    Label Studio counts code points, and versions of it and other writers UTF-16 units, so the text
    that the span carries decides.
    """
    start, end = value.get("start"), value.get("end")
    if isinstance(value.get("globalOffsets"), dict):  # of HTML, whose start and end are paths
        start, end = value["globalOffsets"].get("start"), value["globalOffsets"].get("end")
    if not isinstance(start, int) or not isinstance(end, int):
        counts["Spans in HTML without offsets in the text, left out"] += 1
        return None
    carried = value.get("text")
    if isinstance(carried, str) and text[start:end] != carried:
        units = text.encode("utf-16-le")
        before, inner = units[: 2 * start], units[2 * start : 2 * end]
        if inner.decode("utf-16-le", "replace") == carried:
            counts["Spans counted in UTF-16 units, turned into characters"] += 1
            first = len(before.decode("utf-16-le", "replace"))
            return first, first + len(carried)
        counts["Spans whose text is not at their place, left out"] += 1
        return None
    if not 0 <= start < end <= len(text):
        raise FormatError(
            f"{where}: a span goes from {start} to {end} in a text of {len(text):,} characters"
        )
    return start, end


def _corners(
    result: Mapping[str, Any], value: Mapping[str, Any], where: str, counts: Counter[str]
) -> tuple[float, float, float, float] | None:
    """(left, top, width, height) in pixels, of percentages of the picture."""
    if number(value.get("rotation", 0) or 0, "rotation", where) or number(
        result.get("image_rotation", 0) or 0, "image_rotation", where
    ):
        counts["Boxes that are turned, or on pictures that were turned, left out"] += 1
        return None
    wide = number(result.get("original_width"), "original_width", where)
    high = number(result.get("original_height"), "original_height", where)
    left, top, width, height = (
        number(value.get(key), key, where) for key in ("x", "y", "width", "height")
    )
    return left * wide / 100, top * high / 100, width * wide / 100, height * high / 100


def that_say_something(control: Control, said: Iterable[Annotation]) -> tuple[Annotation, ...]:
    """Without those that chose no class, such as a choice of null: a choice must be made."""
    return tuple(one for one in said if one.skipped or one.labels or control.kind is not Choice)


def time_of(value: Any, where: str) -> float | None:
    """When something was said, in seconds since 1970."""
    if value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        raise FormatError(f"{where}: created_at is {value!r}, and a time is wanted") from None
