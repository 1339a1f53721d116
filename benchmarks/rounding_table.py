"""The table of `docs/quantize.md` on rounding, from the results of `rounding.py`."""

from __future__ import annotations

from statistics import mean

from rows import conditions_told, results, spread, values

TITLES = {"resnet20": "ResNet-20", "mobilenet": "MobileNet", "text_encoder": "text encoder"}


def rounding() -> str:
    """A row per network, bits and way of rounding, with every seed."""
    found = results("rounding")
    lines = [
        "| | file, bytes | validation score % | test score % | seconds |",
        "| --- | --- | --- | --- | --- |",
    ]
    for network, title in TITLES.items():
        subjects = dict.fromkeys(
            row["subject"] for row in found if row["subject"].startswith(network)
        )
        for subject in sorted(subjects, key=lambda subject: not subject.endswith("float32")):
            _, *rest = subject.split(" / ")
            scores = [values(found, subject, f"{split} score") for split in ("validation", "test")]
            cells = [spread(one, ".2f") if len(one) > 1 else f"{one[0]:.2f}" for one in scores]
            seconds = values(found, subject, "quantising")
            cells = [
                f"{mean(values(found, subject, 'file')):,.0f}",
                *cells,
                f"{mean(seconds):.0f}" if seconds else "",
            ]
            lines.append(f"| {', '.join((title, *rest))} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"
