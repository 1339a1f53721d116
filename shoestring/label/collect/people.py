"""Who labelled how much, and how fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shoestring.label.collect.answer import Answer

MOST_PAUSE_SECONDS = 120.0
"""Longer thought than this counts as a pause in the labels of an hour."""


def people_of(answers: Sequence[Answer], now: float) -> list[dict[str, Any]]:
    """For each person: labels, labels an hour while at work, and when the last one came."""
    undone = {one.undoes for one in answers if one.undoes}
    kept: dict[str, list[Answer]] = {}
    for one in answers:
        if not one.undoes and one.id not in undone:
            kept.setdefault(one.by, []).append(one)
    found = list[dict[str, Any]]()
    for by, rows in sorted(kept.items()):
        seconds = [min(one.seconds, MOST_PAUSE_SECONDS) for one in rows if one.seconds is not None]
        spent = sum(seconds)
        found.append(
            {
                "by": by,
                "labels": len({one.example for one in rows}),
                "hourly": 3600 * len(seconds) / spent if spent > 0 else None,
                "since": now - max((one.at or 0.0) for one in rows),
            }
        )
    return found
