"""The table of `docs/pack.md`, from the results of `lossless.py`."""

from __future__ import annotations

from statistics import mean

from rows import results


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
    titles = [f"{way} packs, unpacks, MB/s" for way in fast]
    lines = [
        f"| checkpoint | bytes | {' | '.join([*ways, *titles])} |",
        "| --- |" + " --- |" * (1 + len(ways) + len(titles)),
    ]
    for subject in dict.fromkeys(row["subject"] for row in found):
        one: dict[str, list[float]] = {}
        for row in found:
            if row["subject"] == subject:
                one.setdefault(row["metric"], []).append(row["value"])
        saved = (f"−{1 - mean(one[way]) / mean(one['safetensors']):.1%}" for way in ways)
        speed = (
            ", ".join(
                f"{mean(one[f'{way} {what}'.removeprefix('ours ')]):.0f}"
                for what in ("packing", "unpacking")
            )
            for way in fast
        )
        lines.append(
            f"| {subject} | {mean(one['safetensors']):,.0f} | {' | '.join([*saved, *speed])} |"
        )
    return "\n".join(lines) + f"\n\nConditions: {found[0]['conditions']}."
