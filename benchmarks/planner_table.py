"""The table of `docs/planner.md`, from the results of `planner.py` and `planner_peers.py`.

A table for each job and budget, a row for each tool. What a tool finds within its minutes depends
on the processor, so each processor seen has tables of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, log1p
from statistics import mean

from rows import RESULTS, on, processors, read

from shoestring.core import Budget, Share

TITLES = {
    "lenet5": "LeNet-5, MNIST",
    "lenet5_seed0": "LeNet-5, MNIST, seed 0",
    "lenet5_seed1": "LeNet-5, MNIST, seed 1",
    "adult": "Table network, Adult",
    "tagger": "Tagger, EWT",
    "stranger": "A stranger's network, MNIST",
    "resnet20": "ResNet-20, CIFAR-10",
    "mobilenet": "MobileNet, CIFAR-10",
    "text_encoder": "Text encoder, SST-2",
}
HEAD = (
    "tool",
    "bytes",
    "validation drop",
    "test drop",
    "time to what came in",
    "budget",
    "minutes",
    "by",
)
WITHIN = {"bytes": 15, "milliseconds": 25, "minutes": 30}
FIRST_MINUTE = "drop<=0.5%"
"""What every job is given a single minute for, besides."""
NOTHING = "No run yet."
OURS = "shoestring"

Metrics = dict[str, float]


def planner() -> str:
    """What each tool came to under each budget, then how the planner kept time and what its
    forecasts were worth.
    """
    found = _found()
    parts = [_on(one, on(one, found)) for one in processors(found)]
    return "\n\n".join(parts) or NOTHING


def _on(processor: str, found: Sequence[dict]) -> str:
    """The tables of one processor."""
    parts = [f"Timed and searched on **{processor}**:"]
    parts += [part for job in TITLES if (part := _job(job, found))]
    parts += [
        _first_minute(found),
        _against(found),
        _time(found),
        _forecasts(found),
        _conditions(found),
    ]
    return "\n\n".join(part for part in parts if part)


def _found() -> list[dict]:
    """The rows of all results files of both benchmarks, the quick ones left out."""
    files = [
        file
        for name in ("planner", "planner_peers")
        for file in sorted(RESULTS.glob(f"{name}.*.jsonl"))
        if ".quick." not in file.name
    ]
    return [row for file in files for row in read(file)]


def _subjects(found: Sequence[dict]) -> dict[tuple[str, str, str, int], Metrics]:
    """(job, budget, tool, seed) -> metrics; the last row of a metric counts."""
    subjects: dict[tuple[str, str, str, int], Metrics] = {}
    for row in found:
        job, budget, tool = row["subject"].split(" / ")
        subjects.setdefault((job, budget, tool, row["seed"] or 0), {})[row["metric"]] = row["value"]
    return subjects


def _job(job: str, found: Sequence[dict]) -> str:
    """The tables of a job, one for each budget."""
    subjects = {key: one for key, one in _subjects(found).items() if key[0] == job}
    parts = []
    for budget in dict.fromkeys(key[1] for key in subjects if key[1] != FIRST_MINUTE):
        lines = [
            f"**{TITLES[job]}**, `{budget}`",
            "",
            f"| {' | '.join(HEAD)} |",
            f"|{' --- |' * len(HEAD)}",
        ]
        lines += [
            _row(tool, seed, one) for (_, its, tool, seed), one in subjects.items() if its == budget
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _row(tool: str, seed: int, one: Metrics) -> str:
    """A tool's row: drops in points, the time as the median ratio with its quartiles."""
    name = tool if not seed else f"{tool}, seed {seed}"
    if failed := next((metric for metric in one if metric.startswith("failed: ")), None):
        said = (
            failed.removeprefix("failed: ").replace("|", "/").replace("](", "] (")
        )  # no cells and no links of theirs
        return f"| {name} | {said[:160]} |{' |' * (len(HEAD) - 2)}"
    if "minutes" not in one:
        return f"| {name} | not finished |{' |' * (len(HEAD) - 2)}"
    speed = [one[f"milliseconds ratio{what}"] for what in ("", ", low", ", high")]
    cells = [
        name,
        f"{one['file']:,.0f}",
        f"{one['validation drop']:.2f}",
        f"{one['test drop']:.2f}",
        f"{speed[0]:.2f} ({speed[1]:.2f} to {speed[2]:.2f})",
        _verdict(one),
        f"{one['minutes']:.1f}",
        _by(one),
    ]
    return f"| {' | '.join(cells)} |"


def _by(one: Metrics) -> str:
    """What a tool did, in words."""
    return next(
        (metric.removeprefix("technique: ") for metric in one if metric.startswith("technique: ")),
        "",
    )


def _verdict(one: Metrics) -> str:
    """In a word, what the budget says."""
    if not one["met"]:
        return "not kept"
    return "undecided" if one["undecided"] else "kept"


def _ours(found: Sequence[dict]) -> dict[tuple[str, str, int], Metrics]:
    """The planner's own runs that came to an end."""
    return {
        (job, budget, seed): one
        for (job, budget, tool, seed), one in _subjects(found).items()
        if tool == OURS and "minutes" in one
    }


def _first_minute(found: Sequence[dict]) -> str:
    """What a single minute comes to, for the whole command."""
    ours = {
        key: one for key, one in _ours(found).items() if key[1] == FIRST_MINUTE and "came in" in one
    }
    if not ours:
        return ""
    lines = [
        f"**A single minute for the whole command**, `{FIRST_MINUTE}`",
        "",
        "| job | bytes: came in | delivered | times smaller | validation drop | test drop | "
        "minutes | by |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (job, _, seed), one in ours.items():
        cells = [
            TITLES[job] + (f", seed {seed}" if seed else ""),
            f"{one['came in']:,.0f}",
            f"{one['file']:,.0f}",
            f"{one['came in'] / one['file']:.1f}",
            f"{one['validation drop']:.2f}",
            f"{one['test drop']:.2f}",
            f"{one['minutes']:.2f}",
            _by(one),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _against(found: Sequence[dict]) -> str:
    """How often the planner is ahead of each other tool, which had the same minutes."""
    subjects = {
        key: one for key, one in _subjects(found).items() if "minutes" in one or _failed(one)
    }
    lines = [
        "**Beside the others**",
        "",
        "| tool | runs | the planner ahead | even | behind |",
        "| --- | --- | --- | --- | --- |",
    ]
    for tool in dict.fromkeys(key[2] for key in subjects if key[2] != OURS):
        counts: dict[str, list[str]] = {"ahead": [], "even": [], "behind": []}
        for (job, budget, its, seed), other in subjects.items():
            mine = subjects.get((job, budget, OURS, seed))
            if its != tool or mine is None or "minutes" not in mine:
                continue
            counts[_standing(budget, mine, other)].append(f"{TITLES[job]} `{budget}`")
        total = sum(map(len, counts.values()))
        behind = f": {'; '.join(counts['behind'])}" if counts["behind"] else ""
        if total:
            lines.append(
                f"| {tool} | {total} | {len(counts['ahead'])} | {len(counts['even'])} | "
                f"{len(counts['behind'])}{behind} |"
            )
    words = (
        "Ahead is what keeps the budget where the other does not, or keeps it with the higher "
        "validation score (0.1 points or less is even), or as the smaller file where no more than "
        "the score is limited; where neither keeps it, what breaks fewer limits, or the same by "
        "less (added up as logarithms; 0.02 or less is even)."
    )
    return "\n".join([*lines, "", words]) if len(lines) > 4 else ""


def _standing(budget: str, mine: Metrics, other: Metrics) -> str:
    """Whether the planner is ahead, even or behind on a budget."""
    if _failed(other):
        return "ahead"
    (ours, over), (theirs, beyond) = _broken(budget, mine), _broken(budget, other)
    if ours != theirs:
        return "ahead" if ours < theirs else "behind"
    if ours:
        gain, least = beyond - over, 0.02
    elif budget == FIRST_MINUTE:  # the smallest file is asked for
        gain, least = log(other["file"] / mine["file"]), 0.02
    else:
        gain, least = mine["validation score"] - other["validation score"], 0.1
    return "even" if abs(gain) <= least else "ahead" if gain > 0 else "behind"


def _broken(budget: str, one: Metrics) -> tuple[int, float]:
    """How many limits a file breaks, by medians, and by how much in all, as logarithms."""
    limits = Budget.parse(budget)
    over = []
    if isinstance(limits.size, int | float) and one["file"] > limits.size:
        over.append(log(one["file"] / limits.size))
    if isinstance(limits.latency, Share) and one["milliseconds ratio"] > limits.latency.fraction:
        over.append(log(one["milliseconds ratio"] / limits.latency.fraction))
    if limits.drop is not None and one["validation drop"] > 100 * limits.drop + 1e-9:
        over.append(log1p((one["validation drop"] / 100 - limits.drop) / limits.drop))
    return len(over), sum(over)


def _failed(one: Metrics) -> bool:
    return any(metric.startswith("failed: ") for metric in one)


def _time(found: Sequence[dict]) -> str:
    """When the first file was there, what lay there after a minute, and how the time was kept."""
    ours = _ours(found)
    if not ours:
        return ""
    lines = [
        "**On the way**",
        "",
        "| job | budget | first file, s | after 60 s: bytes | validation drop | at the end: bytes "
        "| validation drop | minutes, of |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (job, budget, seed), one in ours.items():
        cells = [
            TITLES[job] + (f", seed {seed}" if seed else ""),
            f"`{budget}`",
            _number(one, "first file", ".0f"),
            _number(one, "file after 60 s", ",.0f"),
            _number(one, "validation drop after 60 s", ".2f"),
            f"{one['file']:,.0f}",
            f"{one['validation drop']:.2f}",
            f"{one['minutes']:.1f}, {one['minutes allowed']:g}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    late = max(one["over the time"] for one in ours.values())
    return "\n".join([*lines, "", f"Over its time by {late:.1f} % at most, of {len(ours)} runs."])


def _forecasts(found: Sequence[dict]) -> str:
    """How often a forecast was near, and how often the budget was kept for the chance that was
    told.
    """
    ours = [one for one in _ours(found).values() if "forecast chance" in one]
    if not ours:
        return ""
    lines = [
        "**Forecasts**",
        "",
        "| of | near means within | near | in the range that was told |",
        "| --- | --- | --- | --- |",
    ]
    for name, within in WITHIN.items():
        near = [
            one[f"forecast {name}, within {within} %"] for one in ours if f"forecast {name}" in one
        ]
        held = [one[f"forecast {name}, in its range"] for one in ours if f"forecast {name}" in one]
        if near:
            lines.append(
                f"| {name} | {within} % | {sum(near):.0f} of {len(near)} | {sum(held):.0f} of "
                f"{len(held)} |"
            )
    told, kept = (
        mean(one["forecast chance"] for one in ours),
        100 * mean(one["met"] for one in ours),
    )
    brier = mean((one["forecast chance"] / 100 - one["met"]) ** 2 for one in ours)
    words = (
        f"The chance that was told is {told:.0f} % on average, and {kept:.0f} % kept their budget; "
        f"Brier score {brier:.2f}."
    )
    return "\n".join([*lines, "", words])


def _conditions(found: Sequence[dict]) -> str:
    return f"Conditions: {'; '.join(dict.fromkeys(row['conditions'] for row in found))}."


def _number(one: Metrics, metric: str, form: str) -> str:
    return f"{one[metric]:{form}}" if metric in one else ""
