"""The table of `docs/unlabelled.md`, from what `few_labels.py` wrote."""

from __future__ import annotations

from statistics import mean

from few_labels import ALL, ALONE, LEARNERS, LONGER, PRETRAINERS, SETS, ways
from rows import conditions_told, results, values

BESIDE = "labels alone"
"""The metric of a longer training that has the labels alone with the same network and steps."""
TITLES = {
    "labels alone": "labels alone",
    "labels alone, weak changes": "labels alone, inputs changed weakly",
    "labels alone, strong changes": "labels alone, inputs changed strongly",
    **{name: f"`{kind.__name__}`" for name, kind in (LEARNERS | PRETRAINERS).items()},
    **{one.way: f"`{type(one.technique).__name__}`, longer" for one in LONGER.values()},
    ALL: "all labels, same network and steps",
}


def few_labels() -> str:
    """A row for what was measured: the test error, and how often the guard refused."""
    try:
        found = results("few_labels")
    except FileNotFoundError:
        return "Not measured yet."
    lines = [
        "| | labels | | test error % | refused by the guard |",
        "| --- | --- | --- | --- | --- |",
    ]
    missing: list[str] = []
    for name, one in SETS.items():
        left: list[str] = []
        for labels in sorted(one.labels):
            lines += _lines(found, name, labels)
            left += _left(found, name, labels)
        if values(found, f"{name}, {ALL}", "test error"):
            lines.append(f"| {name} | all | {_cells(found, ALL, f'{name}, {ALL}')} |")
        missing += [f"- {name} with {'; with '.join(left)}"] if left else []
    told = ["Not measured yet:", "", *missing, ""] if missing else []
    return "\n".join([*lines, "", *told, conditions_told(found)])


def _ways(name: str, labels: int) -> list[str]:
    """The ways in the order of the table: the labels alone first."""
    own = ways(name, labels)
    return [*ALONE, *(way for way in own if way not in (*ALONE, ALL))]


def _lines(found: list[dict], name: str, labels: int) -> list[str]:
    """A line for each way that was measured."""
    lines = []
    for way in _ways(name, labels):
        subject = f"{name}, {labels} labels, {way}"
        if not values(found, subject, "test error"):
            continue
        if beside := values(found, subject, BESIDE):
            title = "labels alone, as long and with the same network, inputs changed weakly"
            lines.append(f"| {name} | {labels:,} | {title} | {_errors(beside)} | |")
        lines.append(f"| {name} | {labels:,} | {_cells(found, way, subject)} |")
    return lines


def _left(found: list[dict], name: str, labels: int) -> list[str]:
    """What was not measured with so many labels, in words; empty where all was."""
    every = _ways(name, labels)
    missing = [
        way for way in every if not values(found, f"{name}, {labels} labels, {way}", "test error")
    ]
    if not missing:
        return []
    names = ", ".join(TITLES.get(way, way) for way in missing)
    return [f"{labels:,} labels: {'all of it' if missing == every else names}"]


def _cells(found: list[dict], way: str, subject: str) -> str:
    """The way, the mean test error and that of each seed, and how often the guard refused."""
    refused = values(found, subject, "refused")
    guard = f"{int(sum(refused))} of {len(refused)}" if refused else ""
    errors = _errors(values(found, subject, "test error"))
    return f"{TITLES.get(way, way)} | {errors} | {guard}"


def _errors(seen: list[float]) -> str:
    each = ", ".join(f"{one:.2f}" for one in seen) if len(seen) > 1 else "one seed"
    return f"{mean(seen):.2f} ({each})"
