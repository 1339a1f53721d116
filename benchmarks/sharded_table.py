"""The table of `docs/parallel.md`: memory of programs that each keep a part of one model."""

from __future__ import annotations

from rows import conditions_told, results, values
from sharded import ALONE, PARTS, WHOLE


def sharded() -> str:
    """A row for each way: memory, seconds a step, and the loss of three trainings."""
    try:
        found = results("sharded")
    except FileNotFoundError:
        return "Not measured yet."
    lines = [
        "| trained by | memory of a program beyond Python and torch, MB | with them, MB | s a step "
        "| loss afterwards |",
        "| --- | --- | --- | --- | --- |",
    ]
    for way in (ALONE, WHOLE, PARTS):
        beyond, memory = (
            ", ".join(f"{value / 1e6:,.0f}" for value in values(found, way, name))
            for name in ("peak memory beyond that of the start", "peak memory")
        )
        seconds = ", ".join(f"{value:.2f}" for value in values(found, way, "seconds a step"))
        losses = sorted(set(values(found, way, "loss afterwards")))
        told = ", ".join(f"{value:.6f}" for value in losses)
        lines.append(f"| {way} | {beyond} | {memory} | {seconds} | {told} |")
    return "\n".join([*lines, "", conditions_told(found)])
