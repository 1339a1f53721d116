"""The table of `docs/quantize.md` on rounding, from the results of `rounding.py`."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean

TITLES = {"resnet20": "ResNet-20", "mobilenet": "MobileNet", "text_encoder": "text encoder"}


def rounding() -> str:
    """A row per network, bits and way of rounding, with every seed."""
    (file,) = (p for p in (Path(__file__).parent / "results").glob("rounding.*.jsonl") if ".quick." not in p.name)
    found = [json.loads(line) for line in file.read_text().splitlines()]
    lines = ["| | file, bytes | validation score % | test score % | seconds |", "| --- | --- | --- | --- | --- |"]
    for network, title in TITLES.items():
        subjects = dict.fromkeys(row["subject"] for row in found if row["subject"].startswith(network))
        for subject in sorted(subjects, key=lambda subject: not subject.endswith("float32")):
            _, *rest = subject.split(" / ")
            scores = [_seeds(found, subject, f"{split} score") for split in ("validation", "test")]
            cells = [" (".join((f"{mean(one):.2f}", ", ".join(f"{x:.2f}" for x in one))) + ")" for one in scores]
            if len(scores[0]) == 1:
                cells = [f"{one[0]:.2f}" for one in scores]
            seconds = _seeds(found, subject, "quantising")
            cells = [f"{mean(_seeds(found, subject, 'file')):,.0f}", *cells, f"{mean(seconds):.0f}" if seconds else ""]
            lines.append(f"| {', '.join((title, *rest))} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\nConditions: {found[0]['conditions']}."


def _seeds(found: list[dict], subject: str, metric: str) -> list[float]:
    return [row["value"] for row in found if row["subject"] == subject and row["metric"] == metric]
