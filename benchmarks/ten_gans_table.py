"""The tables of `docs/gans.md`, from what `ten_gans.py` wrote."""

from __future__ import annotations

from statistics import mean, median, stdev

import numpy as np
from rows import conditions_told, metrics, results, values
from ten_gans import SETS, TOLD

from shoestring.generate import TEN

ALIKE = 0.2
"""Made pictures that are less than this share as far apart as real ones are one picture."""
_RESAMPLES = 2000


def ten_gans() -> str:
    """A row for a loss: the distance of each seed, and what else was measured."""
    try:
        found = results("ten_gans")
    except FileNotFoundError:
        return "Not measured yet."
    lines = [
        "| | | distance, mean ± 95 % interval (seeds) | median | one picture again and again | "
        "precision % | recall % | classes missing | near training pictures % | rate | steps of the "
        "discriminator | settings tried | seconds of a core |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in SETS:
        real = metrics(found, f"{name}, real pictures")
        if not real:
            lines.append(f"| {name} | not measured yet | | | | | | | | | | | |")
            continue
        lines.append(
            f"| {name} | real pictures | {real['distance']:.2f} | | | {real['precision']:.0f} | "
            f"{real['recall']:.0f} | {real['missing classes']:.0f} | "
            f"{real['near training pictures']:.1f} | | | | |"
        )
        lines += [_line(found, name, way) for way in TEN]
    return "\n".join([*lines, "", conditions_told(found)])


def _line(found: list[dict], name: str, way: str) -> str:
    subject = f"{name}, {way}"
    distances = values(found, subject, "distance")
    if not distances:
        return f"| {name} | {way} | not measured yet | | | | | | | | | | |"
    seeds = ", ".join(f"{one:.1f}" for one in distances)
    half = _half(distances)
    told = f" ± {half:.1f}" if half is not None else ""
    means = {
        metric: mean(values(found, subject, metric))
        for metric in (
            "precision",
            "recall",
            "missing classes",
            "near training pictures",
            "rate",
            "discriminator steps",
            "seconds of a core",
        )
    }
    alike = sum(one < ALIKE for one in values(found, subject, "variety"))
    tried = len({row["subject"] for row in found if row["subject"].startswith(f"{subject}, rate")})
    return (
        f"| {name} | {way} | {mean(distances):.1f}{told} ({seeds}) | {median(distances):.1f} | "
        f"{alike} of {len(distances)} | {means['precision']:.0f} | "
        f"{means['recall']:.0f} | {means['missing classes']:.1f} | "
        f"{means['near training pictures']:.1f} | {means['rate']:g} | "
        f"{means['discriminator steps']:g} to 1 | {tried} | {means['seconds of a core']:.0f} |"
    )


def _half(numbers: list[float]) -> float | None:
    """Half of the 95 % interval of a mean, by Student's t."""
    from scipy.stats import t

    if len(numbers) < 2:
        return None
    return float(t.ppf(0.975, len(numbers) - 1)) * stdev(numbers) / len(numbers) ** 0.5


def ten_gans_spread() -> str:
    """Whether losses differ more than seeds do: of all ten, and of the best ones."""
    try:
        found = results("ten_gans")
    except FileNotFoundError:
        return "Not measured yet."
    lines = [
        "| | losses | seeds | spread between losses | spread between seeds | their ratio (95 % "
        "interval) | F test | Kruskal-Wallis test |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in SETS:
        of = {way: values(found, f"{name}, {way}", "distance") for way in TEN}
        count = min(map(len, of.values()))
        if count < 2:
            lines.append(f"| {name} | not measured yet | | | | | | |")
            continue
        grid = np.array([one[:count] for one in of.values()])
        order = grid.mean(1).argsort()
        for best in (len(grid), len(grid) // 2, 3):
            lines.append(_spread(name, best, grid[order[:best]]))
    return "\n".join(lines)


def _spread(name: str, best: int, grid: np.ndarray) -> str:
    """A line: standard deviations between losses and between seeds, and tests. `grid`: L×S."""
    from scipy.stats import f_oneway, kruskal

    draw = np.random.default_rng(0)
    seeds = grid.shape[1]
    ratios = [
        _ratio(np.take_along_axis(grid, draw.integers(0, seeds, grid.shape), 1))
        for _ in range(_RESAMPLES)
    ]
    low, high = np.quantile(ratios, [0.025, 0.975])
    between, within = _deviations(grid)
    which = "all ten" if best == len(TEN) else f"the best {best}"
    return (
        f"| {name} | {which} | {seeds} | {between:.2f} | {within:.2f} | {_ratio(grid):.2f} "
        f"({low:.2f} to {high:.2f}) | p = {f_oneway(*grid).pvalue:.2g} | "
        f"p = {kruskal(*grid).pvalue:.2g} |"
    )


def _deviations(grid: np.ndarray) -> tuple[float, float]:
    """The standard deviation of the losses, without what seeds add to it, and that of the seeds."""
    within = grid.var(1, ddof=1).mean()
    between = max(0.0, grid.mean(1).var(ddof=1) - within / grid.shape[1])
    return float(between**0.5), float(within**0.5)


def _ratio(grid: np.ndarray) -> float:
    between, within = _deviations(grid)
    return between / max(within, 1e-12)


def ten_gans_told() -> str:
    """What pictures of generators that are told the class teach a classifier."""
    try:
        found = results("ten_gans")
    except FileNotFoundError:
        return "Not measured yet."
    lines = ["| | pictures | test accuracy % | distance |", "| --- | --- | --- | --- |"]
    for name in SETS:
        real = metrics(found, f"{name}, real pictures")
        if real:
            lines.append(
                f"| {name} | the real ones | {real['score']:.2f} | {real['distance']:.2f} |"
            )
        for way in TOLD:
            subject = f"{name}, {way}, told the class"
            scores = values(found, subject, "score")
            if not scores:
                lines.append(f"| {name} | {way} | not measured yet | |")
                continue
            each = ", ".join(f"{one:.2f}" for one in scores)
            distance = mean(values(found, subject, "distance"))
            lines.append(f"| {name} | {way} | {mean(scores):.2f} ({each}) | {distance:.1f} |")
    return "\n".join(lines)
