"""The table of guides in `docs/search.md`: what tells early which networks will be best."""

from __future__ import annotations

from statistics import mean, stdev

from network_guides import AFTER, BEFORE, BEST_KEPT, CHOSEN, SCREENED
from rows import conditions_told, results, values
from scipy.stats import t
from trained_networks import PROBLEMS

RIVALS = (
    ("forecast from costs", "parameters"),
    ("forecast from costs and early score", "early score"),
)
"""What a forecast has to be ahead of."""


def search_guides() -> str:
    """A row for each guide: how well it ranks networks, and what choosing by it gives."""
    found = results("trained_networks")
    lines = [
        f"| guide | rank correlation: {' | '.join(PROBLEMS)} | mean | {CHOSEN}: points above "
        f"chance | ahead of chance | {BEST_KEPT}: points below the best | {SCREENED}: points above "
        "that of a third at random |",
        f"| --- |{' --- |' * (len(PROBLEMS) + 5)}",
    ]
    chance = {name: values(found, f"{name}, no guide", CHOSEN) for name in PROBLEMS}
    best = {name: values(found, f"{name}, no guide", "best") for name in PROBLEMS}
    plain = {name: values(found, f"{name}, no guide", SCREENED) for name in PROBLEMS}
    for guide in ("no guide", *BEFORE, *AFTER):
        ranks = [values(found, f"{name}, {guide}", "rank correlation") for name in PROBLEMS]
        gains, losses, more = list[float](), list[float](), list[float]()
        for name in PROBLEMS:
            subject = f"{name}, {guide}"
            gains += _less(values(found, subject, CHOSEN), chance[name])
            losses += _less(best[name], values(found, subject, BEST_KEPT))
            more += _less(values(found, subject, SCREENED), plain[name])
        told = [f"{mean(one):.2f}" if one else "" for one in ranks]
        all_ranks = [value for one in ranks for value in one]
        ahead = f"{sum(one > 0 for one in gains)} of {len(gains)}" if all_ranks else ""
        lines.append(
            f"| {guide} | {' | '.join(told)} | {f'{mean(all_ranks):.2f}' if all_ranks else ''} | "
            f"{mean(gains):+.1f} | {ahead} | {mean(losses):.1f} | "
            f"{f'{mean(more):+.1f}' if guide in BEFORE else ''} |"
        )
    told = "; ".join(
        f"the {ours} against {theirs}: {_apart(found, ours, theirs)}" for ours, theirs in RIVALS
    )
    told = f"{CHOSEN.capitalize()}, points with a 95 % interval of Student's t: {told}."
    return "\n".join([*lines, "", told, "", conditions_told(found)])


def _apart(found: list[dict], ours: str, theirs: str) -> str:
    """How far a guide's choice is ahead of another's: the mean of the tasks, whose seeds are alike.

    Searches of one task are no independent sample, so the interval is over the tasks.
    """
    gains = [
        _less(*(values(found, f"{name}, {one}", CHOSEN) for one in (ours, theirs)))
        for name in PROBLEMS
    ]
    of_tasks, all_gains = [mean(one) for one in gains], [one for some in gains for one in some]
    half = t.ppf(0.975, len(of_tasks) - 1) * stdev(of_tasks) / len(of_tasks) ** 0.5
    ahead = sum(one > 0 for one in all_gains)
    return (
        f"{mean(of_tasks):+.1f} ± {half:.1f} ({len(of_tasks)} tasks), ahead in {ahead} of "
        f"{len(all_gains)} searches"
    )


def _less(ours: list[float], theirs: list[float]) -> list[float]:
    return [one - other for one, other in zip(ours, theirs, strict=True)]
