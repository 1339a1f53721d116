"""The tables of docs/sensitivity.md."""

from __future__ import annotations

from rows import results


def sensitivity() -> str:
    """A row per action and layer, the most score lost first."""
    found = results("sensitivity")
    lines = [
        "| action | layer | score lost | bytes saved | ms saved |",
        "| --- | --- | --- | --- | --- |",
    ]
    for subject in dict.fromkeys(row["subject"] for row in found if row["subject"] != "fallback"):
        one = {row["metric"]: row["value"] for row in found if row["subject"] == subject}
        layers = dict.fromkeys(
            metric.split(": ")[0] for metric in one if metric.startswith("layers.")
        )
        for layer in sorted(layers, key=lambda layer: -one[f"{layer}: score lost"]):
            middle, low, high = (
                one[f"{layer}: time saved{which}"] for which in ("", ", low", ", high")
            )
            time = (
                f"{middle:+.4f} ({low:+.4f} to {high:+.4f})"
                if low > 0 or high < 0
                else "not measurable"
            )
            lost, error = one[f"{layer}: score lost"], one[f"{layer}: standard error"]
            lines.append(
                f"| {subject} | {layer} | {lost:+.4f} ± {error:.4f} | "
                f"{one[f'{layer}: saved']:,.0f} | {time} |"
            )
    model = {
        row["metric"]: row["value"] for row in found if row["metric"].startswith("of the model")
    }
    seconds = ", ".join(
        f"{row['subject']} {row['value']:.0f} s" for row in found if row["metric"] == "seconds"
    )
    return "\n".join(lines) + (
        f"\n\nThe model as it is: {model['of the model: file']:,.0f} bytes, "
        f"{model['of the model: time']:.3f} ms. "
        f"The tables took: {seconds}.\n\nConditions: {found[0]['conditions']}."
    )


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
    return "\n".join(lines) + f"\n\nConditions: {found[0]['conditions']}."
