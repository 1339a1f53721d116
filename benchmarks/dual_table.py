"""The tables of `docs/dual.md`, from what the benchmarks of two directions wrote."""

from __future__ import annotations

from statistics import mean
from typing import Any

from dual_translation import FRENCH_WAYS
from rows import RESULTS, conditions_told, read

WAYS = (
    "pairs",
    "pairs, longer",
    "back-translation",
    "back-translation, longer",
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
            left_out = {"short en-de": WAYS[-1:], "en-fr": set(WAYS) - set(FRENCH_WAYS)}
            if way in left_out.get(language, ()):
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
        cells.append(_told(values, form))
    return f"| {subject} | {' | '.join(cells)} |"


def dual_supervised() -> str:
    """Errors of classifiers that were trained with and without the term."""
    path = RESULTS / "dual_supervised.cpu.jsonl"
    found = read(path) if path.exists() else []
    ways = {
        "SST-2": ("before", "without the term", "weight 1", "weight 10"),
        "CIFAR-10": ("before", "without the term", "weight 10", "weight 1000"),
    }
    columns = {
        "validation error": ("validation error %", ".2f"),
        "test error": ("test error %", ".2f"),
        "log-likelihood of the way back": ("way back, nats an item", ".3f"),
        "minutes of a core": ("minutes of a core", ".1f"),
    }
    return _means(found, [f"{name}, {way}" for name, its in ways.items() for way in its], columns)


def dual_retrieval() -> str:
    """Mean average precision of finders of documents."""
    path = RESULTS / "dual_retrieval.cranfield-cpu.jsonl"
    subjects = (
        "TF-IDF (scikit-learn)",
        "untrained",
        "300 pairs",
        "300 pairs, longer",
        "back-translation",
        "all 1,398 pairs",
    )
    columns = {
        "validation MAP": ("validation MAP %", ".1f"),
        "test MAP": ("test MAP %", ".1f"),
        "minutes of a core": ("minutes of a core", ".1f"),
    }
    return _means(read(path) if path.exists() else [], list(subjects), columns)


def _means(found: list[Any], subjects: list[str], columns: dict[str, tuple[str, str]]) -> str:
    """A row a subject: how many seeds, and the mean and the values of each metric."""
    heads = ["", "seeds", *(title for title, _ in columns.values())]
    lines = [f"| {' | '.join(heads)} |".replace("|  |", "| |"), f"|{' --- |' * len(heads)}"]
    for subject in subjects:
        mine = [row for row in found if row["subject"] == subject]
        if not mine:
            lines.append(f"| {subject} | {_NONE} |{' |' * len(columns)}")
            continue
        seeds = len({row["seed"] for row in mine} - {None})
        cells = [str(seeds or "none needed")]
        for metric, (_, form) in columns.items():
            values = [row["value"] for row in mine if row["metric"] == metric]
            cells.append(_told(values, form))
        lines.append(f"| {subject} | {' | '.join(cells)} |")
    told = conditions_told(found) if found else "Conditions: none yet."
    return "\n".join(lines) + f"\n\n{told}"


def _told(values: list[float], form: str) -> str:
    """The mean of the seeds, and their values where they differ."""
    each = f" ({', '.join(f'{one:{form}}' for one in values)})" if len(set(values)) > 1 else ""
    return f"{mean(values):{form}}{each}" if values else ""
