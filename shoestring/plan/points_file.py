"""A file of scores that somebody measured, for a forecast."""

from __future__ import annotations

import csv
from pathlib import Path

_MOST_ROWS = 100_000


def read_points(path: str | Path) -> tuple[str, list[tuple[float, ...]]]:
    """The unit of the sizes, and the (size, score) or (size, score, seed) of a CSV file.

    The first line names the columns. The sizes are in the first, and its name is their unit unless
    it is "size"; then they are "units".
    Raises ValueError for another file, with the line, and OSError for none.
    """
    with Path(path).open(newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = [row for _, row in zip(range(_MOST_ROWS), csv.reader(file), strict=False) if row]
    header = [one.strip() for one in rows[0]] if rows else []
    if len(header) < 2 or header[1:] not in (["score"], ["score", "seed"]):
        raise ValueError(
            f"{path} begins with {','.join(header)[:80]!r}: its first line must be size,score or "
            "size,score,seed, where the unit of the sizes may stand for size"
        )
    points = []
    for number, row in enumerate(rows[1:], 2):
        try:
            values = tuple(float(one) for one in row)
        except ValueError:
            values = ()
        if len(values) != len(header):
            raise ValueError(
                f"{path}, row {number}: {','.join(row)[:80]!r} is not {len(header)} numbers"
            )
        points.append(values)
    return ("" if header[0] == "size" else header[0]) or "units", points
