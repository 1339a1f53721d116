"""The table of `docs/formats.md`, from what `label_studio.py` wrote."""

from __future__ import annotations

from rows import conditions_told, metrics, results

KINDS = {
    "texts": "texts with classes, some skipped",
    "spans": "texts with spans, and emoji",
    "boxes": "pictures of blood cells with boxes",
}
WHAT = ("examples", "annotations", "predictions with their scores", "priorities")


def label_studio() -> str:
    """A row for each kind and thing: how many were written, and were the same after each export."""
    found = results("label_studio")
    lines = [
        "| | what | written | the same after an export | after an export with predictions |",
        "| --- | --- | --- | --- | --- |",
    ]
    for subject, title in KINDS.items():
        seen = metrics(found, subject)
        for what in WHAT:
            cells = [
                f"{seen[f'export: {what} written']:.0f}",
                f"{seen[f'export: {what} the same']:.0f}",
                f"{seen[f'export with predictions: {what} the same']:.0f}",
            ]
            lines.append(f"| {title} | {what} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"
