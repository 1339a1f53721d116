"""The table of spoken digits in `docs/microcontroller.md`."""

from __future__ import annotations

from rows import conditions_told, results, spread, values

_TITLES = {
    "float32": "as trained",
    "int8": "`PostTraining()`",
    "planned": "planned",
}
_COLUMNS = (
    ("file, bytes", "file", ",.0f"),
    ("validation %", "validation", ".1f"),
    ("test %", "test", ".1f"),
    ("flash, bytes", "flash", ",.0f"),
    ("of the chain", "", ",.0f"),
    ("RAM, bytes", "RAM", ",.0f"),
    ("instructions a sound, emulated", "instructions", ",.0f"),
    ("labels equal %", "labels equal", ".1f"),
)


def spoken_digits() -> str:
    """A row for the float network, for int8, and for what the planner found."""
    found = results("spoken_digits")
    lines = [
        f"| {' | '.join(['network', *(title for title, _, _ in _COLUMNS)])} |",
        f"| {' | '.join(['---'] * (len(_COLUMNS) + 1))} |",
    ]
    for name, title in _TITLES.items():
        cells = [title]
        for _, metric, form in _COLUMNS:
            if metric:
                numbers = values(found, name, metric)
            else:
                bare = values(found, name, "flash, without the chain")
                numbers = [
                    whole - part
                    for whole, part in zip(values(found, name, "flash"), bare, strict=True)
                ]
            equal = len(set(numbers)) == 1
            cells.append(f"{numbers[0]:{form}}" if equal else spread(numbers, form))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"
