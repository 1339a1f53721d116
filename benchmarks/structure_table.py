"""The tables of `docs/structure.md`, from what `structure.py` and `structure_digits.py` wrote."""

from __future__ import annotations

from statistics import mean

from rows import results


def structure() -> str:
    """A row per network and way to half the operations; one seed."""
    found = results("structure")
    lines = [
        "| | operations | validation score % | test score % | file, bytes | time at batch 1 | at "
        "batch 32 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for subject in dict.fromkeys(
        row["subject"] for row in found if "latency" not in row["subject"]
    ):
        one = {row["metric"]: row["value"] for row in found if row["subject"] == subject}
        times = (
            ["1", "1"]
            if subject.endswith("baseline")
            else [
                f"{one[f'latency at batch {batch}, median']:.2f} "
                f"({one[f'latency at batch {batch}, low']:.2f} to "
                f"{one[f'latency at batch {batch}, high']:.2f})"
                for batch in (1, 32)
            ]
        )
        cells = [
            f"{one['operations']:.3f}",
            f"{one['validation score']:.2f}",
            f"{one['test score']:.2f}",
            f"{one['file']:,}",
            *times,
        ]
        lines.append(f"| {subject} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\nConditions: {found[0]['conditions']}."


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
    return "\n".join(lines) + f"\n\nConditions: {found[0]['conditions']}."
