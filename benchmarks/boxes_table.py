"""The tables of `docs/boxes.md`, from what `boxes.py` wrote."""

from __future__ import annotations

from itertools import pairwise
from statistics import mean, stdev
from typing import Any

from rows import conditions_told, results, values

WAYS = {
    "all boxes": "all boxes",
    "three boxes, ordinary": "three boxes a picture, as if they were all",
    "three boxes, forgiving": "three boxes a picture, `Forgiving(weight=0.3)`",
    "one box, ordinary": "one box a picture, as if it were all",
    "one box, forgiving": "one box a picture, `Forgiving()`",
    "as many boxes, whole pictures": "as many boxes, in whole pictures",
}
CLASSICAL = "thresholds and components"
CELLS = ("RBC", "WBC", "Platelets")
CHOICES = {"random": "at random", "peak doubts": "`peak_doubts`", "far apart": "far apart"}
SIZES = (10, 20, 40)


def partial() -> str:
    """A row per way: boxes, and the precision of each class: means over the seeds."""
    found = results("boxes")
    whole = values(found, "all boxes", "test mAP")
    heads = ["seeds", "pictures", "boxes", "test mAP %", "points lost", *(f"{c} %" for c in CELLS)]
    lines = [f"| | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    for subject, title in WAYS.items():
        tests = values(found, subject, "test mAP")
        if not tests:
            continue
        lost = [before - after for before, after in zip(whole, tests, strict=False)]
        cells = [
            str(len(tests)),
            f"{mean(values(found, subject, 'pictures')):,.0f}",
            f"{mean(values(found, subject, 'boxes')):,.0f}",
            f"{mean(tests):.1f} ({', '.join(f'{one:.1f}' for one in tests)})",
            "" if subject == "all boxes" else f"{mean(lost):+.1f}",
            *(f"{mean(values(found, subject, f'test AP, {c}')):.1f}" for c in CELLS),
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    each = (f"{values(found, CLASSICAL, f'test AP, {c}')[0]:.1f}" for c in CELLS)
    score = values(found, CLASSICAL, "test mAP")[0]
    lines.append(f"| {CLASSICAL} | | | 0 | {score:.1f} | | {' | '.join(each)} |")
    lines.append(f"\n{_coco(found)}\n\n{conditions_told(found)}")
    return "\n".join(lines)


def _coco(found: list[Any]) -> str:
    theirs = values(found, "all boxes", "validation mAP by pycocotools")
    ours = values(found, "all boxes", "validation mAP")
    if not theirs:
        return "Our mean average precision was not compared with that of pycocotools."
    gap = max(abs(a - b) for a, b in zip(ours, theirs, strict=False))
    return (
        "On the same boxes pycocotools, which reads the curve at 101 points, differs from our "
        f"mean average precision by {gap:.2f} points at most ({len(theirs)} networks, validation)."
    )


def active() -> str:
    """A row per way to choose pictures: scores, areas and pairs won against random choice."""
    found = results("boxes")
    random = _areas(found, "random")
    heads = [f"mAP % at {size} pictures" for size in SIZES]
    heads += ["area under the curve", "against random", "pairs won", "boxes at 40 pictures"]
    lines = [f"| pictures chosen | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    count = 0
    for name, title in CHOICES.items():
        areas = _areas(found, name)
        if not areas:
            continue
        pairs = [areas[seed] - random[seed] for seed in sorted(areas.keys() & random.keys())]
        count = max(count, len(areas))
        scores = [
            f"{mean(values(found, f'active, {name}', f'test mAP at {size} pictures')):.1f}"
            for size in SIZES
        ]
        boxes = mean(values(found, f"active, {name}", f"boxes at {SIZES[-1]} pictures"))
        error = stdev(pairs) / len(pairs) ** 0.5 if len(pairs) > 1 else 0.0
        against = [] if name == "random" else [
            f"{mean(pairs):+.2f} ± {error:.2f} points",
            f"{sum(pair > 0 for pair in pairs)} of {len(pairs)}",
        ]  # fmt: skip
        cells = [*scores, f"{mean(areas.values()):.1f}", *(against or ["", ""]), f"{boxes:,.0f}"]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    told = f"{count} seeds; a pair is two runs that began with the same ten pictures."
    return "\n".join(lines) + f"\n\n{told} {conditions_told(found)}"


def _areas(found: list[Any], name: str) -> dict[int, float]:
    """The mean score over the numbers of pictures from the first to the last, by seed."""
    by_seed: dict[int, dict[int, float]] = {}
    for row in found:
        for size in SIZES:
            if (row["subject"], row["metric"]) == (
                f"active, {name}",
                f"test mAP at {size} pictures",
            ):
                by_seed.setdefault(row["seed"], {})[size] = row["value"]
    areas = {}
    for seed, scores in by_seed.items():
        if len(scores) < len(SIZES):
            continue
        parts = [(scores[low] + scores[high]) / 2 * (high - low) for low, high in pairwise(SIZES)]
        areas[seed] = sum(parts) / (SIZES[-1] - SIZES[0])
    return areas
