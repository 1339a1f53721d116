"""The table of `docs/unlabelled.md`, from what `few_labels.py` wrote."""

from __future__ import annotations

from statistics import mean

from few_labels import ALL, ALONE, LEARNERS, PEERS, SETS
from rows import conditions_told, results, values

TITLES = {
    "labels alone": "labels alone",
    "labels alone, weak changes": "labels alone, inputs changed weakly",
    "labels alone, strong changes": "labels alone, inputs changed strongly",
    **{name: f"`{kind.__name__}`" for name, kind in LEARNERS.items()},
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
        for labels in sorted(one.labels):
            ways = [(way, f"{name}, {labels} labels, {way}") for way in (*ALONE, *LEARNERS, *PEERS)]
            seen = [(way, subject) for way, subject in ways if values(found, subject, "test error")]
            lines += [f"| {name} | {labels:,} | {_cells(found, *each)} |" for each in seen]
            left = [TITLES.get(way, way) for way, subject in ways if (way, subject) not in seen]
            missing += [f"{name} with {labels:,} labels ({', '.join(left)})"] if left else []
        if values(found, f"{name}, {ALL}", "test error"):
            lines.append(f"| {name} | all | {_cells(found, ALL, f'{name}, {ALL}')} |")
    told = f"Not measured yet: {'; '.join(missing)}." if missing else ""
    return "\n".join([*lines, "", told, "", conditions_told(found)])


def _cells(found: list[dict], way: str, subject: str) -> str:
    """The way, the mean test error and that of each seed, and how often the guard refused."""
    seen = values(found, subject, "test error")
    each = ", ".join(f"{one:.2f}" for one in seen) if len(seen) > 1 else "one seed"
    refused = values(found, subject, "refused")
    guard = f"{int(sum(refused))} of {len(refused)}" if refused else ""
    return f"{TITLES.get(way, way)} | {mean(seen):.2f} ({each}) | {guard}"
