"""The tables of `docs/dual.md`, from what `dual_translation.py` wrote."""

from __future__ import annotations

from statistics import mean
from typing import Any

from rows import RESULTS, conditions_told, read

WAYS = (
    "pairs",
    "pairs, longer",
    "back-translation",
    "dual learning",
    "dual supervised",
    "adversarial",
    "all pairs",
    "all pairs, one way",
)
_NONE = "not measured yet"
_COLUMNS = {
    "validation BLEU": "validation BLEU",
    "test_2016 BLEU, forward": "test 2016, from English",
    "test_2016 BLEU, backward": "test 2016, into English",
    "test_2017 BLEU, forward": "test 2017, from English",
    "test_2017 BLEU, backward": "test 2017, into English",
    "price of the pairs": "dollars for the pairs",
    "minutes of a core": "minutes of a core",
}


def dual_translation() -> str:
    """BLEU of each way, English and German and English and French."""
    path = RESULTS / "dual_translation.multi30k-cpu.jsonl"
    return _table(read(path) if path.exists() else [], ("en-de", "en-fr"), list(_COLUMNS))


def dual_short() -> str:
    """The same of short sentences and tiny networks."""
    path = RESULTS / "dual_translation.multi30k-cpu.jsonl"
    columns = [one for one in _COLUMNS if "2017" not in one]
    return _table(read(path) if path.exists() else [], ("short en-de",), columns)


def _table(found: list[Any], languages: tuple[str, ...], columns: list[str]) -> str:
    heads = ["", "seeds", *(_COLUMNS[one] for one in columns)]
    lines = [f"| {' | '.join(heads)} |".replace("|  |", "| |"), f"|{' --- |' * len(heads)}"]
    for language in languages:
        for way in WAYS:
            if way == WAYS[-1] and language != "en-de":
                continue
            lines.append(_line(found, f"{language}, {way}", columns))
    told = conditions_told(found) if found else "Conditions: none yet."
    return "\n".join(lines) + f"\n\n{told}"


def _line(found: list[Any], subject: str, columns: list[str]) -> str:
    mine = [row for row in found if row["subject"] == subject]
    if not mine:
        return f"| {subject} | {_NONE} |{' |' * len(columns)}"
    cells = [str(len({row["seed"] for row in mine}))]
    for metric in columns:
        values = [row["value"] for row in mine if row["metric"] == metric]
        form = ",.0f" if "price" in metric else ".1f"
        each = f" ({', '.join(f'{one:{form}}' for one in values)})" if len(set(values)) > 1 else ""
        cells.append(f"{mean(values):{form}}{each}" if values else "")
    return f"| {subject} | {' | '.join(cells)} |"
