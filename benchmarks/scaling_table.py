"""The tables of `docs/forecast-scale.md`: how forecasts did, and the forecast of each case."""

from __future__ import annotations

from rows import conditions_told, metrics, results
from scaling_cases import cases
from scaling_forecasts import CHOOSING, FORECASTS


def scaling_summary(more: str = "") -> str:
    """A row for each forecast: in how many intervals the score was, their width, how far it was."""
    found = results("scaling")
    lines = [
        "| forecast | in the 80 % interval | median width, points | away from the final score, "
        "points: mean | median | interval score |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in FORECASTS:
        known = metrics(found, f"{name}{more}")
        if "held" in known:
            held = f"{known['held']:.0f} of {known['cases']:.0f}"
            ends = [f"{known['width']:.1f}", f"{known['penalty']:.1f}"]
        else:
            held, ends = "no interval", ["", ""]
        lines.append(
            f"| {name} | {held} | {ends[0]} | {known['apart']:.2f} | {known['middle']:.2f} | "
            f"{ends[1]} |"
        )
    return "\n".join([*lines, "", conditions_told(found)])


def scaling_chosen() -> str:
    """The same on the cases on which settings were chosen."""
    return scaling_summary(CHOOSING).rsplit("\n", 2)[0]


def scaling_by_case() -> str:
    """A row for each case that counts: the score of a tenth, the forecast, the score of all."""
    found = results("scaling")
    lines = [
        "| case | examples | score with a tenth | forecast (80 % interval) | score with all |",
        "| --- | --- | --- | --- | --- |",
    ]
    for case in cases():
        if case.choosing:
            continue
        known = metrics(found, case.name)
        examples = int(known["examples"])
        means: dict[int, list[float]] = {}
        for row in found:
            if row["subject"] == case.name and row["seed"] is not None:  # a training
                means.setdefault(int(row["metric"].split()[-1]), []).append(row["value"])
        scores = {size: sum(one) / len(one) for size, one in means.items()}
        tenth, final = scores[max(size for size in scores if size < examples)], scores[examples]
        told = "undecided"
        if "middle forecast" in known:
            low, middle, high = (known[f"{end} forecast"] for end in ("low", "middle", "high"))
            outside = "" if low <= final <= high else ", **not in it**"
            told = f"{middle:.3f} ({low:.3f} to {high:.3f}){outside}"
        lines.append(f"| {case.name} | {examples:,} | {tenth:.3f} | {told} | {final:.3f} |")
    return "\n".join(lines)
