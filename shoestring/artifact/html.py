"""Small tables in HTML, for notebooks: plain, escaped, and without colours of their own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape

MOST_ROWS, LONGEST = 200, 200
"""Rows of a table, and characters of a cell, before they are cut."""
_TABLE = "border-collapse:collapse;color:inherit;font:inherit"
_CELL = "padding:.15em .7em;text-align:{}"
_WIDTH = 90
"""Pixels of the longest bar."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A cell with a bar before its text.

    `share`: the length of the bar, 0 to 1 of the longest.
    """

    text: str
    share: float


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str | Bar]],
    caption: str = "",
    texts: Collection[int] = (0,),
) -> str:
    """A table: a heading for each column, and a row for each row.

    Texts are escaped and long ones cut; rows beyond `MOST_ROWS` are counted below the table.

    `texts`: the columns of text, counted from 0, which are to the left; the others are numbers.
    """
    lines = [_row("th", head, texts), *(_row("td", row, texts) for row in rows[:MOST_ROWS])]
    title = f'<caption style="text-align:left">{shown(caption)}</caption>' if caption else ""
    more = len(rows) - MOST_ROWS
    rest = paragraph(f"and {more:,} more rows, which print() shows") if more > 0 else ""
    return f'<table style="{_TABLE}">{title}{"".join(lines)}</table>{rest}'


def paragraph(text: str) -> str:
    """A paragraph of text."""
    return f'<p style="margin:.4em 0">{shown(text)}</p>'


def shares(values: Sequence[float | None]) -> list[float]:
    """Each value as a share of the largest, from 0 to 1; 0 for None and for what is below 0."""
    positive = [max(value or 0.0, 0.0) for value in values]
    largest = max(positive, default=0.0)
    return [value / largest if largest else 0.0 for value in positive]


def shown(text: str) -> str:
    """A text of others as HTML: escaped, and cut where it is long."""
    return escape(clipped(text, LONGEST))


def clipped(text: str, most: int) -> str:
    """A text; one of more than `most` characters is cut, and says how long it was."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def _row(tag: str, cells: Sequence[str | Bar], texts: Collection[int]) -> str:
    sides = ["left" if at in texts else "right" for at in range(len(cells))]
    parts = [
        f'<{tag} style="{_CELL.format(side)}">{_content(cell)}</{tag}>'
        for side, cell in zip(sides, cells, strict=True)
    ]
    return f"<tr>{''.join(parts)}</tr>"


def _content(cell: str | Bar) -> str:
    if isinstance(cell, str):
        return shown(cell)
    width = round(_WIDTH * min(max(cell.share, 0.0), 1.0))
    bar = (
        f'<span style="display:inline-block;height:.6em;width:{width}px;margin-right:.5em;'
        'background:currentColor;opacity:.4"></span>'
    )
    return f"{bar}{shown(cell.text)}"
