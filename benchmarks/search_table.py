"""The tables of `docs/search.md`, from what the benchmarks of searches wrote."""

from __future__ import annotations

from statistics import mean, stdev

from network_guides import AFTER, BEFORE, BEST_KEPT, CHOSEN, SCREENED
from operation_table import WAYS
from rows import conditions_told, metrics, results, spread, values
from scipy.stats import t
from search_methods import SPACES
from search_methods import WAYS as METHODS
from trained_networks import PROBLEMS

NOT_YET = "Not measured yet."


def search_milliseconds() -> str:
    """A row for a way to foretell milliseconds: its errors on fifty networks."""
    try:
        found = results("operation_table")
    except FileNotFoundError:
        return NOT_YET
    of_all = metrics(found, "both spaces")
    lines = [
        "| | median error | within 15 % | largest error | rank correlation |",
        "| --- | --- | --- | --- | --- |",
    ]
    names = {"file, once": "the file, measured once more", "draft": "a draft, measured once"}
    for way in WAYS:
        if f"{way}: median error" not in of_all:
            continue
        lines.append(
            f"| {names.get(way, way)} | {of_all[f'{way}: median error']:.1f} % | "
            f"{of_all[f'{way}: within 15 %']:.0f} % | {of_all[f'{way}: largest error']:.0f} % | "
            f"{of_all[f'{way}: rank correlation']:.3f} |"
        )
    return "\n".join([*lines, "", conditions_told(found)])


def search_methods() -> str:
    """A row for a way to search and a space: test scores, and in how many seeds it is ahead."""
    try:
        found = results("search_methods")
    except FileNotFoundError:
        return NOT_YET
    lines = [
        "| space | way | test accuracy, mean (seeds) | validation | seconds of a core | ahead of "
        "random: points ± 95 %, seeds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for space in SPACES:
        for way in METHODS:
            subject = f"{space}, {way}"
            tests = values(found, subject, "test")
            if not tests:
                lines.append(f"| {space} | {way} | not measured yet | | | |")
                continue
            more = metrics(found, subject)
            told = ""
            if "gain" in more:
                half = more.get("half of its interval")
                told = f"{more['gain']:+.1f}{'' if half is None else f' ± {half:.1f}'}, "
                told += f"{more['ahead of random']:.0f} of {len(tests)}"
            lines.append(
                f"| {space} | {way} | {spread(tests, '.1f')} | "
                f"{mean(values(found, subject, 'validation')):.1f} | "
                f"{mean(values(found, subject, 'seconds of a core')):.0f} | "
                f"{told} |"
            )
    return "\n".join([*lines, "", conditions_told(found)])


def search_guides() -> str:
    """A row for each guide: how well it ranks networks, and what choosing by it gives."""
    try:
        found = results("trained_networks")
    except FileNotFoundError:
        return NOT_YET
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


RIVALS = (
    ("forecast from costs", "parameters"),
    ("forecast from costs and early score", "early score"),
)


def _apart(found: list[dict], ours: str, theirs: str) -> str:
    """How far a guide's choice is ahead of another's, over all tasks and seeds."""
    gains = list[float]()
    for name in PROBLEMS:
        mine, its = (values(found, f"{name}, {one}", CHOSEN) for one in (ours, theirs))
        gains += _less(mine, its)
    half = t.ppf(0.975, len(gains) - 1) * stdev(gains) / len(gains) ** 0.5
    ahead = sum(one > 0 for one in gains)
    return f"{mean(gains):+.1f} ± {half:.1f}, ahead in {ahead} of {len(gains)} searches"


def _less(ours: list[float], theirs: list[float]) -> list[float]:
    return [one - other for one, other in zip(ours, theirs, strict=True)]
