"""Marks of other tools as spans and boxes, and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from shoestring.label.example import Box, Span
from shoestring.label.formats.content import number
from shoestring.label.formats.format import FormatError


def span_of(mark: Any, text: str, where: str) -> Span:
    """The span of {"start", "end", "label"} or [start, end, label].

    Raises FormatError for a mark that is no part of the text.
    """
    start: Any
    end: Any
    name: Any
    if isinstance(mark, list) and len(mark) == 3:
        start, end, name = mark
    elif isinstance(mark, Mapping):
        start, end, name = mark.get("start"), mark.get("end"), mark.get("label")
    else:
        raise FormatError(f'{where}: a span is {mark!r}: give {{"start", "end", "label"}}')
    whole = isinstance(start, int) and isinstance(end, int)
    if not (whole and 0 <= start < end <= len(text)):
        raise FormatError(
            f"{where}: a span goes from {start!r} to {end!r} in a text of {len(text):,} "
            "characters: give 0 <= start < end <= that"
        )
    if not isinstance(name, str) or not name:
        raise FormatError(f"{where}: the span from {start} to {end} has no label")
    return Span(start=start, end=end, name=name)


def box_of(mark: Any, where: str, counts: Counter[str]) -> Box | None:
    """The box of {"x", "y", "width", "height", "label"}, or around {"points"}.

    None, counted, for one without area.
    """
    if not isinstance(mark, Mapping) or not isinstance(mark.get("label"), str):
        raise FormatError(f"{where}: a box is {str(mark)[:60]!r}: it needs a label")
    if all(key in mark for key in ("x", "y", "width", "height")):
        left, top, width, height = (
            number(mark[key], key, where) for key in ("x", "y", "width", "height")
        )
    elif isinstance(mark.get("points"), list) and mark["points"]:
        try:
            points = [(number(x, "x", where), number(y, "y", where)) for x, y in mark["points"]]
        except (TypeError, ValueError) as error:
            raise FormatError(f"{where}: points are pairs of numbers ({error})") from None
        if mark.get("type", "rect") != "rect":
            counts["Shapes that are no rectangles, of which the box around is taken"] += 1
        left, top = (min(point[axis] for point in points) for axis in (0, 1))
        width = max(point[0] for point in points) - left
        height = max(point[1] for point in points) - top
    else:
        raise FormatError(f"{where}: a box has neither x, y, width and height nor points")
    return made_box(left, top, width, height, mark["label"], counts)


def made_box(
    left: float, top: float, width: float, height: float, name: str, counts: Counter[str]
) -> Box | None:
    """A box; None, counted, where it has no area."""
    if not (width > 0 and height > 0):
        counts["Boxes without area, left out"] += 1
        return None
    return Box(left=left, top=top, width=width, height=height, name=name)
