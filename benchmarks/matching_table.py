"""The table of matchings in `docs/language.md`, from the results of `matching.py`."""

from __future__ import annotations

from statistics import mean

from rows import conditions_told, on, processors, results, values


def matching() -> str:
    """A row for each number of words."""
    try:
        found = results("matching")
    except FileNotFoundError:
        return "Not measured yet."
    seen = processors(found)
    heads = [f"{kind}, s of a core ({one})" for one in seen for kind in ("exact", "improved")]
    lines = [
        f"| words | {' | '.join(heads)} | sweeps | cost of the start | above exact |",
        f"|{' --- |' * (4 + len(heads))}",
    ]
    for name in sorted({row["subject"] for row in found}, key=int):
        cells = [
            f"{mean(timed):,.2g}"
            if (timed := values(on(one, found), name, f"{kind}, seconds"))
            else "not run"
            for one in seen
            for kind in ("exact", "improved")
        ]
        above = values(found, name, "above exact")
        lines.append(
            f"| {int(name):,} | {' | '.join(cells)} | {mean(values(found, name, 'sweeps')):.0f} | "
            f"{100 * mean(values(found, name, 'improved, cost of the start')):.1f} % | "
            f"{f'{mean(above):.2f} %' if above else 'not known'} |"
        )
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"
