"""The tables of placements in `docs/parallel.md`, from the results of `placement.py`."""

from __future__ import annotations

from statistics import mean

from placement import METHODS
from placement_networks import DEVICES, LARGE, SMALL
from rows import conditions_told, metrics, processors, results, values


def placement_methods() -> str:
    """A row for each method, over all small networks and sets of devices."""
    try:
        found = results("placement")
    except FileNotFoundError:
        return "Not measured yet."
    lines = [
        "| method | networks within 5 % on all devices | runs within 5 % | above the optimum, mean "
        f"| worst | did not fit | a search, s of a core ({', '.join(processors(found))}) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for method in METHODS:
        above = {name: _above(found, name, method) for name in SMALL}
        fits = [one for runs in above.values() for one in runs if one is not None]
        count = sum(len(runs) for runs in above.values())
        networks = sum(all(map(_near, runs)) for runs in above.values() if runs)
        seconds = [one for name in SMALL for one in _values(found, name, f"{method}, seconds")]
        lines.append(
            f"| {method} | {networks} of {len(SMALL)} | {sum(map(_near, fits))} of {count} | "
            f"{mean(fits):.1f} % | {max(fits):.1f} % | {count - len(fits) or ''} | "
            f"{mean(seconds):.2g} |"
        )
    exact = [one for name in SMALL for one in _values(found, name, "the optimum, seconds")]
    lines.append(
        f"| branch and bound, the proven optimum | {len(SMALL)} of {len(SMALL)} | "
        f"{len(exact)} of {len(exact)} | 0.0 % | 0.0 % | | {mean(exact):.2g} |"
    )
    return "\n".join([*lines, "", conditions_told(found)])


def placement_networks() -> str:
    """A row for each network: how much longer its worst placement takes than the least."""
    try:
        found = results("placement")
    except FileNotFoundError:
        return "Not measured yet."
    lines = [
        f"| network | layers | {' | '.join(METHODS)} |",
        f"| --- | --- |{' --- |' * len(METHODS)}",
    ]
    for name in (*SMALL, *LARGE):
        cells: list[str] = []
        for method in METHODS:
            above = _above(found, name, method)
            fits = [one for one in above if one is not None]
            worst = f"{max(fits):.1f} %" if fits else ""
            lost = f"{len(above) - len(fits)} of {len(above)} did not fit"
            cells.append(worst if len(fits) == len(above) else f"{worst} ({lost})")
        layers = metrics(found, name)["layers"]
        lines.append(f"| {name} | {layers:.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _near(above: float | None) -> bool:
    return above is not None and above <= 5


def _values(found: list[dict], name: str, metric: str) -> list[float]:
    """A metric's values on all sets of devices, with all seeds."""
    return [one for where in DEVICES for one in values(found, f"{name}, {where}", metric)]


def _above(found: list[dict], name: str, method: str) -> list[float | None]:
    """Percent above the least of each run on each set of devices; None for what does not fit."""
    above: list[float | None] = []
    for where in DEVICES:
        fits = values(found, f"{name}, {where}", f"{method}, fits")
        held = iter(values(found, f"{name}, {where}", f"{method}, above the least"))
        above += [next(held) if one else None for one in fits]
    return above
