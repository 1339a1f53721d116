"""The table of `docs/planner.md` about examples without a label, from `pool_first.py`."""

from __future__ import annotations

from statistics import mean

from pool_first import ALONE, BYTES, COMMAND, LABELS, ON_ANSWERS, ON_LABELS
from rows import conditions_told, results, values

TITLES = {
    ALONE: "labels alone, then `Rate` on them",
    ON_LABELS: "`MeanTeacher`, then `Rate` on the labels",
    ON_ANSWERS: "`MeanTeacher`, then `Rate` on its answers for all examples",
    COMMAND: "the one command, given the fresh network and all examples",
}


def pool_first() -> str:
    """A row for each way: test errors of the network and of the file, bytes, and seeds."""
    try:
        found = results("pool_first")
    except FileNotFoundError:
        return "Not measured yet."
    lines = [
        f"| {LABELS} labels, about {BYTES:,} bytes | seeds | test error % of the network | "
        "of the file | bytes |",
        "| --- | --- | --- | --- | --- |",
    ]
    for way, title in TITLES.items():
        size = values(found, way, "bytes")
        if not size:
            lines.append(f"| {title} | not measured yet | | | |")
            continue
        network = _told(values(found, way, "test error of the network"))
        file = _told(values(found, way, "test error of the file"))
        lines.append(f"| {title} | {len(size)} | {network} | {file} | {mean(size):,.0f} |")
    return "\n".join([*lines, "", conditions_told(found)])


def _told(found: list[float]) -> str:
    each = ", ".join(f"{one:.2f}" for one in found) if len(found) > 1 else "one seed"
    return f"{mean(found):.2f} ({each})"
