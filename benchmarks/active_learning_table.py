"""The tables of `docs/choose.md`, from what `active_learning.py` wrote."""

from __future__ import annotations

import re
from functools import cache
from statistics import mean
from typing import Any

from rows import conditions_told, results, values

from shoestring.core.curve import Curve, saving
from shoestring.label import label_forecast

DEFAULT, BASELINE = "Margin", "Random"
ON_ALL = ("Random", "Margin", "Badge")
"""The techniques that ran on all sets."""
HELD_SEEDS = range(5, 20)
"""Seeds of the curves that the forecast was not adjusted on, whose ends it foretells."""
_TESTS = {"digits": 400, "MNIST": 10_000, "SST-2": 1821, "TREC": 500, "EWT tags": 25_094}
"""Test examples (of EWT: words), which decide the standard error of a score."""
_SEEN = 4
"""Points of a curve that the forecast sees."""


@cache
def _found() -> list[dict]:
    return results("active_learning") + results("active_learning_peers")


@cache
def _curves() -> dict[tuple[str, str], dict[int, list[tuple[float, float]]]]:
    """By set and technique, for each seed that is done: (labels, test score in percent)."""
    points: dict[tuple[str, str], dict[int, dict[str, tuple[float, float]]]] = {}
    for row in _found():
        name, _, way = row["subject"].partition(", ")
        found = re.search(r"with (\d+) ", row["unit"])
        if row["metric"].startswith("score at ") and found:
            # a run that was killed in a curve made its first points twice
            curve = points.setdefault((name, way), {}).setdefault(row["seed"], {})
            curve[row["metric"]] = float(found[1]), row["value"]
    return {
        key: {seed: sorted(curve.values()) for seed, curve in seeds.items()}
        for key, seeds in points.items()
    }


@cache
def _means(name: str, way: str, split: str) -> dict[int, float]:
    """The mean score of each seed after the first labels."""
    return {
        row["seed"]: row["value"]
        for row in _found()
        if row["subject"] == f"{name}, {way}" and row["metric"] == f"mean {split} score"
    }


def active_learning() -> str:
    """A row per set and technique, each paired with random choice of the same seed."""
    lines = [
        "| data | technique | pairs | mean test score % | above random | pairs won | worst pair | "
        "labels saved at equal score |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, way in _curves():
        ours, base = _means(name, way, "test"), _means(name, BASELINE, "test")
        seeds = sorted(set(ours) & set(base))
        if not seeds:
            continue
        gains = [ours[seed] - base[seed] for seed in seeds]
        told = f"| {name} | {way} | {len(seeds)} | {mean(ours[seed] for seed in seeds):.2f} |"
        if way == BASELINE:
            lines.append(f"{told} | | | |")
            continue
        won = sum(gain > 0 for gain in gains)
        lines.append(
            f"{told} {mean(gains):+.2f} | {won} ({100 * won / len(gains):.0f} %) | "
            f"{min(gains):+.2f} | {_saved(name, way, seeds)} |"
        )
    return "\n".join([*lines, "", conditions_told(_found())])


def _saved(name: str, way: str, seeds: list[int]) -> str:
    """The share of labels saved at the highest score that random choice reaches in every seed."""
    both = []
    for one in (way, BASELINE):
        rows = [_curves()[name, one][seed] for seed in seeds]
        both.append(
            Curve(
                resource="labels",
                costs=tuple(tuple(cost for cost, _ in row) for row in rows),
                scores=tuple(tuple(value for _, value in row) for row in rows),
            )
        )
    share = saving(*both).share
    return "some seed never reached it" if share is None else f"{100 * (1 - share):.0f} %"


def longer_training() -> str:
    """Two rows per set: as in the table above, and with longer training or more labels."""
    lines = [
        "| data | steps a round | labels bought | pairs | random choice, mean test score % | "
        "above random | pairs won | worst pair |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    changed = results("active_learning_longer")
    for name in dict.fromkeys(row["subject"].partition(", ")[0] for row in changed):
        rows = [row for row in changed if row["subject"].startswith(f"{name}, ")]
        settings = {row["metric"]: row for row in rows if row["subject"] == f"{name}, settings"}
        shared = {row["seed"] for row in rows if row["metric"] == "mean test score"}
        before = [row for row in results("active_learning") if row["seed"] in shared]
        for found, suffix in ((before, " before"), (rows, "")):
            base, ours = (
                values(found, f"{name}, {way}", "mean test score") for way in (BASELINE, DEFAULT)
            )
            gains = [one - other for one, other in zip(ours, base, strict=True)]
            labels = settings[f"labels{suffix}"]
            lines.append(
                f"| {name} | {settings[f'steps{suffix}']['value']:.0f} | "
                f"{labels['value']:,.0f} {labels['unit']} | {len(gains)} | {mean(base):.2f} | "
                f"{mean(gains):+.2f} | {sum(gain > 0 for gain in gains)} | {min(gains):+.2f} |"
            )
    return "\n".join([*lines, "", conditions_told(changed)])


def classical() -> str:
    """Classical models on the labels of random choice, beside the networks."""
    found = results("active_learning_classical")
    lines = [
        "| data | model | mean test score % with random labels | the network with random labels | "
        "the network with `Margin()` |",
        "| --- | --- | --- | --- | --- |",
    ]
    for subject in dict.fromkeys(row["subject"] for row in found):
        name, _, model = subject.partition(", ")
        alone = mean(values(found, subject, "mean test score"))
        networks = [mean(_means(name, way, "test").values()) for way in (BASELINE, DEFAULT)]
        lines.append(f"| {name} | {model} | {alone:.2f} | {networks[0]:.2f} | {networks[1]:.2f} |")
    return "\n".join([*lines, "", conditions_told(found)])


def active_learning_short() -> str:
    """What the default does on each set, and which technique validation data would choose."""
    sets = list(dict.fromkeys(name for name, _ in _curves()))
    parts = []
    for name in sets:
        won, count = _won(name, "test")
        parts.append(f"{name} {won} of {count} ({_won(name, 'validation')[0]} on validation data)")
    best = []
    for name in sets:
        chosen = {way: _means(name, way, "validation") for way in ON_ALL}
        seeds = set.intersection(*map(set, chosen.values()))
        best.append(max(ON_ALL, key=lambda way: mean(chosen[way][seed] for seed in seeds)))
    return (
        f"Pairs that `{DEFAULT}()` wins against random choice: {', '.join(parts)}. Of the three "
        "that ran on all sets, the best on validation data: "
        + ", ".join(f"{name} `{way}`" for name, way in zip(sets, best, strict=True))
        + "."
    )


def _won(name: str, split: str) -> tuple[int, int]:
    """How many pairs the default wins on the data of a split, of how many."""
    ours, base = _means(name, DEFAULT, split), _means(name, BASELINE, split)
    seeds = sorted(set(ours) & set(base))
    return sum(ours[seed] > base[seed] for seed in seeds), len(seeds)


def held_back() -> tuple[int, int, dict[str, tuple[int, int, float]]]:
    """How many forecasts held, of how many; and per set, with the mean width in points."""
    held, count, each = 0, 0, {}
    for name in dict.fromkeys(name for name, _ in _curves()):
        inside, widths = [], []
        for way in ON_ALL:
            for seed in HELD_SEEDS:
                curve = _curves().get((name, way), {}).get(seed)
                if curve is None or seed not in _means(name, way, "test"):
                    continue
                low, high = _foretold(curve, _TESTS[name], seed)
                inside.append(low <= curve[-1][1] <= high)
                widths.append(high - low)
        if inside:
            each[name] = sum(inside), len(inside), mean(widths)
            held, count = held + sum(inside), count + len(inside)
    return held, count, each


def _foretold(curve: Any, tests: int, seed: int) -> tuple[float, float]:
    points = [
        (labels, value / 100, (value / 100 * (1 - value / 100) / tests) ** 0.5)
        for labels, value in curve[:_SEEN]
    ]
    at = label_forecast(points, seed=seed).at(curve[-1][0])
    assert at.low is not None and at.high is not None
    return 100 * at.low, 100 * at.high


def forecasts() -> str:
    """A row per set: how many of the 80 % intervals held."""
    held, count, each = held_back()
    lines = [
        "| data | from labels | to labels | forecasts | held | mean width, points |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, (inside, cases, width) in each.items():
        curve = next(iter(_curves()[name, BASELINE].values()))
        unit = " words" if name == "EWT tags" else ""
        lines.append(
            f"| {name} | {curve[_SEEN - 1][0]:,.0f}{unit} | {curve[-1][0]:,.0f}{unit} | {cases} | "
            f"{inside} | {width:.1f} |"
        )
    lines.append(f"| all | | | {count} | **{held} ({100 * held / count:.0f} %)** | |")
    return "\n".join(lines)
