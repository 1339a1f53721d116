"""The table of `docs/planner.md` on who buys labels, from what `label_replay.py` wrote."""

from __future__ import annotations

from statistics import mean

from rows import conditions_told, results

DEFAULT, BASELINE = "Margin", "Random"


def label_replay() -> str:
    """A row per set: what the technique brought that replaying chose, against always the same."""
    found = results("label_replay")
    lines = [
        "| data | seeds | chosen by replaying | test score against always `Margin()`, points | "
        "seeds in which it was higher, lower | always `Random()` against it |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in dict.fromkeys(row["subject"] for row in found):
        by_seed: dict[int, dict[str, float]] = {}
        for row in found:
            if row["subject"] == name:
                by_seed.setdefault(row["seed"], {})[row["metric"]] = row["value"]
        chosen = {
            seed: metric.removeprefix("chosen, ")
            for seed, one in by_seed.items()
            for metric in one
            if metric.startswith("chosen, ")
        }
        gains = [
            by_seed[seed][f"then, {way}"] - by_seed[seed][f"then, {DEFAULT}"]
            for seed, way in chosen.items()
        ]
        plain = [
            by_seed[seed][f"then, {BASELINE}"] - by_seed[seed][f"then, {DEFAULT}"]
            for seed in chosen
        ]
        higher, lower = sum(one > 0 for one in gains), sum(one < 0 for one in gains)
        lines.append(
            f"| {name} | {len(gains)} | {', '.join(f'`{way}`' for way in chosen.values())} | "
            f"{mean(gains):+.2f} | {higher}, {lower} | {mean(plain):+.2f} |"
        )
    return "\n".join([*lines, "", conditions_told(found)])
