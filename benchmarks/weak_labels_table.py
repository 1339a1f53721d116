"""The tables of `docs/weak-labels.md`, from what `weak_labels.py` wrote."""

from __future__ import annotations

from statistics import mean
from typing import Any

from rows import conditions_told, metrics, results, values

SETS = ("SST-2", "TREC")


def _each(found: list[Any], subject: str, metric: str, form: str = ".1f") -> str:
    """The mean, and what each seed gave."""
    seen = values(found, subject, metric)
    return f"{mean(seen):{form}} ({', '.join(f'{one:{form}}' for one in seen)})"


def weak_labels() -> str:
    """A row for each number of labels: the network alone, and with rules; test accuracy."""
    found = results("weak_labels")
    lines = [
        "| | labels | without rules | with rules | true labels that do as well alone |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in SETS:
        subject = f"{name}, networks"
        seen = metrics(found, subject)
        alone = {_count(one): one for one in seen if one.startswith("true labels, ")}
        ruled = {_count(one): one for one in seen if one.startswith("rules and ")}
        for count in sorted({*alone, *ruled}):
            worth = f"{name}, true labels for the score of rules and {count} labels"
            cells = [
                _each(found, subject, alone[count]) if count in alone else "",
                _each(found, subject, ruled[count]) if count in ruled else "",
                _each(found, worth, "labels", ",.0f") if count in ruled else "",
            ]
            lines.append(f"| {name} | {count:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def _count(metric: str) -> int:
    return next(int(word) for word in metric.replace(",", "").split() if word.isdecimal())


def label_quality() -> str:
    """A row for each set: the rules, what they cover, and how often each way is right there."""
    found = results("weak_labels")
    ways = dict.fromkeys(
        metric.partition(":")[0]
        for name in SETS
        for metric in metrics(found, f"{name}, labels")
        if metric.endswith(": right where covered")
    )
    lines = [
        f"| | rules | covered, % | {' | '.join(f'{way}, %' for way in ways)} |",
        f"| --- | --- | --- |{' --- |' * len(ways)}",
    ]
    for name in SETS:
        seen = metrics(found, f"{name}, labels")
        cells = [f"{seen[f'{way}: right where covered']:.1f}" for way in ways]
        lines.append(
            f"| {name} | {seen['rules']:.0f} | {seen['covered']:.1f} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)
