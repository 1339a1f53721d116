"""The tables of `docs/adapt.md` on forgetting, from what `forgetting.py` wrote."""

from __future__ import annotations

from typing import Any

from rows import conditions_told, metrics, results, spread, values

NOT_YET = "Not measured yet: `python benchmarks/forgetting.py`, about three minutes of a core."
HALVES = ("zero to four", "five to nine")
TOGETHER = {
    "a network for each": "a network for each half",
    "both at once": "one body, losses added",
    "both at once, uncertainty": "one body, losses weighed by uncertainty",
}


def found_rows() -> list[Any]:
    """The rows that there are; none where the benchmark was not run."""
    try:
        return results("forgetting")
    except FileNotFoundError:
        return []


def forgetting() -> str:
    """A row for each way to adapt: the old digits before and after, and the new ones after."""
    found = found_rows()
    lines = [
        "| heads | way | 0 to 4 before, % | 0 to 4 after, % | 5 to 9 after, % |",
        "| --- | --- | --- | --- | --- |",
    ]
    for subject in dict.fromkeys(row["subject"] for row in found):
        heads, _, way = subject.partition(" heads, " if "heads" in subject else " head, ")
        if not way:
            continue
        columns = (f"{HALVES[0]}, before", f"{HALVES[0]}, after", f"{HALVES[1]}, after")
        if not all(one in metrics(found, subject) for one in columns):
            continue
        cells = [spread(values(found, subject, one), ".1f") for one in columns]
        lines.append(f"| {heads} | {way} | {' | '.join(cells)} |")
    if len(lines) == 2:
        return NOT_YET
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def together() -> str:
    """A row for each way to learn both halves at once."""
    found = found_rows()
    lines = ["| | 0 to 4, % | 5 to 9, % |", "| --- | --- | --- |"]
    for subject, title in TOGETHER.items():
        seen = [values(found, subject, f"{half}, after") for half in HALVES]
        if all(seen):
            lines.append(f"| {title} | {' | '.join(spread(one, '.1f') for one in seen)} |")
    return "\n".join(lines) if len(lines) > 2 else NOT_YET
