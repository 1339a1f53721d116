"""The tables of `docs/parallel.md`: what exchanges of gradients cost, and how long they take."""

from __future__ import annotations

from statistics import median

from exchange_beside_torch import PAIRS
from gradient_exchange import BESIDE, PROBLEMS, WHOLE, WORKERS
from rows import conditions_told, metrics, on, processors, results, spread, values

from shoestring.parallel import WIRES, Traffic

_NOT_YET = "Not measured yet."


def gradient_exchange() -> str:
    """A row for a task and an exchange: bytes, test errors, and modelled times."""
    try:
        found = results("gradient_exchange")
    except FileNotFoundError:
        return _NOT_YET
    lines = [
        "| task | exchange | bytes of a gradient | times fewer | test error %, mean (seeds) | "
        + " | ".join(WIRES)
        + " |",
        "| --- | --- | --- | --- | --- |" + " --- |" * len(WIRES),
    ]
    for name, problem in PROBLEMS.items():
        steps = values(found, f"{name}, {WHOLE}", "milliseconds of a step")
        for exchange in problem.exchanges:
            more = metrics(found, f"{name}, {exchange}")
            errors = values(found, f"{name}, {exchange}", "test error")
            if not errors or not steps:
                empty = " | " * (2 + len(WIRES))
                lines.append(f"| {name} | {exchange} | not measured yet{empty} |")
                continue
            size = more["bytes of a gradient"]
            times = _milliseconds(more, median(steps))
            lines.append(
                f"| {name} | {exchange} | {size:,.0f} | {4 * more['parameters'] / size:.3g} | "
                f"{spread(errors, '.2f')} | " + " | ".join(f"{one:,.0f} ms" for one in times) + " |"
            )
    return "\n".join([*lines, "", conditions_told(found)])


def _milliseconds(row: dict[str, float], step: float) -> list[float]:
    """Modelled, of a round on each wire: measured computation, and the wire of counted bytes."""
    reductions, gathered = int(row["reductions"]), int(row["bytes to gather"])
    each = int(row["bytes to reduce"]) // max(1, reductions)
    its = Traffic(
        int(row["bytes of a gradient"]), (each,) * reductions, (gathered,) if gathered else ()
    )
    computed = step + row["milliseconds of coding"]
    return [computed + 1e3 * wire.mean_seconds(its, WORKERS) for wire in WIRES.values()]


def exchange_beside_torch() -> str:
    """A row for a network, an exchange and a processor: the ratio to torch's hook."""
    try:
        found = results("gradient_exchange")
    except FileNotFoundError:
        return _NOT_YET
    lines = [
        "| gradients of | exchange | torch's hook | our time by torch's, median (quartiles) | "
        "ours | torch's | processor |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in PROBLEMS:
        for exchange, (_, hook) in PAIRS.items():
            for processor in processors(found):
                row = metrics(on(processor, found), f"{name}, {BESIDE}, {exchange}")
                if not row:
                    continue
                low, middle, high = (
                    row[f"ratio of times, {word}"] for word in ("low", "median", "high")
                )
                lines.append(
                    f"| {name} | {exchange} | `{hook}` | {middle:.2f} ({low:.2f}, {high:.2f}) | "
                    f"{row['milliseconds, ours']:.1f} ms | {row[f'milliseconds, {hook}']:.1f} ms | "
                    f"{processor} |"
                )
    return "\n".join(lines) if len(lines) > 2 else _NOT_YET
