"""The table of `docs/parallel.md`: what kills and a slow worker cost worker processes."""

from __future__ import annotations

from lost_workers import NOT_WAITING, WAITING
from rows import conditions_told, metrics, results, values


def lost_workers() -> str:
    """A row for a way: kills, steps, the longest pause, and times with a slow worker."""
    try:
        found = results("lost_workers")
    except FileNotFoundError:
        return "Not measured yet."
    lines = [
        "| two processes | kills, of them of the program | steps made of those asked for | longest "
        "time without a step | weights as without kills | both alike, s | one three times slower, "
        "s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in (WAITING, NOT_WAITING):
        one = metrics(found, f"{name}, killed")
        same = one.get("weights as of a run without kills")
        told = "" if same is None else "bit for bit" if same else "**no**"
        seconds = [
            ", ".join(f"{value:.1f}" for value in values(found, f"{name}, {how}", "seconds"))
            for how in ("alike", "one slow")
        ]
        of_program = one["kills of the program that applies gradients"]
        made, asked = one["steps made"], one["steps asked for"]
        lines.append(
            f"| {name} | {one['kills']:.0f}, {of_program:.0f} | {made:,.0f} of {asked:,.0f} | "
            f"{one['longest time without a step']:.1f} s | {told} | {seconds[0]} | {seconds[1]} |"
        )
    return "\n".join([*lines, "", conditions_told(found)])
