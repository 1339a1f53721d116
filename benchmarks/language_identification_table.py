"""The table of languages in `docs/text-tools.md`."""

from __future__ import annotations

from rows import conditions_told, metrics, results, spread, values

_NETWORKS = (("udhr_100kb", "in 100 KB"), ("udhr", "the larger"))
_TEXTS = {
    "UDHR, the label": "test labels right",
    "UDHR, the language": "test languages right",
    "English-EWT": "treebank en, languages right",
    "Chinese-GSD": "treebank zh, languages right",
    "Japanese-GSD": "treebank ja, languages right",
}


def languages() -> str:
    """A row for each network and each kind of text."""
    found = results("language_identification")
    lines = [
        "| file | bytes | right in % | 20 characters | 50 | 100 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, title in _NETWORKS:
        have = metrics(found, name)
        if "size" not in have:
            continue
        size = _told(values(found, name, "size"), ",.0f")
        rows = [(text, metric, ".1f") for text, metric in _TEXTS.items()]
        for text, metric, form in [*rows, ("lines/s, one core", "speed", ",.0f")]:
            cells = [title, size, text]
            for length in (20, 50, 100):
                full = f"{metric}, {length} characters"
                cells.append(_told(values(found, name, full), form) if full in have else "")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def _told(numbers: list[float], form: str) -> str:
    """The mean and the values, or the only one."""
    return spread(numbers, form) if len(numbers) > 1 else f"{numbers[0]:{form}}"
