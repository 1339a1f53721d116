"""The tables of `docs/adapt.md` on few examples, from what `one_shot.py` wrote."""

from __future__ import annotations

from typing import Any

from rows import conditions_told, metrics, results, spread, values

NOT_YET = "Not measured yet: `python benchmarks/one_shot.py`, about ten minutes of a core."
TITLES = {
    "prototypical": "prototypes, body by episodes",
    "matching": "attention, body by episodes",
    "classifier, prototypes": "prototypes, body of a classifier",
    "classifier, new head": "new head trained, body of a classifier frozen",
    "classifier, all weights": "all weights of a classifier trained",
    "new network": "a new network trained",
    "modified Hausdorff": "modified Hausdorff distance (no training)",
    "nearest in pixels": "nearest in pixels (no training)",
}


def found_rows() -> list[Any]:
    """The rows that there are; none where the benchmark was not run."""
    try:
        return results("one_shot")
    except FileNotFoundError:
        return []


def one_shot() -> str:
    """A row for each way: error on Greek and on the 20 runs, with every seed."""
    found = found_rows()
    lines = [
        "| way | validation error, Greek, % | error on the 20 runs, % | file, bytes |",
        "| --- | --- | --- | --- |",
    ]
    for subject, title in TITLES.items():
        if "test error" not in metrics(found, subject):
            continue
        cells = [
            spread(seen, form) if (seen := values(found, subject, metric)) else ""
            for metric, form in (
                ("validation error", ".1f"),
                ("test error", ".1f"),
            )
        ]
        size = values(found, subject, "file")
        lines.append(f"| {title} | {' | '.join(cells)} | {f'{size[0]:,.0f}' if size else ''} |")
    if len(lines) == 2:
        return NOT_YET
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def label_curve() -> str:
    """A column for each number of pictures of a character of Tagalog: the mean error."""
    found = found_rows()
    ways = {"prototypes": "prototypes, body by episodes", "all weights": "all weights trained"}
    heads = [
        one
        for one in metrics(found, "label curve, prototypes")
        if one in metrics(found, "label curve, all weights")
    ]
    if not heads:
        return NOT_YET
    counts = [one.removeprefix("test error, ") for one in heads]
    lines = [f"| test error, % | {' | '.join(counts)} |", f"| --- |{' --- |' * len(counts)}"]
    for way, title in ways.items():
        cells = [spread(values(found, f"label curve, {way}", head), ".1f") for head in heads]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)
