"""The tables of `docs/retrieve.md`, from what `retrieve.py` wrote."""

from __future__ import annotations

from statistics import mean

from rows import conditions_told, metrics, results, values


def texts() -> str:
    """A row for each way: nDCG, and the share of what is relevant that is found."""
    seen = metrics(results("retrieve"), "Cranfield")
    lines = [
        "| | nDCG@10 | found at 5 % looked at | at 10 % | at 20 % |",
        "| --- | --- | --- | --- | --- |",
    ]
    for way in ("BM25", "TF-IDF", "chance"):
        gain = seen.get(f"{way}: nDCG@10")
        cells = [f"{seen[f'{way}: found at {share}%']:.1f} %" for share in (5, 10, 20)]
        lines.append(f"| {way} | {'' if gain is None else f'{gain:.3f}'} | {' | '.join(cells)} |")
    return "\n".join(lines)


def clips() -> str:
    """A row for each threshold: the calls of the expensive network that are saved, and what is
    found.
    """
    found = results("retrieve")
    seen = metrics(found, "clips")
    lines = [
        "| | calls saved | frames found | of what is called so, right |",
        "| --- | --- | --- | --- |",
    ]

    def row(title: str, saved: str, name: str) -> None:
        cells = [
            f"{mean(each):.1f} % ({', '.join(f'{one:.1f}' for one in each)})"
            for each in (
                values(found, "clips", f"{name}: {one}") for one in ("recall", "precision")
            )
        ]
        lines.append(f"| {title} | {saved} | {' | '.join(cells)} |")

    row("the expensive network on all frames", "", "the expensive one on all")
    row("the small network alone", "all", "the small one alone")
    for metric in seen:
        if metric.endswith(": calls saved"):
            name = metric.partition(":")[0]
            row(
                f"both, threshold {name}",
                f"{mean(values(found, 'clips', metric)):.1f} %",
                name,
            )
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"
