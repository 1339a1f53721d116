"""The table of tiles against whole pictures in `docs/choose.md`, from what `regions.py` wrote."""

from __future__ import annotations

from statistics import mean
from typing import Any

from rows import conditions_told, results, values

WAYS = {
    "random pictures": ("whole pictures", "`Random()`"),
    "margin pictures": ("whole pictures", "`Margin()`"),
    "random tiles": ("tiles", "`Random()`"),
    "margin tiles": ("tiles", "`Margin()`"),
}
SIZES = (1, 4)
POOL = 96
ALL = "all pixels"


def regions() -> str:
    """A row per way: the overlap at each size, and further scores and pairs at the largest."""
    found, last = _whole_seeds(results("regions")), SIZES[-1]
    base = values(found, "random pictures", f"test mean IoU at {last}")
    heads = [f"mean IoU % with {100 * size / POOL:.1f} % of the pixels" for size in SIZES]
    heads += [f"against random pictures, at {100 * last / POOL:.1f} %", "pairs won"]
    heads += ["membrane F1 %", "pixel error %"]
    lines = [f"| what is bought | by | {' | '.join(heads)} |", "| --- |" * (2 + len(heads))]
    lines[1] = lines[1].replace("||", "|")
    for name, (what, by) in WAYS.items():
        own = values(found, name, f"test mean IoU at {last}")
        pairs = [one - other for one, other in zip(own, base, strict=True)]
        cells = [f"{mean(values(found, name, f'test mean IoU at {size}')):.1f}" for size in SIZES]
        cells += (
            ["", ""]
            if name == "random pictures"
            else [f"{mean(pairs):+.1f}", f"{sum(one > 0 for one in pairs)} of {len(pairs)}"]
        )
        cells += [f"{mean(values(found, name, f'test {metric} at {last}')):.1f}"
                  for metric in ("membrane F1", "pixel error")]  # fmt: skip
        lines.append(f"| {what} | {by} | {' | '.join(cells)} |")
    whole = [f"{mean(values(found, ALL, f'test {metric} at {POOL}')):.1f}"
             for metric in ("mean IoU", "membrane F1", "pixel error")]  # fmt: skip
    rest = " |" * (len(SIZES) + 1)
    lines.append(f"| all pixels | | {whole[0]} with 100 % |{rest} {' | '.join(whole[1:])} |")
    others = len(values(found, ALL, f"test mean IoU at {POOL}"))
    told = (
        f"Means of {len(base)} seeds on test data (all pixels: {others}); a pair is two runs of "
        "one seed."
    )
    return "\n".join(lines) + f"\n\n{told} {conditions_told(found)}"


def _whole_seeds(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of the seeds that every way has at every size, and those of all pixels."""
    wanted = {(name, f"test pixel error at {SIZES[-1]}") for name in WAYS}
    seeds = {row["seed"] for row in found}
    have = {(row["subject"], row["metric"], row["seed"]) for row in found}
    whole = {seed for seed in seeds if all((*one, seed) in have for one in wanted)}
    return [row for row in found if row["seed"] in whole or row["subject"] == ALL]
