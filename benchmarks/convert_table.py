"""The tables of cheaper convolutions in `docs/structure.md`, from what `convert.py` wrote."""

from __future__ import annotations

from statistics import mean
from typing import Any

from rows import conditions_told, metrics, on, processors, results

NETWORKS = {"resnet20": "ResNet-20", "crepe-tiny": "CREPE tiny"}
LAYER = "layer, "
KINDS = {"pointwise first": "blueprint separable", "bottleneck, half": "low rank, half"}
"""What kinds are called now, by what older rows call them."""
_NONE = "not measured"


def converted() -> str:
    """A row per network and way: means over the seeds, and the times of the first."""
    found = results("convert")
    seen = processors(found)
    heads = ["seeds", "operations", "validation score %", "test score %", "points lost"]
    heads += ["file, bytes"]
    for one in seen:
        heads += [f"times faster at batch 1 ({one})", f"at batch 32 ({one})"]
    lines = [f"| | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    for subject in dict.fromkeys(row["subject"] for row in found):
        name = subject.partition(", ")[0]
        if name not in NETWORKS or "operations" not in metrics(found, subject):
            continue
        lines.append(_row(found, name, subject, seen))
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def _row(found: list[Any], name: str, subject: str, seen: list[str]) -> str:
    tests, before = (_all(found, one, "test score") for one in (subject, f"{name}, baseline"))
    faster = [
        "1" if subject.endswith("baseline") else _faster(metrics(on(its, found), subject), batch)
        for its in seen
        for batch in (1, 32)
    ]
    cells = [
        str(len(tests)),
        f"{mean(_all(found, subject, 'operations')):.3f}",
        f"{mean(_all(found, subject, 'validation score')):.2f}",
        f"{mean(tests):.2f}{_each(tests)}",
        "" if subject.endswith("baseline") else f"{mean(before) - mean(tests):+.2f}",
        f"{mean(_all(found, subject, 'file')):,.0f}",
        *faster,
    ]
    title = subject.replace(name, NETWORKS[name], 1)
    return f"| {title} | {' | '.join(cells)} |"


def layers() -> str:
    """A row per kind and processor: how much faster than dense layers, by shape and batch."""
    found = [row for row in results("convert") if row["subject"].startswith(LAYER)]
    shapes = list(dict.fromkeys(row["subject"] for row in found))
    batches = sorted(
        {int(row["metric"].rpartition(" ")[2]) for row in found if "batch" in row["metric"]}
    )
    heads = [
        f"{shape.removeprefix(LAYER)}, batch {batch} ({one})"
        for one in processors(found)
        for shape in shapes
        for batch in batches
    ]
    lines = [f"| | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    kinds = dict.fromkeys(
        row["metric"].rpartition(", ")[0] for row in found if "batch" in row["metric"]
    )
    for kind in kinds:
        cells = [
            f"{value:.2f}" if (value := known.get(f"{kind}, batch {batch}")) else ""
            for one in processors(found)
            for shape in shapes
            for batch in batches
            for known in [metrics(on(one, found), shape)]
        ]
        lines.append(f"| {KINDS.get(kind, kind)} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def _all(found: list[Any], subject: str, metric: str) -> list[float]:
    return [row["value"] for row in found if row["subject"] == subject and row["metric"] == metric]


def _each(values: list[float]) -> str:
    if len(set(values)) < 2:
        return ""
    return f" ({', '.join(f'{one:.2f}' for one in values)})"


def _faster(one: dict[str, float], batch: int) -> str:
    """How many times faster than the network as it came, with quartiles."""
    name = f"latency at batch {batch}"
    if f"{name}, median" not in one:
        return _NONE
    middle, low, high = (1 / one[f"{name}, {part}"] for part in ("median", "high", "low"))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"
