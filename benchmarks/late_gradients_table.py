"""The table of `docs/parallel.md`: ways to work together, their errors and simulated times."""

from __future__ import annotations

from late_gradients import ALONE, LATE, PROBLEMS, ways
from rows import conditions_told, metrics, results, spread, values


def late_gradients() -> str:
    """A row for a task and a way: test errors, simulated speed, and seeds ahead of plain ones."""
    try:
        found = results("late_gradients")
    except FileNotFoundError:
        return "Not measured yet."
    lines = [
        "| task | way | test error %, mean (seeds) | ahead of late gradients as they come | "
        "times as fast, simulated | with a slow worker |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in PROBLEMS:
        alone = metrics(found, f"{name}, {ALONE}")
        for way in ways():
            subject = f"{name}, {way}"
            errors = values(found, subject, "test error")
            if not errors:
                lines.append(f"| {name} | {way} | not measured yet | | | |")
                continue
            more = metrics(found, subject)
            fast = [
                f"{alone['simulated time, alike'] / more[f'simulated time, {words}']:.1f}"
                if f"simulated time, {words}" in more and way != ALONE
                else ""
                for words in ("alike", "one slow")
            ]
            lines.append(
                f"| {name} | {way} | {spread(errors, '.2f')} | {_ahead(found, subject, errors)} | "
                f"{fast[0]} | {fast[1]} |"
            )
    return "\n".join([*lines, "", conditions_told(found)])


def _ahead(found: list[dict], subject: str, errors: list[float]) -> str:
    """In how many seeds a way of late gradients has a lower error than the plain one."""
    plain, *others = LATE
    beside = next((one for one in others if subject.endswith(one)), None)
    if beside is None:
        return ""
    its = values(found, subject.removesuffix(beside) + plain, "test error")
    if len(its) != len(errors):
        return ""
    return f"{sum(a < b for a, b in zip(errors, its, strict=True))} of {len(errors)}"
