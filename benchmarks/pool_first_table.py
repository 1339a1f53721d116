"""The table of `docs/planner.md` about examples without a label, from `pool_first.py`."""

from __future__ import annotations

from statistics import mean

from pool_first import BUDGET, LABELS, WAYS
from rows import conditions_told, results, values

TITLES = {
    "labels alone": "labels alone, in training and in the search",
    "mean teacher, then labels alone": "`MeanTeacher` by hand; a search on the labels alone",
    "mean teacher, then answers for all": "`MeanTeacher` by hand; a search on answers for all",
    "one command": "the one command, given the fresh network and all examples",
}


def pool_first() -> str:
    """A row for each way: test errors of the network and of the file, bytes, and seeds."""
    try:
        found = results("pool_first")
    except FileNotFoundError:
        return "Not measured yet."
    lines = [
        f"| MNIST, {LABELS} labels, {BUDGET} | seeds | test error % of the network | of the file | "
        "bytes | budget kept |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for way in WAYS:
        kept = values(found, way, "met")
        if not kept:
            lines.append(f"| {TITLES[way]} | not measured yet | | | | |")
            continue
        network, file = (
            values(found, way, f"test error of the {one}") for one in ("network", "file")
        )
        lines.append(
            f"| {TITLES[way]} | {len(kept)} | {_told(network)} | {_told(file)} | "
            f"{mean(values(found, way, 'bytes')):,.0f} | {int(sum(kept))} of {len(kept)} |"
        )
    return "\n".join([*lines, "", conditions_told(found)])


def _told(found: list[float]) -> str:
    each = ", ".join(f"{one:.2f}" for one in found) if len(found) > 1 else "one seed"
    return f"{mean(found):.2f} ({each})"
