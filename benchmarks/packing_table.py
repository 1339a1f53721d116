"""The table of large checkpoints in `docs/pack.md`, from the results of `packing.py`."""

from __future__ import annotations

from rows import conditions_told, on, processors, results

WAYS = ("ours, fast", "ours, base", "ZipNN", "zstd-3", "zstd-19")


def packing() -> str:
    """A row per checkpoint: the share of the file that each way saves; then one for its speeds."""
    found = results("packing")
    ways = [way for way in WAYS if any(row["metric"] == way for row in found)]
    subjects = list(dict.fromkeys(row["subject"] for row in found))
    values = {(row["subject"], row["metric"]): row["value"] for row in found}
    saved = [way for way in ways if way != "ours, base"]
    lines = [
        f"| saved | bytes | {' | '.join(way.removesuffix(', fast') for way in saved)} |",
        "| --- |" + " --- |" * (1 + len(saved)),
    ]
    for subject in subjects:
        whole = values[subject, "safetensors"]
        cells = [_percent(values.get((subject, way)), whole) for way in saved]
        lines.append(f"| {subject} | {whole:,.0f} | {' | '.join(cells)} |")
    for its in processors(found):
        here = {(row["subject"], row["metric"]): row["value"] for row in on(its, found)}
        lines += ["", f"| packs, unpacks, MB/s ({its}) | {' | '.join(ways)} |"]
        lines.append("| --- |" + " --- |" * len(ways))
        for subject in subjects:
            cells = [_speeds(here, subject, way) for way in ways]
            lines.append(f"| {subject} | {' | '.join(cells)} |")
    peaks = [
        f"| {subject} | {' | '.join(_peak(values, subject, way) for way in ways)} |"
        for subject in subjects
    ]
    lines += ["", f"| peak memory, MiB | {' | '.join(ways)} |", "| --- |" + " --- |" * len(ways)]
    return "\n".join([*lines, *peaks]) + f"\n\n{conditions_told(found)}"


def _percent(size: float | None, whole: float) -> str:
    return "" if size is None else f"−{1 - size / whole:.1%}"


def _speeds(here: dict[tuple[str, str], float], subject: str, way: str) -> str:
    found = [here.get((subject, f"{way} {what}")) for what in ("packing", "unpacking")]
    return ", ".join(f"{speed:,.0f}" for speed in found if speed is not None)


def _peak(values: dict[tuple[str, str], float], subject: str, way: str) -> str:
    peak = values.get((subject, f"{way} peak of both"))
    return "" if peak is None else f"{peak:,.0f}"
