"""The tables of spoken digits in `docs/microcontroller.md`."""

from __future__ import annotations

from rows import conditions_told, metrics, results, spread, values

_TITLES = {
    "float32": "as trained",
    "int8": "`PostTraining()`",
    "planned": "planned to 16 KB",
    "planned to 10 KB": "planned to 10 KB",
    "linear": "linear, `PostTraining()`",
    "dense": "dense, 16 hidden, `PostTraining()`",
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
    """A row for the float network, for int8, for what the planner found, and for baselines."""
    found = results("spoken_digits")
    lines = [
        f"| {' | '.join(['network', *(title for title, _, _ in _COLUMNS)])} |",
        f"| {' | '.join(['---'] * (len(_COLUMNS) + 1))} |",
    ]
    for name, title in _TITLES.items():
        met = values(found, name, "within the budget")
        cells = [f"{title} (kept by {sum(met):.0f} of {len(met)})" if met else title]
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


def unheard() -> str:
    """A row for each speaker who is in the test split alone, and their mean."""
    found = results("spoken_digits")
    names = [
        name
        for name in dict.fromkeys(row["subject"] for row in found)
        if name.startswith("unheard ")
    ]
    columns = ("validation", "test", "validation, dense", "test, dense")
    rows = {name: [metrics(found, name)[one] for one in columns] for name in names}
    lines = [
        "| tested on | `SpokenDigits`: validation % | test % | dense: validation % | test % |",
        "| --- | --- | --- | --- | --- |",
    ]
    means = [sum(column) / len(rows) for column in zip(*rows.values(), strict=True)]
    for title, numbers in [*rows.items(), ("the mean", means)]:
        cells = " | ".join(f"{number:.1f}" for number in numbers)
        lines.append(f"| {title.removeprefix('unheard ')} | {cells} |")
    return "\n".join(lines)
