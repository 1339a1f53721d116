"""The tables of `docs/structure.md`, from what `structure.py` and `structure_digits.py` wrote."""

from __future__ import annotations

from statistics import mean

from rows import conditions_told, metrics, on, processors, results


def structure() -> str:
    """A row per network and way to half the operations; one seed."""
    found = results("structure")
    seen = processors(found)
    heads = ["operations", "validation score %", "test score %", "file, bytes"]
    for one in seen:
        heads += [f"time at batch 1 ({one})", f"at batch 32 ({one})"]
    lines = [f"| | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    for subject in dict.fromkeys(
        row["subject"] for row in found if "latency" not in row["subject"]
    ):
        one = metrics(found, subject)
        times = [
            "1" if subject.endswith("baseline") else _time(metrics(on(its, found), subject), batch)
            for its in seen
            for batch in (1, 32)
        ]
        cells = [
            f"{one['operations']:.3f}",
            f"{one['validation score']:.2f}",
            f"{one['test score']:.2f}",
            f"{one['file']:,}",
            *times,
        ]
        lines.append(f"| {subject} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def _time(one: dict[str, float], batch: int) -> str:
    """The ratio to the baseline with its quartiles; empty where it was not timed."""
    name = f"latency at batch {batch}"
    if f"{name}, median" not in one:
        return ""
    return f"{one[f'{name}, median']:.2f} ({one[f'{name}, low']:.2f} to {one[f'{name}, high']:.2f})"


def digits() -> str:
    """A row per way, with every seed."""
    found = results("structure_digits")
    lines = ["| | operations | validation score % |", "| --- | --- | --- |"]
    for subject in dict.fromkeys(["uncompressed", *(row["subject"] for row in found)]):
        scores = [
            row["value"]
            for row in found
            if row["subject"] == subject and row["metric"] == "validation score"
        ]
        shares = [
            row["value"]
            for row in found
            if row["subject"] == subject and row["metric"] == "operations"
        ]
        share = f"{mean(shares):.2f}" if shares else "1"
        lines.append(
            f"| {subject} | {share} | {mean(scores):.2f} "
            f"({', '.join(f'{one:.2f}' for one in scores)}) |"
        )
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"
