"""The table of `docs/pack.md`, from the results of `lossless.py`."""

from __future__ import annotations

from statistics import mean

from rows import conditions_told, on, processors, results


def lossless() -> str:
    """A row per checkpoint: the share of the file that each way saves (the mean of the seeds), and
    how fast ours is.
    """
    found = results("lossless")
    ways = [
        way
        for way in ("ours", "ZipNN", "zstd-22", "lzma")
        if any(row["metric"] == way for row in found)
    ]
    fast = [way for way in ("ours", "ZipNN") if way in ways]
    seen = processors(found)
    titles = [f"{way} packs, unpacks, MB/s ({its})" for its in seen for way in fast]
    lines = [
        f"| checkpoint | bytes | {' | '.join([*ways, *titles])} |",
        "| --- |" + " --- |" * (1 + len(ways) + len(titles)),
    ]
    for subject in dict.fromkeys(row["subject"] for row in found):
        one = _seeds(found, subject)
        saved = (f"−{1 - mean(one[way]) / mean(one['safetensors']):.1%}" for way in ways)
        speed = (_speed(_seeds(on(its, found), subject), way) for its in seen for way in fast)
        lines.append(
            f"| {subject} | {mean(one['safetensors']):,.0f} | {' | '.join([*saved, *speed])} |"
        )
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def _seeds(found: list[dict], subject: str) -> dict[str, list[float]]:
    """Of each metric of a subject, the values of all seeds."""
    one: dict[str, list[float]] = {}
    for row in found:
        if row["subject"] == subject:
            one.setdefault(row["metric"], []).append(row["value"])
    return one


def _speed(one: dict[str, list[float]], way: str) -> str:
    """How fast a way packs and unpacks; empty where it was not timed."""
    names = [f"{way} {what}".removeprefix("ours ") for what in ("packing", "unpacking")]
    return ", ".join(f"{mean(one[name]):.0f}" for name in names if name in one)
