"""The tables of `docs/parallel.md` on large batches: errors, rates beside the rule, and noise."""

from __future__ import annotations

from collections.abc import Callable

from large_batches import BASE, BATCHES, LATE, PROBLEMS, WAITING, Cell, cells
from rows import conditions_told, metrics, results, spread, values

_COLUMNS = [(batch, way) for batch in BATCHES for way in (WAITING, LATE)]


def large_batches() -> str:
    """Tables of test errors, of chosen rates, and of noise scales."""
    try:
        found = results("large_batches")
    except FileNotFoundError:
        return "Not measured yet."

    def error(cell: Cell, name: str) -> str:
        errors = values(found, cell.subject(name), "test error")
        return spread(errors, ".1f") if errors else "not measured yet"

    def rate(cell: Cell, name: str) -> str:
        """Of the rule's; where the rule starts from is the rate for the smallest batch, waiting."""
        subjects = (cell.subject(name), Cell(cell.optimizer, BASE, WAITING).subject(name))
        times, base = (values(found, one, "times the rule's rate") for one in subjects)
        return f"{times[0] / base[0]:.2g}" if times and base else ""

    return "\n\n".join(
        [
            "Test error %, mean (seeds):\n\n" + _table(error),
            "The rate that was chosen, as a multiple of what `scaled_to_batch` makes of that for "
            "batches of 32, waiting:\n\n" + _table(rate),
            _noise(found),
            conditions_told(found),
        ]
    )


def _table(told: Callable[[Cell, str], str]) -> str:
    """A row for a task and an optimizer, a column for a batch and a way."""
    heads = [f"{batch:,}, {way}" for batch, way in _COLUMNS]
    lines = ["| ".join(["| task ", "optimizer ", *(f"{one} " for one in heads)]) + "|"]
    lines.append("| --- " * (2 + len(heads)) + "|")
    have = {(one.optimizer, one.batch, one.way) for one in cells()}
    for name in PROBLEMS:
        for optimizer in dict.fromkeys(one.optimizer for one in cells()):
            row = [
                told(Cell(optimizer, *column), name) if (optimizer, *column) in have else ""
                for column in _COLUMNS
            ]
            lines.append("| " + " | ".join([name, optimizer, *row]) + " |")
    return "\n".join(lines)


def _noise(found: list[dict]) -> str:
    lines = [
        "| task | when | noise scale, examples | from | to | gradients that are 0 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in PROBLEMS:
        for when in ("at the beginning", "at the end"):
            one = metrics(found, f"{name}, gradients, {when}")
            if "zero gradients" not in one:
                lines.append(f"| {name} | {when} | not measured yet | | | |")
                continue
            scales = [
                f"{one[metric]:,.0f}" if metric in one else "no end"
                for metric in ("noise scale", "noise scale, low", "noise scale, high")
            ]
            lines.append(
                f"| {name} | {when} | {' | '.join(scales)} | {one['zero gradients']:.0f} % |"
            )
    return "\n".join(lines)
