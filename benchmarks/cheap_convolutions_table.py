"""The tables of `docs/cheap-operations.md`, from what `cheap_convolutions.py` wrote."""

from __future__ import annotations

from typing import Any

from rows import conditions_told, metrics, on, processors, results

TITLES = {
    "alexnet": "AlexNet",
    "alexnet_512": "AlexNet, narrow dense layers",
    "resnet20": "ResNet-20",
    "resnet20_8": "ResNet-20, width 8",
    "mobilenet": "MobileNet",
    "shufflenet_64_2": "ShuffleNet, width 64, 2 groups",
    "shufflenet_v2_16": "ShuffleNet V2, width 16",
    "shufflenet_v2_32": "ShuffleNet V2, width 32",
    "shufflenet_v2_64": "ShuffleNet V2, width 64",
}
_WIDTHS = "widths: "
_REFERENCE = f"{_WIDTHS}AlexNet"


def widths() -> str:
    """A row per untrained network, from the most operations to the fewest."""
    found = results("cheap_convolutions")
    heads = ["file, bytes", "operations, millions", "times fewer", *_time_heads(found)]
    lines = [f"| | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    subjects = {row["subject"] for row in found if row["subject"].startswith(_WIDTHS)}
    counted = {subject: metrics(found, subject) for subject in subjects}
    whole = counted[_REFERENCE]["operations"]
    for subject in sorted(subjects, key=lambda one: (-counted[one]["operations"], one)):
        one = counted[subject]
        cells = [
            f"{one['file']:,.0f}",
            f"{one['operations'] / 1e6:.1f}",
            f"{whole / one['operations']:.1f}",
            *_times(found, subject),
        ]
        lines.append(f"| {subject.removeprefix(_WIDTHS)} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def cheap_convolutions() -> str:
    """A row per trained network and number format."""
    found = results("cheap_convolutions")
    whole = metrics(found, _REFERENCE)["operations"]
    heads = [
        "passes",
        "validation error %",
        "test error %",
        "file, bytes",
        "operations, times fewer",
        *_time_heads(found),
    ]
    lines = [f"| | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    subjects = dict.fromkeys(
        row["subject"] for row in found if not row["subject"].startswith(_WIDTHS)
    )
    for subject in sorted(subjects, key=_passes):
        one = metrics(found, subject)
        name, passes, *kind = subject.split(", ")
        cells = [
            passes.split()[0],
            f"{one['validation error']:.2f}",
            f"{one['test error']:.2f}",
            f"{one['file']:,.0f}",
            f"{whole / one['operations']:.1f}",
            *_times(found, subject),
        ]
        lines.append(f"| {', '.join([TITLES[name], *kind])} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def _passes(subject: str) -> int:
    """How many passes a network had: the rows of a table are in this order."""
    return int(subject.split(", ")[1].split()[0])


def _time_heads(found: list[Any]) -> list[str]:
    return [
        f"times as fast at batch {batch} ({its})" for its in processors(found) for batch in (1, 32)
    ]


def _times(found: list[Any], subject: str) -> list[str]:
    """How many times as fast as AlexNet's float32 file, with the quartiles, for each processor."""
    cells: list[str] = []
    for its in processors(found):
        one = metrics(on(its, found), subject)
        for batch in (1, 32):
            name = f"processor time at batch {batch}"
            cells.append(
                f"{1 / one[f'{name}, median']:.3g} ({1 / one[f'{name}, high']:.3g} to "
                f"{1 / one[f'{name}, low']:.3g})"
                if f"{name}, median" in one
                else ""
            )
    return cells
