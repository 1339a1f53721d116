"""The tables of docs/sensitivity.md."""

from __future__ import annotations

from rows import conditions_told, metrics, on, processors, results


def sensitivity() -> str:
    """A row per action and layer, the most score lost first."""
    found = results("sensitivity")
    seen = processors(found)
    heads = ["action", "layer", "score lost", "bytes saved", *(f"ms saved ({its})" for its in seen)]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for subject in dict.fromkeys(row["subject"] for row in found if row["subject"] != "fallback"):
        one = metrics(found, subject)
        layers = dict.fromkeys(
            metric.split(": ")[0] for metric in one if metric.startswith("layers.")
        )
        for layer in sorted(layers, key=lambda layer: -one[f"{layer}: score lost"]):
            times = " | ".join(_time(metrics(on(its, found), subject), layer) for its in seen)
            lost, error = one[f"{layer}: score lost"], one[f"{layer}: standard error"]
            lines.append(
                f"| {subject} | {layer} | {lost:+.4f} ± {error:.4f} | "
                f"{one[f'{layer}: saved']:,.0f} | {times} |"
            )
    size = next(row["value"] for row in found if row["metric"] == "of the model: file")
    timed = {
        row["processor"]: row["value"] for row in found if row["metric"] == "of the model: time"
    }
    times = ", ".join(f"{timed[its]:.3f} ms on {its}" for its in seen)
    seconds = ", ".join(
        f"{row['subject']} {row['value']:.0f} s" for row in found if row["metric"] == "seconds"
    )
    return "\n".join(lines) + (
        f"\n\nThe model as it is: {size:,.0f} bytes, {times}. "
        f"The tables took: {seconds}.\n\n{conditions_told(found)}"
    )


def _time(one: dict[str, float], layer: str) -> str:
    """The milliseconds saved with their interval; empty where they were not measured."""
    names = [f"{layer}: time saved{which}" for which in ("", ", low", ", high")]
    if names[0] not in one:
        return ""
    middle, low, high = (one[name] for name in names)
    if low > 0 or high < 0:
        return f"{middle:+.4f} ({low:+.4f} to {high:+.4f})"
    return "not measurable"


def fallback() -> str:
    """A row per drop, with every seed."""
    found = [row for row in results("sensitivity") if row["subject"] == "fallback"]
    lines = [
        "| drop | layers kept | fewest of all 16 ways | score lost | models made |",
        "| --- | --- | --- | --- | --- |",
    ]
    for drop in dict.fromkeys(row["metric"].split(":")[0] for row in found):
        cells = (
            ", ".join(
                f"{row['value']:{form}}" for row in found if row["metric"] == f"{drop}: {metric}"
            )
            for metric, form in (
                ("layers kept", ".0f"),
                ("fewest of all ways", ".0f"),
                ("score lost", "+.4f"),
                ("models made", ".0f"),
            )
        )
        lines.append(f"| {drop.removeprefix('drop ')} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"
